"""What a worker's end means: try again, give up, or the end that was due anyway (S23, FIELD 10)."""

from __future__ import annotations

from typing import Any

from orchestrator.core.backoff import retry_in_us
from orchestrator.core.camera_state import CameraState, Session
from orchestrator.core.commands import CLOCK, WORKER, Why
from orchestrator.core.ending import left_us
from orchestrator.core.events import SAFETY_CHECKED, Event, Json
from orchestrator.core.moment import SECOND_US, Moment
from orchestrator.core.moves import moved, only, seen
from orchestrator.core.policy import Policy, WorkerPolicy
from orchestrator.core.statechart import Chart
from orchestrator.core.worker import WorkerExited

NOT_RETRIED = frozenset({"unauthorised", "not-a-picture"})
"""Cameras lock accounts, and what is no picture will not become one (DESIGN "The worker")."""


def fatal_exit(policy: Policy, state: CameraState, exited: WorkerExited, now: Moment) -> Why | None:
    """Why this exit shuts the camera; None when it is tried again, or was asked for."""
    session = state.session
    if session is None or exited.failure is None or exited.run < session.run:
        return None
    if state.place == SAFETY_CHECKED:
        return Why("start_failed", WORKER, None, {"failure": str(exited.failure)}, _last_line(exited))
    if not state.is_open:
        return None
    if left_us(session, now) <= SECOND_US:
        return Why("expire", CLOCK, None, {"limit": session.limit, "by": "worker"})
    failures = len(_counted(policy.worker, session, now)) + 1
    fault = None
    if exited.failure in NOT_RETRIED:
        fault = "worker-failed"
    elif failures >= policy.worker.max_failures:
        fault = "worker-storm"
    if fault is None:
        return None
    data = {"fault": fault, "failure": str(exited.failure), "failures": failures}
    return Why("fault", WORKER, fault, data, _last_line(exited))


def after_exit(
    chart: Chart, policy: Policy, state: CameraState, exited: WorkerExited, random: float, now: Moment
) -> tuple[Event, ...]:
    """The exit written down, and `frames_lost` with the time of the next try when the camera stays open."""
    session = state.session
    if session is None:
        return ()
    data: dict[str, Any] = {
        "run": exited.run,
        "failure": None if exited.failure is None else str(exited.failure),
        "exit_code": exited.exit_code,
        "signal": exited.signal,
        "frames": exited.frames,
        "retry_in_ms": None,
        "was_healthy": _was_healthy(policy.worker, session, now),
    }
    if exited.failure is None or not state.is_open:
        return (seen(state, "worker_exited", WORKER, data, _last_line(exited)),)
    failures = len(_counted(policy.worker, session, now)) + 1
    data["retry_in_ms"] = retry_in_us(policy.worker.backoff, failures, random) // 1000
    lost = moved(
        chart, state, "frames_lost", WORKER, data={"failure": str(exited.failure), "run": exited.run}
    )
    return (seen(state, "worker_exited", WORKER, data, _last_line(exited)), *only(lost))


def _was_healthy(policy: WorkerPolicy, session: Session, now: Moment) -> bool:
    since_us = session.frames_since_us
    return since_us is not None and now.boottime_us - since_us >= policy.healthy_after_us


def _counted(policy: WorkerPolicy, session: Session, now: Moment) -> list[int]:
    """The failures that still count against the budget."""
    if _was_healthy(policy, session, now):
        return []
    return [at for at in session.failures if now.boottime_us - at < policy.failure_window_us]


def _last_line(exited: WorkerExited) -> Json | None:
    return {"last_line": exited.last_line} if exited.last_line else None
