"""The values that two lanes are made of, and what is constant about them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from orchestrator.core.commands import (
    CHECKS,
    SERVICE,
    Acknowledge,
    Command,
    Extend,
    Gone,
    Join,
    Leave,
    Reported,
    Request,
    Why,
)
from orchestrator.core.events import Sealed
from orchestrator.core.worker import FirstFrame

Disk = Literal["works", "refuses", "hangs"]
ASKS = (Request, Extend, Acknowledge, Join)
"""What somebody waits for an answer to (`CameraActor.ask`); the rest is told."""
HAPPENED = (Reported, Leave, Gone, Acknowledge)
UNWRITABLE = Why("fault", CHECKS, "log-unwritable", {"fault": "log-unwritable"})
LANDED_LATE = replace(UNWRITABLE, data={"fault": "log-unwritable", "landed_late": True})
RESTARTED = Why("fault", SERVICE, "restarted", {"fault": "restarted"})
NO_LONGER = Why("close", CHECKS)
CAMERA = "cam1"


@dataclass(frozen=True, slots=True)
class Child:
    """A worker that is there: of which session and run, and whether it has shown a frame or been told to
    die."""

    session: str
    run: int
    has_frames: bool = False
    told: bool = False


@dataclass(frozen=True, slots=True)
class Write:
    """An append under way: with the log's thread, not answered yet. `fence` is the generation it needs."""

    command: Command
    sealed: tuple[Sealed, ...]
    fence: int | None


def opens(command: Command) -> bool:
    """Whether picture flows, or flows again, because of it."""
    return isinstance(command, Reported) and isinstance(command.report, FirstFrame)
