"""The daemon's start with a short, a long and a very long log: to its first answer, and behind it."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tests.bench.conftest import MakeGateway, imported_s
from tests.bench.figures import Aim, Report, Row, milliseconds
from tests.bench.gateway import BenchGateway
from tests.bench.sessions import write_log

pytestmark = pytest.mark.usefixtures("compiled")
STARTS = 5
FROM_NOTHING_LIMIT_S = 900.0
CHECK_LIMIT_S = 900.0
LOOK_EVERY_S = 0.05


def cpu_s(pid: int) -> float:
    """What a process has used of the processors so far, which others' load changes less than the time."""
    ticks = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]
    return sum(map(int, ticks)) / os.sysconf("SC_CLK_TCK")


def started_s(gateway: BenchGateway, limit_s: float = 120.0) -> float:
    """From the start of the process to its first answer on the Unix socket."""
    began = time.monotonic_ns()
    gateway.serve()
    return (gateway.wait_answer(limit_s) - began) / 1e9


def peak_mb(pid: int) -> float:
    """The most memory that a process ever had; 0 once it has ended."""
    with suppress(OSError):
        status = Path(f"/proc/{pid}/status").read_text().splitlines()
        return next((int(line.split()[1]) * 1024 / 1e6 for line in status if line.startswith("VmHWM")), 0.0)
    return 0.0


def children_of(pid: int) -> list[int]:
    found: list[int] = []
    with suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            found += map(int, (task / "children").read_text().split())
    return found


def wait_checked(gateway: BenchGateway, began: float) -> dict[str, float]:
    """Until the log's own check passes: seconds since `began`, and what the processes took meanwhile."""
    until, check_mb = began + CHECK_LIMIT_S, 0.0
    while not gateway.ask_locally("GET", "/readyz").body["dependencies"]["log"]["ready"]:
        assert time.monotonic() < until
        check_mb = max([check_mb, *map(peak_mb, children_of(gateway.daemon.pid))])
        time.sleep(LOOK_EVERY_S)
    return {
        "until all is checked, s": round(time.monotonic() - began, 2),
        "the daemon's peak, MB": round(peak_mb(gateway.daemon.pid)),
        "the check's peak, MB": round(check_mb),
    }


@pytest.mark.timeout(3000)
@pytest.mark.parametrize("count", [1_000, 100_000, 1_000_000], ids="{:,}".format)
def test_start(make_gateway: MakeGateway, count: int, report: Report) -> None:
    """A million events are made once, in a minute or two, and take 2 GB; their first start folds them all."""
    gateway = make_gateway()
    gateway.database.parent.mkdir(parents=True, exist_ok=True)
    began = time.monotonic()
    write_log(gateway.database, count)
    gateway.database.chmod(0o600)
    raw: dict[str, Any] = {"the log made in, s": round(time.monotonic() - began, 1)}
    raw["the log's size, MB"] = round(gateway.database.stat().st_size / 1e6)
    gateway.write_configuration()
    raw["the first start, from nothing, s"] = round(started_s(gateway, FROM_NOTHING_LIMIT_S), 2)
    gateway.daemon.stop()
    starts, imports, used = [], [], []
    for _ in range(STARTS):
        imports.append(imported_s())
        starts.append(started_s(gateway))
        used.append(cpu_s(gateway.daemon.pid))
        gateway.daemon.stop()
    raw["CPU of such a start, s"] = sorted(used)[STARTS // 2]
    began = time.monotonic()
    started_s(gateway)
    raw |= wait_checked(gateway, began)
    gateway.daemon.stop()
    name = f"start to first answer, {count:,} events"
    beside = milliseconds("imports alone", imports)
    report.add(Row(name, milliseconds("", starts), beside, Aim("p50", 1000), raw))
