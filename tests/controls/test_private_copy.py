"""What takes protections out can be trusted: the copy's code runs, and only a true failure counts."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.controls.control import ROOT, Control, unfit
from tests.controls.private_copy import PrivateCopy, show

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

FILE = "orchestrator/core/backoff.py"
LINE = "    return max(policy.floor_us, int(ceiling * random))\n"
TEST = "tests/core/test_backoff.py::test_no_wait_is_shorter_than_the_floor_or_longer_than_the_cap"


def control(new: str, test: str = TEST, says: str = "E   assert", old: str = LINE) -> Control:
    return Control("S23", "a wait has a floor", "no-floor", FILE, old, new, test, says)


def said(copy: PrivateCopy, folder: Path, *words: str) -> str:
    """What a process prints that starts elsewhere and inherits the copy's environment."""
    done = subprocess.run(
        [sys.executable, *words], cwd=folder, env=copy.environment, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def test_what_is_started_below_the_copy_runs_the_copys_code(copy: PrivateCopy, tmp_path: Path) -> None:
    """A daemon is `python -m orchestrator`, wherever it is started."""
    file = said(copy, tmp_path, "-c", "import orchestrator; print(orchestrator.__file__)")
    assert Path(file) == copy.root / "orchestrator" / "__init__.py"
    old = (ROOT / "orchestrator" / "__init__.py").read_text().rpartition("__version__")[2]
    other = Control("S1", "", "", "orchestrator/__init__.py", old, ' = "9.9.9"\n', "", "")
    with copy.without(other):
        assert "9.9.9" in said(copy, tmp_path, "-m", "orchestrator", "--version")
    assert "9.9.9" not in said(copy, tmp_path, "-m", "orchestrator", "--version")


def test_a_test_that_fails_then_and_passes_before_and_after_is_shown(copy: PrivateCopy) -> None:
    assert copy.run(TEST).how == "passed"
    show(copy, control("    return int(ceiling * random)\n"))
    assert copy.run(TEST).how == "passed"
    assert (copy.root / FILE).read_text() == (ROOT / FILE).read_text()


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        (control(LINE + "\n"), "passed, and must fail"),
        (control("    return int(ceiling * random)\n", says="listener"), "it does not say 'listener'"),
        (control("    return (\n"), "broke, and must fail"),
        (control("    import nowhere\n" + LINE), "it does not say 'E   assert'"),
        (control("    return int(ceiling * random)\n", TEST + "_at_all"), "broke, and must fail"),
    ],
    ids=["without effect", "for another reason", "no Python", "an error of its own", "no such test"],
)
def test_nothing_else_counts(copy: PrivateCopy, wrong: Control, why: str) -> None:
    with pytest.raises(AssertionError, match=why):
        show(copy, wrong)


def test_a_control_that_does_not_fit_the_tree_is_told(copy: PrivateCopy) -> None:
    assert unfit(control("    return 0\n")) == ""
    assert "stands 0 times" in unfit(control("", old="no such line"))
    assert "there is no test" in unfit(control("    return 0\n", TEST + "_at_all"))
    assert "there is no test" in unfit(control("    return 0\n", "tests/core/test_nowhere.py::test_it"))
    with pytest.raises(ValueError, match="stands 0 times"), copy.without(control("", old="no such line")):
        pass
