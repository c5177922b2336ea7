"""A worker under test, with all it hands over written down, and pictures decoded to look at."""

from __future__ import annotations

import asyncio
import os
import re
import select
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from orchestrator.core.worker import FirstFrame, Report, WorkerExited, WorkerSpec, WorkerStarted
from orchestrator.edges.worker.process import Worker

SPEC = WorkerSpec(
    camera="cam1",
    session="s1",
    run=1,
    source="lavfi:testsrc2=size=320x180:rate=15",
    size="source",
    fps=12,
    bitrate="600k",
    masks=(),
    watermark=None,
    outputs=("hls", "mp4"),
    longest_end_s=60.0,
    stall_s=20.0,
    first_frame_s=20.0,
)
"""So patient that no standstill of a busy machine is a stall: a test about stalls says when it is one."""


def spec(**changes: Any) -> WorkerSpec:
    return replace(SPEC, **changes)


@dataclass
class Run:
    """What one worker reported and handed over, in order."""

    worker: Worker
    reports: list[Report] = field(default_factory=list)
    headers: list[tuple[bytes, str]] = field(default_factory=list)
    fragments: list[tuple[bytes, bool]] = field(default_factory=list)
    segments: list[tuple[int, bytes, int]] = field(default_factory=list)
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    async def until(self, condition: Callable[[Run], bool], within_s: float = 20.0) -> None:
        """Waits until `condition` holds; an exit before that fails at once, with what was said."""
        async with asyncio.timeout(within_s):
            while not condition(self):
                assert not self.exits, f"the worker ended first: {self.exits}"
                self.changed.clear()
                await self.changed.wait()

    @property
    def exits(self) -> list[WorkerExited]:
        return [report for report in self.reports if isinstance(report, WorkerExited)]

    @property
    def started(self) -> WorkerStarted:
        return next(report for report in self.reports if isinstance(report, WorkerStarted))

    @property
    def has_frame(self) -> bool:
        return any(isinstance(report, FirstFrame) for report in self.reports)

    def mp4(self) -> bytes:
        """The header and all fragments from the newest key frame but two on."""
        keys = [number for number, (_, key) in enumerate(self.fragments) if key]
        return self.headers[0][0] + b"".join(data for data, _ in self.fragments[keys[-min(3, len(keys))] :])


def make_run(spec: WorkerSpec, ffmpeg: str, folder: Path) -> Run:
    """A worker that is not started yet."""

    def on_report(report: Report) -> None:
        run.reports.append(report)
        run.changed.set()

    def on_header(data: bytes, codecs: str) -> None:
        run.headers.append((data, codecs))
        run.changed.set()

    def on_fragment(data: bytes, key: bool) -> None:
        run.fragments.append((data, key))
        run.changed.set()

    def on_segment(number: int, data: bytes, duration_ms: int) -> None:
        run.segments.append((number, data, duration_ms))
        run.changed.set()

    run = Run(
        Worker(
            spec,
            ffmpeg=ffmpeg,
            folder=folder,
            on_report=on_report,
            on_header=on_header,
            on_fragment=on_fragment,
            on_segment=on_segment,
        )
    )
    return run


@dataclass(frozen=True)
class Picture:
    """Decoded frames, grey, one byte a pixel."""

    width: int
    height: int
    frames: tuple[bytes, ...]
    has_sound: bool

    def region(self, frame: int, x: float, y: float, width: float, height: float) -> list[int]:
        """The pixels of a rectangle given in fractions of the picture."""
        columns = slice(int(x * self.width), int((x + width) * self.width))
        rows = range(int(y * self.height), int((y + height) * self.height))
        return [p for row in rows for p in self.frames[frame][row * self.width :][columns]]


def decode(ffmpeg: str, data: bytes) -> Picture:
    """All frames of a stream; fails when it does not decode without a complaint."""
    said = subprocess.run([ffmpeg, "-hide_banner", "-i", "pipe:0"], input=data, capture_output=True)
    size = re.search(rb"Video: h264.* (\d+)x(\d+)", said.stderr)
    assert size, said.stderr
    width, height = int(size[1]), int(size[2])
    command = "-v error -i pipe:0 -fps_mode passthrough -pix_fmt gray -f rawvideo pipe:1"
    raw = subprocess.run([ffmpeg, *command.split()], input=data, capture_output=True, check=True)
    assert not raw.stderr, raw.stderr
    step = width * height
    frames = tuple(raw.stdout[i : i + step] for i in range(0, len(raw.stdout), step))
    return Picture(width, height, frames, b"Audio:" in said.stderr)


SCRIPT = """#!{python} -IS
import json, os, signal, socket, sys, threading, time
channel = int(sys.argv[sys.argv.index("-progress") + 1].removeprefix("pipe:"))
def frame(number):
    os.write(channel, b"frame=%d\\n" % number)
{body}
"""


def scripted(folder: Path, body: str) -> str:
    """A program in ffmpeg's place that does what a test needs of it."""
    path = folder / "ffmpeg"
    path.write_text(SCRIPT.format(python=sys.executable, body=body))
    path.chmod(0o755)
    return str(path)


def ends_within(pidfd: int, seconds: float) -> bool:
    """Whether the process of a pidfd ends before the time is over."""
    return bool(select.select([pidfd], [], [], seconds)[0])


def exit_signal(pid: int) -> int:
    """The signal that ended a process which its parent has not reaped yet."""
    return int(Path(f"/proc/{pid}/stat").read_text().rsplit(None, 1)[1]) & 0x7F


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] not in "ZX"
    except OSError:
        return False


def children_of(group: int) -> list[int]:
    """The living processes of one process group."""
    found = [int(name) for name in os.listdir("/proc") if name.isdigit()]
    return [pid for pid in found if is_alive(pid) and _group(pid) == group]


def _group(pid: int) -> int:
    try:
        return os.getpgid(pid)
    except OSError:
        return -1
