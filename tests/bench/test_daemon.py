"""What the daemon costs while nothing happens: its start, its share of a core, its memory."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

import pytest

from tests.bench.conftest import LONG_LOG_EVENTS, MakeGateway, copy_of
from tests.bench.figures import Aim, Report, Row, Samples, milliseconds
from tests.bench.gateway import BenchGateway
from tests.bench.process_figures import memory_kib, threads_ns
from tests.bench.sessions import write_log
from tests.e2e.processes import ROOT, python

STARTS = 3
SHORT_LOG_EVENTS = 1000
IDLE_S = 30.0
SETTLED_S = 3.0
USUAL = {"lane_settle": "8s", "boundary_settle": "3s", "quiet_for": "15s"}


@pytest.fixture(autouse=True)
def compiled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Byte code is cached, as where a program is installed, whatever this shell says."""
    monkeypatch.delenv("PYTHONDONTWRITEBYTECODE", raising=False)
    monkeypatch.setenv("PYTHONPYCACHEPREFIX", str(tmp_path / "byte-code"))
    imported_s()


@pytest.fixture
def short_log(tmp_path: Path) -> Path:
    """The log of a gateway that is not new: Alembic has nothing to do."""
    write_log(tmp_path / "short.db", SHORT_LOG_EVENTS)
    return tmp_path / "short.db"


def started_s(gateway: BenchGateway) -> float:
    """From the start of the process to its first answer on the Unix socket."""
    began = time.monotonic_ns()
    gateway.serve()
    taken_s = (gateway.wait_answer() - began) / 1e9
    gateway.daemon.stop()
    return taken_s


def imported_s() -> float:
    """An interpreter that imports what the daemon imports, and ends."""
    began = time.monotonic_ns()
    subprocess.run(python("-c", "import orchestrator.app.daemon"), cwd=ROOT, check=True)
    return (time.monotonic_ns() - began) / 1e9


def gateway_with(make_gateway: MakeGateway, log: Path, **settings: str) -> BenchGateway:
    gateway = make_gateway(**settings)
    copy_of(log, gateway.database)
    gateway.write_configuration()
    return gateway


@pytest.mark.timeout(180)
def test_start(make_gateway: MakeGateway, short_log: Path, long_log: Path, report: Report) -> None:
    logs = {SHORT_LOG_EVENTS: short_log, LONG_LOG_EVENTS: long_log}
    sides = {count: gateway_with(make_gateway, log) for count, log in logs.items()}
    started_s(sides[SHORT_LOG_EVENTS])
    starts: dict[int, list[float]] = {count: [] for count in sides}
    imports: list[float] = []
    for _ in range(STARTS):
        imports.append(imported_s())
        for count, gateway in sides.items():
            starts[count].append(started_s(gateway))
    beside = milliseconds("imports alone", imports)
    for count, taken in starts.items():
        report.add(Row(f"start to first answer, {count:,} events", milliseconds("", taken), beside))


def add_memory(report: Report, what: str, pid: int) -> None:
    memory = memory_kib(pid)
    size = Samples("daemon", "MB", (memory["VmRSS"] * 1024 / 1e6,))
    report.add(Row(what, size, None, Aim("p50", 80), {"KiB": memory}))


@pytest.mark.timeout(180)
def test_idle(make_gateway: MakeGateway, short_log: Path, report: Report) -> None:
    """With the site's own times; the log's events have been published before."""
    gateway = gateway_with(make_gateway, short_log, **USUAL)
    gateway.start_quiet()
    gateway.wait_published()
    gateway.daemon.stop()
    gateway.start_daemon()
    pid = gateway.daemon.pid
    time.sleep(SETTLED_S)
    before, began = threads_ns(pid), time.monotonic()
    time.sleep(IDLE_S)
    taken_s, after = time.monotonic() - began, threads_ns(pid)
    assert gateway.ask_locally("GET", "/healthz").status == 200
    shares = [(after[task] - before.get(task, 0)) / 1e7 / taken_s for task in after]
    share = Samples("daemon", "% of a core", (sum(shares),))
    raw = {"seconds": taken_s, "by thread, oldest first, %": ", ".join(f"{part:.2f}" for part in shares)}
    report.add(Row("idle: CPU, a beat each 2 s", share, None, Aim("p50", 0.5), raw))
    add_memory(report, "idle: resident memory", pid)


@pytest.mark.timeout(180)
def test_idle_after_the_first_start(make_gateway: MakeGateway, report: Report) -> None:
    """The log was made by this very process."""
    gateway = make_gateway(**USUAL)
    gateway.start_quiet()
    time.sleep(SETTLED_S)
    assert gateway.ask_locally("GET", "/healthz").status == 200
    add_memory(report, "idle: resident memory, first start", gateway.daemon.pid)
