"""The stories under tests/scenarios are what the model says, and what the real lanes, gate and log do."""

from __future__ import annotations

from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from orchestrator.runtime import camera_actor, site, worker_keeper
from tests.model.replay import Replay
from tests.model.slices import SLICES
from tests.model.stories import FOLDER, collected, file_of, log_of, read, retold, text

STORIES = sorted(FOLDER.glob("*.txt"))


@pytest.fixture(autouse=True)
def _by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """The lane alone, and no clock but the story's."""
    monkeypatch.setattr(camera_actor, "DRAIN_EVERY_S", 0.01)
    monkeypatch.setattr(worker_keeper, "PROOF_LIMIT_S", 3_600)
    monkeypatch.setattr(worker_keeper, "PROVE_AGAIN_S", 0)
    monkeypatch.setattr(site, "SENTINEL_SHUT_S", 3_600)
    monkeypatch.setattr(site, "SENTINEL_OPEN_S", 3_600)


@pytest.mark.parametrize("path", STORIES, ids=lambda path: path.stem)
def test_a_story_is_what_the_model_says_today(path: Path) -> None:
    """After a change: `python -m tests.model.export`."""
    assert retold(path) == path.read_text()


@pytest.mark.slow
@pytest.mark.parametrize("path", STORIES, ids=lambda path: path.stem)
async def test_a_story_goes_the_same_way_on_the_real_lanes(path: Path, tmp_path: Path) -> None:
    """S13 at each closing, S14 as long as nothing concerns the whole site, L3 at the end: it streams
    again."""
    async with AsyncExitStack() as stack:
        replay = Replay(tmp_path, stack)
        await replay.starts()
        await replay.another_streams()
        for line, leads in read(path):
            await replay.line(line, leads)
        assert replay.way.gate_is_open
        assert replay.way.events() == log_of(path)
        await replay.way.agrees()
        await replay.ends()


@pytest.mark.slow
def test_the_stories_are_the_shortest_ways_of_today() -> None:
    """After a change: `python -m tests.model.export`."""
    found = {file_of(name): text(name, lines) for name, lines in collected(SLICES).items()}
    assert {path: path.read_text() for path in STORIES} == found
