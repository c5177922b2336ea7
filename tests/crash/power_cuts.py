"""What a power cut leaves of a file that was being written: sectors that are new, old, or neither."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass

SECTOR_BYTES = 512


@dataclass(frozen=True, slots=True)
class Left:
    """A file as it may be found. `whole`: every sector had reached the disk."""

    how: str
    data: bytes
    whole: bool


def cuts(before: bytes, after: bytes, seed: int, *, synced_bytes: int, every: int = 1) -> Iterator[Left]:
    """Every way that is tried of getting from `before` to `after` by half, at each so-manieth sector.

    The first `synced_bytes` were there before: a write beside them in their sector does not harm them.
    """
    chance = random.Random(seed)
    old = before.ljust(len(after), b"\0")
    sectors = range(0, len(after), SECTOR_BYTES)
    changed = [at for at in sectors if old[at : at + SECTOR_BYTES] != after[at : at + SECTOR_BYTES]]
    rests: dict[str, Callable[[int], bytes]] = {
        "old": lambda at: old[at : at + SECTOR_BYTES],
        "zeros": lambda at: bytes(len(after[at : at + SECTOR_BYTES])),
        "garbage": lambda at: chance.randbytes(len(after[at : at + SECTOR_BYTES])),
    }
    for number, at in list(enumerate(changed))[::every]:
        # It had not grown any further yet.
        end = max(len(before), at)
        yield Left(f"cut off at {at}", (after[:at] + old[at:])[:end], False)
        for rest, sector in rests.items():
            left = set(changed[number:])
            for where, places in ((f"from {at} on", left), (f"at {at} alone", {at})):
                data = _with(after, places, sector)
                yield Left(f"{rest} {where}", before[:synced_bytes] + data[synced_bytes:], False)
        some = {each for each in changed if chance.random() < 0.5} | {at}
        yield Left(f"old at {len(some)} places by chance", _with(after, some, rests["old"]), False)
    yield Left("all of it", after, True)


def _with(after: bytes, places: set[int], sector: Callable[[int], bytes]) -> bytes:
    """`after`, but for these sectors."""
    data = bytearray(after)
    for at in sorted(places):
        data[at : at + SECTOR_BYTES] = sector(at)
    return bytes(data)
