"""Every path there is: its method, its handler, what its caller must be admitted to, and who is served."""

from __future__ import annotations

from typing import NamedTuple

from aiohttp import web
from aiohttp.typedefs import Handler

from orchestrator.edges.http.api import Api
from orchestrator.edges.http.console_files import ConsoleFiles
from orchestrator.edges.http.description import Description
from orchestrator.edges.http.event_stream import EventStream
from orchestrator.edges.http.health import Health
from orchestrator.edges.http.identity import caller_of, member_of
from orchestrator.edges.http.live import Live
from orchestrator.edges.http.ports import Act, House
from orchestrator.edges.http.windows import Windows


class Route(NamedTuple):
    """One path and method. `act` is asked of `House.admit` before the handler runs; None leaves that to
    the handler. `local`: the Unix socket serves it too."""

    method: str
    path: str
    handler: Handler
    act: Act | None = None
    local: bool = False


def routes(house: House) -> list[Route]:
    """The table of CONTRACT 5."""
    description = Description()
    table = _table(house, description)
    description.of(table)
    return table


def _table(house: House, description: Description) -> list[Route]:
    api, live, health, console = Api(house), Live(house), Health(house), ConsoleFiles()
    camera = "/api/v1/cameras/{camera}"
    windows, window = Windows(house), "/api/v1/windows/{window}"
    return [
        Route("GET", "/", console.index),
        Route("GET", "/console/{file}", console.file),
        Route("GET", "/healthz", health.healthz, local=True),
        Route("GET", "/readyz", health.readyz, local=True),
        Route("GET", "/metrics", health.metrics, local=True),
        Route("GET", "/api/v1/me", api.me, "see"),
        Route("GET", "/api/v1/cameras", api.cameras, "see", local=True),
        Route("GET", camera, api.camera, "see", local=True),
        Route("GET", f"{camera}/checks", api.checks, "see"),
        Route("GET", f"{camera}/transitions", api.transitions, "see"),
        # `close` is what most may do; the body's own trigger is asked about once it is read.
        Route("POST", f"{camera}/transitions", api.transition, "close", local=True),
        Route("POST", f"{camera}/watches", api.join, "watch"),
        Route("DELETE", "/api/v1/watches/{watch}", api.leave),
        Route("GET", "/live/{watch}/stream.mp4", live.mp4),
        Route("GET", "/live/{watch}/index.m3u8", live.playlist),
        Route("GET", r"/live/{watch}/{number:[0-9]{1,9}}.ts", live.segment),
        Route("GET", "/api/v1/sessions", api.sessions, "log"),
        Route("GET", "/api/v1/sessions/{session}", api.session),
        Route("GET", "/api/v1/events", api.events, "log"),
        Route("GET", "/api/v1/events/stream", EventStream(house).stream, "log"),
        Route("GET", "/api/v1/windows", windows.list, "see"),
        Route("POST", "/api/v1/windows", windows.add, "propose"),
        Route("PATCH", window, windows.shorten),
        Route("DELETE", window, windows.cancel),
        Route("POST", f"{window}/approve", windows.approve),
        Route("GET", "/api/v1/openapi.json", description.serve, "see"),
    ]


def register(app: web.Application, house: House, table: list[Route]) -> None:
    """Put the table into the application; a GET answers HEAD too."""
    for route in table:
        handler = _admitting(house, route)
        for method in ("GET", "HEAD") if route.method == "GET" else (route.method,):
            app.router.add_route(method, route.path, handler, expect_handler=_continue_later)


def _admitting(house: House, route: Route) -> Handler:
    async def handle(request: web.Request) -> web.StreamResponse:
        caller = caller_of(request) if route.local else member_of(request)
        if route.act is not None:
            house.admit(caller, route.act, request.match_info.get("camera"))
        return await route.handler(request)

    return handle


async def _continue_later(request: web.Request) -> None:
    """`Expect: 100-continue` is answered when the body is wanted, not before the caller is known."""
