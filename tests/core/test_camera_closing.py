"""How a session ends in the log, what proves it, which locks it leaves and who takes them away.

CONTRACT 4 and 7; S16, L2, L3.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from orchestrator.core.camera import reason_to_shut
from orchestrator.core.camera_state import CameraState
from orchestrator.core.commands import Acknowledge, Closing, Cut, Look, Reported
from orchestrator.core.desired import Desired, desired
from orchestrator.core.refusal import Refusal
from orchestrator.core.worker import FirstFrame, WorkerStarted
from tests.core.scene import (
    CHART,
    CLOSE,
    GONE,
    NOT_GONE,
    OPEN,
    PLACES,
    POLICY,
    SHUT,
    Story,
    exited,
    story_in,
    why,
)

RUNNING = ("safety_checked", *OPEN)


def _want(story: Story) -> Desired:
    return desired(CHART, story.policy, story.state, story.facts)


def _fault(story: Story) -> str | None:
    return story.state.fault


def _refused(decision: object, code: str) -> Refusal:
    assert isinstance(decision, Refusal)
    assert decision.code == code
    return decision


def _acknowledge(story: Story, *lasting: str) -> object:
    return story.do(Acknowledge("m-2", frozenset(lasting), {"reason": "looked at it"}))


@pytest.mark.parametrize("place", RUNNING)
def test_the_end_of_a_session_is_written_in_the_contracts_order(place: str) -> None:
    """CONTRACT 7."""
    story = story_in(place)
    watches = []
    if place in OPEN:
        for watch in ("w-8", "w-9"):
            assert not isinstance(story.join(watch), Refusal)
        assert story.state.session is not None
        watches = list(story.state.session.viewers)
    before = len(story.events())
    cut = (Cut("w-9", 31, 70_000),)
    closing = Closing(CLOSE, 7, story.now, story.now.boottime_us + 40, 1, 512, cut)
    story.done(closing)
    story.done(exited(1, None, signal=15))
    story.done(GONE)
    names = story.events()[before:]
    assert names == ["close", *["viewer_left"] * len(watches), "worker_exited", "closed"]
    left = {r.event.data["watch"]: r.event.data for r in story.records if r.event.name == "viewer_left"}
    assert list(left) == watches
    if watches:
        assert left["w-9"] == {"watch": "w-9", "seconds": 31, "bytes": 70_000, "reason": "cut"}
        assert left["w-8"]["seconds"] == 0
    sessions = {record.event.session for record in story.records}
    assert sessions == {"s-1"}


def test_closed_holds_what_was_proven() -> None:
    story = story_in("streaming.live")
    story.ended()
    assert story.last("closed").data == {
        "shut_us": 180,
        "unsent_bytes_discarded": 2048,
        "viewers_cut": 1,
        "worker_exit": "signal 15",
        "segments_wiped": True,
        "gone_ms": 41,
    }


def test_no_closed_follows_an_end_in_requested() -> None:
    story = story_in("requested")
    story.ended()
    assert story.events() == ["request", "close"]
    assert story.place == "disabled.ready"


def test_a_closing_that_is_not_proven_locks_once_and_is_locked_when_it_is_proven_at_last() -> None:
    """S16, L2."""
    story = story_in("disabled.closing")
    story.done(NOT_GONE)
    assert story.last("fault").data["fault"] == "closing-unproven"
    assert story.place == "disabled.closing"
    assert story.done(NOT_GONE) == ()
    story.done(GONE)
    assert story.place == "disabled.locked"
    assert story.state.locks == {"closing-unproven"}
    assert not isinstance(_acknowledge(story), Refusal)
    assert story.place == "disabled.ready"
    assert not isinstance(story.request(), Refusal)


def test_locks_are_a_set_and_are_acknowledged_all_or_none() -> None:
    """CONTRACT 4."""
    story = story_in("streaming.live")
    story.shut(why("listener-exposed"))
    story.shut(why("log-tampered"))
    assert story.shut(why("log-tampered")) == ()
    story.done(GONE)
    story.shut(why("memory-not-private"))
    assert story.place == "disabled.locked"
    assert story.state.locks == {"listener-exposed", "log-tampered", "memory-not-private"}
    refusal = _refused(_acknowledge(story, "log-tampered", "vpn-not-private"), "locked")
    assert refusal.members["locks"] == ["log-tampered"]
    assert refusal.members["fault"] == "log-tampered"
    assert len(story.state.locks) == 3
    assert not isinstance(_acknowledge(story, "vpn-not-private"), Refusal)
    assert (story.place, story.state.locks, story.state.fault) == ("disabled.ready", frozenset(), None)
    assert story.last("acknowledge").data == {
        "locks": ["listener-exposed", "log-tampered", "memory-not-private"]
    }


@pytest.mark.parametrize("place", [place for place in PLACES if place != "disabled.locked"])
def test_there_is_nothing_to_acknowledge_but_a_locked_camera(place: str) -> None:
    _refused(_acknowledge(story_in(place)), "not-permitted")


@pytest.mark.parametrize("place", SHUT)
def test_closing_a_shut_camera_adds_nothing(place: str) -> None:
    story = story_in(place)
    before = story.state
    assert story.shut(CLOSE) == ()
    assert story.shut(why("lane-unsafe")) == ()
    assert story.state == before


def test_a_reason_that_has_no_move_from_here_still_closes_and_says_instead_of_what() -> None:
    story = story_in("requested")
    events = story.shut(replace(CLOSE, trigger="expire"))
    assert [event.name for event in events] == ["close"]
    assert events[0].data == {"instead_of": "expire"}


def test_a_look_at_a_camera_that_nothing_ever_happened_to_finds_nothing_to_do() -> None:
    story = Story()
    assert reason_to_shut(POLICY, story.state, Look(), story.facts) is None
    assert story.look() == ()
    assert story.state == CameraState.new("cam1")
    assert _want(story).wake_at_us is None


def test_reports_of_a_worker_that_belongs_to_no_session_change_nothing() -> None:
    for report in (WorkerStarted(1, 1, {}), FirstFrame(1)):
        assert Story().done(Reported(report)) == ()
    assert Story().done(exited(1, None, signal=15)) == ()
    assert Story().done(GONE) == ()


def test_a_request_after_a_refusal_or_a_fault_forgets_the_old_fault() -> None:
    """L3."""
    story = story_in("streaming.live")
    story.ended(why("lane-unsafe"))
    assert _fault(story) == "lane-unsafe"
    story.request()
    assert _fault(story) is None
    story.look()
    assert story.place == "safety_checked"
