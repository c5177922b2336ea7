"""Each event is published at least once and in order, from the last one that the broker acknowledged."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import cast

import pytest

from orchestrator.app.lane_facts import LaneFacts
from orchestrator.app.log_publisher import LogPublisher
from orchestrator.runtime.bookmark import Bookmark, Mark
from tests.runtime.log_parts import Store, filled, note, opened

LIMIT_S = 20


class ScriptedLane:
    """A lane that takes events: `answers` says what becomes of the next ones, then all are acknowledged."""

    def __init__(self) -> None:
        self.connected = True
        self.heard: list[int] = []
        self.under_way = self.most_under_way = 0
        self.answers: list[str | None] = []
        self.on_session: list[Callable[[], None]] = []
        self._news = asyncio.Event()

    def publish(
        self, topic: str, payload: bytes, *, qos: int, retain: bool, on_done: Callable[[str], None]
    ) -> bool:
        assert (topic, qos, retain) == ("event", 1, False)
        if not self.connected:
            return False
        self.heard.append(json.loads(payload)["seq"])
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        answer = self.answers.pop(0) if self.answers else ""
        if answer is not None:
            self.under_way -= 1
            on_done(answer)
        self._news.set()
        return True

    def reconnect(self) -> None:
        self.connected = True
        for begin in self.on_session:
            begin()

    async def until(self, count: int) -> None:
        async with asyncio.timeout(LIMIT_S):
            while len(self.heard) < count:
                self._news.clear()
                await self._news.wait()


class CountingBookmark(Bookmark):
    """The real file, and how often it was written."""

    puts = 0

    def put(self, mark: Mark) -> None:
        self.puts += 1
        super().put(mark)


@asynccontextmanager
async def publishing(store: Store, lane: ScriptedLane, bookmark: Bookmark) -> AsyncIterator[None]:
    publisher = LogPublisher(store, cast(LaneFacts, lane), bookmark, random=lambda: 0.0)
    task = asyncio.create_task(publisher.run())
    yield
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


async def test_a_log_without_a_bookmark_is_published_from_its_first_event(tmp_path: Path) -> None:
    await filled(tmp_path / "events.db", 450)
    lane, bookmark = ScriptedLane(), CountingBookmark(tmp_path / "published")
    async with opened(tmp_path / "events.db") as store, publishing(store, lane, bookmark):
        await lane.until(450)
        await store.append([note(451)])
        await lane.until(451)
    assert lane.heard == list(range(1, 452))
    assert lane.most_under_way == 1
    kept = bookmark.read()
    assert kept is not None
    assert kept.seq >= 450, "all but what was acknowledged in the moment of the end"
    assert bookmark.puts <= 2, "the first one, and the end: written seldom"


async def test_a_restart_goes_on_after_the_last_event_that_was_acknowledged(tmp_path: Path) -> None:
    await filled(tmp_path / "events.db", 5)
    bookmark = Bookmark(tmp_path / "published")
    async with opened(tmp_path / "events.db") as store:
        before = ScriptedLane()
        before.answers = ["", "", None]
        async with publishing(store, before, bookmark):
            await before.until(3)
        after = ScriptedLane()
        async with publishing(store, after, bookmark):
            await after.until(3)
    assert before.heard == [1, 2, 3]
    assert after.heard == [3, 4, 5], "the third was never acknowledged"


async def test_an_event_that_was_lost_or_refused_is_published_again_before_the_next(tmp_path: Path) -> None:
    await filled(tmp_path / "events.db", 3)
    lane = ScriptedLane()
    lane.answers = ["", "the session ended", "refused", ""]
    async with (
        opened(tmp_path / "events.db") as store,
        publishing(store, lane, Bookmark(tmp_path / "published")),
    ):
        await lane.until(5)
    assert lane.heard == [1, 2, 2, 2, 3]


async def test_a_new_session_wakes_what_waits_for_one(tmp_path: Path) -> None:
    await filled(tmp_path / "events.db", 1)
    lane = ScriptedLane()
    lane.connected = False
    async with opened(tmp_path / "events.db") as store:
        publisher = LogPublisher(
            store, cast(LaneFacts, lane), Bookmark(tmp_path / "published"), random=lambda: 0.999
        )
        task = asyncio.create_task(publisher.run())
        await asyncio.sleep(0)
        lane.reconnect()
        await lane.until(1)
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def test_the_bookmark_of_another_log_counts_for_nothing(tmp_path: Path) -> None:
    """F23: somebody put another file there; its events have never been published."""
    await filled(tmp_path / "events.db", 2)
    bookmark, lane = Bookmark(tmp_path / "published"), ScriptedLane()
    bookmark.put(Mark(2, "sha256:" + "0" * 64))
    async with opened(tmp_path / "events.db") as store, publishing(store, lane, bookmark):
        await lane.until(2)
    assert lane.heard == [1, 2]


async def test_a_bookmark_that_cannot_be_written_costs_no_event(tmp_path: Path) -> None:
    await filled(tmp_path / "events.db", 2)
    lane, bookmark = ScriptedLane(), Bookmark(tmp_path / "missing" / "published")
    async with opened(tmp_path / "events.db") as store, publishing(store, lane, bookmark):
        await lane.until(2)
        await store.append([note(3)])
        await lane.until(3)
    assert lane.heard == [1, 2, 3]
    assert bookmark.read() is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{}",
        "[1]",
        '{"seq": 0, "hash": "a"}',
        '{"seq": true, "hash": "a"}',
        '{"seq": 1, "hash": 2}',
        "\x00",
    ],
)
def test_a_bookmark_that_cannot_be_read_is_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "published").write_text(text)
    assert Bookmark(tmp_path / "published").read() is None


def test_a_bookmark_is_there_whole_or_as_it_was(tmp_path: Path) -> None:
    bookmark = Bookmark(tmp_path / "published")
    assert bookmark.read() is None
    bookmark.put(Mark(7, "sha256:a"))
    bookmark.put(Mark(8, "sha256:b"))
    assert bookmark.read() == Mark(8, "sha256:b")
    assert [path.name for path in tmp_path.iterdir()] == ["published"]
    assert (tmp_path / "published").stat().st_mode & 0o777 == 0o600
