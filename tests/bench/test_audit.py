"""One audit of the running daemon's sockets, beside a bare look at /proc/net, which lacks the device."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import psutil  # type: ignore[import-untyped]

from orchestrator.edges.vpn.sockets import Declared, audit, listening
from tests.bench.conftest import MakeGateway
from tests.bench.figures import Aim, Report, Row, milliseconds

LOOKS = 300
CONNECTIONS = 200
TABLES = ("tcp", "tcp6", "udp", "udp6")


def bare_look(pid: int) -> int:
    """How many listening sockets the process and its descendants have."""
    inodes = set()
    for table in TABLES:
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            columns = line.split()
            if columns[3] in ("0A", "07"):
                inodes.add(columns[9])
    count = 0
    process = psutil.Process(pid)
    for each in (process, *process.children(recursive=True)):
        for name in os.listdir(f"/proc/{each.pid}/fd"):
            try:
                target = os.readlink(f"/proc/{each.pid}/fd/{name}")
            except FileNotFoundError:
                continue
            count += target.startswith("socket:[") and target[8:-1] in inodes
    return count


def psutil_look(pid: int) -> int:
    """The same by psutil alone."""
    process = psutil.Process(pid)
    found = [one for each in (process, *process.children(recursive=True)) for one in each.net_connections()]
    return sum(one.status == psutil.CONN_LISTEN for one in found)


def taken(looks: dict[str, Callable[[], object]]) -> dict[str, list[float]]:
    """Seconds of each look, one after the other in turns."""
    seconds: dict[str, list[float]] = {name: [] for name in looks}
    for _ in range(LOOKS):
        for name, look in looks.items():
            began = time.perf_counter()
            look()
            seconds[name].append(time.perf_counter() - began)
    return seconds


def test_one_audit(make_gateway: MakeGateway, report: Report) -> None:
    """With a session open: the daemon, its worker, a viewer, and 200 connections of others on the machine."""
    gateway = make_gateway()
    gateway.start()
    session = gateway.open()
    gateway.watch()
    pid = gateway.daemon.pid
    declared = [Declared(gateway.address, gateway.port, "lo")]
    assert audit(declared, [pid]).good
    assert bare_look(pid) == psutil_look(pid) == 1
    with ExitStack() as stack:
        server = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=CONNECTIONS))
        for _ in range(CONNECTIONS // 2):
            stack.enter_context(socket.create_connection(server.getsockname()))
            stack.enter_context(server.accept()[0])
        seconds = taken(
            {
                "audit": lambda: audit(declared, [pid]),
                "kernel": lambda: [listening("tcp"), listening("udp")],
                "bare": lambda: bare_look(pid),
                "psutil": lambda: psutil_look(pid),
            }
        )
    raw = {
        "of which the kernel's answer (ms)": milliseconds("kernel", seconds["kernel"]).p50,
        "psutil alone (ms)": milliseconds("psutil", seconds["psutil"]).p50,
        "processes": len(psutil.Process(pid).children(recursive=True)) + 1,
        "descriptors": psutil.Process(pid).num_fds(),
    }
    gateway.shut(session)
    ours, beside = (
        milliseconds("audit", seconds["audit"]),
        milliseconds("/proc/net + psutil", seconds["bare"]),
    )
    report.add(Row("one audit of our sockets", ours, beside, Aim("p50", 5), raw))
