"""The table of negative controls is whole: each S and K has one or a reason, each patch and test is there."""

from __future__ import annotations

import re
from collections import Counter

import pytest

from tests.controls import table
from tests.controls.control import ROOT, Control, unfit
from tests.controls.table import CONTROLS, KEPT, NO_CONTROL, ROWS

NUMBERS = [*(f"S{number}" for number in range(1, 27)), *(f"K{number}" for number in range(1, 5))]
NUMBER = re.compile(r"[SKL][0-9]+")


@pytest.mark.parametrize("number", NUMBERS)
def test_every_invariant_has_a_control_or_a_reason_why_it_has_none(number: str) -> None:
    held = any(number in row.numbers for row in ROWS)
    assert held is not (number in NO_CONTROL)


def test_the_invariants_are_those_that_the_operators_are_told() -> None:
    told = (ROOT / "ops" / "invariants.md").read_text()
    assert {f"S{number}" for number in range(1, 27)} <= set(re.findall(r"\bS[0-9]+\b", told))
    assert [number for number in NUMBERS if f"**{number}**" not in told] == []


def test_a_switch_has_one_name_and_a_row_names_real_invariants() -> None:
    assert [name for name, times in Counter(row.switch for row in ROWS).items() if times > 1] == []
    assert [
        row.switch for row in ROWS if not row.numbers or not all(map(NUMBER.fullmatch, row.numbers))
    ] == []


@pytest.mark.parametrize("control", CONTROLS, ids=lambda control: control.switch)
def test_every_patch_fits_once_and_its_test_is_there(control: Control) -> None:
    assert unfit(control) == ""
    assert control.old != control.new
    assert control.says


def test_the_line_that_a_control_lets_fail_stands_in_a_test() -> None:
    """Some fail with a sentence of the interpreter's, or of the time limit's."""
    tests = [path for path in (ROOT / "tests").rglob("*.py") if "controls" not in path.parts]
    lines = [" ".join(path.read_text().split()) for path in tests]
    sentences = ("is not in list", "Timeout (>")
    asserted = [row for row in CONTROLS if not any(words in row.says for words in sentences)]
    assert len(asserted) > 100
    assert [
        row.switch for row in asserted if not any(" ".join(row.says.split()) in line for line in lines)
    ] == []


def test_the_kept_table_is_that_of_the_controls() -> None:
    """When this fails: `python -m tests.controls.table` writes it anew."""
    assert KEPT.read_text() == table.text()
