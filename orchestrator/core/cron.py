"""Five cron fields, read strictly: which minutes of which days (CONTRACT 3 `cron`)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date

_WEEKDAYS = {name: number for number, name in enumerate(("mon", "tue", "wed", "thu", "fri", "sat", "sun"))}
_MONTHS = {
    name: number
    for number, name in enumerate(
        ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"), start=1
    )
}
MAX_CHARACTERS = 500
_LONGEST_MONTH_DAYS = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
_PART = re.compile(r"(?P<first>\*|[a-z0-9]+)(?:-(?P<last>[a-z0-9]+))?(?:/(?P<step>[0-9]{1,3}))?", re.ASCII)


class CronInvalid(ValueError):
    """The text is not five cron fields that we read; the message says what was expected."""


@dataclass(frozen=True, slots=True)
class Cron:
    """The minutes at which something starts, in local time.

    `minutes` and `hours` ascend; `days` (1-31), `months` (1-12) and `weekdays` (Monday is 0) are bit sets.
    """

    minutes: tuple[int, ...]
    hours: tuple[int, ...]
    days: int
    months: int
    weekdays: int

    def has(self, day: date) -> bool:
        """Whether anything starts on that date."""
        return bool(self.months >> day.month & self.days >> day.day & self.weekdays >> day.weekday() & 1)

    def from_minute(self, first: int) -> Iterator[int]:
        """The starting minutes of a day (0-1439) not before `first`, ascending."""
        for hour in self.hours:
            if hour * 60 + 59 >= first:
                for minute in self.minutes:
                    if hour * 60 + minute >= first:
                        yield hour * 60 + minute

    def until_minute(self, last: int) -> Iterator[int]:
        """The starting minutes of a day (0-1439) not after `last`, descending."""
        for hour in reversed(self.hours):
            if hour * 60 <= last:
                for minute in reversed(self.minutes):
                    if hour * 60 + minute <= last:
                        yield hour * 60 + minute


def parse_cron(text: str) -> Cron:
    """Read `minute hour day month weekday`: lists, ranges, steps, names of months and weekdays.

    Weekdays go by name only (numbers mean different days to different programs), and a day of the month
    together with a weekday is refused (some programs read AND, others OR: FIELD 8). Raises CronInvalid.
    """
    fields = text.lower().split()
    if len(text) > MAX_CHARACTERS:
        raise CronInvalid(f"five fields of at most {MAX_CHARACTERS} characters, not {len(text)}")
    if len(fields) != 5:
        raise CronInvalid(
            f'five fields "minute hour day month weekday", for example "0 9 * * tue"; not {len(fields)}'
        )
    minute, hour, day, month, weekday = fields
    if day != "*" and weekday != "*":
        raise CronInvalid("a day of the month or a weekday, not both: one of the two fields must be *")
    if weekday != "*" and re.search(r"[0-9]", weekday.partition("/")[0]):
        raise CronInvalid(
            "weekdays by name (mon tue wed thu fri sat sun): numbers mean different days elsewhere"
        )
    cron = Cron(
        minutes=_field(minute, "minute", 0, 59, {}),
        hours=_field(hour, "hour", 0, 23, {}),
        days=_bits(day, "day of the month", 1, 31, {}),
        months=_bits(month, "month", 1, 12, _MONTHS),
        weekdays=_bits(weekday, "weekday", 0, 6, _WEEKDAYS),
    )
    if day != "*" and not any(
        cron.months >> number & 1 and cron.days & (2 << length) - 1
        for number, length in enumerate(_LONGEST_MONTH_DAYS, start=1)
    ):
        raise CronInvalid("a date that exists: no month that is named has such a day")
    return cron


def _bits(text: str, what: str, lowest: int, highest: int, names: Mapping[str, int]) -> int:
    if text == "*":
        return (2 << highest) - (1 << lowest)
    return sum(1 << value for value in _field(text, what, lowest, highest, names))


def _field(text: str, what: str, lowest: int, highest: int, names: Mapping[str, int]) -> tuple[int, ...]:
    if text == "*":
        return tuple(range(lowest, highest + 1))
    if text in names or text.isdecimal():
        return (_value(text, what, lowest, highest, names),)
    values: set[int] = set()
    for part in text.split(","):
        found = _PART.fullmatch(part)
        if found is None:
            raise CronInvalid(f"a {what} as *, a value, a list, a range a-b or a step */n; not {part!r}")
        first_text, last_text, step_text = found["first"], found["last"], found["step"]
        if first_text == "*":
            if last_text is not None:
                raise CronInvalid(f"a {what} range between two values; not {part!r}")
            first, last = lowest, highest
        else:
            first = _value(first_text, what, lowest, highest, names)
            last = first if last_text is None else _value(last_text, what, lowest, highest, names)
        step = 1 if step_text is None else int(step_text)
        if step < 1 or (step_text is not None and first_text != "*" and last_text is None):
            raise CronInvalid(
                f"a {what} step of at least 1 after * or a range, for example */15; not {part!r}"
            )
        if last < first:
            raise CronInvalid(f"a {what} range that ascends (the week begins with mon); not {part!r}")
        values.update(range(first, last + 1, step))
    return tuple(sorted(values))


def _value(text: str, what: str, lowest: int, highest: int, names: Mapping[str, int]) -> int:
    if text in names:
        return names[text]
    if not (text.isascii() and text.isdecimal()) or not lowest <= int(text) <= highest:
        among = f"{' '.join(names)}" if what == "weekday" else f"{lowest}-{highest}"
        raise CronInvalid(f"a {what} among {among}; not {text!r}")
    return int(text)
