"""A point in time as a person types it: RFC 3339, the site's own local time, `now`, or `+30m`."""

from __future__ import annotations

import argparse
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from orchestrator.cli.outcome import USAGE, Failure
from orchestrator.cli.spans import span_us
from orchestrator.core.moment import SECOND_US, parse_rfc3339, rfc3339

LIKE_THIS = "write for example 2026-11-22T14:00:00Z, '2026-11-22 14:00' (the site's zone), now or +30m"
_LOCAL = re.compile(r"([0-9]{4}-[0-9]{2}-[0-9]{2})[ T]([0-9]{2}:[0-9]{2})(:[0-9]{2})?", re.ASCII)


@dataclass(frozen=True, slots=True)
class When:
    """What was typed: an instant (microseconds since 1970), a span from now, or a local time."""

    text: str
    instant_us: int | None = None
    from_now_us: int | None = None
    local: datetime | None = None

    def resolved(self, zone: ZoneInfo, now_us: int) -> int:
        """The instant. Failure (usage) for a local time that the zone's clocks never show."""
        if self.instant_us is not None:
            return self.instant_us
        if self.from_now_us is not None:
            return now_us + self.from_now_us
        assert self.local is not None
        meant = self.local.replace(tzinfo=zone)
        instant = meant.astimezone(UTC)
        if instant.astimezone(zone).replace(tzinfo=None) != self.local:
            raise Failure(
                f"there is no {self.text} in {zone.key}: the clocks go forward; name another", USAGE
            )
        return int(instant.timestamp()) * SECOND_US


def when(text: str) -> When:
    """For argparse: what `text` means, before the site's zone is known."""
    typed = text.strip()
    if typed == "now":
        return When(typed, from_now_us=0)
    if typed.startswith("+"):
        return When(typed, from_now_us=span_us(typed[1:]))
    found = _LOCAL.fullmatch(typed)
    try:
        if found is not None:
            return When(typed, local=datetime.fromisoformat(typed))
        return When(typed, instant_us=parse_rfc3339(typed))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a time; {LIKE_THIS}") from None


def zone_of(name: object) -> ZoneInfo:
    """The site's zone by its name; Failure when this machine does not know it."""
    try:
        return ZoneInfo(str(name))
    except (ZoneInfoNotFoundError, ValueError):
        raise Failure(f"this machine does not know the time zone {name!r}; install tzdata") from None


def shown(instant: object, zone: ZoneInfo) -> str:
    """An RFC 3339 time of the daemon's as the site's clocks show it, without seconds where there are none."""
    local = datetime.fromisoformat(str(instant)).astimezone(zone)
    seconds = "%H:%M" if not (local.second or local.microsecond) else "%H:%M:%S"
    return local.strftime(f"%Y-%m-%d {seconds} %Z")


def in_utc(instant_us: int) -> str:
    """The form that the API takes."""
    return rfc3339(instant_us)
