"""When a recurring maintenance window stands open: our own small expansion of cron in the site's zone.

A missing hour (daylight saving) does not open, a repeated hour opens at its first coming only, the weekday
belongs to the window's start, ends are computed in UTC, and windows that overlap or touch are one
(CONTRACT 3, S17; why no library does it: FIELD 8). `zoneinfo` reads the zone once and keeps it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from heapq import merge
from itertools import islice
from typing import Literal
from zoneinfo import ZoneInfo

from orchestrator.core.cron import Cron, parse_cron
from orchestrator.core.moment import SECOND_US
from orchestrator.core.policy import RecurringWindow

Skipped = Literal["missing-hour", "excepted"]
Amended = Mapping[tuple[str, int], int]

DAY_US = 86_400 * SECOND_US
_ONE_DAY = timedelta(days=1)
_EPOCH_ORDINAL = date(1970, 1, 1).toordinal()
_EARLIEST_US = -DAY_US * 365
_LATEST_US = DAY_US * 366 * 1000
# 29 February is at most eight years away (2096 to 2104).
_HORIZON_US = DAY_US * (366 * 8 + 1)


@dataclass(frozen=True, slots=True)
class Occurrence:
    """One coming of a window: `[start_us, end_us)` in wall microseconds (UTC).

    `local` is the start as the site's clock says it (`2026-03-29T02:30`). When `skipped` says why it does
    not open, `end_us` equals `start_us`.
    """

    name: str
    start_us: int
    end_us: int
    cameras: tuple[str, ...]
    local: str = ""
    skipped: Skipped | None = None


@dataclass(frozen=True, slots=True)
class Span:
    """An unbroken stretch `[start_us, end_us)` and the names of the windows it is made of.

    Both ends are bounds, not history: see `in_window` for how far they look.
    """

    start_us: int
    end_us: int
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Rule:
    window: RecurringWindow
    cron: Cron
    zone: ZoneInfo
    amended: Amended

    def end_of(self, start_us: int) -> int:
        planned_us = start_us + self.window.duration_us
        return min(planned_us, self.amended.get((self.window.name, start_us), planned_us))

    def coming(self, from_us: int, until_us: int) -> Iterator[tuple[int, date, int, Skipped | None]]:
        """(start, local date, minute of it, why skipped) of each start in `[from_us, until_us)`, in order."""
        local = datetime.fromtimestamp(from_us // SECOND_US, self.zone)
        day, first = local.date(), local.hour * 60 + local.minute
        final = datetime.fromtimestamp(until_us // SECOND_US, self.zone).date() + _ONE_DAY
        while day <= final:
            if self.cron.has(day):
                for minute in self.cron.from_minute(first):
                    start_us, missing = _instant(day, minute, self.zone)
                    if start_us >= until_us and missing is None:
                        return
                    if from_us <= start_us < until_us:
                        excepted = bool(self.window.exceptions) and day.isoformat() in self.window.exceptions
                        yield start_us, day, minute, "excepted" if excepted else missing
            day, first = day + _ONE_DAY, 0

    def opening(self, from_us: int, until_us: int) -> Iterator[int]:
        """The starts in `[from_us, until_us)` that open, ascending."""
        return (start_us for start_us, _, _, skipped in self.coming(from_us, until_us) if skipped is None)

    def ends(self, from_us: int, until_us: int) -> Iterator[tuple[int, int, str]]:
        """(start, end, name) of what opens in `[from_us, until_us)`, ascending."""
        return (
            (start_us, self.end_of(start_us), self.window.name)
            for start_us in self.opening(from_us, until_us)
        )

    def opened(self, until_us: int, since_us: int) -> Iterator[int]:
        """The starts within `[since_us, until_us]` that open, descending."""
        local = datetime.fromtimestamp(until_us // SECOND_US, self.zone)
        if local.fold:
            # Within a repeated hour the whole of its first coming lies behind us, later local minutes too.
            first_coming = local.replace(fold=0).utcoffset() or timedelta()
            local += first_coming - (local.utcoffset() or timedelta())
        day, last = local.date(), local.hour * 60 + local.minute
        earliest = datetime.fromtimestamp(since_us // SECOND_US, self.zone).date() - _ONE_DAY
        while day >= earliest:
            if self.cron.has(day) and not (
                self.window.exceptions and day.isoformat() in self.window.exceptions
            ):
                for minute in self.cron.until_minute(last):
                    start_us, missing = _instant(day, minute, self.zone)
                    if start_us < since_us:
                        return
                    if start_us <= until_us and missing is None:
                        yield start_us
            day, last = day - _ONE_DAY, 1439

    def running_until(self, at_us: int) -> int:
        """The latest end of what started no later than `at_us`; `at_us` itself when nothing outlasts it."""
        latest = at_us
        for start_us in self.opened(at_us, at_us - self.window.duration_us):
            latest = max(latest, self.end_of(start_us))
            if (self.window.name, start_us) not in self.amended:
                break
        return latest

    def running_since(self, at_us: int) -> int:
        """The earliest start of what still ran at `at_us` or ended there; `at_us` itself without any."""
        for start_us in self.opening(at_us - self.window.duration_us, at_us):
            if self.end_of(start_us) >= at_us:
                return start_us
        return at_us


def _instant(day: date, minute: int, zone: ZoneInfo) -> tuple[int, Skipped | None]:
    """The first coming of a local minute as wall microseconds, and whether it exists at all."""
    local = datetime(day.year, day.month, day.day, minute // 60, minute % 60, tzinfo=zone)
    offset, other = local.utcoffset(), local.replace(fold=1).utcoffset()
    if offset is None or other is None:
        raise ValueError(f"{zone} says no offset for {local}")
    seconds = (day.toordinal() - _EPOCH_ORDINAL) * 86_400 + minute * 60
    start_us = (seconds - offset.days * 86_400 - offset.seconds) * SECOND_US
    return start_us, "missing-hour" if offset < other else None


def _rules(windows: Sequence[RecurringWindow], timezone: str, amended: Amended) -> list[_Rule]:
    zone = ZoneInfo(timezone)
    return [_Rule(window, parse_cron(window.cron), zone, amended) for window in windows]


def occurrences(
    window: RecurringWindow,
    timezone: str,
    from_utc_us: int,
    until_utc_us: int,
    *,
    amended: Amended | None = None,
) -> Iterator[Occurrence]:
    """What of `window` touches `[from_utc_us, until_utc_us)`, in order: what runs, and what is skipped.

    `amended` maps (window name, start) to an earlier end; an end at the start cancels that coming.
    """
    (rule,) = _rules([window], timezone, amended or {})
    return _expand(rule, from_utc_us, until_utc_us)


def _expand(rule: _Rule, from_us: int, until_us: int) -> Iterator[Occurrence]:
    for start_us, day, minute, skipped in rule.coming(from_us - rule.window.duration_us, until_us):
        end_us = start_us if skipped else rule.end_of(start_us)
        if end_us > from_us or start_us >= from_us:
            local = f"{day.isoformat()}T{minute // 60:02d}:{minute % 60:02d}"
            yield Occurrence(rule.window.name, start_us, end_us, rule.window.cameras, local, skipped)


def in_window(
    windows: Sequence[RecurringWindow],
    timezone: str,
    camera: str,
    wall_us: int,
    *,
    one_off: Sequence[Occurrence] = (),
    amended: Amended | None = None,
    ahead_us: int = DAY_US,
) -> Span | None:
    """The stretch that `camera` is inside of at `wall_us`, or None.

    Overlapping and touching comings of all its windows, `one_off` ones too, are merged: forward until the
    end lies at least `ahead_us` away, backward no further than the longest duration. `amended` as in
    `occurrences`. A clock outside the years 1969 to 2970 is in no window (S5).
    """
    if not _EARLIEST_US <= wall_us <= _LATEST_US:
        return None
    rules = _rules([window for window in windows if camera in window.cameras], timezone, amended or {})
    others = [one for one in one_off if camera in one.cameras and one.end_us > one.start_us]
    end_us = wall_us
    names: set[str] = set()
    for rule in rules:
        running_until_us = rule.running_until(wall_us)
        if running_until_us > wall_us:
            names.add(rule.window.name)
            end_us = max(end_us, running_until_us)
    for one in others:
        if one.start_us <= wall_us < one.end_us:
            names.add(one.name)
            end_us = max(end_us, one.end_us)
    if end_us == wall_us:
        return None
    later = (rule.ends(wall_us + 1, wall_us + ahead_us) for rule in rules)
    others_later = sorted((one.start_us, one.end_us, one.name) for one in others if one.start_us > wall_us)
    for start_us, next_end_us, name in merge(*later, others_later):
        if start_us > end_us or end_us >= wall_us + ahead_us:
            break
        if next_end_us > start_us:
            names.add(name)
            end_us = max(end_us, next_end_us)
    return Span(_since(rules, others, wall_us, names), end_us, tuple(sorted(names)))


def _since(rules: Sequence[_Rule], others: Sequence[Occurrence], wall_us: int, names: set[str]) -> int:
    """The earliest start joined to `wall_us`, looking back no further than the longest duration.

    The names of what was joined are added to `names`.
    """
    longest_us = max(
        [rule.window.duration_us for rule in rules] + [one.end_us - one.start_us for one in others]
    )
    since_us = wall_us
    while since_us > wall_us - longest_us:
        before_us = since_us
        for rule in rules:
            earlier_us = rule.running_since(since_us)
            if earlier_us < since_us:
                since_us = earlier_us
                names.add(rule.window.name)
        for one in others:
            if one.start_us < since_us <= one.end_us:
                since_us = one.start_us
                names.add(one.name)
        if since_us == before_us:
            break
    return since_us


def next_boundary(
    windows: Sequence[RecurringWindow],
    timezone: str,
    wall_us: int,
    *,
    one_off: Sequence[Occurrence] = (),
    amended: Amended | None = None,
) -> int | None:
    """The first start or end of any single coming after `wall_us`, or None when there is none to come.

    For waking up only: where windows overlap, a boundary may change nothing.
    """
    if not _EARLIEST_US <= wall_us <= _LATEST_US:
        return None
    found = [edge for one in one_off for edge in (one.start_us, one.end_us)]
    found += (amended or {}).values()
    horizon_us = wall_us + _HORIZON_US
    for rule in _rules(windows, timezone, amended or {}):
        duration_us = rule.window.duration_us
        found += islice(rule.opening(wall_us + 1, horizon_us), 1)
        found += (
            start_us + duration_us
            for start_us in islice(rule.opening(wall_us + 1 - duration_us, horizon_us), 1)
        )
    return min((edge for edge in found if edge > wall_us), default=None)
