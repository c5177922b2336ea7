"""Segments served a second, by the gateway and by nginx: each on one core, asked from the other one."""

from __future__ import annotations

import os
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.bench.conftest import MakeGateway
from tests.bench.figures import Aim, Report, Row, Samples
from tests.bench.gateway import BenchGateway
from tests.bench.pictures import fetched, segments_of
from tests.bench.process_figures import cpu_ns
from tests.bench.web import nginx, pin, served_per_s
from tests.e2e.configuration import MAINTAINER_PLAYER
from tests.e2e.parts import segment_root

ROUNDS = 6
BURST_S = 2
"""Shorter than a segment is live."""
FILM_S = 4.0
"""After this long the segments are of their usual size."""
KEPT, ANEW = "connections kept", "a connection each"


class Served:
    """Rates of each side and way, and which share of their core they had meanwhile."""

    def __init__(self) -> None:
        self.per_s: dict[tuple[str, str], list[float]] = defaultdict(list)
        self.share: dict[tuple[str, str], list[float]] = defaultdict(list)

    def burst(self, side: str, pid: int, url: str, cpu: int) -> None:
        """Ask one side in both ways."""
        for way in (KEPT, ANEW):
            began, before_ns = time.monotonic(), cpu_ns(pid)
            self.per_s[side, way].append(served_per_s(url, BURST_S, cpu, keep=way == KEPT))
            self.share[side, way].append((cpu_ns(pid) - before_ns) / 1e7 / (time.monotonic() - began))

    def row(self, way: str, aim: Aim | None, raw: Mapping[str, Any]) -> Row:
        """One line of the table."""
        ours, theirs = (Samples(side, "/s", tuple(self.per_s[side, way])) for side in ("volet", "nginx"))
        shares = {
            side: f"{Samples('', '', tuple(self.share[side, way])).p50:.0f}" for side in ("volet", "nginx")
        }
        return Row(f"segments served, {way}", ours, theirs, aim, {"% of its core, median": shares, **raw})


def newest_segment(gateway: BenchGateway, playlist: str) -> tuple[str, bytes]:
    """The path of the newest live segment, and its content."""
    where = (gateway.address, gateway.port)
    name = segments_of(fetched(where, MAINTAINER_PLAYER, playlist)[1].decode())[-1]
    path = f"{playlist.rpartition('/')[0]}/{name}"
    status, content = fetched(where, MAINTAINER_PLAYER, path)
    assert status == 200, content
    return path, content


def in_turns(
    gateway: BenchGateway, playlist: str, folder: Path, cpus: Sequence[int]
) -> tuple[Served, list[int]]:
    """The newest segment from the gateway, then the same bytes from nginx; and the segments' sizes."""
    served, sizes = Served(), []
    root = segment_root()
    try:
        with nginx(folder, root) as (process, url):
            pin(process.pid, cpus[0])
            for _ in range(ROUNDS):
                path, content = newest_segment(gateway, playlist)
                sizes.append(len(content))
                copy = root / "segment.ts"
                copy.write_bytes(content)
                ours = f"http://{gateway.address}:{gateway.port}{path}"
                served.burst("volet", gateway.daemon.pid, ours, cpus[-1])
                served.burst("nginx", process.pid, f"{url}/{copy.name}", cpus[-1])
                copy.unlink()
    finally:
        root.rmdir()
    return served, sizes


@pytest.mark.timeout(300)
def test_segments_served(make_gateway: MakeGateway, tmp_path: Path, report: Report) -> None:
    gateway = make_gateway(max_session="10m")
    gateway.start()
    cpus = sorted(os.sched_getaffinity(0))
    gateway.wait_ready()
    session = gateway.open(source=MAINTAINER_PLAYER)
    playlist = gateway.join(source=MAINTAINER_PLAYER)["hls"]
    time.sleep(FILM_S)
    pin(gateway.daemon.pid, cpus[0])
    for process in (gateway.worker(session).pid, gateway.camera.pid, gateway.broker.pid):
        pin(process, cpus[-1])
    served, sizes = in_turns(gateway, playlist, tmp_path / "nginx", cpus)
    gateway.shut(session)
    size = {"bytes of a segment, median": sorted(sizes)[len(sizes) // 2]}
    report.add(served.row(KEPT, Aim("ratio", 0.35, at_least=True), size))
    report.add(served.row(ANEW, None, {}))
