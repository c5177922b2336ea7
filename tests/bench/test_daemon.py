"""What the daemon costs while nothing happens: its share of a core, its memory."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.bench.conftest import MakeGateway, copy_of
from tests.bench.figures import Aim, Report, Row, Samples
from tests.bench.gateway import BenchGateway
from tests.bench.process_figures import memory_kib, threads_ns
from tests.bench.sessions import write_log

pytestmark = pytest.mark.usefixtures("compiled")
SHORT_LOG_EVENTS = 1000
IDLE_S = 30.0
SETTLED_S = 3.0
USUAL = {"lane_settle": "8s", "boundary_settle": "3s", "quiet_for": "15s"}


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
