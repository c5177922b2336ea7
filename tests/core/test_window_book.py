"""The fold of windows: from nothing, in any order of what narrows, never wider (S12, S13, S17)."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.core.events import Actor, Record, Sealed, observation
from orchestrator.core.moment import rfc3339
from orchestrator.core.window_book import KEPT, evolve
from orchestrator.core.window_plan import boundary_after
from orchestrator.core.window_rules import Narrowing, Widening
from tests.core.scene import START
from tests.core.window_scene import (
    ANNA,
    BORIS,
    DAY,
    HOUR,
    MINUTE,
    NOW,
    TODAY,
    TOMORROW,
    Story,
    adding,
    approving,
    cancelling,
    folded,
    shortening,
)

IDS = st.sampled_from(["w-1", "w-2", "w-3", TODAY, TOMORROW])
COMMANDS: st.SearchStrategy[Widening | Narrowing] = st.one_of(
    st.builds(
        adding,
        st.sampled_from(["w-1", "w-2", "w-3"]),
        approves=st.booleans(),
        member=st.sampled_from([ANNA.id, BORIS.id]),
        start_us=st.integers(NOW, NOW + DAY),
        end_us=st.integers(NOW + DAY, NOW + 3 * DAY),
    ),
    st.builds(approving, IDS, st.sampled_from([ANNA, BORIS])),
    st.builds(shortening, IDS, st.integers(NOW - HOUR, NOW + 3 * DAY)),
    st.builds(cancelling, IDS),
)
STEPS = st.lists(st.tuples(COMMANDS, st.integers(0, 6 * HOUR)), max_size=25)


@settings(max_examples=60)
@given(STEPS, st.booleans())
def test_what_narrows_never_widens_whatever_comes_after(
    steps: list[tuple[Widening | Narrowing, int]], two_people: bool
) -> None:
    story = Story()
    story.policy = replace(story.policy, two_people=two_people)
    for command, wait_us in steps:
        before = story.book
        story.do(command)
        for identifier, window in before.items():
            after = story.book[identifier]
            assert after.end_us <= window.end_us
            assert after.cancelled >= window.cancelled
            assert set(after.approved_by) >= set(window.approved_by)
        for member in (None, ANNA.id, BORIS.id):
            span = story.span(member=member)
            if span is not None:
                boundary = boundary_after(story.policy, story.book, story.wall_us)
                assert boundary is not None
                assert story.wall_us < boundary <= max(span.end_us, story.wall_us + 3 * DAY)
        story.wall_us += wait_us


@settings(max_examples=60)
@given(STEPS, st.randoms(use_true_random=False))
def test_the_order_in_which_two_events_of_a_known_window_land_does_not_matter(
    steps: list[tuple[Widening | Narrowing, int]], random: object
) -> None:
    """An approval that hangs in the log, and a cancelling that overtakes it."""
    story = Story()
    for command, wait_us in steps:
        story.do(command)
        story.wall_us += wait_us
    added = [record for record in story.records if record.event.name == "window_added"]
    others = [record for record in story.records if record.event.name != "window_added"]
    shuffled = list(others)
    random.shuffle(shuffled)  # type: ignore[attr-defined]

    def told(records: list[Record]) -> dict[str, object]:
        book = folded(records)
        return {
            key: replace(window, approved_by=tuple(sorted(window.approved_by)))
            for key, window in book.items()
        }

    assert told([*added, *shuffled]) == told(story.records)


def test_of_two_ends_the_earlier_counts_whichever_lands_last() -> None:
    story = Story()
    story.done(shortening(TODAY, NOW + HOUR))
    story.done(shortening(TODAY, NOW + MINUTE))
    assert folded(story.records) == folded(reversed(story.records))
    assert story.book[TODAY].end_us == NOW + MINUTE


def test_what_is_not_about_windows_changes_nothing() -> None:
    story = Story()
    story.done(adding())
    for event in (
        observation("config_loaded", Actor("service", "volet")),
        observation("window_cancelled", ANNA, camera="cam1", data={"window": "w-1", "recurring": None}),
        observation("window_cancelled", ANNA, data={"window": "w-9", "recurring": None}),
    ):
        record = Record(9, Sealed(event, "id-9", START, "", ""), "", "", b"")
        assert evolve(story.book, record) is story.book


def test_the_book_is_bounded_and_forgets_only_what_is_over() -> None:
    """K3: and never one that was cancelled before its planned end, else it would open again."""
    story = Story()
    story.done(adding("w-kept", end_us=NOW + 2 * DAY))
    story.done(cancelling("w-kept"))
    for number in range(KEPT + 20):
        start_us = NOW + number
        data = {
            "window": f"w-{number}",
            "recurring": None,
            "cameras": ["cam1"],
            "start": rfc3339(start_us),
            "end": rfc3339(start_us + MINUTE),
            "planned_end": rfc3339(start_us + MINUTE),
            "by": "m-anna",
        }
        event = observation("window_added", ANNA, data=data)
        at = replace(START, wall_us=NOW + HOUR)
        story.book = evolve(story.book, Record(0, Sealed(event, f"i{number}", at, "", ""), "", "", b""))
    assert len(story.book) == KEPT
    assert story.book["w-kept"].cancelled
    assert "w-0" not in story.book
