"""What the benchmarks share: one report, printed as a table at the end and written to `bench.json`."""

from __future__ import annotations

import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.bench.figures import Report
from tests.bench.gateway import BenchGateway
from tests.bench.sessions import write_log
from tests.e2e.parts import segment_root
from tests.e2e.processes import ROOT, python

RESULT = Path(__file__).parents[2] / "bench.json"
REPORT = Report()
LONG_LOG_EVENTS = 20_000

MakeGateway = Callable[..., BenchGateway]


@pytest.fixture
def report() -> Report:
    """Where a benchmark puts its rows."""
    return REPORT


@pytest.fixture
def make_gateway(tmp_path: Path) -> Iterator[MakeGateway]:
    """Makes gateways, not started; ends all of them."""
    made: list[BenchGateway] = []

    def make(**settings: str) -> BenchGateway:
        folder = tmp_path / f"gateway-{len(made)}"
        folder.mkdir(mode=0o700)
        made.append(BenchGateway(folder, segment_root(), **settings))
        return made[-1]

    yield make
    for gateway in made:
        gateway.stop()


@pytest.fixture
def compiled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Byte code is cached, as where a program is installed, whatever this shell says."""
    monkeypatch.delenv("PYTHONDONTWRITEBYTECODE", raising=False)
    monkeypatch.setenv("PYTHONPYCACHEPREFIX", str(tmp_path / "byte-code"))
    imported_s()


def imported_s() -> float:
    """An interpreter that imports what the daemon imports, and ends."""
    began = time.monotonic_ns()
    subprocess.run(python("-c", "import orchestrator.app.daemon"), cwd=ROOT, check=True)
    return (time.monotonic_ns() - began) / 1e9


@pytest.fixture(scope="session")
def long_log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A log of 20,000 events of whole sessions. Read it alone; copy it with `copy_of` to write to it."""
    path = tmp_path_factory.mktemp("long-log") / "events.db"
    write_log(path, LONG_LOG_EVENTS)
    return path


def copy_of(log: Path, target: Path) -> None:
    """SQLite's own copy of a log, for somebody who will write to it."""
    with sqlite3.connect(f"file:{log}?mode=ro", uri=True) as source, sqlite3.connect(target) as copy:
        source.backup(copy)
    copy.close()
    source.close()
    target.chmod(0o600)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if REPORT.rows:
        REPORT.write(RESULT)
        terminalreporter.section("side by side")
        terminalreporter.write_line(REPORT.table())
        terminalreporter.write_line(f"every figure: {RESULT.name}")
