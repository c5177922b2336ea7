"""The picture's way out: identity, watch and gate are looked at for each answer and each chunk (S1, S9)."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import aclosing, contextmanager

from aiohttp import web

from orchestrator.core.refusal import Refusal
from orchestrator.edges.http.answers import door_of, drop, send_slices, transport_of
from orchestrator.edges.http.door import Door, cut, keep_nothing_back
from orchestrator.edges.http.identity import member_of
from orchestrator.edges.http.ports import Caller, House, LiveWatch

log = logging.getLogger(__name__)

STALL_LIMIT_S = 2.0
"""A viewer whose unsent data is older than this is dropped (DESIGN, principle 3)."""
MAX_STREAMS_A_WATCH = 4
"""A watch is one viewer's: a player that comes back takes the place of its oldest response (F18)."""


class Live:
    """The handlers below /live."""

    def __init__(self, house: House) -> None:
        self._house = house
        self._streams: dict[Door, str] = {}

    async def mp4(self, request: web.Request) -> web.StreamResponse:
        """`GET /live/{watch}/stream.mp4`: one endless fragmented MP4. It ends properly when the worker is
        replaced; when the picture may no longer flow the connection is cut instead."""
        watch, caller = self._watch(request)
        if not watch.codecs:
            raise Refusal("no-frame-yet", "The worker has sent no frame yet; ask again.", retry_after_s=1)
        response = _picture(f'video/mp4; codecs="{watch.codecs}"')
        if request.method == "HEAD":
            return response
        _put_under_the_gate(watch, request)
        door_of(request).ends_with_connection()
        with self._place(door_of(request), request.match_info["watch"]):
            return await self._stream(request, response, watch, caller)

    @contextmanager
    def _place(self, door: Door, watch: str) -> Iterator[None]:
        same = [each for each, watched in self._streams.items() if watched == watch]
        for oldest in same[: max(0, len(same) + 1 - MAX_STREAMS_A_WATCH)]:
            del self._streams[oldest]
            if oldest.transport is not None:
                cut(oldest.transport)
        self._streams[door] = watch
        try:
            yield
        finally:
            self._streams.pop(door, None)

    async def _stream(
        self, request: web.Request, response: web.StreamResponse, watch: LiveWatch, caller: Caller
    ) -> web.StreamResponse:
        await response.prepare(request)
        try:
            async with aclosing(watch.fragments()) as fragments:
                async for fragment in fragments:
                    if not await _send(request, response, watch, caller, fragment):
                        return response
        except ConnectionError:
            return response
        except Refusal:
            drop(request)
            return response
        except Exception:
            log.exception("A viewer's stream failed")
            drop(request)
            return response
        if not watch.may_flow(caller):
            drop(request)
        return response

    async def playlist(self, request: web.Request) -> web.StreamResponse:
        """`GET /live/{watch}/index.m3u8`."""
        watch, caller = self._watch(request)
        text = watch.playlist()
        if text is None:
            raise Refusal("no-frame-yet", "There is no playlist yet; ask again.", retry_after_s=1)
        watch.sent(0)
        return await _whole(
            request, watch, caller, text.encode(), "application/vnd.apple.mpegurl", counted=False
        )

    async def segment(self, request: web.Request) -> web.StreamResponse:
        """`GET /live/{watch}/{number}.ts`."""
        watch, caller = self._watch(request)
        data = watch.segment(int(request.match_info["number"]))
        if data is None:
            raise Refusal("not-found", "This segment is no longer live; read the playlist again.")
        return await _whole(request, watch, caller, data, "video/mp2t", counted=True)

    def _watch(self, request: web.Request) -> tuple[LiveWatch, Caller]:
        caller = member_of(request)
        watch = self._house.watch(request.match_info["watch"], caller)
        if not watch.may_flow(caller):
            raise _shut()
        return watch, caller


async def _whole(
    request: web.Request, watch: LiveWatch, caller: Caller, data: bytes, content_type: str, *, counted: bool
) -> web.StreamResponse:
    response = _picture(content_type)
    response.content_length = len(data)
    if request.method == "HEAD":
        return response
    _put_under_the_gate(watch, request)
    await response.prepare(request)
    await _send(request, response, watch, caller, data, counted=counted)
    return response


async def _send(
    request: web.Request,
    response: web.StreamResponse,
    watch: LiveWatch,
    caller: Caller,
    data: bytes,
    *,
    counted: bool = True,
) -> bool:
    return await send_slices(
        request,
        response,
        data,
        limit_s=STALL_LIMIT_S,
        may_go_on=lambda: watch.may_flow(caller),
        on_sent=watch.sent if counted else lambda size_bytes: None,
    )


def _picture(content_type: str) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": content_type, "Accept-Ranges": "none"})
    # The gate purges whole connections: none of ours may carry an API answer after a picture.
    response.force_close()
    return response


def _put_under_the_gate(watch: LiveWatch, request: web.Request) -> None:
    transport = transport_of(request)
    keep_nothing_back(transport)
    if not watch.attach(transport):
        raise _shut()


def _shut() -> Refusal:
    return Refusal("shut", "The camera is shut, or this watch is no longer yours.")
