"""A log folded from nothing, with every place where a record and the statechart disagree (S12)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from orchestrator.core.camera_state import CameraState, evolve
from orchestrator.core.events import Record
from orchestrator.core.statechart import Chart


@dataclass(frozen=True, slots=True)
class Divergence:
    """One record that the fold or the statechart it names does not allow."""

    seq: int
    camera: str
    why: str


class Fold:
    """Takes the records in the log's order. `chart_of` finds a statechart by its digest, or None."""

    def __init__(self, chart_of: Callable[[str], Chart | None]) -> None:
        self._chart_of = chart_of
        self.states: dict[str, CameraState] = {}
        self.divergences: list[Divergence] = []

    def take(self, record: Record) -> None:
        """Fold one record in; what belongs to no camera moves nothing."""
        camera = record.event.camera
        if camera is None:
            return
        state = self.states.get(camera) or CameraState.new(camera)
        if record.event.type == "transition":
            why = self._disagreement(state, record)
            if why:
                self.divergences.append(Divergence(record.seq, camera, why))
        try:
            self.states[camera] = evolve(state, record)
        except (KeyError, ValueError, TypeError, AttributeError) as error:
            why = f"its data cannot be folded ({type(error).__name__}: {error})"
            self.divergences.append(Divergence(record.seq, camera, why))

    def _disagreement(self, state: CameraState, record: Record) -> str:
        event = record.event
        source, target = event.source, event.target
        if source is None or target is None:
            return "it does not say from where to where it moved"
        if source != state.place:
            return f"recorded from {source}, but everything before it leads to {state.place}"
        chart = self._chart_of(record.sealed.chart)
        if chart is None:
            return f"it names statechart {record.sealed.chart}, which is not among this version's"
        if event.name not in chart.triggers:
            return f"the statechart has no trigger {event.name}"
        if not chart.permits(source, event.name, target):
            return f"the statechart does not permit {event.name} from {source} to {target}"
        return ""
