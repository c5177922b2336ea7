"""What is listed, and what will really happen (CONTRACT 2 `--next`, 5)."""

from __future__ import annotations

from dataclasses import replace
from itertools import islice

from orchestrator.core.moment import parse_rfc3339
from orchestrator.core.window_plan import boundary_after, listed, next_stretches
from tests.core.window_scene import (
    ANNA,
    DAILY,
    DAY,
    HOUR,
    MINUTE,
    NOW,
    POLICY,
    TODAY,
    TOMORROW,
    TWO_PEOPLE,
    WITHOUT,
    Story,
    adding,
    approving,
    cancelling,
    shortening,
)


def _told(story: Story, cameras: tuple[str, ...] = ("cam1", "cam2")) -> list[tuple[str, str]]:
    found = listed(story.policy, story.book, cameras, story.wall_us)
    return [(one.window.id, one.state) for one in islice(found, 4)]


def test_one_offs_and_comings_are_listed_by_start() -> None:
    story = Story()
    story.done(adding("w-late", start_us=NOW + DAY + HOUR, end_us=NOW + DAY + 2 * HOUR, approves=False))
    story.done(cancelling(TOMORROW))
    assert _told(story)[:3] == [(TODAY, "approved"), (TOMORROW, "cancelled"), ("w-late", "proposed")]


def test_a_one_off_that_is_over_is_listed_for_a_day() -> None:
    story = Story(WITHOUT)
    story.done(adding())
    story.wall_us += HOUR
    assert _told(story) == [("w-1", "over")]
    story.wall_us += DAY
    assert _told(story) == []


def test_a_window_of_other_cameras_is_not_listed() -> None:
    story = Story()
    story.done(adding("w-2", cameras=("cam2",)))
    assert _told(story, ("cam2",)) == [("w-2", "approved")]
    assert all(identifier != "w-2" for identifier, _ in _told(story, ("cam1",)))


def test_the_list_goes_on_after_the_last_one_seen() -> None:
    story = Story()
    story.done(adding())
    everything = list(listed(POLICY, story.book, ("cam1",), NOW))
    for number, one in enumerate(everything[:3]):
        rest = list(listed(POLICY, story.book, ("cam1",), NOW, after=one.key))
        assert rest == everything[number + 1 :]


def test_what_overlaps_is_one_stretch_and_what_is_cancelled_does_not_open() -> None:
    story = Story()
    story.done(adding("w-1", start_us=NOW + HOUR, end_us=NOW + 3 * HOUR, cameras=("cam1", "cam2")))
    story.done(cancelling(TOMORROW))
    story.done(adding("w-gone"))
    story.done(cancelling("w-gone"))
    first, other, cancelled, third = next_stretches(POLICY, story.book, ("cam1", "cam2"), NOW, 4)
    assert (first.start_us, first.end_us, first.cameras) == (NOW, NOW + 3 * HOUR, ("cam1",))
    assert first.names == ("daily", "w-1")
    assert (other.start_us, other.cameras, other.names) == (NOW + HOUR, ("cam2",), ("w-1",))
    assert (cancelled.start_us, cancelled.state) == (NOW + DAY, "cancelled")
    assert (third.start_us, third.state) == (NOW + 2 * DAY, "approved")


def test_the_missing_hour_is_shown_as_one_that_does_not_open() -> None:
    policy = replace(POLICY, windows=(replace(DAILY, cron="30 2 * * *"),))
    at = parse_rfc3339("2027-03-27T12:00:00Z")
    first, second = next_stretches(policy, {}, ("cam1",), at, 2)
    assert (first.state, first.skipped, first.start_us) == (
        "skipped",
        "missing-hour",
        parse_rfc3339("2027-03-28T01:30:00Z"),
    )
    assert (second.state, second.start_us) == ("approved", parse_rfc3339("2027-03-29T00:30:00Z"))


def test_a_window_that_never_ends_is_one_stretch_and_the_question_does_not_take_for_ever() -> None:
    policy = replace(POLICY, windows=(replace(DAILY, cron="* * * * *", duration_us=2 * MINUTE),))
    (only,) = next_stretches(policy, {}, ("cam1",), NOW, 50)
    assert only.end_us - only.start_us > 6 * DAY


def test_without_any_window_nothing_is_to_come() -> None:
    assert next_stretches(WITHOUT, {}, ("cam1",), NOW, 5) == []
    assert boundary_after(WITHOUT, {}, NOW) is None


def test_with_two_people_what_nobody_approved_is_proposed() -> None:
    story = Story(TWO_PEOPLE)
    story.done(approving(TOMORROW, ANNA))
    first, second = next_stretches(TWO_PEOPLE, story.book, ("cam1",), NOW, 2)
    assert (first.start_us, first.state) == (NOW, "proposed")
    assert (second.start_us, second.state) == (NOW + DAY, "approved")


def test_the_next_boundary_is_that_of_any_window() -> None:
    """The schedule wakes for one-off windows and for shortened ones too."""
    story = Story()
    story.done(shortening(TODAY, NOW + 10 * MINUTE))
    assert boundary_after(POLICY, story.book, NOW) == NOW + 10 * MINUTE
    story.done(adding(start_us=NOW + MINUTE, end_us=NOW + 5 * MINUTE))
    assert boundary_after(POLICY, story.book, NOW) == NOW + MINUTE
    assert boundary_after(POLICY, story.book, NOW + MINUTE) == NOW + 5 * MINUTE
