"""A window that shrinks under an open session: its end is taken over, or it is a fault (CONTRACT 3, S6)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from orchestrator.core.commands import Extend, Look
from orchestrator.core.moment import SECOND_US, rfc3339
from orchestrator.core.refusal import Refusal
from orchestrator.core.session_view import session_view
from orchestrator.core.window import Span
from tests.core.scene import START, Story


def _window_until(story: Story, seconds: int) -> None:
    """The window now ends so many seconds from now."""
    span = Span(START.wall_us, story.now.wall_us + seconds * SECOND_US, ("w-1",))
    story.facts = replace(story.facts, window=span)


@pytest.mark.parametrize("place", ["opened", "reconnecting", "expiring"])
def test_a_shorter_end_is_taken_over_once_in_both_clocks(place: str) -> None:
    story: Story = getattr(Story(), place)(duration_s=240)
    _window_until(story, 30)
    (event, *_) = story.look()
    assert event.name == "deadline_shortened"
    session = story.state.session
    assert session is not None
    assert (session.ends_wall_us, session.ends_boottime_us, session.limit) == (
        story.now.wall_us + 30 * SECOND_US,
        story.now.boottime_us + 30 * SECOND_US,
        "window",
    )
    assert all(event.name != "deadline_shortened" for event in story.look())
    told = session_view(story.records, {})
    assert told is not None
    assert told["deadline"] == rfc3339(session.ends_wall_us)
    story.wait(30)
    story.done(Look())
    assert story.last("expire").data["limit"] == "window"


def test_the_boot_clocks_end_never_moves_later() -> None:
    """S6, S17: the wall clock was set back a little meanwhile."""
    story = Story().opened(duration_s=60)
    story.wait(0, wall_step_s=-1.5)
    _window_until(story, 61)
    session = story.state.session
    assert session is not None
    before_us = session.ends_boottime_us
    story.look()
    session = story.state.session
    assert session is not None
    assert session.ends_boottime_us <= before_us


def test_a_window_that_ends_later_than_the_session_or_grows_changes_nothing() -> None:
    story = Story().opened(duration_s=60)
    for seconds in (60, 120, 90):
        _window_until(story, seconds)
        assert story.look() == ()


def test_a_window_that_is_gone_is_a_fault_and_no_shorter_end() -> None:
    """F19."""
    story = Story().opened()
    story.facts = replace(story.facts, window=None)
    story.look()
    assert story.last("fault").data["fault"] == "window-closed"


def test_past_the_shorter_end_nothing_is_extended() -> None:
    """CONTRACT 4: the limit and the latest possible end are named."""
    story = Story().opened(duration_s=240)
    _window_until(story, 30)
    story.look()
    refusal = story.do(Extend("m-1", 1, {"reason": "one more screw"}))
    assert isinstance(refusal, Refusal)
    latest = rfc3339(story.now.wall_us + 30 * SECOND_US)
    assert (refusal.code, refusal.members["limit"], refusal.members["latest_end"]) == (
        "not-permitted",
        "window",
        latest,
    )


def test_a_person_whose_own_window_is_another_is_judged_by_theirs() -> None:
    """CONTRACT 3 `two_people`."""
    story = Story().opened()
    story.facts = replace(story.facts, window_of={"m-1": None})
    story.look()
    fault = story.last("fault")
    assert fault.data["fault"] == "window-closed"
    assert fault.data["checks"][0]["evidence"] == {"open": False, "approved_by_self": True}


def test_while_a_narrowing_waits_for_the_log_nothing_opens_and_what_is_open_stays() -> None:
    """S13."""
    story = Story()
    story.facts = replace(story.facts, window_waits=True)
    assert not isinstance(story.request(), Refusal)
    assert story.look() == ()
    assert story.place == "requested"
    story.facts = replace(story.facts, window_waits=False)
    story.look()
    assert story.place == "safety_checked"
    other = Story().opened()
    other.facts = replace(other.facts, window_waits=True)
    assert other.look() == ()
    assert other.place == "streaming.live"
