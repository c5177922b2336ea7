"""The functions on trial, in the one place where a mutant can take the stand instead of one of them."""

from __future__ import annotations

from typing import Protocol

from orchestrator.core import camera, camera_state, rebase
from orchestrator.core import desired as wishes
from orchestrator.core.camera_state import CameraState

reason_to_shut = camera.reason_to_shut
evolve = camera_state.evolve
desired = wishes.desired
rebased = rebase.rebased


class _Shutter(Protocol):
    def holds(self, generation: int) -> bool: ...


def holds(shutter: _Shutter, generation: int) -> bool:
    """The fence, asked by the log between INSERT and COMMIT (S22)."""
    return shutter.holds(generation)


def found_at_start(state: CameraState) -> CameraState:
    """What a start goes on from: the log's own fold (S16, S20)."""
    return state
