"""Publishes each event of the log, at least once and in order, from the last one that was acknowledged."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

from orchestrator.app.lane_facts import LaneFacts
from orchestrator.core.backoff import retry_in_us
from orchestrator.core.events import Record
from orchestrator.core.moment import SECOND_US
from orchestrator.core.policy import Backoff
from orchestrator.runtime.bookmark import Bookmark, Mark
from orchestrator.runtime.event_store import EventStore
from orchestrator.runtime.event_store.errors import LogError

log = logging.getLogger(__name__)

PAGE = 200
BREATH_S = 0.2
"""After a full page, so that a long backlog takes neither the broker nor a processor for itself."""
RETRY_S = 1.0
PUT_EVERY_S = 10.0
"""The bookmark is written at most this often, and lags at most this long: what was acknowledged within it is
published again after a crash."""
ACKNOWLEDGED_WITHIN_S = 30.0


class LogPublisher:
    """Follows the log with a position of its own. One event is under way at a time, and the next one goes
    when the broker has acknowledged it (QoS 1), so that nothing piles up and nothing overtakes.

    Without a bookmark, or with that of another log, it begins at the first event.
    """

    def __init__(
        self,
        store: EventStore[Any],
        lane: LaneFacts,
        bookmark: Bookmark,
        *,
        random: Callable[[], float],
    ) -> None:
        self._store, self._lane, self._bookmark, self._random = store, lane, bookmark, random
        self._loop = asyncio.get_running_loop()
        self._session = asyncio.Event()
        self._reached: Mark | None = None
        self._put: Mark | None = None
        self._put_again_s = 0.0
        self._warned, self._unkept = "", False
        lane.on_session.append(self._session_began)

    def _session_began(self) -> None:
        """What waits for the broker tries again at once; any thread."""
        self._loop.call_soon_threadsafe(self._session.set)

    async def run(self) -> None:
        """Publish until cancelled or the log is closed; the position is kept then too."""
        self._reached = self._put = await self._begin()
        try:
            while True:
                try:
                    await self._publish_page()
                except LogError:
                    # Closed, or it cannot be read now; what comes next says which.
                    await asyncio.sleep(RETRY_S)
        finally:
            self._keep()

    async def _begin(self) -> Mark | None:
        mark = await asyncio.to_thread(self._bookmark.read)
        if mark is None:
            return None
        page = await self._read_when_possible(mark.seq - 1)
        if page and page[0].hash == mark.hash:
            return mark
        log.warning("the bookmark of what was published is that of another log: all events are published")
        return None

    async def _read_when_possible(self, after: int) -> list[Record]:
        while True:
            try:
                return await self._store.read(after=after, limit=1)
            except LogError:
                await asyncio.sleep(RETRY_S)

    async def _publish_page(self) -> None:
        after = self._reached.seq if self._reached else 0
        idle_s = None if self._reached == self._put else max(0.0, self._put_again_s - self._loop.time())
        try:
            async with asyncio.timeout(idle_s):
                await self._store.wait_for(after)
        except TimeoutError:
            await self._keep_now_and_then()
            return
        page = await self._store.read(after=after, limit=PAGE)
        for record in page:
            await self._deliver(record)
            self._reached = Mark(record.seq, record.hash)
            await self._keep_now_and_then()
        if len(page) == PAGE:
            await asyncio.sleep(BREATH_S)

    async def _deliver(self, record: Record) -> None:
        """Publish it again and again until the broker acknowledges it."""
        failures = 0
        while True:
            self._session.clear()
            lost = await self._publish(record)
            if not lost:
                self._warned = ""
                return
            failures += 1
            if self._lane.connected and lost != self._warned:
                self._warned = lost
                log.warning("event %d: %s; it is published again until it is taken", record.seq, lost)
            try:
                async with asyncio.timeout(retry_in_us(Backoff(), failures, self._random()) / SECOND_US):
                    await self._session.wait()
            except TimeoutError:
                continue

    async def _publish(self, record: Record) -> str:
        """Empty once it is acknowledged, else why it was not."""
        answer: asyncio.Future[str] = self._loop.create_future()

        def settle(lost: str) -> None:
            if not answer.done():
                answer.set_result(lost)

        def on_done(lost: str) -> None:
            self._loop.call_soon_threadsafe(settle, lost)

        if not self._lane.publish("event", record.canonical, qos=1, retain=False, on_done=on_done):
            return "there is no session with the broker, or too much waits for it"
        try:
            async with asyncio.timeout(ACKNOWLEDGED_WITHIN_S):
                return await answer
        except TimeoutError:
            return f"the broker has not acknowledged it within {ACKNOWLEDGED_WITHIN_S:g} s"

    async def _keep_now_and_then(self) -> None:
        if self._loop.time() >= self._put_again_s:
            self._put_again_s = self._loop.time() + PUT_EVERY_S
            await asyncio.to_thread(self._keep)

    def _keep(self) -> None:
        reached = self._reached
        if reached is None or reached == self._put:
            return
        try:
            self._bookmark.put(reached)
        except OSError as error:
            if not self._unkept:
                why = (error.strerror or str(error)).lower()
                log.warning(
                    "the position in the log is not kept (%s): after a restart events come again", why
                )
            self._unkept = True
        else:
            self._unkept = False
        self._put = reached
