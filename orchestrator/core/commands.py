"""What is asked of a camera or reported to it; ids and randomness come in with the command."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from orchestrator.core.events import Actor, Json
from orchestrator.core.moment import Moment
from orchestrator.core.worker import FirstFrame, WorkerExited, WorkerStarted

CLOCK = Actor("clock", "deadline")
CHECKS = Actor("check", "checks")
WORKER = Actor("worker", "ffmpeg")
SERVICE = Actor("service", "volet")


@dataclass(frozen=True, slots=True)
class Request:
    """A maintainer asks for a session. `person` is free text and names: it goes to `details` (S19)."""

    session: str
    member: str
    device: str
    purpose: str
    duration_s: int | None
    wait_s: int
    person: Json
    resume: str | None = None


@dataclass(frozen=True, slots=True)
class Extend:
    """A maintainer asks for `duration_s` more."""

    member: str
    duration_s: int
    person: Json


@dataclass(frozen=True, slots=True)
class Acknowledge:
    """An approver takes the locks away. `lasting` are those whose cause is still there."""

    member: str
    lasting: frozenset[str]
    person: Json


Layer = Literal["timer", "look", "schedule", "sentinel", "worker"]
"""Which of the layers found that a session's time was over (`data.by`): the actor's own timer, any other look
(a fact, each second), the scheduler's wake-up, the sentinel thread, the worker's own end."""


@dataclass(frozen=True, slots=True)
class Look:
    """Time has passed or a fact has changed: look again."""

    by: Layer = "look"


@dataclass(frozen=True, slots=True)
class Why:
    """Why a camera is shut: the trigger and what goes with it."""

    trigger: str
    actor: Actor
    fault: str | None = None
    data: Json = field(default_factory=dict)
    person: Json | None = None


@dataclass(frozen=True, slots=True)
class Cut:
    """A viewer whose connections the gate purged: how long they watched and what they were sent."""

    watch: str
    seconds: int
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Closing:
    """What the closing lane did, for the ordering lane to write down (DESIGN "Two lanes").

    `seen_at` is when the reason was seen, `shut_at_us` (boot clock) when no byte could be written
    to any viewer any more.
    """

    why: Why
    generation: int
    seen_at: Moment
    shut_at_us: int
    viewers_cut: int = 0
    unsent_bytes: int = 0
    cut: tuple[Cut, ...] = ()


@dataclass(frozen=True, slots=True)
class Reported:
    """The worker's own word. `random` in [0, 1) is the jitter of a retry."""

    report: WorkerStarted | FirstFrame | WorkerExited
    random: float = 0.5


@dataclass(frozen=True, slots=True)
class Join:
    """A member wants to watch, under a watch id of their own."""

    watch: str
    member: str
    device: str
    person: Json


@dataclass(frozen=True, slots=True)
class Leave:
    """A viewer has left; `fault` says why one was made to while the others watch on (F3)."""

    watch: str
    seconds: int
    size_bytes: int
    reason: str
    fault: str | None = None


@dataclass(frozen=True, slots=True)
class Gone:
    """Proof of a closing: worker reaped, segments wiped (L2)."""

    shut_us: int
    gone_ms: int
    unsent_bytes_discarded: int
    viewers_cut: int
    worker_exit: str | None
    segments_wiped: bool
    proven: bool


Command = Request | Extend | Acknowledge | Look | Closing | Reported | Join | Leave | Gone
