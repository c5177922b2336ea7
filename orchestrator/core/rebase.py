"""A closing that the log could not take at once, as it reads from where the log really stands."""

from __future__ import annotations

from dataclasses import replace

from orchestrator.core.camera_state import CameraState
from orchestrator.core.commands import SERVICE
from orchestrator.core.events import Sealed, observation
from orchestrator.core.faults import LOCKING
from orchestrator.core.statechart import Chart


def rebased(chart: Chart, state: CameraState, sealed: Sealed) -> Sealed:
    """`sealed` with `from` and `to` given by the log's own `state`; the same id and moment.

    A transition that leads nowhere from there (the opening it ended never reached the log) is kept
    as the observation `fault_seen`: nothing is lost, and no illegal move is written (L4, S12).
    """
    event = sealed.event
    if event.type == "observation":
        return sealed
    locks = event.data.get("fault") in LOCKING or (event.name == "closed" and bool(state.locks))
    target = chart.target(state.place, event.name, "locks" if locks else "no-lock")
    if target is not None:
        return replace(sealed, event=replace(event, source=state.place, target=target))
    note = observation(
        "fault_seen",
        SERVICE,
        camera=event.camera,
        session=event.session,
        data={"fault": event.data.get("fault"), "trigger": event.name, "count": 1},
        details=event.details,
    )
    return replace(sealed, event=note)
