"""From the word that shuts a camera to its gate and the last byte at the viewer, by fault, idle and busy."""

from __future__ import annotations

import signal
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.bench.bus import neighbour_at
from tests.bench.closings import (
    LIMIT_S,
    Closing,
    TimedViewer,
    Word,
    add_row,
    closing_of,
    wait_logged,
)
from tests.bench.conftest import MakeGateway
from tests.bench.figures import Report, Row, milliseconds
from tests.bench.gateway import SOON, BenchGateway
from tests.bench.loops import Loops, loops_in
from tests.bench.shut_faults import FAULTS, Fault, Stage, kill, put_link_down
from tests.e2e.incident import at_us
from tests.e2e.parts import segment_root
from tests.e2e.test_wire import BOUNDARY
from tests.e2e.tunnel_gateway import LAPTOP, TunnelGateway
from tests.edges.vpn.lab import lab

CLOSINGS = 10
"""Of each fault, idle and busy alike."""
KILLED, STALLED = 10, 4
FRAME_S = 1 / 12
PATIENT = {'stall = "1s"': 'stall = "10s"'}
"""On a busy machine a worker has little to say, and is not to be replaced for that."""
MANY_FAILURES = {"[worker]\n": '[worker]\nmax_failures = 100\nfailure_window = "1s"\n'}
LIMITS_MS = {"idle": 10.0, "both cores busy": 50.0}
MEANWHILE = tuple(LIMITS_MS)

ByCase = defaultdict[tuple[str, str], list[Closing]]


@pytest.fixture
def loops(tmp_path: Path) -> Iterator[Loops]:
    """What makes every core busy, held until a word is given."""
    with loops_in(tmp_path / "loops") as running:
        running.hold()
        yield running


@contextmanager
def busy(loops: Loops, meanwhile: str) -> Iterator[None]:
    """Every core has something else to do, if that is what `meanwhile` says."""
    if meanwhile != "idle":
        loops.go_on()
    try:
        yield
    finally:
        loops.hold()


def in_no_step(turn: int) -> None:
    """Frames come in step with the camera: the word must not."""
    time.sleep(FRAME_S * turn / CLOSINGS)


def shut_once(stage: Stage, fault: Fault, loops: Loops, meanwhile: str, turn: int) -> Closing:
    gateway = stage.gateway
    session, viewer = gateway.begin(**fault.wish)
    try:
        with busy(loops, meanwhile):
            in_no_step(turn)
            word = fault.word(stage, session)
            viewer.wait_end()
        fault.mend(stage)
        return closing_of(word, gateway.database, session, viewer)
    finally:
        viewer.close()


def add_rows(report: Report, closings: ByCase, carriers: dict[str, str]) -> None:
    for (name, meanwhile), those in closings.items():
        add_row(report, f"shut by {name}, {meanwhile}", carriers.get(name, ""), those, LIMITS_MS[meanwhile])


@pytest.mark.timeout(900)
def test_shutting(make_gateway: MakeGateway, loops: Loops, report: Report) -> None:
    gateway = make_gateway(new_per_minute="600")
    gateway.replaced = PATIENT
    gateway.start()
    closings: ByCase = defaultdict(list)
    with neighbour_at(gateway.lane_port) as neighbour:
        stage = Stage(gateway, neighbour)
        for turn in range(CLOSINGS):
            for fault in FAULTS:
                for meanwhile in MEANWHILE:
                    closings[fault.name, meanwhile].append(shut_once(stage, fault, loops, meanwhile, turn))
    add_rows(report, closings, {fault.name: fault.carrier for fault in FAULTS})
    for meanwhile in MEANWHILE:
        every = [one for fault in FAULTS for one in closings[fault.name, meanwhile]]
        add_row(report, f"shut by any of these, {meanwhile}", "", every, LIMITS_MS[meanwhile])


def shut_by_link(gateway: TunnelGateway, loops: Loops, meanwhile: str, turn: int) -> Closing:
    session = gateway.open_from("laptop")
    path = gateway.as_peer("laptop", lambda: gateway.join(source=LAPTOP))["mp4"]
    where = (gateway.address, gateway.port)
    viewer = gateway.as_peer("laptop", lambda: TimedViewer(where, LAPTOP, path))
    try:
        viewer.wait_flow()
        with busy(loops, meanwhile):
            in_no_step(turn)
            said_us = gateway.lab.gateway.place.inside(lambda: put_link_down(gateway.lab.interface))
            wait_logged(gateway.database, session, "closed")
        # No reset comes through a tunnel that is gone.
        return closing_of(Word(said_us), gateway.database, session, viewer)
    finally:
        viewer.close()
        BOUNDARY["link down"][2](gateway)


@pytest.mark.timeout(300)
def test_shutting_when_the_tunnel_goes_down(tmp_path: Path, loops: Loops, report: Report) -> None:
    folder = tmp_path / "tunnel"
    folder.mkdir(mode=0o700)
    closings: ByCase = defaultdict(list)
    with lab(("laptop", "tablet")) as found:
        gateway = TunnelGateway(folder, segment_root(), found, new_per_minute="600", **SOON)
        try:
            gateway.start()
            for turn in range(CLOSINGS):
                for meanwhile in MEANWHILE:
                    closings["the tunnel's link down", meanwhile].append(
                        shut_by_link(gateway, loops, meanwhile, turn)
                    )
        finally:
            gateway.stop()
    add_rows(report, closings, {})


def end_of_worker(gateway: BenchGateway, number: int) -> tuple[float, float]:
    """Seconds from that signal to its worker until it is known to be gone, and until the response that
    showed its picture has ended. The session goes on with another worker, and is closed."""
    session, viewer = gateway.begin()
    said_us = kill(gateway.worker(session).pid, number)
    viewer.wait_end(LIMIT_S)
    exited_us = at_us(wait_logged(gateway.database, session, "worker_exited"))
    gateway.shut(session)
    viewer.close()
    return (exited_us - said_us) / 1e6, (viewer.ended_us - said_us) / 1e6


@pytest.mark.timeout(300)
def test_the_end_of_a_worker(make_gateway: MakeGateway, report: Report) -> None:
    """One that is killed, and one that stands still: the gate stays open, for another worker's picture."""
    gateway = make_gateway(new_per_minute="600")
    gateway.replaced = MANY_FAILURES
    gateway.start()
    for what, number, times in (
        ("a killed worker is known to be gone", signal.SIGKILL, KILLED),
        ("a worker that stands still is known to be gone (`stall` 1 s)", signal.SIGSTOP, STALLED),
    ):
        ends = [end_of_worker(gateway, number) for _ in range(times)]
        raw = {
            "the response with its picture has ended, ms": milliseconds("", [end for _, end in ends]).shown
        }
        report.add(Row(what, milliseconds("volet", [known for known, _ in ends]), None, None, raw))
