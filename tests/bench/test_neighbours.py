"""What an open camera costs its neighbours: a loop on each core, and an MQTT ping-pong (K2).

The stream is off and on in turns. What the site pays in any case is paid in every phase: the camera's picture
is made and sent to two readers, one of which is the gateway's worker while the stream is on; and a viewer
reads: the gateway's picture while the stream is on, the camera's own otherwise. The daemon runs throughout.
So the difference is the worker, and what the daemon does with its picture.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.bench.conftest import MakeGateway
from tests.bench.figures import Aim, Report, Row, Samples, milliseconds
from tests.bench.gateway import BenchGateway
from tests.bench.loops import Loops, loops_in
from tests.bench.pictures import watched
from tests.bench.process_figures import cpu_ns
from tests.e2e.processes import Process, python

ROUNDS = 6
"""Each is one phase without the stream and one with it."""
BALLS = 300
SETTLED_S = 1.0
PONG_LIMIT_S = 60.0


@dataclass(slots=True)
class Side:
    """What was seen in all phases of one kind; a rate is of one phase."""

    loops_per_s: list[float] = field(default_factory=list)
    away_s: list[float] = field(default_factory=list)
    daemon_share: list[float] = field(default_factory=list)
    worker_share: list[float] = field(default_factory=list)


class PingPong:
    """The two players on a broker, as processes."""

    def __init__(self, port: int, folder: Path) -> None:
        self._pong = Process("pong", python("-m", "tests.bench.pingpong", "pong", str(port)), folder)
        self._ping = Process("ping", python("-m", "tests.bench.pingpong", "ping", str(port)), folder)

    def wait_ready(self) -> None:
        """Until both are connected."""
        self._pong.wait_json("ready")
        self._ping.wait_json("ready")

    def play(self) -> list[float]:
        """How long each ball was away, in seconds."""
        after = len(self._ping.lines)
        self._ping.say(str(BALLS))
        self._ping.wait_line(lambda line: "away_us" in line, after=after, timeout_s=PONG_LIMIT_S)
        return [value / 1e6 for value in self._ping.wait_json("away_us", after=after)]

    def stop(self) -> None:
        """End both, by their ids."""
        self._ping.stop()
        self._pong.stop()


@contextmanager
def ping_pong_on(port: int, folder: Path) -> Iterator[PingPong]:
    """Players who are ready, and have ended afterwards."""
    folder.mkdir()
    players = PingPong(port, folder)
    try:
        players.wait_ready()
        yield players
    finally:
        players.stop()


def measure(side: Side, gateway: BenchGateway, worker: int | None, loops: Loops, players: PingPong) -> None:
    """One phase, once it has settled."""
    time.sleep(SETTLED_S)
    began, before = time.monotonic(), sum(loops.rounds())
    daemon_ns = cpu_ns(gateway.daemon.pid)
    worker_ns = cpu_ns(worker) if worker else 0
    side.away_s += players.play()
    taken_s = time.monotonic() - began
    side.loops_per_s.append((sum(loops.rounds()) - before) / taken_s)
    side.daemon_share.append((cpu_ns(gateway.daemon.pid) - daemon_ns) / 1e7 / taken_s)
    if worker:
        side.worker_share.append((cpu_ns(worker) - worker_ns) / 1e7 / taken_s)


def phases(gateway: BenchGateway, loops: Loops, players: PingPong) -> tuple[Side, Side]:
    """Off and on in turns. Opening is no part of a phase."""
    off, on = Side(), Side()
    with watched(gateway.camera_port):
        for _ in range(ROUNDS):
            with watched(gateway.camera_port):
                measure(off, gateway, None, loops, players)
            loops.hold()
            session, viewer = gateway.begin()
            loops.go_on()
            measure(on, gateway, gateway.worker(session).pid, loops, players)
            assert not viewer.ending
            viewer.close()
            gateway.shut(session)
    return off, on


def add_rows(report: Report, off: Side, on: Side) -> None:
    pairs = [with_it / without for with_it, without in zip(on.loops_per_s, off.loops_per_s, strict=True)]
    report.add(
        Row(
            "a loop on each core, stream on",
            Samples("loops", "rounds/s", tuple(on.loops_per_s)),
            Samples("stream off", "rounds/s", tuple(off.loops_per_s)),
            Aim("ratio", 0.98, at_least=True),
            {
                "ratio of each pair of phases": ", ".join(f"{pair:.3f}" for pair in pairs),
                "% of a core, median": {
                    "daemon off": Samples("", "", tuple(off.daemon_share)).p50,
                    "| on": Samples("", "", tuple(on.daemon_share)).p50,
                    "| worker": Samples("", "", tuple(on.worker_share)).p50,
                },
            },
        )
    )
    report.add(
        Row(
            "MQTT ping-pong, stream on",
            milliseconds("players", on.away_s),
            milliseconds("stream off", off.away_s),
            Aim("p99 ratio", 1.2),
        )
    )


@pytest.mark.timeout(400)
def test_the_neighbours(make_gateway: MakeGateway, tmp_path: Path, report: Report) -> None:
    gateway = make_gateway(new_per_minute="600", max_session="10m")
    gateway.replaced = {'stall = "1s"': 'stall = "30s"'}
    gateway.start()
    with (
        ping_pong_on(gateway.lane_port, tmp_path / "ping-pong") as players,
        loops_in(tmp_path / "loops") as loops,
    ):
        off, on = phases(gateway, loops, players)
    add_rows(report, off, on)
