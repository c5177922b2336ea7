"""What the world should be, given the state: levels, not edges, so recovery is the ordinary path."""

from __future__ import annotations

from dataclasses import dataclass

from orchestrator.core import ending, lane
from orchestrator.core.camera_state import CameraState
from orchestrator.core.events import REQUESTED, SAFETY_CHECKED
from orchestrator.core.facts import Facts
from orchestrator.core.policy import Policy
from orchestrator.core.statechart import Chart


@dataclass(frozen=True, slots=True)
class Desired:
    """`worker_run` is the number of the run that should be up (None: no worker may exist);
    `start_now` whether it may be started if it is not; `gate_open` whether picture may pass;
    `wake_at_us` the next boot-clock instant at which to look again."""

    worker_run: int | None
    start_now: bool
    gate_open: bool
    wake_at_us: int | None


def desired(chart: Chart, policy: Policy, state: CameraState, facts: Facts) -> Desired:
    """What `state` asks of the world at the moment of `facts`."""
    session, now_us = state.session, facts.now.boottime_us
    wakes: list[int | None] = []
    if state.cool_down_left_us(facts.now) > 0:
        wakes.append(state.cool_down_until_us)
    if session is None or state.is_shut:
        return Desired(None, False, False, _earliest(wakes))
    camera = policy.cameras[state.camera]
    wakes.append(lane.next_change(policy.lanes[camera.lane], facts.lane, facts.now))
    if state.place == REQUESTED:
        settled_us = (facts.interface.since_us or now_us) + policy.boundary_settle_us
        wakes += [session.wait_until_us, settled_us if settled_us > now_us else None]
        return Desired(None, False, False, _earliest(wakes))
    due = session.retry_at_us is None or session.retry_at_us <= now_us
    run = session.run if session.running else session.run + 1
    if state.place == SAFETY_CHECKED:
        wakes.append(ending.starts_until_us(policy, session))
    else:
        wakes += [session.ends_boottime_us, now_us + ending.left_us(session, facts.now)]
        if state.place.state == "streaming":
            wakes.append(ending.notice_at_us(camera, session))
        if session.idle_since_us is not None:
            wakes.append(session.idle_since_us + camera.idle_close_us)
        if not due:
            wakes.append(session.retry_at_us)
    wanted = run if session.running or due else None
    return Desired(wanted, not session.running and due, chart.serves(state.place), _earliest(wakes))


def _earliest(instants: list[int | None]) -> int | None:
    return min((instant for instant in instants if instant is not None), default=None)
