"""A changed value is what `dataclasses.replace` makes of it, only sooner."""

from dataclasses import replace

import pytest

from orchestrator.core.camera_state import CameraState, Session
from orchestrator.core.changed import changed
from orchestrator.core.events import Place

SESSION = Session("s", "m-1", "d-1", "alignment", None, 1, 2, 3, viewers={"w": "m-2"}, failures=(4,))


def test_a_changed_value_is_the_same_but_for_what_was_changed() -> None:
    assert changed(SESSION, run=2, lane={"a": True}) == replace(SESSION, run=2, lane={"a": True})
    state = CameraState("cam1", session=SESSION, locks=frozenset({"side-door"}))
    moved = changed(state, place=Place("streaming", "live"), version=7)
    assert moved == replace(state, place=Place("streaming", "live"), version=7)
    assert hash(moved.place) == hash(Place("streaming", "live"))
    assert state == CameraState("cam1", session=SESSION, locks=frozenset({"side-door"}))


def test_a_field_that_it_does_not_have_cannot_be_changed() -> None:
    with pytest.raises(KeyError):
        changed(SESSION, colour="red")
