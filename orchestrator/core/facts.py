"""What was seen of the world, by whom and when. Nothing here is "true": it was seen true (S5)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from orchestrator.core.events import Json
from orchestrator.core.lane import LaneMemory
from orchestrator.core.moment import Moment
from orchestrator.core.policy import Member
from orchestrator.core.window import Span


@dataclass(frozen=True, slots=True)
class Proof:
    """One thing that a source looked at and found good or not.

    `fault` is the code it would be when `good` is False; `since_us` the boot-clock instant from
    which it has been good without a break (None: it is not); older than `max_age_us` it proves
    nothing. `evidence` holds integers, booleans and strings of the configuration alone.
    """

    good: bool
    fault: str
    detail: str
    source: str
    seen_at_us: int
    since_us: int | None = None
    max_age_us: int | None = None
    evidence: Json = field(default_factory=dict)
    stale_fault: str = ""

    def is_stale(self, now_us: int) -> bool:
        """Whether it was seen too long ago, or in the future, to prove anything (S5)."""
        age_us = now_us - self.seen_at_us
        return age_us < 0 or (self.max_age_us is not None and age_us > self.max_age_us)

    def fault_at(self, now_us: int) -> str | None:
        """The code of what is wrong at `now_us`; None when it is proven."""
        if self.is_stale(now_us):
            return self.stale_fault or self.fault
        return None if self.good else self.fault


def unseen(fault: str, source: str, what: str) -> Proof:
    """Nobody has looked yet, so it is not proven; `fault` must be one that does not lock."""
    return Proof(False, fault, f"{what} has not been looked at yet", source, 0, stale_fault=fault)


@dataclass(frozen=True, slots=True)
class HostSight:
    """The last look at load, memory and temperature; `overloaded_since_us` None: within limits.

    `*_waited_milli`: thousandths of the last ten seconds lost by waiting; None where the kernel does not say.
    """

    seen_at_us: int
    load_per_cpu_milli: int
    memory_available_bytes: int
    temperature_milli: int | None
    overloaded_since_us: int | None
    cpu_waited_milli: int | None = None
    memory_waited_milli: int | None = None
    io_waited_milli: int | None = None


@dataclass(frozen=True, slots=True)
class Facts:
    """Everything a decision about one camera may rest on, at one moment.

    `window` is the window that is open for everybody but the members in `window_of`, who have their own
    (CONTRACT 3 `two_people`). `window_waits`: a window of this camera was cancelled or shortened, and the log
    has not taken it yet, so nothing opens (S13). `window_over_us`: a window would be open, but it was over
    already at that time, before the wall clock was set back (S17).
    """

    now: Moment
    window: Span | None
    members: Mapping[str, Member]
    interface: Proof
    listener: Proof
    side_door: Proof
    config: Proof
    bus: Proof
    bus_trusted: Proof
    lane: LaneMemory
    host: HostSight | None
    memory: Proof
    log: Proof
    last_event_wall_us: int = 0
    window_of: Mapping[str, Span | None] = field(default_factory=dict)
    window_waits: bool = False
    window_over_us: int | None = None

    def window_for(self, member: str | None) -> Span | None:
        """The window that is open for this person."""
        return self.window_of.get(member or "", self.window)
