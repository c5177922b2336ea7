"""Every "no" as a document: RFC 9457 problems for the codes of CONTRACT 8 and for HTTP's own errors."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from aiohttp import web

from orchestrator.core.refusal import Refusal

TYPE_PREFIX = "https://volet.invalid/problems/"

# S11: nothing may keep a picture or a name; F30: no other page may embed, read or script ours.
SECURITY_HEADERS: Mapping[str, str] = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
        "media-src 'self' blob:; connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; "
        "form-action 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Server": "volet",
}
"""On every response, whatever it says."""


class Problem(NamedTuple):
    """The part of a problem document that belongs to its code.

    `members` are those it always has besides, `may_have` those it can have, each with its type.
    `retry_after_s` is the least `Retry-After` of a code that has one.
    """

    status: int
    title: str
    members: Mapping[str, Any] = {}
    may_have: Mapping[str, Any] = {}
    retry_after_s: int | None = None


PROBLEMS: Mapping[str, Problem] = {
    "wrong-host": Problem(421, "This is not the host you meant"),
    "unknown-device": Problem(403, "This device is not known"),
    "own-address": Problem(403, "The gateway itself is nobody"),
    "cross-site": Problem(403, "Another site's page asked for this"),
    "not-found": Problem(404, "There is nothing here"),
    "method-not-allowed": Problem(405, "This method is not for this path"),
    "unknown-camera": Problem(404, "No such camera"),
    "unknown-session": Problem(404, "No such session"),
    "unknown-window": Problem(404, "No such window"),
    "unknown-watch": Problem(404, "No such watch"),
    "shut": Problem(404, "The camera is shut"),
    "role-required": Problem(403, "Your role does not allow this", {"roles": list[str]}),
    "vpn-only": Problem(403, "Only over the VPN"),
    "too-large": Problem(413, "The body is too large"),
    "not-json": Problem(415, "The body must be JSON"),
    "invalid-body": Problem(422, "The body is not valid", {"pointer": str}),
    "invalid-query": Problem(422, "The query is not valid", {"pointer": str}),
    "version": Problem(412, "The camera has moved on", {"version": int}),
    "not-permitted": Problem(
        409, "Not permitted in this state", {"permitted": list[str]}, {"latest_end": str, "limit": str}
    ),
    "config-invalid": Problem(409, "The configuration is not valid"),
    "closing": Problem(409, "The camera is still closing", retry_after_s=1),
    "cooling-down": Problem(409, "The camera is cooling down", {"fault": str}, retry_after_s=1),
    "locked": Problem(409, "The camera is locked", {"fault": str | None, "locks": list[str], "who": str}),
    "closed-meanwhile": Problem(409, "A closing came first"),
    "idempotency-mismatch": Problem(422, "This key was used with another body"),
    "too-many-viewers": Problem(429, "Too many viewers", retry_after_s=1),
    "slow-down": Problem(429, "Too many requests", retry_after_s=1),
    "log-unwritable": Problem(503, "The log cannot be written", retry_after_s=1),
    "no-frame-yet": Problem(503, "No picture yet", retry_after_s=1),
    # Not in CONTRACT 8: a log that was changed or cannot be opened, and HTTP's own.
    "log-unreadable": Problem(503, "The log cannot be read"),
    "bad-request": Problem(400, "This is not HTTP"),
    "too-slow": Problem(408, "The body took too long"),
    "internal": Problem(500, "Our fault"),
}


def encode(body: object) -> bytes:
    """`body` as compact JSON; any mapping is an object. ValueError for NaN and infinities."""
    text = json.dumps(body, default=_plain, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.encode("utf-8", "replace")


def problem(refusal: Refusal) -> web.Response:
    """The response that tells of `refusal`; a code that is not in the table is our own mistake: KeyError."""
    told = PROBLEMS[refusal.code]
    status, title = told.status, told.title
    document = {
        **refusal.members,
        "type": TYPE_PREFIX + refusal.code,
        "title": title,
        "status": status,
        "detail": refusal.detail,
    }
    response = web.Response(
        status=status, body=encode(document), headers={"Content-Type": "application/problem+json"}
    )
    retry_after_s = refusal.retry_after_s or told.retry_after_s
    if retry_after_s is not None:
        response.headers["Retry-After"] = str(retry_after_s)
    return response


def method_not_allowed(method: str, allowed: set[str]) -> web.Response:
    """405 with its `Allow`."""
    names = ", ".join(sorted(allowed))
    response = problem(Refusal("method-not-allowed", f"{method} is not for this path; it takes {names}."))
    response.headers["Allow"] = names
    return response


def _plain(value: object) -> Any:
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, (set, frozenset)):
        return sorted(value)
    raise TypeError(f"{type(value).__name__} has no JSON form")
