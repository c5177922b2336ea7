"""What is known of one camera: the fold of its events, from nothing (S12)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from orchestrator.core.backoff import cool_down_us
from orchestrator.core.changed import changed
from orchestrator.core.events import CLOSING, READY, Place, Record
from orchestrator.core.faults import LOCKING
from orchestrator.core.moment import SECOND_US, Moment, parse_rfc3339

OPEN_STATES = frozenset({"streaming", "expiring"})
FAILURES_KEPT = 64


@dataclass(frozen=True, slots=True)
class Session:
    """One person's session, from `request` until nothing is left of it.

    `*_wall_us` is UTC in microseconds, `*_boottime_us` CLOCK_BOOTTIME; `ends_*` are fixed by
    `first_frame` and moved by `extend` and `deadline_shortened` alone. `retry_at_us` is when a failed
    worker may start again; `idle_since_us` since when nobody watches; `lane` is what was last written of
    the lane's rules, `lane_at_us` when.
    """

    id: str
    member: str
    device: str
    purpose: str
    asked_us: int | None
    asked_wall_us: int
    asked_boottime_us: int
    wait_until_us: int
    checked_boottime_us: int | None = None
    opened_wall_us: int | None = None
    opened_boottime_us: int | None = None
    ends_wall_us: int = 0
    ends_boottime_us: int = 0
    limit: str = "asked"
    run: int = 0
    running: bool = False
    frames_since_us: int | None = None
    retry_at_us: int | None = None
    failures: tuple[int, ...] = ()
    viewers: Mapping[str, str] = field(default_factory=dict)
    idle_since_us: int | None = None
    lane: Mapping[str, bool] = field(default_factory=dict)
    lane_at_us: int = 0

    @property
    def opened(self) -> bool:
        """Whether a first frame was ever shown."""
        return self.opened_boottime_us is not None


@dataclass(frozen=True, slots=True)
class CameraState:
    """The state of one camera. `version` is the sequence number of its last transition."""

    camera: str
    place: Place = READY
    session: Session | None = None
    locks: frozenset[str] = frozenset()
    fault: str | None = None
    version: int = 0
    storms: int = 0
    cool_down_until_us: int = 0
    cool_down_boot: str = ""

    @classmethod
    def new(cls, camera: str) -> CameraState:
        """A camera that nothing ever happened to: shut."""
        return cls(camera)

    @property
    def is_open(self) -> bool:
        """`streaming` or `expiring`."""
        return self.place.state in OPEN_STATES

    @property
    def is_shut(self) -> bool:
        """`disabled`, whichever substate."""
        return self.place.state == "disabled"

    def cool_down_left_us(self, now: Moment) -> int:
        """How long requests are still refused after a storm; the boot clock of another boot says nothing."""
        if now.boot != self.cool_down_boot:
            return 0
        return max(0, self.cool_down_until_us - now.boottime_us)


def evolve(state: CameraState, record: Record) -> CameraState:
    """The state after `record`, which must be this camera's."""
    if record.event.type == "observation":
        return _observed(state, record)
    moved = _moved(state, record)
    target = record.event.target or state.place
    return changed(moved, place=target, version=record.seq)


def _moved(state: CameraState, record: Record) -> CameraState:
    event, at, data = record.event, record.sealed.at, record.event.data
    session = state.session
    match event.name:
        case "request":
            return changed(state, session=_asked(record), fault=None)
        case "checks_passed" if session:
            return changed(state, session=changed(session, checked_boottime_us=at.boottime_us))
        case "first_frame" if session:
            opened = changed(
                _with_end(session, data),
                opened_wall_us=at.wall_us,
                opened_boottime_us=at.boottime_us,
                idle_since_us=at.boottime_us,
                frames_since_us=at.boottime_us,
            )
            return changed(state, session=opened)
        case "frames_back" if session:
            return changed(state, session=changed(session, frames_since_us=at.boottime_us))
        case "extend" if session:
            return changed(state, session=_with_end(session, data))
        case "checks_failed":
            return changed(state, session=None, fault=data.get("fault"))
        case "start_failed":
            return changed(state, fault="worker-failed")
        case "close" | "expire":
            calmed = changed(state, storms=0) if session and session.opened else state
            return calmed if event.target == CLOSING else changed(calmed, session=None)
        case "fault":
            return _faulted(state, record)
        case "closed":
            return changed(state, session=None)
        case "acknowledge":
            return changed(state, locks=frozenset(), fault=None)
    return state


def _asked(record: Record) -> Session:
    event, at, data = record.event, record.sealed.at, record.event.data
    duration_s = data.get("duration_s")
    return Session(
        id=event.session or "",
        member=event.actor.id,
        device=str(data.get("device", "")),
        purpose=str(data.get("purpose", "")),
        asked_us=None if duration_s is None else int(duration_s) * SECOND_US,
        asked_wall_us=at.wall_us,
        asked_boottime_us=at.boottime_us,
        wait_until_us=at.boottime_us + int(data.get("wait_s", 0)) * SECOND_US,
    )


def _with_end(session: Session, data: Mapping[str, Any]) -> Session:
    return changed(
        session,
        ends_wall_us=parse_rfc3339(data["ends_at"]),
        ends_boottime_us=int(data["ends_boottime_us"]),
        limit=str(data["limit"]),
    )


def _faulted(state: CameraState, record: Record) -> CameraState:
    code = record.event.data.get("fault")
    locks = state.locks | {code} if code in LOCKING else state.locks
    after = changed(state, fault=code, locks=locks)
    if code == "worker-storm":
        at = record.sealed.at
        until_us = at.boottime_us + cool_down_us(state.storms + 1)
        after = changed(after, storms=state.storms + 1, cool_down_until_us=until_us, cool_down_boot=at.boot)
    if state.is_shut or record.event.target == CLOSING:
        return after
    return changed(after, session=None)


def _observed(state: CameraState, record: Record) -> CameraState:
    session, data, at = state.session, record.event.data, record.sealed.at
    if session is None:
        return state
    match record.event.name:
        case "worker_started":
            started = changed(session, run=int(data["run"]), running=True, retry_at_us=None)
            return changed(state, session=started)
        case "worker_exited":
            return changed(state, session=_exited(session, data, at))
        case "deadline_shortened":
            return changed(state, session=_with_end(session, data))
        case "lane_changed":
            lane = {**session.lane, **data["rules"]}
            return changed(state, session=changed(session, lane=lane, lane_at_us=at.boottime_us))
        case "viewer_joined":
            viewers = {**session.viewers, str(data["watch"]): record.event.actor.id}
            return changed(state, session=changed(session, viewers=viewers, idle_since_us=None))
        case "viewer_left":
            viewers = {watch: member for watch, member in session.viewers.items() if watch != data["watch"]}
            idle_us = session.idle_since_us if viewers or session.idle_since_us else at.boottime_us
            return changed(state, session=changed(session, viewers=viewers, idle_since_us=idle_us))
    return state


def _exited(session: Session, data: Mapping[str, Any], at: Moment) -> Session:
    run = max(session.run, int(data["run"]))
    stopped = changed(session, run=run, running=False, frames_since_us=None)
    if data.get("failure") is None:
        return stopped
    before = () if data.get("was_healthy") else session.failures
    retry_in_ms = data.get("retry_in_ms")
    return changed(
        stopped,
        failures=(*before, at.boottime_us)[-FAILURES_KEPT:],
        retry_at_us=None if retry_in_ms is None else at.boottime_us + int(retry_in_ms) * 1000,
    )
