"""The JSON API under /api/v1: read the request strictly, ask the house, answer."""

from __future__ import annotations

from dataclasses import replace

from aiohttp import web

from orchestrator.core.refusal import Refusal
from orchestrator.edges.http.answers import Pages, answer
from orchestrator.edges.http.bodies import Empty, Query, TransitionBody, judge, read_json
from orchestrator.edges.http.identity import caller_of, member_of
from orchestrator.edges.http.ports import Act, EventQuery, House
from orchestrator.edges.http.preconditions import etag, expected_versions, idempotency_key

TRIGGERS: dict[str, Act] = {
    "request": "request",
    "extend": "extend",
    "close": "close",
    "acknowledge": "acknowledge",
}


class Api:
    """The handlers of CONTRACT 5 below /api/v1, without the pictures and the event stream."""

    def __init__(self, house: House) -> None:
        self._house = house
        self._pages = Pages()

    async def me(self, request: web.Request) -> web.StreamResponse:
        """`GET /me`."""
        Query(request).end()
        return answer(self._house.me(member_of(request)))

    async def cameras(self, request: web.Request) -> web.StreamResponse:
        """`GET /cameras`."""
        query = Query(request)
        after, limit = query.text("after"), query.limit()
        query.end()
        by_id = sorted(self._house.cameras(caller_of(request)), key=lambda camera: str(camera["id"]))
        left = [camera for camera in by_id if after is None or camera["id"] > after]
        shown = left[:limit]
        return answer({"items": shown, "next": shown[-1]["id"] if len(left) > limit else None})

    async def camera(self, request: web.Request) -> web.StreamResponse:
        """`GET /cameras/{camera}`."""
        state = self._house.camera(request.match_info["camera"], caller_of(request))
        Query(request).end()
        return answer(state, headers={"ETag": etag(state["version"])})

    async def checks(self, request: web.Request) -> web.StreamResponse:
        """`GET /cameras/{camera}/checks`."""
        Query(request).end()
        return answer(self._house.checks(request.match_info["camera"], member_of(request)))

    async def transition(self, request: web.Request) -> web.StreamResponse:
        """`POST /cameras/{camera}/transitions`."""
        camera = request.match_info["camera"]
        body = await read_json(request)
        act = TRIGGERS.get(str(body.get("trigger")))
        if act is not None:
            self._house.admit(caller_of(request), act, camera)
        wish = replace(
            judge(TransitionBody, body).wish(),
            key=idempotency_key(request),
            versions=expected_versions(request),
        )
        done = await self._house.transition(camera, caller_of(request), wish)
        return answer(done.body, done.status)

    async def transitions(self, request: web.Request) -> web.StreamResponse:
        """`GET /cameras/{camera}/transitions`."""
        camera, caller = request.match_info["camera"], member_of(request)
        query = Query(request)
        after, limit = query.seq("after"), query.limit()
        query.end()
        return await self._pages.answer(
            request, lambda: self._house.transitions(camera, caller, after, limit)
        )

    async def join(self, request: web.Request) -> web.StreamResponse:
        """`POST /cameras/{camera}/watches`."""
        judge(Empty, await read_json(request))
        done = await self._house.join(request.match_info["camera"], member_of(request))
        return answer(done.body, done.status)

    async def leave(self, request: web.Request) -> web.StreamResponse:
        """`DELETE /watches/{watch}`: 204."""
        try:
            self._house.watch(request.match_info["watch"], member_of(request))
        except Refusal as refusal:
            if refusal.code != "shut":
                raise
        judge(Empty, await read_json(request))
        await self._house.leave(request.match_info["watch"], member_of(request))
        return web.Response(status=204)

    async def sessions(self, request: web.Request) -> web.StreamResponse:
        """`GET /sessions`."""
        caller, query = member_of(request), Query(request)
        after, limit, names = query.seq("after"), query.limit(), query.flag("names")
        query.end()
        return await self._pages.answer(request, lambda: self._house.sessions(caller, after, limit, names))

    async def session(self, request: web.Request) -> web.StreamResponse:
        """`GET /sessions/{id}`."""
        session, caller = request.match_info["session"], member_of(request)
        await self._house.admit_session(caller, session)
        query = Query(request)
        names = query.flag("names")
        query.end()
        return answer(await self._house.session(session, caller, names))

    async def events(self, request: web.Request) -> web.StreamResponse:
        """`GET /events`."""
        caller, query = member_of(request), Query(request)
        wanted = EventQuery(
            after=query.seq("after"),
            limit=query.limit(),
            camera=query.text("camera"),
            session=query.text("session"),
            details=query.flag("details"),
            names=query.flag("names"),
        )
        query.end()
        return await self._pages.answer(request, lambda: self._house.events(caller, wanted))
