"""Recurring windows: our expansion against two others, a scan of every minute and systemd's own calendar."""

from __future__ import annotations

import shutil
import subprocess
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.core.cron import CronInvalid, parse_cron
from orchestrator.core.policy import RecurringWindow
from orchestrator.core.window import Occurrence, Span, in_window, next_boundary, occurrences
from tests.core.clock_changes import ZONES, changes

MINUTE = 60_000_000
HOUR = 60 * MINUTE
DAY = 24 * HOUR
WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


def utc(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * 1_000_000


def window(cron: str, duration_us: int = 2 * HOUR, name: str = "weekly", *exceptions: str) -> RecurringWindow:
    return RecurringWindow(name, ("cam1",), cron, duration_us, exceptions)


CHANGES = [
    (zone, int(at.timestamp()) * 1_000_000) for zone in ZONES for at, _, _ in changes(zone, range(2026, 2028))
]


def scanned_starts(cron: str, zone: str, from_us: int, until_us: int) -> list[int]:
    """The opening starts that walking the instants finds, reading the wall clock at each."""
    minute, hour, _, _, weekday = cron.split()
    minutes = range(60) if minute == "*" else [int(value) for value in minute.split(",")]
    hours = range(24) if hour == "*" else [int(value) for value in hour.split(",")]
    days = WEEKDAYS if weekday == "*" else weekday.split(",")
    place, found = ZoneInfo(zone), []
    seen: set[datetime] = set()
    for at_us in range(from_us - 3 * HOUR, until_us, MINUTE):
        local = datetime.fromtimestamp(at_us // 1_000_000, place)
        naive = local.replace(tzinfo=None)
        first_coming = naive not in seen
        seen.add(naive)
        if (
            first_coming
            and local.minute in minutes
            and local.hour in hours
            and WEEKDAYS[local.weekday()] in days
        ):
            found.append(at_us)
    return [at_us for at_us in found if at_us >= from_us]


@pytest.mark.slow
@pytest.mark.parametrize(("zone", "change"), CHANGES)
@pytest.mark.parametrize(
    "cron", ["30 2 * * *", "0 3 * * sun", "15,45 0,1,2,3 * * *", "* * * * *", "0 0 * * sat,sun"]
)
def test_around_each_change_of_the_clock_starts_are_those_a_scan_of_every_minute_finds(
    zone: str, change: int, cron: str
) -> None:
    from_us, until_us = change - 26 * HOUR, change + 26 * HOUR
    ours = occurrences(window(cron, MINUTE), zone, from_us, until_us)
    assert [
        one.start_us for one in ours if one.skipped is None and one.start_us >= from_us
    ] == scanned_starts(cron, zone, from_us, until_us)


def test_the_zones_change_their_clocks_at_least_twice_a_year() -> None:
    assert len(CHANGES) >= 4 * 4


def test_a_missing_hour_does_not_open_and_says_so() -> None:
    (one,) = occurrences(
        window("30 2 * * *"), "Europe/Paris", utc("2026-03-29 00:00"), utc("2026-03-29 12:00")
    )
    assert (one.skipped, one.local, one.end_us - one.start_us) == ("missing-hour", "2026-03-29T02:30", 0)
    assert in_window([window("30 2 * * *")], "Europe/Paris", "cam1", utc("2026-03-29 01:30")) is None


def test_a_repeated_hour_opens_at_its_first_coming_only_and_ends_after_its_duration_s17() -> None:
    ours = occurrences(
        window("30 2 * * *", 30 * MINUTE), "Europe/Paris", utc("2026-10-25 00:00"), utc("2026-10-25 12:00")
    )
    assert [(one.start_us, one.end_us) for one in ours] == [
        (utc("2026-10-25 00:30"), utc("2026-10-25 01:00"))
    ]
    assert (
        in_window([window("30 2 * * *", 30 * MINUTE)], "Europe/Paris", "cam1", utc("2026-10-25 01:35"))
        is None
    )


def test_in_the_second_coming_of_an_hour_a_window_of_the_first_still_runs() -> None:
    span = in_window([window("50 2 * * *", HOUR)], "Europe/Paris", "cam1", utc("2026-10-25 01:10"))
    assert span == Span(utc("2026-10-25 00:50"), utc("2026-10-25 01:50"), ("weekly",))


def test_the_weekday_belongs_to_the_start() -> None:
    nightly = window("0 22 * * fri", 6 * HOUR)
    assert in_window([nightly], "Europe/Paris", "cam1", utc("2026-11-21 02:00")) is not None
    assert in_window([nightly], "Europe/Paris", "cam1", utc("2026-11-20 02:00")) is None


def test_a_window_begins_with_its_first_microsecond_and_is_over_with_its_last() -> None:
    weekly, start, end = window("0 9 * * tue"), utc("2026-11-24 08:00"), utc("2026-11-24 10:00")
    inside = [
        at for at in (start - 1, start, end - 1, end) if in_window([weekly], "Europe/Paris", "cam1", at)
    ]
    assert inside == [start, end - 1]


def test_an_excepted_date_does_not_open() -> None:
    weekly = window("0 9 * * fri", 2 * HOUR, "weekly", "2026-12-25")
    assert in_window([weekly], "Europe/Paris", "cam1", utc("2026-12-25 08:30")) is None
    (one,) = occurrences(weekly, "Europe/Paris", utc("2026-12-25 00:00"), utc("2026-12-26 00:00"))
    assert one.skipped == "excepted"


def test_windows_that_overlap_or_touch_are_one() -> None:
    both = [window("0 9 * * tue", HOUR, "first"), window("0 10 * * tue", HOUR, "second")]
    for at in ("2026-11-24 08:10", "2026-11-24 09:10"):
        assert in_window(both, "Europe/Paris", "cam1", utc(at)) == Span(
            utc("2026-11-24 08:00"), utc("2026-11-24 10:00"), ("first", "second")
        )


def test_a_window_of_another_camera_is_none_of_ours() -> None:
    assert in_window([window("* * * * *")], "UTC", "cam2", utc("2026-11-24 08:10")) is None


def test_a_window_that_never_closes_ends_a_day_ahead_at_least() -> None:
    now = utc("2026-11-24 08:10") + 17
    span = in_window([window("* * * * *", 2 * MINUTE)], "Europe/Paris", "cam1", now)
    assert span is not None
    assert now + DAY <= span.end_us <= now + DAY + 2 * MINUTE
    assert span.start_us <= now


def test_a_one_off_window_opens_and_joins_a_recurring_one() -> None:
    extra = Occurrence("w-1", utc("2026-11-24 10:00"), utc("2026-11-24 11:00"), ("cam1",))
    span = in_window(
        [window("0 9 * * tue")], "Europe/Paris", "cam1", utc("2026-11-24 10:30"), one_off=[extra]
    )
    assert span == Span(utc("2026-11-24 08:00"), utc("2026-11-24 11:00"), ("w-1", "weekly"))


def test_a_cancelled_coming_does_not_open_and_a_shortened_one_ends_early_f19() -> None:
    weekly, start = window("0 9 * * tue"), utc("2026-11-24 08:00")
    cancelled = {("weekly", start): start}
    assert in_window([weekly], "Europe/Paris", "cam1", start + MINUTE, amended=cancelled) is None
    shortened = {("weekly", start): start + HOUR}
    span = in_window([weekly], "Europe/Paris", "cam1", start + MINUTE, amended=shortened)
    assert span is not None
    assert span.end_us == start + HOUR
    assert next_boundary([weekly], "Europe/Paris", start + MINUTE, amended=shortened) == start + HOUR
    assert in_window([weekly], "Europe/Paris", "cam1", start + 7 * DAY, amended=cancelled) is not None


def test_behind_a_cancelled_coming_an_earlier_one_still_runs() -> None:
    twice, first = window("0 9,10 * * tue", 3 * HOUR), utc("2026-11-24 08:00")
    span = in_window(
        [twice], "Europe/Paris", "cam1", first + 90 * MINUTE, amended={("weekly", first + HOUR): first + HOUR}
    )
    assert span == Span(first, first + 3 * HOUR, ("weekly",))


@pytest.mark.parametrize("wall_us", [-(10**18), 10**18])
def test_a_clock_out_of_all_reason_is_in_no_window_s5(wall_us: int) -> None:
    assert in_window([window("* * * * *")], "UTC", "cam1", wall_us) is None
    assert next_boundary([window("* * * * *")], "UTC", wall_us) is None


def test_boundaries_come_in_turn() -> None:
    at, found = utc("2026-11-23 00:00"), []
    for _ in range(4):
        following = next_boundary([window("0 9 * * tue")], "Europe/Paris", at)
        assert following is not None
        found.append(following)
        at = following
    start = utc("2026-11-24 08:00")
    assert found == [start, start + 2 * HOUR, start + 7 * DAY, start + 7 * DAY + 2 * HOUR]


def test_the_29th_of_february_is_found_eight_years_ahead() -> None:
    leap = window("0 9 29 2 *")
    assert next_boundary([leap], "UTC", utc("2096-03-01 00:00")) == utc("2104-02-29 09:00")


@pytest.mark.parametrize(
    ("cron", "expected"),
    [
        ("0 9 * *", "five fields"),
        ("0 9 * * 2", "by name"),
        ("0 9 13 * fri", "not both"),
        ("0 9 */2 * fri", "not both"),
        ("60 9 * * *", "0-59"),
        ("0 24 * * *", "0-23"),
        ("0 9 0 * *", "1-31"),
        ("0 9 31 2,4 *", "exists"),
        ("0 9 * * fri-mon", "ascends"),
        ("0 9 * * tues", "weekday among"),
        ("0/5 9 * * *", "step"),
        ("*/0 9 * * *", "step"),
        ("0 9 * * tue,", "weekday"),
        ("@daily", "five fields"),
        ("\u0660 9 * * *", "minute"),
    ],
)
def test_cron_fields_that_mean_different_things_elsewhere_or_nothing_are_refused(
    cron: str, expected: str
) -> None:
    with pytest.raises(CronInvalid, match=expected):
        parse_cron(cron)


FIELDS = st.tuples(
    st.sampled_from(["0", "30", "*/15", "5-20/5", "10,50"]),
    st.sampled_from(["*", "2", "0-4", "*/3", "1,2,23"]),
    st.sampled_from([("*", "*"), ("*", "sat-sun"), ("*", "mon,wed"), ("1-7", "*"), ("29", "*"), ("31", "*")]),
    st.sampled_from(["*", "mar,oct", "4-11"]),
).map(lambda parts: f"{parts[0]} {parts[1]} {parts[2][0]} {parts[3]} {parts[2][1]}")
WINDOWS = st.lists(
    st.tuples(FIELDS, st.integers(1, 400)), min_size=1, max_size=3, unique_by=lambda pair: pair[0]
).map(lambda pairs: [window(cron, minutes * MINUTE, f"w{i}") for i, (cron, minutes) in enumerate(pairs)])
INSTANTS = st.one_of(
    st.integers(utc("2026-01-01 00:00"), utc("2028-01-01 00:00")),
    st.builds(
        lambda change, off: change + off,
        st.sampled_from([at for _, at in CHANGES]),
        st.integers(-6 * HOUR, 6 * HOUR),
    ),
)


@settings(max_examples=150)
@given(windows=WINDOWS, zone=st.sampled_from(ZONES), at=INSTANTS)
def test_being_inside_agrees_with_the_list_of_comings(
    windows: list[RecurringWindow], zone: str, at: int
) -> None:
    running = [
        one
        for each in windows
        for one in occurrences(each, zone, at - DAY, at + 2 * DAY)
        if one.skipped is None
    ]
    span = in_window(windows, zone, "cam1", at)
    assert (span is not None) == any(one.start_us <= at < one.end_us for one in running)
    if span is not None:
        assert span.start_us <= at < span.end_us
        assert any(one.start_us == span.start_us for one in running)
        # No longer than its parts, and nothing that touches its end within a day is left out.
        covered = at
        while covered < min(span.end_us, at + DAY):
            onward = max((one.end_us for one in running if one.start_us <= covered), default=covered)
            assert onward > covered
            covered = onward
        if span.end_us < at + DAY:
            assert not any(one.start_us <= span.end_us < one.end_us for one in running)
            assert covered == span.end_us


@settings(max_examples=100)
@given(windows=WINDOWS, zone=st.sampled_from(ZONES), at=INSTANTS)
def test_between_two_boundaries_nothing_opens_and_nothing_closes(
    windows: list[RecurringWindow], zone: str, at: int
) -> None:
    following = next_boundary(windows, zone, at)
    assert following is not None
    assert following > at
    edges = [
        edge
        for each in windows
        for one in occurrences(each, zone, at - DAY, following + 1)
        if one.skipped is None
        for edge in (one.start_us, one.end_us)
    ]
    assert not any(at < edge < following for edge in edges)
    assert following in edges


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")
@pytest.mark.parametrize(("zone", "change"), CHANGES)
@pytest.mark.parametrize(
    ("cron", "calendar"),
    [
        ("30 2 * * *", "*-*-* 02:30:00"),
        ("0 3 * * sun", "Sun *-*-* 03:00:00"),
        ("15,45 1,2 * * *", "*-*-* 01,02:15,45:00"),
    ],
)
def test_systemd_starts_at_the_same_instants(zone: str, change: int, cron: str, calendar: str) -> None:
    begin = datetime.fromtimestamp((change - 26 * HOUR) // 1_000_000, UTC)
    printed = subprocess.run(
        [
            "systemd-analyze",
            "calendar",
            "--iterations=6",
            f"--base-time={begin:%Y-%m-%d %H:%M:%S} UTC",
            f"{calendar} {zone}",
        ],
        check=True,
        capture_output=True,
        text=True,
        env={"PATH": "/usr/bin:/bin", "TZ": "UTC", "LC_ALL": "C"},
    ).stdout
    theirs = [
        utc(" ".join(line.split(": ", 1)[1].split()[1:3]))
        for line in printed.splitlines()
        if line.strip().startswith(("Next elapse:", "Iter. #"))
    ]
    assert len(theirs) == 6
    ours = occurrences(window(cron, MINUTE), zone, change - 26 * HOUR + 1, theirs[-1] + 1)
    assert [one.start_us for one in ours if one.skipped is None] == theirs
