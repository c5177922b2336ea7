"""Maintenance windows below /api/v1/windows: bodies and queries read strictly, then the house is asked."""

from __future__ import annotations

import re
from typing import Annotated

from aiohttp import web
from pydantic import AfterValidator, StringConstraints
from pydantic import Field as Bounds

from orchestrator.core.moment import parse_rfc3339
from orchestrator.core.refusal import Refusal
from orchestrator.edges.http.answers import Pages, answer
from orchestrator.edges.http.bodies import Empty, Query, Reason, Strict, judge, read_json, whole
from orchestrator.edges.http.identity import member_of
from orchestrator.edges.http.ports import House, WindowWish

MOST_NEXT = 100
"""How many coming stretches are told at a time."""
CAMERAS_IN_A_WINDOW = 64
_RFC_3339 = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,6})?([Zz]|[+-][0-9]{2}:[0-9]{2})",
    re.ASCII,
)
CURSOR_PATTERN = r"([0-9]{1,16})\.([0-9A-Za-z-]{1,64})"
_CURSOR = re.compile(CURSOR_PATTERN, re.ASCII)


def _instant(text: str) -> str:
    if not _RFC_3339.fullmatch(text):
        raise ValueError("a time of RFC 3339 with its offset was expected, like 2026-11-22T10:00:00Z")
    try:
        parse_rfc3339(text.upper())
    except (ValueError, OverflowError):
        raise ValueError("there is no such time") from None
    return text.upper()


Instant = Annotated[str, AfterValidator(_instant), Bounds(json_schema_extra={"format": "date-time"})]


class WindowBody(Strict):
    """The body of `POST /windows`."""

    name: Annotated[str, StringConstraints(min_length=1, max_length=80)] | None = None
    cameras: Annotated[
        list[Annotated[str, StringConstraints(min_length=1, max_length=100)]],
        Bounds(min_length=1, max_length=CAMERAS_IN_A_WINDOW),
    ]
    start: Instant
    end: Instant
    reason: Reason
    ticket: Annotated[str, StringConstraints(min_length=1, max_length=500)] | None = None

    def wish(self) -> WindowWish:
        """The wish with its times in microseconds."""
        return WindowWish(
            cameras=tuple(self.cameras),
            start_us=parse_rfc3339(self.start),
            end_us=parse_rfc3339(self.end),
            reason=self.reason,
            ticket=self.ticket,
            name=self.name,
        )


class EndBody(Strict):
    """The body of `PATCH /windows/{window}`."""

    end: Instant


class Windows:
    """The handlers below /windows."""

    def __init__(self, house: House) -> None:
        self._house = house
        self._pages = Pages()

    async def list(self, request: web.Request) -> web.StreamResponse:
        """`GET /windows`; with `?next=N` what will really happen."""
        caller, query = member_of(request), Query(request)
        count = query.text("next")
        if count is not None:
            wanted = whole("next", count, 1, MOST_NEXT)
            query.end()
            return await self._pages.answer(request, lambda: self._house.coming_windows(caller, wanted))
        after, limit = _cursor(query.text("after")), query.limit()
        query.end()
        return await self._pages.answer(request, lambda: self._house.windows(caller, after, limit))

    async def add(self, request: web.Request) -> web.StreamResponse:
        """`POST /windows`: 201."""
        wish = judge(WindowBody, await read_json(request)).wish()
        done = await self._house.add_window(member_of(request), wish)
        return answer(done.body, done.status)

    async def shorten(self, request: web.Request) -> web.StreamResponse:
        """`PATCH /windows/{window}`."""
        caller, window = member_of(request), request.match_info["window"]
        self._house.admit_window(caller, "narrow", window)
        end = judge(EndBody, await read_json(request)).end
        done = await self._house.shorten_window(caller, window, parse_rfc3339(end))
        return answer(done.body, done.status)

    async def cancel(self, request: web.Request) -> web.StreamResponse:
        """`DELETE /windows/{window}`."""
        caller, window = member_of(request), request.match_info["window"]
        self._house.admit_window(caller, "narrow", window)
        judge(Empty, await read_json(request))
        done = await self._house.cancel_window(caller, window)
        return answer(done.body, done.status)

    async def approve(self, request: web.Request) -> web.StreamResponse:
        """`POST /windows/{window}/approve`."""
        caller, window = member_of(request), request.match_info["window"]
        self._house.admit_window(caller, "approve", window)
        judge(Empty, await read_json(request))
        done = await self._house.approve_window(caller, window)
        return answer(done.body, done.status)


def _cursor(text: str | None) -> tuple[int, str] | None:
    if text is None:
        return None
    found = _CURSOR.fullmatch(text)
    if found is None:
        detail = "after: take the `next` of the page before."
        raise Refusal("invalid-query", detail, members={"pointer": "/after"})
    return int(found[1]), found[2]
