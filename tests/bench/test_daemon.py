"""What the daemon costs while nothing happens: its share of a core, its memory."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.bench.conftest import MakeGateway, copy_of
from tests.bench.figures import Aim, Report, Row, Samples
from tests.bench.gateway import BenchGateway
from tests.bench.sessions import write_log

pytestmark = pytest.mark.usefixtures("compiled")
SHORT_LOG_EVENTS = 1000
IDLE_S = 30.0
SETTLED_S = 3.0


@pytest.fixture
def short_log(tmp_path: Path) -> Path:
    """The log of a gateway that is not new: Alembic has nothing to do."""
    write_log(tmp_path / "short.db", SHORT_LOG_EVENTS)
    return tmp_path / "short.db"


def gateway_with(make_gateway: MakeGateway, log: Path, **settings: str) -> BenchGateway:
    gateway = make_gateway(**settings)
    copy_of(log, gateway.database)
    gateway.write_configuration()
    return gateway


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
    first = gateway_with(make_gateway, short_log)
    first.serve()
    first.wait_answer()
    first.daemon.stop()
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
