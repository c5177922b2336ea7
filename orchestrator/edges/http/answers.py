"""How answers go out: JSON at once, long lists a few at a time and in slices."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager

from aiohttp import web

from orchestrator.core.refusal import Refusal
from orchestrator.edges.http.door import Door, cut
from orchestrator.edges.http.ports import Body
from orchestrator.edges.http.problems import encode
from orchestrator.edges.slices import by_slices

JSON, NDJSON = "application/json", "application/x-ndjson"
_QUALITY = re.compile(r"(0(\.[0-9]{0,3})?|1(\.0{0,3})?)", re.ASCII)
SLICE_BYTES = 32 * 1024
PAGE_SLICE_LIMIT_S = 5.0
"""A reader of a page that does not take one slice within this is cut."""
PAGES_AT_ONCE = 4
PAGES_WAITING = 32


def answer(body: object, status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
    """`body` as JSON."""
    return web.Response(status=status, body=encode(body), headers=headers, content_type=JSON)


async def send_slices(
    request: web.Request,
    response: web.StreamResponse,
    data: bytes,
    *,
    limit_s: float,
    may_go_on: Callable[[], bool] = lambda: True,
    on_sent: Callable[[int], None] = lambda size_bytes: None,
) -> bool:
    """Write `data` in slices, asking `may_go_on` right before each; False, and the connection is cut, when it
    says no or a slice takes longer than `limit_s`. ConnectionError when the reader has gone."""
    for start in range(0, len(data), SLICE_BYTES):
        piece = data[start : start + SLICE_BYTES]
        if not may_go_on():
            drop(request)
            return False
        try:
            async with asyncio.timeout(limit_s):
                # The write itself waits too, once 64 KiB have gone through it.
                await response.write(piece)
                await door_of(request).drained()
        except TimeoutError:
            drop(request)
            return False
        on_sent(len(piece))
    return True


def wants_lines(request: web.Request) -> bool:
    """Whether `Accept` asks for NDJSON rather than JSON (RFC 9110 12.5.1). A wish that nobody can serve gets
    JSON: an answer that can be read beats a 406."""
    liked: dict[str, float] = {}
    for entry in ", ".join(request.headers.getall("Accept", [])).split(","):
        kind, *parameters = (part.strip().lower() for part in entry.split(";"))
        quality = next((part[2:] for part in parameters if part.startswith("q=")), "1")
        liked[kind] = float(quality) if _QUALITY.fullmatch(quality) else 0.0
    asked = liked.get(NDJSON, 0.0)
    return asked > 0 and asked >= liked.get(JSON, 0.0)


def door_of(request: web.Request) -> Door:
    """The connection's own protocol."""
    door = request.protocol
    assert isinstance(door, Door)
    return door


def transport_of(request: web.Request) -> asyncio.Transport:
    """The connection. ConnectionResetError when it has ended."""
    transport = request.transport
    if transport is None:
        raise ConnectionResetError("The connection ended before its answer began.")
    return transport


def drop(request: web.Request) -> None:
    """End the connection at once, unsent bytes and all."""
    if request.transport is not None:
        cut(request.transport)


class Pages:
    """Large answers: `PAGES_AT_ONCE` are read and written at a time, `PAGES_WAITING` wait for their turn."""

    def __init__(self) -> None:
        self._turns = asyncio.Semaphore(PAGES_AT_ONCE)
        self._inside = 0

    @asynccontextmanager
    async def _turn(self) -> AsyncGenerator[None, None]:
        if self._inside >= PAGES_AT_ONCE + PAGES_WAITING:
            raise Refusal("slow-down", "Too many pages are being read at once; ask again.", retry_after_s=1)
        self._inside += 1
        try:
            async with self._turns:
                yield
        finally:
            self._inside -= 1

    async def answer(self, request: web.Request, page: Callable[[], Awaitable[Body]]) -> web.StreamResponse:
        """The page as JSON, or its items as NDJSON when `Accept` asks for that."""
        async with self._turn():
            body = await page()
            lines = wants_lines(request)
            rows = await by_slices(encode, _items(body))
            data = b"".join(row + b"\n" for row in rows) if lines else _json(body, rows)
            response = web.StreamResponse()
            response.content_length = len(data)
            response.content_type = NDJSON if lines else JSON
            if body["next"] is not None:
                following = request.rel_url.update_query(after=str(body["next"]))
                response.headers["Link"] = f'<{following.raw_path_qs}>; rel="next"'
            await response.prepare(request)
            if request.method != "HEAD":
                await send_slices(request, response, data, limit_s=PAGE_SLICE_LIMIT_S)
            return response


def _json(body: Mapping[str, object], rows: list[bytes]) -> bytes:
    rest = encode({key: value for key, value in body.items() if key != "items"})
    return b'{"items":[' + b",".join(rows) + b"]," + rest[1:]


def _items(body: Mapping[str, object]) -> Sequence[object]:
    items = body["items"]
    assert isinstance(items, (list, tuple))
    return items
