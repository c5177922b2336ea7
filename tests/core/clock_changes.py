"""At which instants the clocks of four zones change, by reading zoneinfo's offset along the way."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

ZONES = ("Europe/Paris", "America/New_York", "Australia/Lord_Howe", "Africa/Casablanca")
DAY, STEP = timedelta(days=1), timedelta(minutes=30)


def changes(name: str, years: range) -> Iterator[tuple[datetime, timedelta, timedelta]]:
    """Each change in those years: the instant in UTC, the offset before it and the offset from then on. A day
    that ends with the offset it began with is taken to be without any."""
    zone = ZoneInfo(name)
    day, stop = datetime(years.start, 1, 1, tzinfo=UTC), datetime(years.stop, 1, 1, tzinfo=UTC)
    before = _offset(zone, day)
    while day < stop:
        if _offset(zone, day + DAY) != before:
            at = day + STEP
            while (now := _offset(zone, at)) == before:
                at += STEP
            yield at, before, now
            before = now
        day += DAY


def _offset(zone: ZoneInfo, at: datetime) -> timedelta:
    offset = at.astimezone(zone).utcoffset()
    assert offset is not None
    return offset
