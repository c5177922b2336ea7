"""Ten thousand broken configurations, each refused with a path and a sentence, exit 78 and nothing else."""

import io
import re
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import pytest

from orchestrator.cli import main
from orchestrator.settings import file
from tests.conftest import Figure
from tests.hostile.broken import SEED, Broken, broken
from tests.hostile.broken_tables import FIELDS, kind_of
from tests.hostile.broken_text import every_cut
from tests.hostile.toml_text import document
from tests.hostile.valid_files import PLACES, UNTOLD, texts, whole

SOME, ALL = 120, 10_000
MAX_ANSWER_BYTES = 24_000
ANSWER = re.compile(r"volet: [^\x00-\x1f]+: (?:[^\x00-\x1f]+: )?found [^\x00-\x1f]+, expected [^\x00-\x1f]+")


@pytest.fixture
def folder_of() -> Iterator[Callable[[], Path]]:
    """An empty folder that only we may write, anew at each call: files are made by the thousand."""
    root = Path(tempfile.mkdtemp(prefix="volet-broken-", dir="/dev/shm"))

    def anew() -> Path:
        folder = root / "here"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(mode=0o700)
        return folder

    yield anew
    shutil.rmtree(root, ignore_errors=True)


def check(path: Path) -> tuple[int, str, str]:
    """`volet check --config` with what it said on standard output and on standard error."""
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        status = main(["check", "--config", str(path)])
    return status, out.getvalue(), err.getvalue()


def fault_of(case: Broken) -> str:
    """What is wrong with the answer to this file; empty when it was refused as it should be."""
    try:
        status, out, err = check(case.path)
    except Exception as error:
        return f"raised {type(error).__name__}: {str(error)[:200]}"
    lines = err.splitlines()
    told = [word for word in UNTOLD if word in err]
    if status != 78 or out:
        return f"exit {status}, said {out[:100]!r}"
    if not lines or not all(ANSWER.fullmatch(line) for line in lines):
        return f"is told otherwise: {err[:500]!r}"
    if case.at not in err:
        return f"does not name {case.at}: {err[:500]!r}"
    if told or len(err) > MAX_ANSWER_BYTES:
        return f"tells {told} in {len(err)} characters"
    return ""


def refused(seed: str, numbers: range, folder_of: Callable[[], Path]) -> Counter[str]:
    """Each of them is; how many of each kind there were."""
    kinds: Counter[str] = Counter()
    wrong = []
    for number in numbers:
        case = broken(seed, number, folder_of())
        kinds[case.kind] += 1
        if fault := fault_of(case):
            wrong.append(f"{seed} {number} ({case.kind}: {case.why}) {fault}")
    assert wrong == [], f"{len(wrong)} of {len(numbers)}"
    return kinds


def test_what_is_broken_was_whole_before(folder_of: Callable[[], Path]) -> None:
    folder = folder_of()
    for text in (*texts(folder), document(whole())):
        path = folder / "volet.toml"
        path.write_text(text)
        path.chmod(0o600)
        assert check(path) == (0, f"{path} is valid\n", "")


def test_every_table_and_key_of_the_settings_is_broken_too() -> None:
    tables = set(file.Table.__subclasses__())
    assert tables == set(PLACES)
    assert all(kind_of(table, name) for table, name in FIELDS)


def test_some_broken_configurations_are_refused(folder_of: Callable[[], Path]) -> None:
    refused(SEED, range(SOME), folder_of)


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_ten_thousand_broken_configurations_are_refused(
    folder_of: Callable[[], Path], figure: Figure
) -> None:
    """F13: a path and a sentence, exit status 78, no traceback, no secret, and no more than one reads."""
    counts = refused(SEED, range(ALL), folder_of)
    told = ", ".join(f"{count} {kind}" for kind, count in counts.items())
    figure(f"{sum(counts.values())} broken configurations refused: {told}")


@pytest.mark.slow
def test_a_file_cut_at_any_byte_is_refused(folder_of: Callable[[], Path]) -> None:
    folder = folder_of()
    for breakage in every_cut():
        path = folder / "volet.toml"
        path.write_bytes(breakage.data or b"")
        path.chmod(0o600)
        assert fault_of(Broken("cut off", breakage.why, breakage.at, path)) == "", breakage.why
