"""A point in time on the two clocks that matter: people's and the deadline's."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache

SECOND_US = 1_000_000


@dataclass(frozen=True, slots=True)
class Moment:
    """One reading of both clocks (S6, S17).

    `wall_us` is UTC in microseconds since 1970; `boottime_us` is CLOCK_BOOTTIME, which suspend
    does not stop; `synchronised` is the kernel's word on the wall clock (adjtimex, S25);
    `boot` names the boot that `boottime_us` counts from.
    """

    wall_us: int
    boottime_us: int
    synchronised: bool = True
    boot: str = ""

    def after(self, us: int) -> Moment:
        """The moment `us` microseconds later, if neither clock is stepped."""
        return Moment(self.wall_us + us, self.boottime_us + us, self.synchronised, self.boot)


def rfc3339(wall_us: int) -> str:
    """`wall_us` as RFC 3339 in UTC with microseconds, e.g. `2026-11-22T10:00:00.123456Z`."""
    seconds, micros = divmod(wall_us, SECOND_US)
    return f"{_second(seconds)}.{micros:06d}Z"


@lru_cache(maxsize=256)
def _second(seconds: int) -> str:
    """A second as text; the events of one step share it."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def parse_rfc3339(text: str) -> int:
    """Microseconds since 1970 of an RFC 3339 time with an offset; ValueError otherwise."""
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(f"{text!r} has no time zone; write for example 2026-11-22T10:00:00Z")
    delta = moment - datetime(1970, 1, 1, tzinfo=UTC)
    return (delta.days * 86_400 + delta.seconds) * SECOND_US + delta.microseconds
