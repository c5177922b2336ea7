"""A closing that comes late into the log reads from where the log really stands (S12, S21, L4)."""

from __future__ import annotations

import pytest

from orchestrator.core.camera_state import CameraState
from orchestrator.core.commands import CLOCK, SERVICE, WORKER
from orchestrator.core.events import LOCKED, REQUESTED, Event, Place, Sealed, observation, transition
from orchestrator.core.rebase import rebased
from tests.core.scene import CHART, OPEN, PLACES, START, why

LIVE, CLOSING = Place("streaming", "live"), Place("disabled", "closing")
ENDS = ("close", "fault", "expire", "start_failed", "closed")


def _sealed(name: str, source: Place, target: Place, fault: str | None = None) -> Sealed:
    data = {"fault": fault} if fault else {}
    event = transition(name, CLOCK, camera="cam1", session="s-1", source=source, target=target, data=data)
    return Sealed(event, "id-1", START, CHART.digest, "sha256:config")


def _state(place: str, *locks: str) -> CameraState:
    return CameraState("cam1", Place.parse(place), locks=frozenset(locks))


def _event(state: CameraState, sealed: Sealed) -> Event:
    moved = rebased(CHART, state, sealed)
    assert (moved.id, moved.at, moved.chart, moved.config) == (
        sealed.id,
        sealed.at,
        sealed.chart,
        sealed.config,
    )
    return moved.event


@pytest.mark.parametrize("name", ENDS)
@pytest.mark.parametrize("fault", [None, "lane-unsafe", "listener-exposed"])
def test_wherever_the_log_stands_what_is_written_is_legal_there_and_nothing_is_lost(
    name: str, fault: str | None
) -> None:
    for place in PLACES:
        event = _event(_state(place), _sealed(name, LIVE, CLOSING, fault))
        if event.type == "transition":
            assert (event.name, str(event.source)) == (name, place)
            assert event.target is not None
            assert CHART.permits(Place.parse(place), name, event.target)
            assert event.target.state == "disabled"
        else:
            assert (event.name, event.session) == ("fault_seen", "s-1")
            assert event.data == {"fault": fault, "trigger": name, "count": 1}
        if place in OPEN and name in ("close", "fault", "expire"):
            assert event.target == CLOSING


def test_a_closing_of_an_opening_that_never_landed_is_an_observation() -> None:
    """S21: the first byte of that session was never durable."""
    event = _event(_state("disabled.ready"), _sealed("close", REQUESTED, Place("disabled", "ready")))
    assert (event.type, event.name, event.actor) == ("observation", "fault_seen", SERVICE)


def test_a_lock_is_never_lost_whatever_the_log_says() -> None:
    sealed = _sealed("fault", LIVE, CLOSING, "log-tampered")
    for place, target in (
        ("disabled.ready", LOCKED),
        ("disabled.locked", LOCKED),
        ("requested", LOCKED),
        ("disabled.closing", CLOSING),
        ("streaming.live", CLOSING),
    ):
        assert _event(_state(place), sealed).target == target


def test_closed_leads_into_locked_while_the_log_holds_a_lock() -> None:
    """S16."""
    sealed = _sealed("closed", CLOSING, Place("disabled", "ready"))
    assert _event(_state("disabled.closing"), sealed).target == Place("disabled", "ready")
    assert _event(_state("disabled.closing", "log-tampered"), sealed).target == LOCKED


def test_an_observation_stays_as_it_is() -> None:
    event = observation("worker_exited", WORKER, camera="cam1", data={"run": 1})
    sealed = Sealed(event, "id-1", START, CHART.digest, "sha256:config")
    assert rebased(CHART, _state("disabled.ready"), sealed) is sealed


def test_details_go_along_with_what_becomes_an_observation() -> None:
    reason = why("lane-unsafe")
    event = transition(
        "fault", reason.actor, camera="cam1", source=LIVE, target=CLOSING, details={"reason": "x"}
    )
    moved = rebased(CHART, _state("disabled.ready"), Sealed(event, "id-1", START, "", ""))
    assert moved.event.details == {"reason": "x"}
