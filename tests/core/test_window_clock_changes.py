"""Every change of the clock of 2026 to 2030 in four zones, with windows before, in, across and after it.

Two oracles that know nothing of our expansion: walking the UTC minutes and reading the wall clock at each
("a missing hour does not open, a repeated hour opens at its first coming only", CONTRACT 3), and systemd.
"""

from __future__ import annotations

import shutil
import subprocess
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from orchestrator.core.policy import RecurringWindow
from orchestrator.core.window import in_window, next_boundary, occurrences
from tests.core.clock_changes import ZONES, changes

pytestmark = pytest.mark.slow

SECOND = 1_000_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
YEARS = range(2026, 2031)
AROUND = 30 * HOUR
LOOKED_AT = 5 * HOUR


@dataclass(frozen=True)
class Change:
    """An instant at which a zone's offset becomes another; `local` is the minute of the day it would have
    been, `shift` by how many minutes the clock is put forward (negative: back)."""

    zone: str
    at_us: int
    local: int
    shift: int

    def __str__(self) -> str:
        return f"{self.zone}-{datetime.fromtimestamp(self.at_us // SECOND, UTC):%Y-%m-%d}"


def _changes(name: str) -> Iterator[Change]:
    for at, before, now in changes(name, YEARS):
        local = (at + before).replace(tzinfo=None)
        shift = (now - before) // timedelta(minutes=1)
        yield Change(name, int(at.timestamp()) * SECOND, local.hour * 60 + local.minute, shift)


CHANGES = [change for zone in ZONES for change in _changes(zone)]


