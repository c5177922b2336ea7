"""The shape of the code, held by tests: who imports whom, how long things are, and what no file may say."""

import ast
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = sorted((ROOT / "orchestrator").rglob("*.py"))
MODULES = PACKAGE + sorted((ROOT / "tests").rglob("*.py")) + sorted((ROOT / "migrations").rglob("*.py"))

# Addresses that only the machine which built this knows. Split, so that this file does not hold them itself.
FOREIGN = [
    "py" + "pi.org",
    "python" + "hosted.org",
    "registry.npm" + "js",
    "index" + "-url",
    "find" + "-links",
    "/opt/" + "wheels",
    "/ro" + "ot/",
    "/wo" + "rk/",
    "/tmp/" + "volet",
]
# The Makefile names the settings that it keeps out of a lock.
MAY_NAME = {"Makefile": {"find" + "-links", "index" + "-url"}}


# Parts of a declared library's own interface that come as distributions of their own.
COMPANIONS = {"pydantic_core": "pydantic", "yarl": "aiohttp"}


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


@dataclass(frozen=True)
class Written:
    """What is asked of a module's text. The tree is let go: each collection of garbage would walk it."""

    says: str | None
    functions: tuple[tuple[str, int], ...]
    imports: frozenset[str]


@cache
def written(path: Path) -> Written:
    tree = ast.parse(path.read_text())
    functions, imports = [], set()
    for node in statements(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = (node.end_lineno or node.lineno) - node.lineno
            functions.append((f"{name(path)}:{node.lineno} {node.name}", lines))
        elif isinstance(node, ast.Import):
            imports |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            imports.add(node.module.partition(".")[0])
    return Written(ast.get_docstring(tree), tuple(functions), frozenset(imports))


def tracked_files() -> list[Path]:
    """The files of the repository, those not yet added included, or skip outside one (an unpacked sdist)."""
    listing = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=False,
    )
    if listing.returncode:
        pytest.skip("not in a git repository")
    paths = [ROOT / entry.decode() for entry in listing.stdout.split(b"\0") if entry]
    return [path for path in paths if path.is_file()]


def statements(tree: ast.AST) -> Iterator[ast.AST]:
    """Every statement, however deep; what stands within expressions is left out, and costs most of a walk."""
    for field in ("body", "orelse", "finalbody", "handlers", "cases"):
        for node in getattr(tree, field, ()):
            yield node
            yield from statements(node)


def test_imports_go_one_way_and_each_library_has_one_room() -> None:
    linter = Path(sys.executable).with_name("lint-imports")
    told = subprocess.run([linter, "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert told.returncode == 0, told.stdout + told.stderr


def test_no_module_is_longer_than_400_lines() -> None:
    lengths = {name(path): len(path.read_text().splitlines()) for path in MODULES}
    assert {path: length for path, length in lengths.items() if length > 400} == {}


def test_no_function_is_longer_than_70_lines() -> None:
    long = [function for path in MODULES for function, lines in written(path).functions if lines >= 70]
    assert long == []


def test_every_module_says_what_it_is_for() -> None:
    # An empty __init__.py only marks a folder of tests.
    silent = [name(path) for path in MODULES if path.stat().st_size and not written(path).says]
    assert silent == []


def test_every_library_that_is_imported_is_a_declared_dependency() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    declared = " ".join([*project["dependencies"], *project["optional-dependencies"]["demo"]]).lower()
    provided_by = packages_distributions()
    undeclared = set()
    for path in PACKAGE:
        for top in written(path).imports - sys.stdlib_module_names - {"orchestrator"}:
            module = COMPANIONS.get(top, top)
            distributions = {each.lower() for each in provided_by.get(module, [module])}
            if not any(each in declared for each in distributions):
                undeclared.add(f"{name(path)}: {top}")
    assert undeclared == set()


def test_no_file_names_a_registry_or_a_path_of_the_machine_that_built_it() -> None:
    found = []
    for path in tracked_files():
        text = path.read_bytes().decode(errors="replace")
        allowed = MAY_NAME.get(name(path), set())
        found += [f"{name(path)}: {word}" for word in FOREIGN if word in text and word not in allowed]
    assert found == []


def test_the_lock_has_the_hash_of_every_file_it_may_install() -> None:
    for lock in ("run.txt", "dev.txt"):
        text = (ROOT / "requirements" / lock).read_text().replace("\\\n", " ")
        pins = [line for line in text.splitlines() if line and not line.lstrip().startswith("#")]
        assert pins
        assert [line.split()[0] for line in pins if "==" not in line or "--hash=sha256:" not in line] == []
