"""Durations, sizes and bit rates as people write them."""

from __future__ import annotations

import re

_DURATION = re.compile(
    r"(?:(\d{1,5})d)?(?:(\d{1,6})h)?(?:(\d{1,7})m(?!s))?(?:(\d{1,8})s)?(?:(\d{1,9})ms)?", re.ASCII
)
_UNITS_US = (86_400_000_000, 3_600_000_000, 60_000_000, 1_000_000, 1_000)
_SIZE = re.compile(r"(\d{1,12})(B|KiB|MiB|GiB)", re.ASCII)
_SIZES_BYTES = {"B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}
_RATE = re.compile(r"(\d{1,6})(k|M)", re.ASCII)


def parse_duration_us(text: str) -> int:
    """Microseconds of `"500ms"`, `"90s"`, `"15m"`, `"2h"`, `"365d"` or of several together: `"1h30m"`.

    Raises ValueError with what was expected.
    """
    found = _DURATION.fullmatch(text)
    if found is None or not text:
        raise ValueError('a duration such as "500ms", "90s", "15m" or "1h30m"')
    return sum(int(amount) * unit for amount, unit in zip(found.groups(), _UNITS_US, strict=True) if amount)


def duration_text(us: int) -> str:
    """`us` as the shortest text that `parse_duration_us` reads back; below a millisecond it is cut."""
    if us < 1_000:
        return "0s"
    parts = []
    for unit, name in zip(_UNITS_US, ("d", "h", "m", "s", "ms"), strict=True):
        amount, us = divmod(us, unit)
        if amount:
            parts.append(f"{amount}{name}")
    return "".join(parts)


def parse_size_bytes(text: str) -> int:
    """Bytes of `"200MiB"` (B, KiB, MiB, GiB), below 1024 GiB. Raises ValueError with what was expected."""
    found = _SIZE.fullmatch(text)
    size_bytes = int(found[1]) * _SIZES_BYTES[found[2]] if found else -1
    if not 0 <= size_bytes < 1 << 40:
        raise ValueError('a size such as "200MiB" or "1GiB", below 1024 GiB')
    return size_bytes


def parse_bits_per_second(text: str) -> int:
    """Bits a second of `"600k"` or `"2M"`. Raises ValueError with what was expected."""
    found = _RATE.fullmatch(text)
    if found is None:
        raise ValueError('a bit rate such as "600k" or "2M"')
    return int(found[1]) * (1_000 if found[2] == "k" else 1_000_000)
