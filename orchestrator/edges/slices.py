"""Long work on the loop in slices, between which the loop turns: no closing waits for a list (S13)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import TypeVar

ROWS = 50
"""At a time: a few milliseconds on a slow board."""

Row = TypeVar("Row")
Made = TypeVar("Made")


async def by_slices(make: Callable[[Row], Made], rows: Sequence[Row]) -> list[Made]:
    """What `make` makes of each row, in order."""
    made: list[Made] = []
    for start in range(0, len(rows), ROWS):
        made += map(make, rows[start : start + ROWS])
        await asyncio.sleep(0)
    return made
