"""What a worker is asked to do, and what it reports: plain values between the core and the worker's edge."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class FailureClass(StrEnum):
    """Why a worker ended that nobody had told to (CONTRACT 10)."""

    REFUSED = "refused"
    UNREACHABLE = "unreachable"
    NOT_FOUND = "not-found"
    UNAUTHORISED = "unauthorised"
    NOT_A_PICTURE = "not-a-picture"
    STALLED = "stalled"
    ENDED = "ended"
    KILLED = "killed"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Mask:
    """A part of the picture that is blurred: fractions (0–1) of its width and height, from the top left."""

    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True, slots=True)
class WorkerSpec:
    """One worker: whose picture, from where, in what shape, and when it must be gone by itself.

    `run` counts the starts within a session. `source_secret` is `user:password`. `size` is `"source"` or
    e.g. `"640x360"`, `bitrate` e.g. `"600k"` (bit/s). `watermark` is the text burnt in besides the UTC time
    (None: neither). `outputs` are `"hls"`, `"mp4"`. `longest_end_s` counts from the start to the latest end
    this worker could have (S6). Without a first frame for `first_frame_s`, or a new one for `stall_s`
    after that, it has stalled.
    """

    camera: str
    session: str
    run: int
    source: str
    size: str
    fps: int
    bitrate: str
    masks: tuple[Mask, ...]
    watermark: str | None
    outputs: tuple[str, ...]
    longest_end_s: float
    nice: int = 19
    stall_s: float = 3.0
    first_frame_s: float = 8.0
    source_secret: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class WorkerStarted:
    """A process runs. `confinement` says what holds it: each measure by name, true where it is in force."""

    run: int
    pid: int
    confinement: Mapping[str, bool | int | str]


@dataclass(frozen=True, slots=True)
class FirstFrame:
    """The first frame of this run is encoded."""

    run: int


@dataclass(frozen=True, slots=True)
class WorkerExited:
    """The process is reaped, whatever ended it.

    `failure` is None when it had been told to end (`asked`). Of `exit_code` and `signal` one is set.
    `last_line` is the line of its diagnostics that says most, at most 200 characters, without control
    characters, addresses and credentials. `frames` is how many it had encoded.
    """

    run: int
    failure: FailureClass | None
    exit_code: int | None
    signal: int | None
    last_line: str
    frames: int
    asked: bool


Report = WorkerStarted | FirstFrame | WorkerExited
