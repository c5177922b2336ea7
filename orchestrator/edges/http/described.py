"""What each route is told as in the API's description: its sense, parameters, body, answers and problems."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel

from orchestrator.edges.http import answer_models as shown
from orchestrator.edges.http.bodies import DEFAULT_PAGE, MAX_PAGE, MAX_SEQ, NO_CONTROLS, Empty, TransitionBody
from orchestrator.edges.http.console_files import TYPES
from orchestrator.edges.http.preconditions import KEY_PATTERN, VERSIONS_PATTERN
from orchestrator.edges.http.windows import CURSOR_PATTERN, MOST_NEXT, EndBody, WindowBody

Schema = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter in a path, a query or a header."""

    name: str
    place: str
    schema: Schema
    sense: str


@dataclass(frozen=True, slots=True)
class Media:
    """An answer that is described by its kind alone, or by one of several."""

    kinds: tuple[str, ...]

    @classmethod
    def of(cls, *kinds: str) -> Media:
        """Without the parameters of a `Content-Type`."""
        return cls(tuple(kind.partition(";")[0] for kind in kinds))


@dataclass(frozen=True, slots=True)
class Reply:
    """A success. `model` None: no content. `lines`: NDJSON of the model's items too, by `Accept`. `link` is
    what its members lead to: name → (operation, parameter → member)."""

    sense: str
    model: type[BaseModel] | Media | None
    lines: bool = False
    headers: Mapping[str, Parameter] = field(default_factory=dict)
    link: Mapping[str, tuple[str, Mapping[str, str]]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Route:
    """One operation. `problems` are the codes besides those that every route has, or every route with such a
    body, query or role."""

    name: str
    sense: str
    replies: Mapping[int, Reply]
    body: type[BaseModel] | None = None
    query: tuple[Parameter, ...] = ()
    headers: tuple[Parameter, ...] = ()
    problems: tuple[str, ...] = ()
    endless: bool = False


IDENTIFIER: Schema = {"type": "string", "minLength": 1, "maxLength": 100, "pattern": NO_CONTROLS}
PATH = {
    "camera": Parameter(
        "camera", "path", {"type": "string", "pattern": "^[a-z0-9][a-z0-9_-]{0,31}$"}, "A camera"
    ),
    "session": Parameter("session", "path", IDENTIFIER, "A session"),
    "watch": Parameter("watch", "path", IDENTIFIER, "A watch of one's own"),
    "window": Parameter("window", "path", IDENTIFIER, "A maintenance window"),
    "number": Parameter(
        "number", "path", {"type": "integer", "minimum": 0, "maximum": 999_999_999}, "A segment"
    ),
    "file": Parameter("file", "path", IDENTIFIER, "A file of the console"),
}
_SEQ: Schema = {"type": "integer", "minimum": 0, "maximum": MAX_SEQ, "default": 0}
AFTER = Parameter("after", "query", _SEQ, "The `next` of the page before")
LIMIT = Parameter(
    "limit",
    "query",
    {"type": "integer", "minimum": 1, "maximum": MAX_PAGE, "default": DEFAULT_PAGE},
    "How many items at most",
)
PAGED = (AFTER, LIMIT)
_NAMES = Parameter(
    "names",
    "query",
    {"type": "boolean", "default": False},
    "With the names in them: for a reviewer alone, and that somebody looked is an event",
)
_ETAG = {"ETag": Parameter("ETag", "header", {"type": "string", "pattern": '^"[0-9]+"$'}, "For `If-Match`")}
_KEY = Parameter(
    "Idempotency-Key",
    "header",
    {"type": "string", "pattern": f"^{KEY_PATTERN}$"},
    "A repeat under the same key within a day gets the first answer and adds nothing",
)
_IF_MATCH = Parameter(
    "If-Match",
    "header",
    {"type": "string", "pattern": f"^{VERSIONS_PATTERN}$"},
    "The `version` of the camera, in quotes, that the change is meant for",
)
_LAST = Parameter("Last-Event-ID", "header", {**_SEQ}, "The sequence number of the last event that was read")
_NEXT: Schema = {"type": "integer", "minimum": 1, "maximum": MOST_NEXT}
_CHANGED = ("not-permitted", "slow-down", "log-unwritable")
_ITS_WINDOW = {
    name: (operation, {"window": "id"})
    for name, operation in (
        ("approve", "approveWindow"),
        ("shorten", "shortenWindow"),
        ("cancel", "cancelWindow"),
    )
}
_PICTURE = ("unknown-watch", "shut")
_HTML = Reply("The page", Media.of("text/html"))

DESCRIBED: Mapping[tuple[str, str], Route] = {
    ("GET", "/"): Route("console", "The console", {200: _HTML}),
    ("GET", "/console/{file}"): Route(
        "consoleFile",
        "A file of the console",
        {200: Reply("The file", Media.of(*TYPES.values()))},
        problems=("not-found",),
    ),
    ("GET", "/healthz"): Route("lives", "Whether the process lives", {200: Reply("It does", shown.Lives)}),
    ("GET", "/readyz"): Route(
        "ready",
        "Whether each dependency is well",
        {200: Reply("All are", shown.Ready), 503: Reply("One is not", shown.Ready)},
    ),
    ("GET", "/metrics"): Route(
        "metrics", "Figures for Prometheus", {200: Reply("They", Media.of("text/plain"))}
    ),
    ("GET", "/api/v1/me"): Route("me", "Who I am here, and what is logged", {200: Reply("You", shown.Me)}),
    ("GET", "/api/v1/cameras"): Route(
        "cameras",
        "The cameras that the caller may see",
        {200: Reply("A page of them", shown.Cameras)},
        query=(Parameter("after", "query", IDENTIFIER, AFTER.sense), LIMIT),
    ),
    ("GET", "/api/v1/cameras/{camera}"): Route(
        "camera", "One camera", {200: Reply("Its state", shown.Camera, headers=_ETAG)}
    ),
    ("GET", "/api/v1/cameras/{camera}/checks"): Route(
        "checks", "Every check, judged for the caller", {200: Reply("The checks", shown.Checks)}
    ),
    ("GET", "/api/v1/cameras/{camera}/transitions"): Route(
        "transitions",
        "The camera's transitions",
        {200: Reply("A page of them", shown.Page[shown.Transition], lines=True)},
        query=PAGED,
        problems=("slow-down", "log-unreadable"),
    ),
    ("POST", "/api/v1/cameras/{camera}/transitions"): Route(
        "transition",
        "Ask for a session, extend it, close it, or acknowledge a lock",
        {
            200: Reply("It was shut already; nothing was added", shown.Moved),
            202: Reply(
                "Durable; of a closing: shut",
                shown.Moved,
                link={"session": ("session", {"session": "session"})},
            ),
        },
        body=TransitionBody,
        headers=(_KEY, _IF_MATCH),
        problems=(
            "invalid-query",
            "version",
            "not-permitted",
            "config-invalid",
            "closing",
            "cooling-down",
            "locked",
            "closed-meanwhile",
            "idempotency-mismatch",
            "slow-down",
            "log-unwritable",
            "log-unreadable",
        ),
    ),
    ("POST", "/api/v1/cameras/{camera}/watches"): Route(
        "join",
        "Join as a viewer",
        {
            201: Reply(
                "A watch of the caller's own",
                shown.Joined,
                link={
                    "leave": ("leave", {"watch": "watch"}),
                    "mp4": ("mp4", {"watch": "watch"}),
                    "hls": ("playlist", {"watch": "watch"}),
                },
            )
        },
        body=Empty,
        problems=(
            "shut",
            "closed-meanwhile",
            "too-many-viewers",
            "slow-down",
            "log-unwritable",
            "no-frame-yet",
        ),
    ),
    ("DELETE", "/api/v1/watches/{watch}"): Route(
        "leave",
        "Give a watch back",
        {204: Reply("It has left", None)},
        body=Empty,
        problems=("unknown-watch",),
    ),
    ("GET", "/live/{watch}/stream.mp4"): Route(
        "mp4",
        "The picture as endless fragmented MP4",
        {200: Reply("The picture, until it is shut", Media.of("video/mp4"))},
        problems=(*_PICTURE, "no-frame-yet"),
        endless=True,
    ),
    ("GET", "/live/{watch}/index.m3u8"): Route(
        "playlist",
        "The picture's HLS playlist",
        {200: Reply("The playlist", Media.of("application/vnd.apple.mpegurl"))},
        problems=(*_PICTURE, "no-frame-yet"),
    ),
    ("GET", r"/live/{watch}/{number:[0-9]{1,9}}.ts"): Route(
        "segment",
        "A segment of the playlist",
        {200: Reply("The segment", Media.of("video/mp2t"))},
        problems=(*_PICTURE, "not-found"),
    ),
    ("GET", "/api/v1/sessions"): Route(
        "sessions",
        "Sessions, newest last: a reviewer sees all, a maintainer their own",
        {200: Reply("A page of them", shown.Page[shown.Session], lines=True)},
        query=(*PAGED, _NAMES),
        problems=("slow-down", "log-unwritable", "log-unreadable"),
    ),
    ("GET", "/api/v1/sessions/{session}"): Route(
        "session",
        "One session",
        {200: Reply("The session", shown.Session)},
        query=(_NAMES,),
        problems=("unknown-session", "role-required", "log-unwritable", "log-unreadable"),
    ),
    ("GET", "/api/v1/events"): Route(
        "events",
        "The log: a reviewer sees all, a maintainer that of their own sessions",
        {200: Reply("A page of it", shown.Page[shown.Event | shown.EventWithDetails], lines=True)},
        query=(
            *PAGED,
            Parameter("camera", "query", IDENTIFIER, "Of this camera alone"),
            Parameter("session", "query", IDENTIFIER, "Of this session alone"),
            Parameter("details", "query", {"type": "boolean", "default": False}, "With what was said"),
            _NAMES,
        ),
        problems=("slow-down", "log-unwritable", "log-unreadable"),
    ),
    ("GET", "/api/v1/events/stream"): Route(
        "follow",
        "The log as it grows",
        {200: Reply("Server-sent events; `id` is the sequence number", Media.of("text/event-stream"))},
        headers=(_LAST,),
        problems=("slow-down",),
        endless=True,
    ),
    ("GET", "/api/v1/windows"): Route(
        "windows",
        "The maintenance windows that run or are to come, or what will really happen",
        {200: Reply("A page of them", shown.Windows, lines=True)},
        query=(
            Parameter("after", "query", {"type": "string", "pattern": f"^{CURSOR_PATTERN}$"}, AFTER.sense),
            LIMIT,
            Parameter("next", "query", _NEXT, "So many coming stretches instead; alone"),
        ),
        problems=("slow-down",),
    ),
    ("POST", "/api/v1/windows"): Route(
        "addWindow",
        "Add a one-off window: in force at once for an approver, else proposed",
        {201: Reply("The window", shown.Window, link=_ITS_WINDOW)},
        body=WindowBody,
        problems=("unknown-camera", *_CHANGED),
    ),
    ("PATCH", "/api/v1/windows/{window}"): Route(
        "shortenWindow",
        "Make a window end earlier",
        {200: Reply("The window", shown.Window), 202: Reply("The log is behind", shown.Window)},
        body=EndBody,
        problems=("unknown-window", "role-required", *_CHANGED),
    ),
    ("DELETE", "/api/v1/windows/{window}"): Route(
        "cancelWindow",
        "Cancel a window",
        {200: Reply("The window", shown.Window), 202: Reply("The log is behind", shown.Window)},
        body=Empty,
        problems=("unknown-window", "role-required", *_CHANGED),
    ),
    ("POST", "/api/v1/windows/{window}/approve"): Route(
        "approveWindow",
        "Approve a window",
        {200: Reply("The window", shown.Window)},
        body=Empty,
        problems=("unknown-window", "role-required", *_CHANGED),
    ),
    ("GET", "/api/v1/openapi.json"): Route(
        "description", "This document", {200: Reply("OpenAPI 3.1", Media.of("application/json"))}
    ),
}
"""Every route of the table but those that are not built; a test finds one that is missing here."""