def _windows(change: Change) -> dict[str, tuple[int, int]]:
    """Where windows are placed: (local minute of the start, minutes long)."""
    at, size = change.local, abs(change.shift)
    changed = at if change.shift > 0 else at - size
    places = {
        "before": (changed - 90, 60),
        "ends with it": (changed - 60, 60),
        "across": (changed - 30, 45),
        "from the last minute before": (changed - 1, 10),
        "begins with it": (changed, size),
        "in it": (changed + size // 2, size // 2),
        "from in it to long after": (changed + size // 2, 200),
        "its last minute": (changed + size - 1, 30),
        "begins where it ends": (changed + size, 60),
        "after": (changed + size + 30, 60),
        "a whole day": (changed + size // 2, 24 * 60),
    }
    return {name: (start % 1440, lasts) for name, (start, lasts) in places.items()}


def _scan(change: Change) -> list[tuple[int, int, bool]]:
    """Each UTC minute around the change: (instant, minute of the local day, whether this local time comes
    for the first time)."""
    zone, found, seen = ZoneInfo(change.zone), [], set[str]()
    for at_us in range(change.at_us - AROUND, change.at_us + AROUND, MINUTE):
        local = datetime.fromtimestamp(at_us // SECOND, zone)
        name = local.strftime("%d %H:%M")
        found.append((at_us, local.hour * 60 + local.minute, name not in seen))
        seen.add(name)
    return found


def _open(starts: list[int], lasts_us: int, at_us: int) -> int | None:
    """The end of what is open at that instant by the scan; None: nothing is."""
    before = bisect_right(starts, at_us) - 1
    if before < 0 or at_us >= starts[before] + lasts_us:
        return None
    end_us = starts[before] + lasts_us
    for start_us in starts[before + 1 :]:
        if start_us <= end_us:
            end_us = start_us + lasts_us
    return end_us


def test_each_zone_changes_its_clock_at_least_twice_in_each_year() -> None:
    for zone in ZONES:
        years = [
            datetime.fromtimestamp(change.at_us // SECOND, UTC).year
            for change in CHANGES
            if change.zone == zone
        ]
        assert all(years.count(year) >= 2 for year in YEARS), zone


@pytest.mark.parametrize("change", CHANGES, ids=str)
def test_around_a_change_of_the_clock_a_window_is_open_when_the_wall_clock_says_so_and_never_longer(
    change: Change,
) -> None:
    """S17, F14: never twice, never longer than written, never past its end."""
    scan = _scan(change)
    for place, (minute, lasts) in _windows(change).items():
        window = RecurringWindow(place, ("cam1",), f"{minute % 60} {minute // 60} * * *", lasts * MINUTE)
        starts = [at_us for at_us, local, first in scan if first and local == minute]
        first_us, last_us = scan[0][0], scan[-1][0]
        ours = occurrences(window, change.zone, first_us, last_us)
        inside = [one for one in ours if one.skipped is None and one.start_us >= first_us]
        assert [one.start_us for one in inside] == starts, place
        assert {one.end_us - one.start_us for one in inside} == {lasts * MINUTE}, place
        edges = [edge for start in starts for edge in (start, start + lasts * MINUTE)]
        looks = set(range(change.at_us - LOOKED_AT, change.at_us + LOOKED_AT, 20 * MINUTE))
        looks |= {edge + off for edge in edges for off in (-1, 0) if abs(edge - change.at_us) < LOOKED_AT}
        for at_us in looks:
            span = in_window([window], change.zone, "cam1", at_us)
            assert (span.end_us if span else None) == _open(starts, lasts * MINUTE, at_us), (place, at_us)
            following = next_boundary([window], change.zone, at_us)
            assert following == min(edge for edge in edges if edge > at_us), (place, at_us)


@pytest.mark.parametrize("change", [change for change in CHANGES if change.shift > 0], ids=str)
def test_what_begins_in_a_missing_hour_does_not_open_that_day_and_is_told_as_skipped(change: Change) -> None:
    for place in ("begins with it", "in it", "its last minute", "a whole day"):
        minute, lasts = _windows(change)[place]
        window = RecurringWindow(place, ("cam1",), f"{minute % 60} {minute // 60} * * *", lasts * MINUTE)
        near = occurrences(window, change.zone, change.at_us - 6 * HOUR, change.at_us + 6 * HOUR)
        skipped = [one for one in near if one.start_us >= change.at_us - 6 * HOUR]
        assert [(one.skipped, one.end_us - one.start_us) for one in skipped] == [("missing-hour", 0)], place


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")
@pytest.mark.parametrize("change", CHANGES, ids=str)
def test_systemd_starts_what_is_placed_there_at_the_same_instants(change: Change) -> None:
    places = ("across", "in it", "its last minute", "begins where it ends")
    for minute, lasts in (_windows(change)[place] for place in places):
        window = RecurringWindow("w", ("cam1",), f"{minute % 60} {minute // 60} * * *", lasts * MINUTE)
        theirs = _by_systemd(f"*-*-* {minute // 60:02}:{minute % 60:02}:00 {change.zone}", change.at_us)
        ours = occurrences(window, change.zone, change.at_us - AROUND + 1, theirs[-1] + 1)
        assert [one.start_us for one in ours if one.skipped is None][-len(theirs) :] == theirs


def _by_systemd(calendar: str, around_us: int) -> list[int]:
    """The next four instants that `systemd-analyze calendar` names, from a day before."""
    begin = datetime.fromtimestamp((around_us - AROUND) // SECOND, UTC)
    printed = subprocess.run(
        [
            *("systemd-analyze", "calendar", "--iterations=4"),
            f"--base-time={begin:%Y-%m-%d %H:%M:%S} UTC",
            calendar,
        ],
        check=True,
        capture_output=True,
        text=True,
        env={"PATH": "/usr/bin:/bin", "TZ": "UTC", "LC_ALL": "C"},
    ).stdout
    said = [line for line in printed.splitlines() if line.strip().startswith(("Next elapse:", "Iter. #"))]
    assert len(said) == 4, printed
    return [
        int(datetime.fromisoformat(" ".join(line.split(": ", 1)[1].split()[1:3]) + "+00:00").timestamp())
        * SECOND
        for line in said
    ]
