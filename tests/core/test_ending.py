"""When a session ends (S6, S17; CONTRACT 4 `expire`, `extend`, `expiry_notice`)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from orchestrator.core import ending
from orchestrator.core.commands import Extend, Layer, Look
from orchestrator.core.desired import desired
from orchestrator.core.events import Event
from orchestrator.core.moment import SECOND_US, rfc3339
from orchestrator.core.refusal import Refusal
from orchestrator.core.window import Span
from tests.core.scene import CHART, POLICY, START, Story, good_facts


def _window(seconds: float) -> Span:
    return Span(START.wall_us - 60 * SECOND_US, START.wall_us + int(seconds * SECOND_US), ("weekly",))


def _extend(story: Story, seconds: int) -> tuple[Event, ...] | Refusal:
    return story.do(Extend("m-1", seconds, {"reason": "not done yet"}))


def _watched(story: Story) -> Story:
    story.join()
    return story


@pytest.mark.parametrize(
    ("asked_s", "purpose", "window_s", "lasts_s", "limit"),
    [
        (120, "alignment", 7_200, 120, "asked"),
        (900, "alignment", 7_200, 900, "asked"),
        (901, "alignment", 7_200, 900, "max_session"),
        (86_400, "alignment", 7_200, 900, "max_session"),
        (None, "alignment", 7_200, 900, "max_session"),
        (None, "vision-debug", 7_200, 600, "max_session"),
        (700, "vision-debug", 7_200, 600, "max_session"),
        (600, "alignment", 300, 300, "window"),
        (None, "alignment", 899, 899, "window"),
        (120, "alignment", 120, 120, "asked"),
    ],
)
def test_the_end_is_the_earliest_of_asked_max_session_the_purposes_own_and_the_window(
    asked_s: int | None, purpose: str, window_s: int, lasts_s: int, limit: str
) -> None:
    story = Story(facts=replace(good_facts(), window=_window(window_s)))
    story.opened(duration_s=asked_s, purpose=purpose)
    data = story.last("first_frame").data
    assert data["ends_at"] == rfc3339(START.wall_us + lasts_s * SECOND_US)
    assert data["ends_boottime_us"] == START.boottime_us + lasts_s * SECOND_US
    assert data["limit"] == limit
    assert story.state.session is not None
    assert story.state.session.ends_wall_us == START.wall_us + lasts_s * SECOND_US


def test_the_end_counts_from_the_first_frame_and_not_from_the_request() -> None:
    story = Story().checked(duration_s=120)
    story.wait(5)
    assert story.state.session is not None
    end = ending.first_end(POLICY, "cam1", story.state.session, story.facts)
    assert end == ending.End(
        story.now.wall_us + 120 * SECOND_US, story.now.boottime_us + 120 * SECOND_US, "asked"
    )


def test_there_is_no_end_and_so_no_session_outside_a_window() -> None:
    story = Story().checked()
    assert story.state.session is not None
    assert ending.first_end(POLICY, "cam1", story.state.session, replace(story.facts, window=None)) is None


@pytest.mark.parametrize(
    ("asked_s", "notice_after_s"), [(900, 840), (240, 180), (239, 179.25), (120, 90), (8, 6)]
)
def test_the_notice_comes_expiry_notice_before_the_end_and_never_before_the_last_quarter(
    asked_s: int, notice_after_s: float
) -> None:
    story = _watched(Story().opened(duration_s=asked_s))
    story.wait(notice_after_s - 0.001)
    assert story.look() == ()
    story.wait(0.001)
    assert [event.name for event in story.look()] == ["expiry_notice"]
    assert story.place == "expiring.live"
    assert story.look() == ()


def test_a_session_that_ends_in_time_passes_through_expiring_and_names_its_limit() -> None:
    for asked_s, limit in ((240, "asked"), (None, "max_session")):
        story = _watched(Story().opened(duration_s=asked_s))
        story.wait((asked_s or 900) - 60)
        story.look()
        story.wait(60)
        story.look()
        assert story.events()[-3:] == ["expiry_notice", "expire", "viewer_left"]
        assert story.last("expire").data == {"limit": limit, "by": "look"}
        assert story.last("expire").actor.kind == "clock"
        assert story.place == "disabled.closing"


def test_when_the_notice_was_missed_the_session_expires_from_streaming() -> None:
    story = _watched(Story().opened(duration_s=240))
    story.wait(240.5)
    story.look()
    assert story.place == "disabled.closing"
    assert "expiry_notice" not in story.events()
    assert story.last("expire").data == {"limit": "asked", "by": "look"}


def test_an_end_set_by_the_window_is_expire_and_not_window_closed() -> None:
    """CONTRACT 4: an end that was foreseen."""
    story = Story(facts=replace(good_facts(), window=_window(100)))
    _watched(story.opened())
    story.wait(100)
    story.facts = replace(story.facts, window=None)
    story.look()
    assert story.last("expire").data == {"limit": "window", "by": "look"}


def test_a_window_that_was_cancelled_is_window_closed() -> None:
    """F19."""
    story = _watched(Story().opened())
    story.facts = replace(story.facts, window=None)
    story.look()
    assert story.last("fault").data["fault"] == "window-closed"


def test_a_session_found_open_a_second_past_its_end_is_deadline_overrun() -> None:
    story = _watched(Story().opened(duration_s=240))
    story.wait(241)
    story.look()
    assert story.last("fault").data == {"fault": "deadline-overrun", "late_ms": 1000, "by": "look"}


@pytest.mark.parametrize("by", ["timer", "look", "schedule", "sentinel"])
def test_the_log_says_which_layer_ended_a_session(by: Layer) -> None:
    """F20: whichever came first; the others find it shut."""
    story = _watched(Story().opened(duration_s=240))
    story.wait(240)
    story.do(Look(by))
    assert story.last("expire").data == {"limit": "asked", "by": by}


@pytest.mark.parametrize("step_s", [0, -3_600, 3_600])
def test_a_machine_that_slept_ends_what_its_boot_clock_says_is_over(step_s: int) -> None:
    """S6: in suspend the boot clock goes on, whatever the wall clock says when the machine wakes."""
    story = _watched(Story().opened(duration_s=240))
    story.wait(3_600, wall_step_s=step_s)
    story.look()
    assert story.state.is_shut
    fault = story.last("fault").data["fault"]
    assert fault == ("clock-jumped" if step_s else "deadline-overrun")


def test_a_sleep_in_which_the_wall_clock_stood_still_is_a_jump() -> None:
    """S6, S17: the wall clock of a machine without a battery behind it."""
    story = _watched(Story().opened(duration_s=240))
    story.wait(60, wall_step_s=-60)
    story.look()
    assert story.last("fault").data["fault"] == "clock-jumped"


@pytest.mark.parametrize("step_s", [-86_400, -3_600, -3, 3, 3_600, 86_400])
def test_a_step_of_the_wall_clock_closes_and_never_lengthens(step_s: int) -> None:
    """S17, F14."""
    story = _watched(Story().opened(duration_s=240))
    story.wait(1, wall_step_s=step_s)
    story.look()
    assert story.last("fault").data["fault"] == "clock-jumped"
    assert story.last("fault").data["step_ms"] == step_s * 1000


@pytest.mark.parametrize("step_s", [-1.9, 1.9])
def test_a_small_step_either_way_leaves_whichever_clock_is_first_to_end_the_session(step_s: float) -> None:
    """S6, S17."""
    story = _watched(Story().opened(duration_s=240))
    story.wait(240 - 1.9, wall_step_s=step_s)
    story.look()
    assert story.state.is_shut == (step_s > 0)
    story.wait(1.9)
    story.look()
    assert story.state.is_shut


def test_nobody_watching_for_idle_close_ends_the_session_counted_from_the_first_frame() -> None:
    story = Story().opened()
    story.wait(119.999)
    assert story.look() == ()
    story.wait(0.001)
    story.look()
    assert story.last("expire").data == {"limit": "idle", "by": "look"}


def test_idle_time_counts_from_the_last_viewer_that_left() -> None:
    story = Story().opened()
    story.join("w-1")
    story.join("w-2")
    story.wait(300)
    story.leave("w-1")
    story.wait(130)
    assert story.look() == ()
    story.leave("w-2")
    story.wait(119)
    assert story.look() == ()
    story.wait(1)
    story.look()
    assert story.last("expire").data == {"limit": "idle", "by": "look"}


def test_extend_moves_both_ends_by_exactly_what_was_asked() -> None:
    story = _watched(Story().opened(duration_s=240))
    assert not isinstance(_extend(story, 60), Refusal)
    data = story.last("extend").data
    assert data["ends_at"] == rfc3339(START.wall_us + 300 * SECOND_US)
    assert data["ends_boottime_us"] == START.boottime_us + 300 * SECOND_US
    assert (data["limit"], data["duration_s"]) == ("asked", 60)
    assert story.last("extend").details == {"reason": "not done yet"}


def test_extend_leads_from_expiring_back_to_streaming_and_the_notice_comes_again() -> None:
    story = Story().expiring()
    assert not isinstance(_extend(story, 240), Refusal)
    assert story.place == "streaming.live"
    assert story.look() == ()
    story.wait(240)
    story.look()
    assert story.place == "expiring.live"


@pytest.mark.parametrize(
    ("purpose", "window_s", "most_s", "limit"),
    [
        ("alignment", 7_200, 660, "max_session"),
        ("vision-debug", 7_200, 360, "max_session"),
        ("alignment", 500, 260, "window"),
    ],
)
def test_extend_is_granted_to_the_limit_never_in_part_and_names_the_latest_possible_end(
    purpose: str, window_s: int, most_s: int, limit: str
) -> None:
    story = Story(facts=replace(good_facts(), window=_window(window_s)))
    _watched(story.opened(duration_s=240, purpose=purpose))
    before = story.state
    refusal = _extend(story, most_s + 1)
    assert isinstance(refusal, Refusal)
    assert refusal.code == "not-permitted"
    assert refusal.members["limit"] == limit
    assert refusal.members["latest_end"] == rfc3339(START.wall_us + (240 + most_s) * SECOND_US)
    assert story.state == before
    assert not isinstance(_extend(story, most_s), Refusal)
    assert story.last("extend").data["limit"] == limit


def test_the_next_look_is_set_for_the_notice_then_for_the_end() -> None:
    """S6: the actor's own wake-up enforces the end."""
    story = _watched(Story().opened(duration_s=240))
    want = desired(CHART, POLICY, story.state, story.facts)
    assert want.wake_at_us == START.boottime_us + 180 * SECOND_US
    story.wait(180)
    story.look()
    want = desired(CHART, POLICY, story.state, story.facts)
    assert want.wake_at_us == START.boottime_us + 240 * SECOND_US
    story.wait(0, wall_step_s=1.5)
    want = desired(CHART, POLICY, story.state, story.facts)
    assert want.wake_at_us == START.boottime_us + 240 * SECOND_US - 1_500_000
