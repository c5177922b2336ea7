"""What comes over MQTT can close, and do nothing else (S18, CONTRACT 6 and 9)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import pytest

from orchestrator.app.lane_facts import LaneFacts
from orchestrator.core.commands import Why
from orchestrator.edges.lane_bus import Heard
from orchestrator.runtime.board import Board
from tests.core.scene import POLICY, START
from tests.settings.configuration import loaded

CLOSE = b'{"trigger":"close","camera":"cam1"}'
IGNORED = {
    "another trigger": (b'{"trigger":"request","camera":"cam1"}', False),
    "no trigger": (b'{"camera":"cam1"}', False),
    "a camera that is not there": (b'{"trigger":"close","camera":"cam9"}', False),
    "no object": (b'["close","cam1"]', False),
    "no JSON": (b"close cam1", False),
    "retained": (CLOSE, True),
}


class Closing:
    """A site that takes down who closed what; whatever else was done to it would be an error."""

    cameras = ("cam1",)

    def __init__(self) -> None:
        self.closed: list[tuple[str, str, list[str]]] = []

    def close(self, why: Why, cameras: Iterable[str] | None = None) -> None:
        self.closed.append((why.trigger, why.actor.kind, list(cameras or ["*"])))


class Scene:
    """The bus's commands, as they come from the broker."""

    def __init__(self, folder: Path) -> None:
        self.site, self.counters = Closing(), Counter[str]()
        self._lane = LaneFacts(
            Board(POLICY),
            self.site,  # type: ignore[arg-type]
            self.counters,
            now=lambda: START,
            random=lambda: 0.0,
        )
        self._lane._settings = loaded(folder)

    def says(self, payload: bytes, retained: bool) -> None:
        self._lane.heard(Heard("parking/stream/cmd", payload, retained, START.boottime_us))


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path)


@pytest.mark.parametrize("what", IGNORED)
def test_whatever_is_no_live_close_is_counted_alone(scene: Scene, what: str) -> None:
    scene.says(*IGNORED[what])
    assert (scene.site.closed, scene.counters["bus-ignored"]) == ([], 1)


@pytest.mark.parametrize("camera", ["cam1", "*"])
def test_a_live_close_closes(scene: Scene, camera: str) -> None:
    scene.says(CLOSE.replace(b"cam1", camera.encode()), False)
    assert scene.site.closed == [("close", "bus", [camera])]
