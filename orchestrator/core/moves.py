"""Events of one camera as the statechart has them: where from, where to, in which session."""

from __future__ import annotations

from typing import Any

from orchestrator.core.camera_state import CameraState
from orchestrator.core.events import Actor, Event, Json, observation, transition
from orchestrator.core.statechart import Chart


def moved(
    chart: Chart, state: CameraState, trigger: str, actor: Actor, guard: str = "", **rest: Any
) -> Event | None:
    """The transition by `trigger` from where the camera is, or None when the chart has none."""
    target = chart.target(state.place, trigger, guard)
    if target is None:
        return None
    rest.setdefault("session", state.session.id if state.session else None)
    return transition(trigger, actor, camera=state.camera, source=state.place, target=target, **rest)


def seen(state: CameraState, name: str, actor: Actor, data: Json, details: Json | None = None) -> Event:
    """An observation of this camera, in the session it is in."""
    session = state.session.id if state.session else None
    return observation(name, actor, camera=state.camera, session=session, data=data, details=details)


def only(event: Event | None) -> tuple[Event, ...]:
    """That event alone, or nothing."""
    return () if event is None else (event,)
