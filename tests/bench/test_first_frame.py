"""From the wish to the first playable picture: the gateway beside a bare ffmpeg with the same arguments."""

from __future__ import annotations

import os
import re
import shutil
import statistics
import subprocess
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

from orchestrator.demo.lifetime import end_child_with_us
from tests.bench.conftest import MakeGateway
from tests.bench.figures import Aim, Report, Row, milliseconds
from tests.bench.gateway import BenchGateway
from tests.bench.pictures import (
    PIECE_BYTES,
    fetched,
    first_fragment_at,
    first_segment_at,
    read_if_there,
    streamed_fragment_at,
    watched,
)
from tests.e2e.configuration import MAINTAINER
from tests.e2e.follower import name_of
from tests.e2e.incident import at_us
from tests.e2e.parts import segment_root

PAIRS = 7
STEPS = ("request", "checks_passed", "worker_started", "first_frame", "viewer_joined")


@dataclass(frozen=True, slots=True)
class First:
    """Seconds from the wish to the first whole fragment, and to the first HLS segment in hand."""

    mp4_s: float
    hls_s: float


def both(began: float, mp4: Callable[[], float], hls: Callable[[], float]) -> First:
    with ThreadPoolExecutor(2) as pool:
        asked = [pool.submit(mp4), pool.submit(hls)]
        return First(*(each.result() - began for each in asked))


def by_gateway(gateway: BenchGateway) -> tuple[First, str]:
    """Ask, follow the log until the picture flows, join, play both outputs; then close."""
    gateway.wait_ready()
    where = (gateway.address, gateway.port)
    began = time.monotonic()
    session = gateway.open()
    watch = gateway.join()
    folder = watch["hls"].rpartition("/")[0]

    def playlist() -> str | None:
        status, text = fetched(where, MAINTAINER, watch["hls"])
        return text.decode() if status == 200 else None

    first = both(
        began,
        lambda: streamed_fragment_at(where, MAINTAINER, watch["mp4"]),
        lambda: first_segment_at(playlist, lambda name: fetched(where, MAINTAINER, f"{folder}/{name}")[1]),
    )
    assert gateway.transition("close").status == 202
    gateway.wait("closed", session)
    return first, session


def worker_arguments(gateway: BenchGateway) -> list[str]:
    """The arguments that a worker of the gateway really has."""
    session = gateway.open()
    words = Path(f"/proc/{gateway.worker(session).pid}/cmdline").read_bytes().rstrip(b"\0").split(b"\0")
    gateway.transition("close")
    gateway.wait("closed", session)
    return [word.decode() for word in words]


def by_ffmpeg(arguments: Sequence[str], segments: Path, launcher: Sequence[str] = ()) -> First:
    """The same process, started by hand, its pipe and its folder read directly."""
    folder = segment_root()
    progress, their_progress = os.pipe()
    argv = [re.sub(rf"{re.escape(str(segments))}/[^/\]]+", str(folder), word) for word in arguments]
    argv = [f"pipe:{their_progress}" if before == "-progress" else word for before, word in _pairs(argv)]
    began = time.monotonic()
    process = subprocess.Popen(
        [*launcher, *argv],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        pass_fds=(their_progress,),
        preexec_fn=end_child_with_us(),
    )
    try:
        assert process.stdout is not None
        pipe = process.stdout.fileno()
        return both(
            began,
            lambda: first_fragment_at(lambda: os.read(pipe, PIECE_BYTES)),
            lambda: first_segment_at(
                lambda: read_if_there(folder / "index.m3u8"), lambda name: (folder / name).read_bytes()
            ),
        )
    finally:
        process.kill()
        process.communicate()
        for descriptor in (progress, their_progress):
            os.close(descriptor)
        shutil.rmtree(folder)


def _pairs(words: Sequence[str]) -> list[tuple[str, str]]:
    return list(zip(["", *words], words, strict=False))


def steps_ms(gateway: BenchGateway, sessions: Sequence[str]) -> dict[str, float]:
    """What the log says of the way there: medians in milliseconds since `request`."""
    since: dict[str, list[float]] = {step: [] for step in STEPS[1:]}
    for session in sessions:
        instants = {name_of(event): at_us(event) for event in reversed(gateway.events(session))}
        for step, values in since.items():
            values.append((instants[step] - instants["request"]) / 1000)
    return {step: statistics.median(values) for step, values in since.items()}


@pytest.mark.timeout(180)
def test_first_playable_frame(make_gateway: MakeGateway, report: Report) -> None:
    gateway = make_gateway()
    gateway.start()
    ours, bare, polite, sessions = [], [], [], []
    with watched(gateway.camera_port):
        gateway.wait_ready()
        arguments = worker_arguments(gateway)
        for _ in range(PAIRS):
            first, session = by_gateway(gateway)
            ours.append(first)
            sessions.append(session)
            bare.append(by_ffmpeg(arguments, gateway.segments))
            polite.append(by_ffmpeg(arguments, gateway.segments, ("nice", "-n", "19")))
    raw = {"since `request` in the log, medians in ms": steps_ms(gateway, sessions)}
    for name, limit, value in (
        ("MP4 fragment", 1.3, lambda first: first.mp4_s),
        ("HLS segment", 1.15, lambda first: first.hls_s),
    ):
        under_nice = {
            "ffmpeg under nice 19, as ours is, median in ms": statistics.median(map(value, polite)) * 1e3
        }
        report.add(
            Row(
                f"request to first {name}",
                milliseconds("gateway", list(map(value, ours))),
                milliseconds("ffmpeg", list(map(value, bare))),
                Aim("ratio", limit),
                under_nice | raw,
            )
        )
        raw = {}
