"""Weighted random commands, faults and crash points on the real lanes of two cameras; after each line the
log's fold is the live state, and what INVARIANTS promises holds.

Each walk says its seed; `VOLET_WALK_SEED` gives the first one. A walk that breaks a rule is told again with
as few lines as still break it.
"""

from __future__ import annotations

import os
import random
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import Figure
from tests.core.scene import CHART
from tests.runtime.walk_parts import Broken
from tests.runtime.walk_story import Line, Told, retell, shortened, tell

QUICK_LINES, LINES, WALKS = 70, 400, 11
MISSED = 2
"""So many of the rare triggers may not be drawn in so few walks."""
SEED = "VOLET_WALK_SEED"


@pytest.fixture
def folder() -> Iterator[Path]:
    """In memory: what is proven here is order, not what a disk keeps."""
    made = Path(tempfile.mkdtemp(prefix="volet-walk-", dir="/dev/shm"))
    yield made
    shutil.rmtree(made)


async def _walk(folder: Path, seed: int, lines: int) -> Told:
    sys.stdout.write(f"{SEED}={seed}\n")
    walked = folder / f"seed-{seed}"
    walked.mkdir()
    try:
        return await tell(walked, seed, lines)
    except Broken as broken:
        tries = folder / "tries"
        tries.mkdir()
        drawn = [line for line in broken.story if isinstance(line, Line)]
        story = await shortened(tries, broken.rule, drawn)
        told = "\n".join(f"  {line}" for line in story)
        raise AssertionError(f"{SEED}={seed}: {broken}\n{told}") from None
    finally:
        shutil.rmtree(walked)


@pytest.mark.parametrize("seed", [1, 2])
async def test_on_a_short_walk_the_fold_of_the_log_is_the_live_state_after_every_line(
    folder: Path, seed: int
) -> None:
    """S1–S4, S6, S10, S12–S16, S18, S20–S22, L3."""
    told = await _walk(folder, int(os.environ.get(SEED, seed)), QUICK_LINES)
    assert len(told.lines) > QUICK_LINES
    assert told.events["first_frame"] > 0


@pytest.mark.slow
@pytest.mark.timeout(400)
@pytest.mark.parametrize("part", range(5))
async def test_on_long_walks_the_fold_of_the_log_is_the_live_state_after_every_line(
    folder: Path, part: int, figure: Figure
) -> None:
    """S1–S4, S6, S10, S12–S16, S18, S20–S22, L3. Nearly every trigger is pulled on the way."""
    first = int(os.environ.get(SEED, "0")) or random.SystemRandom().randrange(1, 2**32)
    events: Counter[str] = Counter()
    lines = kills = interrupted = 0
    for seed in range(first, first + WALKS):
        told = await _walk(folder, seed, LINES)
        events.update(told.events)
        lines, kills = lines + len(told.lines), kills + told.kills
        interrupted += told.interrupted
    figure(
        f"{WALKS} walks from {SEED}={first}: {lines} lines, {kills} kills, "
        f"{interrupted} times something came between, {events.total()} events"
    )
    pulled = {move.trigger for move in CHART.moves}
    assert len(pulled - set(events)) <= MISSED, "the walk has become too narrow"


async def test_an_acknowledgement_whose_outcome_nobody_knows_is_asked_for_by_itself(folder: Path) -> None:
    """S21, L4: the camera was shut, so no closing wakes the lane."""
    story = (
        "listener is good no more",
        "listener is good again",
        "the disk hangs",
        "cam1: an approver acknowledges",
        "the disk works again, and what hung is there",
    )
    told = await retell(folder, [Line(step) for step in story])
    assert told.events["acknowledge"] == 2


async def test_a_cancelled_window_reaches_the_black_box_though_the_log_hangs_over_another(
    folder: Path,
) -> None:
    """S13, L4: a kill loses it no more."""
    story = (
        "a window for both cameras is added",
        "the disk hangs",
        "a short window for both cameras is added",
        "the newest window is cancelled",
        "the process is killed and starts",
    )
    told = await retell(folder, [Line(step) for step in story])
    assert told.events["window_cancelled"] == 1
