"""A thousand times open, watched and shut: what the daemon holds afterwards that it did not hold before."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields
from itertools import count
from pathlib import Path
from typing import Any

import psutil  # type: ignore[import-untyped]
import pytest

from tests.bench.conftest import MakeGateway
from tests.bench.figures import Aim, Report, Row, Samples
from tests.bench.gateway import BenchGateway
from tests.bench.pictures import streamed_fragment_at
from tests.bench.process_figures import descriptors, memory_kib
from tests.e2e.configuration import MAINTAINER
from tests.e2e.parts import segment_root

CAMERAS = ("cam1", "cam2", "cam3", "cam4")
WARM_UP = 100
CYCLES = 1000
STEP = 150
"""A look at the daemon after each so many cycles."""
PATIENT = {'max_age = "3s"': 'max_age = "30s"'}
LIMIT_S = 30.0
LOOK_AGAIN_S = 0.05
LOOKS = 10
COUNTED = ("descriptors", "processes", "segment_files")
POOL_THREADS = 4 + (os.cpu_count() or 1)
"""What asyncio's pool for blocking calls may grow to, a thread at a time when it is first needed."""
SOURCE = 'source = "lavfi:testsrc2=size=64x64:rate=12"'
"""A picture as small as ffmpeg draws it by itself: what is measured is the daemon."""
WINDOW = '[[windows]]\nname = "always"\ncameras = [{}]\ncron = "* * * * *"\nduration = "2m"\n'


@dataclass(frozen=True, slots=True)
class Held:
    """What a daemon holds whose cameras are all shut."""

    cycles: int
    resident_kib: int
    anonymous_kib: int
    descriptors: int
    threads: int
    processes: int
    segment_files: int


def look(gateway: BenchGateway, cycles: int) -> Held:
    """After nothing is left to be done."""
    for camera in CAMERAS:
        gateway.wait_disabled(substate="ready", pending=False, camera=camera)
    gateway.wait_no_workers()
    process = psutil.Process(gateway.daemon.pid)
    memory = memory_kib(process.pid)
    return Held(
        cycles,
        memory["VmRSS"],
        memory["RssAnon"],
        _fewest_descriptors(process.pid),
        process.num_threads(),
        len(process.children(recursive=True)),
        sum(len(files) for _, _, files in os.walk(gateway.segments)),
    )


def _fewest_descriptors(pid: int) -> int:
    """A connection that has just ended, or a file that is being read, is not held."""
    counts = []
    for _ in range(LOOKS):
        time.sleep(LOOK_AGAIN_S)
        counts.append(descriptors(pid))
    return min(counts)


def cycle(gateway: BenchGateway, camera: str) -> bool:
    """Ask, join as soon as it streams, see one fragment of the picture, close. False when something on this
    machine shut it first, as a disk does that does not answer for a while."""
    asked = gateway.transition("request", camera, reason="align the camera", wait_s=20)
    if asked.status in (409, 503):
        time.sleep(LOOK_AGAIN_S)
        return False
    assert asked.status == 202, asked
    path = joined(gateway, camera)
    if path is not None:
        try:
            streamed_fragment_at((gateway.address, gateway.port), MAINTAINER, path)
        except OSError:
            path = None
    assert gateway.transition("close", camera).status in (200, 202)
    gateway.wait_disabled(substate="ready", pending=False, camera=camera)
    return path is not None


def joined(gateway: BenchGateway, camera: str) -> str | None:
    """The path of a watch, as soon as the camera streams; None when it never will."""
    until = time.monotonic() + LIMIT_S
    while True:
        answer = gateway.ask("POST", f"/api/v1/cameras/{camera}/watches", {})
        if answer.status == 201:
            return str(answer.body["mp4"])
        if answer.code == "closed-meanwhile" or gateway.state(camera).startswith("disabled"):
            return None
        assert answer.code in ("shut", "no-frame-yet"), answer
        assert time.monotonic() < until, answer
        time.sleep(LOOK_AGAIN_S)


def run(gateway: BenchGateway, cycles: int) -> int:
    """So many whole ones, all cameras at once; how many were not."""
    left, lost = count(cycles, -1), count()

    def keep(camera: str) -> None:
        while next(left) > 0:
            while not cycle(gateway, camera):
                next(lost)

    with ThreadPoolExecutor(len(CAMERAS)) as pool:
        for done in [pool.submit(keep, camera) for camera in CAMERAS]:
            done.result()
    return next(lost)


@pytest.fixture
def memory() -> Iterator[Path]:
    """A folder where the log costs no disk: ten thousand commits would measure that."""
    folder = segment_root()
    yield folder
    shutil.rmtree(folder)


@pytest.mark.timeout(1200)
def test_a_thousand_cycles(memory: Path, make_gateway: MakeGateway, report: Report) -> None:
    named = ", ".join(f'"{camera}"' for camera in CAMERAS)
    database = str(memory / "events.db")
    gateway = make_gateway(new_per_minute="1000", windows=WINDOW.format(named), database=database)
    gateway.cameras = CAMERAS
    port = gateway.camera_port
    sources = {f'source = "http://127.0.0.1:{port}/mjpeg/{camera}"': SOURCE for camera in CAMERAS}
    gateway.replaced = {**sources, **PATIENT, "[worker]\n": "[worker]\nstarts_per_second = 100\n"}
    gateway.start()
    assert gateway.follower is not None
    gateway.follower.stop()
    for camera in CAMERAS:
        gateway.wait_ready(camera)
    lost = run(gateway, WARM_UP)
    seen, began = [look(gateway, WARM_UP)], time.monotonic()
    while seen[-1].cycles < CYCLES:
        lost += run(gateway, min(STEP, CYCLES - seen[-1].cycles))
        seen.append(look(gateway, min(CYCLES, seen[-1].cycles + STEP)))
    taken_s = time.monotonic() - began
    add_rows(report, seen, taken_s, lost)


def add_rows(report: Report, seen: list[Held], taken_s: float, lost: int) -> None:
    first, last = seen[0], seen[-1]
    looks = {field.name: ", ".join(str(getattr(held, field.name)) for held in seen) for field in fields(Held)}
    rate = Samples("volet", "cycles/s", ((last.cycles - first.cycles) / taken_s,))
    raw: dict[str, Any] = {"seconds after the first hundred": taken_s, "cameras at once": len(CAMERAS)}
    raw["begun again, because something else shut them"] = lost
    report.add(Row("open, watch, close", rate, None, None, raw))
    report.add(
        Row(
            f"resident memory after {last.cycles:,} cycles",
            Samples("volet", "MB", (last.resident_kib * 1024 / 1e6,)),
            Samples(f"after {first.cycles}", "MB", (first.resident_kib * 1024 / 1e6,)),
            Aim("ratio", 1.05),
            {"KiB a cycle in the second half": _slope(seen), **looks},
        )
    )
    gained = [getattr(last, name) - getattr(first, name) for name in COUNTED]
    report.add(
        Row(
            f"{', '.join(COUNTED).replace('_', ' ')} gained",
            Samples("volet", "of all", (float(sum(max(0, each) for each in gained)),)),
            None,
            Aim("p50", 0),
        )
    )
    threads = Samples("volet", "threads", (float(last.threads - first.threads),))
    report.add(Row("threads gained", threads, None, Aim("p50", POOL_THREADS)))


def _slope(seen: list[Held]) -> float:
    """What resident memory grew by with each cycle of the second half."""
    middle, last = seen[len(seen) // 2], seen[-1]
    return (last.resident_kib - middle.resident_kib) / (last.cycles - middle.cycles)
