"""A daemon that answers from a script, over real HTTP on loopback and on a Unix socket."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from aiohttp import web

Answer = tuple[int, Any] | Callable[[dict[str, Any]], tuple[int, Any]]
SESSION = "01930000-0000-7000-8000-000000000001"
SHUT: dict[str, Any] = {
    "id": "cam1",
    "lane": "entry",
    "state": "disabled",
    "substate": "ready",
    "fault": None,
    "locks": [],
    "session": None,
    "deadline": None,
    "permitted": ["request"],
    "version": 7,
    "viewers": 0,
    "worker": None,
}
REQUESTED = SHUT | {"state": "requested", "substate": None, "session": SESSION, "permitted": ["close"]}
STREAMING = SHUT | {
    "state": "streaming",
    "substate": "live",
    "session": SESSION,
    "deadline": "2099-01-01T10:15:00.000000Z",
    "viewers": 1,
    "worker": {"running": True, "run": 2, "failures": 1},
}
LANE_CHECK = {
    "id": "lane-no-vehicle",
    "passed": False,
    "phase": "open",
    "fault": "lane-unsafe",
    "detail": "a vehicle stands in the lane",
    "evidence": {"value": "1", "equals": "0"},
    "age_ms": 40,
    "waived": False,
}
CLOCK_CHECK = {
    "id": "clock",
    "passed": True,
    "phase": "hold",
    "fault": None,
    "detail": "the kernel says the clock is synchronised",
    "evidence": {"synchronised": True},
    "age_ms": 0,
    "waived": False,
}
CHECKS = {"could_open": False, "ready_in_ms": None, "checks": [LANE_CHECK, CLOCK_CHECK]}


class ScriptedDaemon:
    """Answers by method and path. The last answer of a list is given for ever; `asked` keeps what came in."""

    def __init__(self, socket: Path) -> None:
        self.socket = socket
        self.url = ""
        self.asked: list[tuple[str, str, dict[str, Any]]] = []
        self._answers: dict[str, list[Answer]] = {}
        self._streams: list[list[bytes]] = []
        self._came = threading.Condition()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)

    def answers(self, line: str, *answers: Answer) -> None:
        """`GET /cameras` answers these, one after the other."""
        self._answers[line] = list(answers)

    def streams(self, *pieces: bytes) -> None:
        """The next event stream sends these pieces and ends."""
        self._streams.append(list(pieces))

    def wait_for(self, line: str, times: int = 1) -> None:
        """Return once that was asked so many times."""
        with self._came:
            came = self._came.wait_for(lambda: self.count(line) >= times, timeout=20)
        assert came, f"{line} was not asked {times} times: {self.asked}"

    def count(self, line: str) -> int:
        return sum(f"{method} {path}" == line for method, path, _ in self.asked)

    def bodies(self, line: str) -> list[dict[str, Any]]:
        return [body for method, path, body in self.asked if f"{method} {path}" == line]

    def start(self) -> None:
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._start(), self._loop).result(20)

    def stop(self) -> None:
        asyncio.run_coroutine_threadsafe(self._runner.cleanup(), self._loop).result(20)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _start(self) -> None:
        application = web.Application()
        application.router.add_get("/api/v1/events/stream", self._stream)
        application.router.add_route("*", "/{path:.*}", self._handle)
        self._runner = web.AppRunner(application, shutdown_timeout=0)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        await web.UnixSite(self._runner, str(self.socket)).start()
        address = self._runner.addresses[0]
        self.url = f"http://127.0.0.1:{address[1]}"

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        path = request.path.removeprefix("/api/v1")
        text = await request.text()
        body = {**dict(request.query), **(json.loads(text) if text else {})}
        script = self._answers.get(
            f"{request.method} {path}", [problem(404, "not-found", "There is nothing here.")]
        )
        answer = script.pop(0) if len(script) > 1 else script[0]
        status, told = answer(body) if callable(answer) else answer
        self._note(request.method, path, body)
        if isinstance(told, str):
            return web.Response(status=status, text=told)
        kind = "application/json" if status < 400 else "application/problem+json"
        headers = {"Retry-After": str(told["retry"])} if isinstance(told, Mapping) and "retry" in told else {}
        return web.Response(status=status, text=json.dumps(told), content_type=kind, headers=headers)

    async def _stream(self, request: web.Request) -> web.StreamResponse:
        self._note("GET", "/events/stream", {"after": request.headers.get("Last-Event-ID")})
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        for piece in self._streams.pop(0) if self._streams else []:
            await response.write(piece)
        return response

    def _note(self, method: str, path: str, body: dict[str, Any]) -> None:
        with self._came:
            self.asked.append((method, path, body))
            self._came.notify_all()


def problem(status: int, code: str, detail: str, **members: Any) -> tuple[int, dict[str, Any]]:
    """A problem document of RFC 9457."""
    document = {
        "type": f"https://volet.invalid/problems/{code}",
        "title": "No",
        "status": status,
        "detail": detail,
    }
    return status, document | members


def event(seq: int, **members: Any) -> dict[str, Any]:
    """A chained event of CONTRACT 7."""
    return {
        "seq": seq,
        "id": f"01930000-0000-7000-8000-{seq:012d}",
        "at": f"2026-11-22T10:00:{seq:02d}.000000Z",
        "site": "lot-12",
        "type": "transition",
        "camera": "cam1",
        "session": SESSION,
        "trigger": "request",
        "from": "disabled",
        "from_substate": "ready",
        "to": "requested",
        "to_substate": None,
        "actor": {"kind": "member", "id": "m-5f0c"},
        "data": {},
    } | members
