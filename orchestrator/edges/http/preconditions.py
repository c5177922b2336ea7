"""The headers that a change may be tied to: `If-Match` and `Idempotency-Key`, read strictly (CONTRACT 5)."""

from __future__ import annotations

import re
from typing import NoReturn

from aiohttp import web

from orchestrator.core.refusal import Refusal

KEY_PATTERN = r"[\x21-\x7e]{1,255}"
"""An idempotency key: 1 to 255 visible ASCII characters; quotes, where there are any, are part of it."""
VERSIONS_PATTERN = r'(\*|(W/)?"[^"]*"|[0-9]{1,16})([ \t]*,[ \t]*((W/)?"[^"]*"|[0-9]{1,16}))*'
"""What `If-Match` holds: `*`, or entity tags (RFC 9110 8.8.3); a bare number is taken for the tag of it."""
_KEY = re.compile(KEY_PATTERN, re.ASCII)
_VERSIONS = re.compile(VERSIONS_PATTERN, re.ASCII)
_STRONG = re.compile(r'(W/)?"([^"]*)"|([0-9]{1,16})', re.ASCII)


def etag(version: int) -> str:
    """The entity tag of a camera at that version."""
    return f'"{version}"'


def idempotency_key(request: web.Request) -> str | None:
    """The key that a repeat of this request will have too. Refusal `invalid-query` for what is none."""
    given = request.headers.getall("Idempotency-Key", [])
    if not given:
        return None
    if len(given) > 1 or _KEY.fullmatch(given[0]) is None:
        _refuse("Idempotency-Key", "one key of 1 to 255 visible ASCII characters was expected")
    return given[0]


def expected_versions(request: web.Request) -> frozenset[int] | None:
    """The versions of the camera that the caller reckons with; None: any. A weak tag and one that is no
    version match none (RFC 9110 13.1.1). Refusal `invalid-query` for what is no list of tags."""
    text = ", ".join(request.headers.getall("If-Match", []))
    if "If-Match" not in request.headers or text == "*":
        return None
    if _VERSIONS.fullmatch(text) is None or text.startswith("*"):
        _refuse("If-Match", 'the `version` of the camera in quotes was expected, like "42", or *')
    tags = [(bare or quoted) for weak, quoted, bare in _STRONG.findall(text) if not weak]
    return frozenset(int(tag) for tag in tags if re.fullmatch("[0-9]{1,16}", tag, re.ASCII))


def _refuse(header: str, wanted: str) -> NoReturn:
    raise Refusal("invalid-query", f"{header}: {wanted}.", members={"pointer": f"/{header}"})
