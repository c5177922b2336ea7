"""When a session ends: the earliest of what was asked, what is allowed and the window (S6)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from orchestrator.core.camera_state import Session
from orchestrator.core.checks import CLOCK_STEP_US
from orchestrator.core.commands import CHECKS, CLOCK, Why
from orchestrator.core.facts import Facts
from orchestrator.core.moment import SECOND_US, Moment, rfc3339
from orchestrator.core.policy import CameraPolicy, Policy
from orchestrator.core.refusal import Refusal

OVERRUN_US = SECOND_US
START_GRACE_US = SECOND_US
"""How long after the worker's own `first_frame` the core gives up in its place (L1)."""


@dataclass(frozen=True, slots=True)
class End:
    """One end on both clocks and what sets it: `asked`, `max_session` or `window`."""

    wall_us: int
    boottime_us: int
    limit: str

    def chained(self) -> dict[str, Any]:
        """The form that `first_frame` and `extend` carry (CONTRACT 4)."""
        return {
            "ends_at": rfc3339(self.wall_us),
            "ends_boottime_us": self.boottime_us,
            "limit": self.limit,
        }


def longest_us(policy: Policy, camera: CameraPolicy, purpose: str) -> int:
    """The longest a session of this purpose may show this camera."""
    chosen = policy.purpose(purpose)
    limit = chosen.max_session_us if chosen else None
    return camera.max_session_us if limit is None else min(limit, camera.max_session_us)


def first_end(policy: Policy, camera: str, session: Session, facts: Facts) -> End | None:
    """The end of a session whose first frame comes now, or None when no window is open."""
    now, span = facts.now, facts.window_for(session.member)
    if span is None:
        return None
    longest = longest_us(policy, policy.cameras[camera], session.purpose)
    if session.asked_us is not None and session.asked_us <= longest:
        lasts_us, limit = session.asked_us, "asked"
    else:
        lasts_us, limit = longest, "max_session"
    if now.wall_us + lasts_us > span.end_us:
        lasts_us, limit = span.end_us - now.wall_us, "window"
    return End(now.wall_us + lasts_us, now.boottime_us + lasts_us, limit)


def extended(policy: Policy, camera: str, session: Session, more_us: int, facts: Facts) -> End | Refusal:
    """The end `more_us` later; never partly granted (CONTRACT 4 `extend`)."""
    opened_wall_us = session.opened_wall_us or 0
    latest_us = opened_wall_us + longest_us(policy, policy.cameras[camera], session.purpose)
    limit = "max_session"
    span = facts.window_for(session.member)
    window_end_us = span.end_us if span else session.ends_wall_us
    if window_end_us < latest_us:
        latest_us, limit = window_end_us, "window"
    wanted_us = session.ends_wall_us + more_us
    if wanted_us > latest_us:
        latest = rfc3339(latest_us)
        detail = f"the latest possible end is {latest} ({limit}); ask for less"
        return Refusal(
            "not-permitted", detail, members={"latest_end": latest, "limit": limit, "permitted": ["close"]}
        )
    return End(wanted_us, session.ends_boottime_us + more_us, "asked" if wanted_us < latest_us else limit)


def shortened(session: Session, facts: Facts) -> End | None:
    """The earlier end of an open session whose window now ends before it does; None when it does not.

    A window that is gone altogether is no earlier end but a reason to shut.
    """
    now, span = facts.now, facts.window_for(session.member)
    if span is None or span.end_us >= session.ends_wall_us:
        return None
    left_us = span.end_us - now.wall_us
    return End(span.end_us, min(session.ends_boottime_us, now.boottime_us + left_us), "window")


def notice_at_us(camera: CameraPolicy, session: Session) -> int:
    """When viewers are told (boot clock): `expiry_notice` before the end, at most a quarter of the
    time from the first frame to the present end."""
    opened_us = session.opened_boottime_us or 0
    quarter_us = (session.ends_boottime_us - opened_us) // 4
    return session.ends_boottime_us - min(camera.expiry_notice_us, quarter_us)


def left_us(session: Session, now: Moment) -> int:
    """How long until the end, by whichever clock gets there first."""
    return min(session.ends_boottime_us - now.boottime_us, session.ends_wall_us - now.wall_us)


def overdue(policy: Policy, session: Session, now: Moment) -> Why | None:
    """Why an open session must end now by time alone, if it must."""
    step_us = (now.wall_us - session.asked_wall_us) - (now.boottime_us - session.asked_boottime_us)
    if abs(step_us) > CLOCK_STEP_US:
        return Why("fault", CHECKS, "clock-jumped", {"fault": "clock-jumped", "step_ms": step_us // 1000})
    left = left_us(session, now)
    if left <= -OVERRUN_US:
        late_ms = -left // 1000
        return Why("fault", CLOCK, "deadline-overrun", {"fault": "deadline-overrun", "late_ms": late_ms})
    if left <= 0:
        return Why("expire", CLOCK, None, {"limit": session.limit})
    return None


def starts_until_us(policy: Policy, session: Session) -> int | None:
    """Until when (boot clock) a first frame is waited for, once the checks have passed (L1)."""
    if session.checked_boottime_us is None:
        return None
    return session.checked_boottime_us + policy.worker.first_frame_us + START_GRACE_US


def never_started(policy: Policy, session: Session, now: Moment) -> Why | None:
    """Neither a first frame nor the worker's own word that there will be none."""
    until_us = starts_until_us(policy, session)
    if until_us is None or now.boottime_us < until_us:
        return None
    return Why("start_failed", CLOCK, None, {"failure": "stalled"})


def idle_too_long(camera: CameraPolicy, session: Session, now: Moment) -> Why | None:
    """Nobody has been watching for `idle_close`."""
    if session.idle_since_us is None or now.boottime_us - session.idle_since_us < camera.idle_close_us:
        return None
    return Why("expire", CLOCK, None, {"limit": "idle"})
