"""What the daemon costs while nothing happens: its start, its share of a core, its memory."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

import pytest

from tests.bench.conftest import LONG_LOG_EVENTS, MakeGateway, copy_of
from tests.bench.figures import Aim, Report, Row, Samples, milliseconds
from tests.bench.gateway import BenchGateway
from tests.bench.sessions import write_log
from tests.e2e.processes import ROOT, python

STARTS = 3
SHORT_LOG_EVENTS = 1000
IDLE_S = 30.0
SETTLED_S = 3.0


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


def cpu_ns(pid: int) -> int:
    """What all threads have run so far, from the scheduler's own account."""
    tasks = Path(f"/proc/{pid}/task")
    return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks.iterdir())


def memory_kib(pid: int) -> dict[str, int]:
    status = Path(f"/proc/{pid}/status").read_text().splitlines()
    fields = dict(line.split(":", 1) for line in status)
    return {name: int(fields[name].split()[0]) for name in ("VmRSS", "RssAnon", "RssFile")}


def threads_of(pid: int) -> dict[str, int]:
    """Nanoseconds run by each thread, by its id in the order of birth."""
    tasks = sorted(Path(f"/proc/{pid}/task").iterdir(), key=lambda task: int(task.name))
    return {task.name: int((task / "schedstat").read_text().split()[0]) for task in tasks}


@pytest.mark.timeout(180)
def test_idle(make_gateway: MakeGateway, short_log: Path, report: Report) -> None:
    usual = {"lane_settle": "8s", "boundary_settle": "3s", "quiet_for": "15s"}
    started_s(gateway_with(make_gateway, short_log))
    gateway = gateway_with(make_gateway, short_log, **usual)
    gateway.start_quiet()
    pid = gateway.daemon.pid
    time.sleep(SETTLED_S)
    before, before_ns, began = threads_of(pid), cpu_ns(pid), time.monotonic()
    time.sleep(IDLE_S)
    taken_s, used_ns, after = time.monotonic() - began, cpu_ns(pid) - before_ns, threads_of(pid)
    assert gateway.ask_locally("GET", "/healthz").status == 200
    by_thread = [(after[task] - before.get(task, 0)) / 1e7 / taken_s for task in after]
    share = Samples("daemon", "% of a core", (used_ns / 1e7 / taken_s,))
    raw = {"seconds": taken_s, "by thread, oldest first, %": ", ".join(f"{part:.2f}" for part in by_thread)}
    report.add(Row("idle: CPU, a beat each 2 s", share, None, Aim("p50", 0.5), raw))
    memory = memory_kib(pid)
    size = Samples("daemon", "MB", (memory["VmRSS"] * 1024 / 1e6,))
    report.add(Row("idle: resident memory", size, None, Aim("p50", 80), {"KiB": memory}))
