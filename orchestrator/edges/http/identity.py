"""The door-keeper: Host, identity and Origin are looked at before anything else of a request (CONTRACT 8)."""

from __future__ import annotations

import logging

from aiohttp import HttpVersion10, HttpVersion11, web
from aiohttp.typedefs import Handler, Middleware

from orchestrator.core.refusal import Refusal
from orchestrator.edges.http.door import Door
from orchestrator.edges.http.ports import Caller, House
from orchestrator.edges.http.problems import PROBLEMS, method_not_allowed, problem

log = logging.getLogger(__name__)

REPORTED = frozenset({"wrong-host", "unknown-device", "own-address", "cross-site", "role-required"})
"""Refusals that the log counts as `denied`."""
_CALLER = web.RequestKey("caller", Caller)


def caller_of(request: web.Request) -> Caller | None:
    """Who asks; None is the local socket."""
    return request.get(_CALLER)


def member_of(request: web.Request) -> Caller:
    """Who asks, where the local socket is not served. Refusal `vpn-only` there."""
    caller = caller_of(request)
    if caller is None:
        raise Refusal(
            "vpn-only",
            "The local socket serves health, metrics, camera states and close; use the VPN's address.",
        )
    return caller


def peer_of(request: web.Request) -> tuple[str, int]:
    """The other end's address and port; ConnectionResetError when it has gone."""
    name = request.transport.get_extra_info("peername") if request.transport is not None else None
    if not isinstance(name, tuple):
        raise ConnectionResetError("The connection ended before its request was looked at.")
    return str(name[0]), int(name[1])


def door_keeper(house: House) -> Middleware:
    """The one middleware: lets in who may come in, and turns every "no" and every failure into a problem."""

    @web.middleware
    async def keep(request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            if request.version not in (HttpVersion10, HttpVersion11):
                raise Refusal("bad-request", "This is another version of HTTP. Send HTTP/1.1.")
            caller = await _identify(house, request)
            if caller is not None:
                request[_CALLER] = caller
            return await handler(request)
        except Refusal as refusal:
            return await _refused(house, request, refusal)
        except web.HTTPMethodNotAllowed as wrong:
            return method_not_allowed(request.method, set(wrong.allowed_methods))
        except web.HTTPNotFound:
            return problem(Refusal("not-found", "There is nothing at this path; the API is under /api/v1/."))
        except ConnectionError:
            raise
        except Exception:
            log.exception("%s %s failed unexpectedly", request.method, _place(request))
            return problem(Refusal("internal", "The daemon could not answer; its journal says why."))

    return keep


async def _identify(house: House, request: web.Request) -> Caller | None:
    door = request.protocol
    if isinstance(door, Door) and door.is_local:
        return None
    host = _our_host(request, house.hosts())
    caller = await house.caller(*peer_of(request))
    _same_site(request, host)
    return caller


def _our_host(request: web.Request, ours: frozenset[str]) -> str:
    named = request.headers.getall("Host", [])
    # An absolute target would outrank Host (RFC 9112 3.2.2), and nobody who means us sends one.
    if len(named) == 1 and named[0].lower() in ours and request.raw_path.startswith(("/", "*")):
        return named[0].lower()
    raise Refusal("wrong-host", "Host must name this gateway's listener on the VPN.")


def _same_site(request: web.Request, host: str) -> None:
    origins = request.headers.getall("Origin", [])
    ours = (f"http://{host}", f"https://{host}")
    if any(origin.lower() not in ours for origin in origins):
        raise Refusal("cross-site", "Another site's page sent this; open the console itself.")
    # Sent over https and to loopback only (FIELD 12). A link may lead here; an embedding may not.
    if request.headers.get("Sec-Fetch-Site", "none") not in ("same-origin", "none") and (
        request.headers.get("Sec-Fetch-Dest") != "document" or request.method != "GET"
    ):
        raise Refusal("cross-site", "Another site's page asked for this; open the console itself.")
    # What a page that embeds a picture still says over plain HTTP, unless it takes care to be quiet.
    referers = request.headers.getall("Referer", []) if request.path.startswith("/live/") else []
    if any(not referer.lower().startswith(tuple(f"{each}/" for each in ours)) for referer in referers):
        raise Refusal("cross-site", "Another site's page embeds this; open the console itself.")


async def _refused(house: House, request: web.Request, refusal: Refusal) -> web.StreamResponse:
    if refusal.code not in PROBLEMS:
        log.error("Refused with the unknown code %r: %s", refusal.code, refusal.detail)
        refusal = Refusal("internal", "The daemon said no in a way that has no name; its journal says more.")
    door = request.protocol
    if refusal.code in REPORTED and not (isinstance(door, Door) and door.is_local):
        await house.denied(peer_of(request)[0], refusal.code)
    response = problem(refusal)
    if refusal.code in ("bad-request", "too-slow"):
        response.force_close()
    return response


def _place(request: web.Request) -> str:
    # The path itself may hold a watch or a session; the route's own text never does (S19).
    resource = request.match_info.route.resource
    return resource.canonical if resource is not None else "an unknown path"
