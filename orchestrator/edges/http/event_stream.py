"""The log as it grows, as server-sent events; resumed by `Last-Event-ID`."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing, contextmanager

from aiohttp import web

from orchestrator.core.refusal import Refusal
from orchestrator.edges.http.answers import door_of, drop, send_slices
from orchestrator.edges.http.bodies import Query, whole
from orchestrator.edges.http.identity import member_of
from orchestrator.edges.http.ports import Body, Caller, House
from orchestrator.edges.http.problems import encode

log = logging.getLogger(__name__)

WELCOME_EVERY_S = 0.5
"""How long somebody who lost the right may still be connected (S9)."""
KEEP_ALIVE_S = 15.0
READER_LIMIT_S = 10.0
"""A reader that does not take one event within this is cut; it resumes where it was."""
MAX_STREAMS = 64
MAX_STREAMS_A_MEMBER = 8
RETRY_MS = 2_000


class EventStream:
    """`GET /api/v1/events/stream`."""

    def __init__(self, house: House) -> None:
        self._house = house
        self._streams: Counter[str] = Counter()

    async def stream(self, request: web.Request) -> web.StreamResponse:
        """Events from after `Last-Event-ID` on (without it: from now on) until the reader leaves, or may no
        longer read."""
        caller = member_of(request)
        Query(request).end()
        last = request.headers.get("Last-Event-ID")
        after = None if last is None else whole("Last-Event-ID", last, 0, 2**53 - 1)
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        response.force_close()
        if request.method == "HEAD":
            return response
        with self._seat(caller.member.id):
            door_of(request).ends_with_connection()
            await response.prepare(request)
            await response.write(b"retry: %d\n\n" % RETRY_MS)
            try:
                async with aclosing(self._house.follow(caller, after)) as events:
                    await self._pass_on(request, response, caller, events)
            except ConnectionError:
                pass
            except Refusal:
                drop(request)
            except Exception:
                log.exception("An event stream failed")
                drop(request)
        return response

    async def _pass_on(
        self,
        request: web.Request,
        response: web.StreamResponse,
        caller: Caller,
        events: AsyncGenerator[tuple[int, Body], None],
    ) -> None:
        coming: asyncio.Task[tuple[int, Body] | None] | None = None
        said_s = time.monotonic()
        try:
            while True:
                coming = coming or asyncio.create_task(_next(events))
                await asyncio.wait({coming}, timeout=WELCOME_EVERY_S)
                if not self._still_welcome(caller):
                    drop(request)
                    return
                text = b": still here\n\n"
                if coming.done():
                    item = coming.result()
                    coming = None
                    if item is None:
                        return
                    text = _frame(*item)
                elif time.monotonic() - said_s < KEEP_ALIVE_S:
                    continue
                said_s = time.monotonic()
                if not await send_slices(request, response, text, limit_s=READER_LIMIT_S):
                    return
        finally:
            if coming is not None:
                coming.cancel()
                await asyncio.wait({coming})

    def _still_welcome(self, caller: Caller) -> bool:
        try:
            self._house.admit(caller, "log")
        except Refusal:
            return False
        return self._house.still(caller)

    @contextmanager
    def _seat(self, member: str) -> Iterator[None]:
        if self._streams.total() >= MAX_STREAMS or self._streams[member] >= MAX_STREAMS_A_MEMBER:
            raise Refusal("slow-down", "Too many event streams are open; close one.", retry_after_s=5)
        self._streams[member] += 1
        try:
            yield
        finally:
            self._streams[member] -= 1
            if not self._streams[member]:
                del self._streams[member]


async def _next(events: AsyncGenerator[tuple[int, Body], None]) -> tuple[int, Body] | None:
    return await anext(events, None)


def _frame(seq: int, event: Body) -> bytes:
    return b"id: %d\nevent: %s\ndata: %s\n\n" % (seq, str(event["type"]).encode(), encode(event))
