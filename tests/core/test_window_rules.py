"""Who may do what to a window, and what it leads to (CONTRACT 5; S6, S13, S17, S19)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from orchestrator.core import window_rules
from orchestrator.core.events import Event
from orchestrator.core.moment import parse_rfc3339, rfc3339
from orchestrator.core.window_book import coming_id, read_coming_id
from orchestrator.core.window_rules import (
    AHEAD_US,
    LATE_US,
    LONGEST_US,
    ONE_OFF_AHEAD,
    find,
    standing,
)
from tests.core.window_scene import (
    ANNA,
    BORIS,
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


def test_an_approvers_window_is_in_force_at_once() -> None:
    story = Story(WITHOUT)
    assert story.span() is None
    story.done(adding())
    assert story.span() == story.span(member="m-anna")
    span = story.span()
    assert span is not None
    assert (span.end_us, span.names) == (NOW + HOUR, ("w-1",))
    assert story.span("cam2") is None


def test_a_maintainers_window_opens_nothing_before_an_approver_has_approved_it() -> None:
    story = Story(WITHOUT)
    story.done(adding(approves=False))
    assert standing(story.policy, story.book["w-1"], NOW) == "proposed"
    assert story.span() is None
    window = story.done(approving("w-1"))
    assert (window.proposed_by, window.approved_by) == ("m-anna", ("m-boris",))
    assert story.span() is not None


def test_no_free_text_and_no_name_stands_in_the_chain() -> None:
    """S19."""
    event = Story().do(adding(person={"name": "Anna", "reason": "aim", "window_name": "storm"}))
    assert isinstance(event, Event)
    assert event.details == {"name": "Anna", "reason": "aim", "window_name": "storm"}
    assert set(event.data) == {"window", "recurring", "cameras", "start", "end", "planned_end", "by"}


@pytest.mark.parametrize(
    ("wrong", "pointer"),
    [
        ({"start_us": NOW - LATE_US - 1}, "/start"),
        ({"start_us": NOW + AHEAD_US + 1, "end_us": NOW + AHEAD_US + HOUR}, "/start"),
        ({"end_us": NOW}, "/end"),
        ({"start_us": NOW - MINUTE, "end_us": NOW - 1}, "/end"),
        ({"end_us": NOW + LONGEST_US + 1}, "/end"),
    ],
)
def test_a_window_has_its_bounds(wrong: dict[str, Any], pointer: str) -> None:
    refusal = Story().refused(adding(**wrong))
    assert (refusal.code, refusal.members) == ("invalid-body", {"pointer": pointer})


def test_a_start_a_little_ago_is_from_now() -> None:
    assert Story().done(adding(start_us=NOW - LATE_US)).start_us == NOW


@pytest.mark.parametrize("cameras", [(), ("cam9",), ("cam1", "cam9")])
def test_a_window_is_for_cameras_that_are_there(cameras: tuple[str, ...]) -> None:
    assert Story().refused(adding(cameras=cameras)).code == "unknown-camera"


@pytest.mark.parametrize(
    ("ticket", "taken"), [("T-17", True), ("T-", False), (None, False), ("x T-17", False)]
)
def test_the_sites_ticket_is_asked_for(ticket: str | None, taken: bool) -> None:
    """CONTRACT 3 `require_ticket`."""
    story = Story(replace(WITHOUT, require_ticket="T-[0-9]+"))
    outcome = story.do(adding(ticket=ticket))
    assert isinstance(outcome, Event) is taken
    if not taken:
        assert story.refused(adding(ticket=ticket)).members == {"pointer": "/ticket"}


def test_so_many_one_off_windows_may_stand_ahead_and_no_more() -> None:
    """K3; one that is cancelled or over counts no longer."""
    story = Story(WITHOUT)
    for number in range(ONE_OFF_AHEAD):
        story.done(adding(f"w-{number}", end_us=NOW + HOUR + number))
    refusal = story.refused(adding("w-more"))
    assert (refusal.code, refusal.members["limit"]) == ("not-permitted", "one_off_ahead")
    story.done(cancelling("w-7"))
    story.done(adding("w-more"))
    story.wall_us = NOW + HOUR
    story.done(adding("w-later", start_us=NOW + HOUR, end_us=NOW + 2 * HOUR))


def test_so_many_comings_are_changed_ahead_and_what_is_open_can_always_be_narrowed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(window_rules, "CHANGED_AHEAD", 20)
    each_minute = replace(DAILY, cron="* * * * *")
    story = Story(replace(POLICY, windows=(each_minute,)))
    for number in range(1, 21):
        story.done(cancelling(coming_id("daily", NOW + number * MINUTE)))
    one_more = coming_id("daily", NOW + 21 * MINUTE)
    assert story.refused(cancelling(one_more)).members["limit"] == "changed_ahead"
    story.done(cancelling(TODAY))


def test_a_cancelled_window_is_gone_for_good_and_a_second_time_changes_nothing() -> None:
    story = Story(WITHOUT)
    story.done(adding())
    story.done(cancelling("w-1"))
    assert story.span() is None
    assert story.do(cancelling("w-1")) is None
    assert story.refused(approving("w-1")).code == "not-permitted"
    assert story.refused(shortening("w-1", NOW + MINUTE)).code == "not-permitted"


def test_one_coming_of_a_recurring_window_is_cancelled_and_the_next_one_is_not() -> None:
    story = Story()
    assert story.span() is not None
    story.done(cancelling(TODAY))
    assert story.span() is None
    story.wall_us += DAY
    assert story.span() is not None


def test_one_coming_is_shortened_and_the_next_one_is_not() -> None:
    story = Story()
    story.done(shortening(TODAY, NOW + MINUTE))
    span = story.span()
    assert span is not None
    assert span.end_us == NOW + MINUTE
    story.wall_us += DAY
    span = story.span()
    assert span is not None
    assert span.end_us == NOW + DAY + 2 * HOUR


def test_an_end_moves_earlier_alone() -> None:
    story = Story(WITHOUT)
    story.done(adding())
    for end_us in (NOW + HOUR, NOW + 2 * HOUR):
        assert story.refused(shortening("w-1", end_us)).members == {"pointer": "/end"}
    assert story.done(shortening("w-1", NOW + MINUTE)).end_us == NOW + MINUTE
    assert story.refused(shortening("w-1", NOW + 2 * MINUTE)).members == {"pointer": "/end"}


def test_an_end_that_has_passed_means_now_and_one_before_the_start_means_cancel_it() -> None:
    story = Story(WITHOUT)
    story.done(adding())
    story.wall_us += MINUTE
    assert story.done(shortening("w-1", NOW)).end_us == NOW + MINUTE
    assert standing(story.policy, story.book["w-1"], story.wall_us) == "over"
    story.done(adding("w-2", start_us=NOW + HOUR, end_us=NOW + 2 * HOUR))
    refusal = story.refused(shortening("w-2", NOW + HOUR))
    assert (refusal.code, "cancel it" in refusal.detail) == ("invalid-body", True)


@pytest.mark.parametrize("command", [approving("w-1"), cancelling("w-1"), shortening("w-1", NOW)])
def test_what_is_over_stays_as_it_was(command: Any) -> None:
    story = Story(WITHOUT)
    story.done(adding())
    story.wall_us += HOUR
    refusal = story.refused(command)
    assert (refusal.code, "over" in refusal.detail) == ("not-permitted", True)


@pytest.mark.parametrize(
    "identifier",
    [
        "w-1",
        "",
        "x" * 300,
        coming_id("weekly", NOW),
        coming_id("daily", NOW + MINUTE),
        coming_id("daily", NOW + AHEAD_US + DAY),
        TODAY.replace("2026", "9999"),
        TODAY.replace("2026", "0001"),
        TODAY.replace("1122", "1332"),
        TODAY.upper(),
    ],
)
def test_a_window_that_is_not_there_is_unknown(identifier: str) -> None:
    for command in (approving(identifier), cancelling(identifier), shortening(identifier, NOW)):
        assert Story().refused(command).code == "unknown-window"


def test_a_coming_that_does_not_open_is_no_window() -> None:
    """The missing hour, and a day of `except`."""
    gap = replace(DAILY, cron="30 2 * * *", exceptions=("2026-11-23",))
    story = Story(replace(POLICY, windows=(gap,)), wall_us=parse_rfc3339("2027-03-01T00:00:00Z"))
    assert story.refused(cancelling(coming_id("daily", parse_rfc3339("2027-03-28T01:30:00Z")))).code == (
        "unknown-window"
    )
    story.wall_us = NOW
    assert story.refused(cancelling(coming_id("daily", parse_rfc3339("2026-11-23T01:30:00Z")))).code == (
        "unknown-window"
    )


def test_the_id_of_a_coming_says_which_it_is() -> None:
    assert read_coming_id(TODAY, ["weekly", "daily"]) == ("daily", NOW)
    assert read_coming_id(TODAY, ["weekly"]) is None
    window = find(POLICY, {}, TODAY, NOW)
    assert window is not None
    assert (window.id, window.start_us, window.end_us) == (TODAY, NOW, NOW + 2 * HOUR)


def test_a_coming_that_the_file_no_longer_has_is_unknown_and_one_it_made_shorter_is_shorter() -> None:
    story = Story()
    story.done(shortening(TODAY, NOW + HOUR))
    story.policy = replace(POLICY, windows=(replace(DAILY, duration_us=MINUTE),))
    span = story.span()
    assert span is not None
    assert span.end_us == NOW + MINUTE
    story.policy = WITHOUT
    assert story.refused(cancelling(TODAY)).code == "unknown-window"


def test_with_two_people_the_one_who_alone_approved_it_does_not_open_in_it() -> None:
    """CONTRACT 3: a person, whatever device; everybody else may."""
    story = Story(replace(WITHOUT, two_people=True))
    story.done(adding())
    assert story.span(member=ANNA.id) is None
    assert story.span(member=BORIS.id) is not None
    assert story.do(approving("w-1", ANNA)) is None
    story.done(approving("w-1", BORIS))
    assert story.span(member=ANNA.id) is not None
    assert story.span(member=BORIS.id) is not None


def test_with_two_people_each_coming_needs_an_approval_and_by_another() -> None:
    story = Story(TWO_PEOPLE)
    assert story.span() is None
    story.done(approving(TODAY, ANNA))
    assert story.span(member=BORIS.id) is not None
    assert story.span(member=ANNA.id) is None
    story.wall_us += DAY
    assert story.span(member=BORIS.id) is None
    story.done(approving(TOMORROW, ANNA))
    assert story.span(member=BORIS.id) is not None
    story.done(cancelling(TOMORROW))
    assert story.span(member=BORIS.id) is None


def test_without_two_people_an_approved_window_needs_no_second_approval() -> None:
    story = Story()
    story.done(adding())
    assert story.do(approving("w-1")) is None
    assert story.do(approving(TODAY)) is None


def test_each_event_tells_the_whole_window() -> None:
    """So that the first one about a coming is enough to know it."""
    event = Story().do(shortening(TODAY, NOW + MINUTE))
    assert isinstance(event, Event)
    assert event.camera is None
    assert event.data == {
        "window": TODAY,
        "recurring": "daily",
        "cameras": ["cam1"],
        "start": rfc3339(NOW),
        "end": rfc3339(NOW + MINUTE),
        "planned_end": rfc3339(NOW + 2 * HOUR),
    }
