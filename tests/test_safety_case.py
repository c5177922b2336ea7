"""The safety case names tests that exist, and rests every claim on some."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
CASE = (ROOT / "ops" / "safety-case.md").read_text()
TEST = re.compile(r"`(tests/[^`:]+\.py)::(test_\w+)`")
LINK = re.compile(r"\]\(([^)#]+)\)")
CLAIM = re.compile(r"^\*\*(\d+)\. ", re.MULTILINE)


def functions_of(module: Path) -> set[str]:
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    return {node.name for node in ast.walk(ast.parse(module.read_text())) if isinstance(node, functions)}


def claims() -> dict[str, str]:
    parts = CLAIM.split(CASE.split("## Claims")[1].split("\n## ")[0])[1:]
    return dict(zip(parts[::2], parts[1::2], strict=True))


@pytest.mark.parametrize(("module", "name"), sorted(set(TEST.findall(CASE))))
def test_a_test_that_the_case_rests_on_exists(module: str, name: str) -> None:
    assert name in functions_of(ROOT / module)


@pytest.mark.parametrize("claim", claims())
def test_a_claim_names_its_tests_and_what_is_left(claim: str) -> None:
    assert TEST.search(claims()[claim])
    assert "*Left:*" in claims()[claim]


def test_each_test_is_named_in_full_and_each_link_leads_somewhere() -> None:
    assert len(TEST.findall(CASE)) == CASE.count("tests/") - CASE.count("(../tests/") - CASE.count(
        "[../tests/"
    )
    for target in LINK.findall(CASE):
        assert (ROOT / "ops" / target).exists(), target
