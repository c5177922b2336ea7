"""Reads the one HTTP/1.1 request that a connection to the demo's camera holds."""

import asyncio
from dataclasses import dataclass

_HEAD_LIMIT_BYTES = 16 * 1024
_BODY_LIMIT_BYTES = 4096
_PATIENCE_S = 10


class BadRequest(Exception):
    """What came is no request that the camera understands; the message says why."""


@dataclass(frozen=True, slots=True)
class Request:
    """One request: its method, its path without the query, the media type of its body, its body."""

    method: str
    path: str
    content_type: str
    body: bytes


async def read_request(reader: asyncio.StreamReader) -> Request:
    """Read one request; `BadRequest` when it is not whole within 10 s, too long or not HTTP."""
    try:
        async with asyncio.timeout(_PATIENCE_S):
            head = await reader.readuntil(b"\r\n\r\n")
            if len(head) > _HEAD_LIMIT_BYTES:
                raise BadRequest("the request's head is too long")
            request_line, *lines = head.decode("latin-1").split("\r\n")
            headers = {
                key.strip().lower(): value.strip()
                for key, _, value in (line.partition(":") for line in lines)
            }
            length = int(headers.get("content-length", "0"))
            if not 0 <= length <= _BODY_LIMIT_BYTES:
                raise BadRequest("the request's body is too long")
            body = await reader.readexactly(length)
            method, target, _ = request_line.split(" ")
    except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, TimeoutError, ValueError) as error:
        raise BadRequest(f"not a whole HTTP request: {error}") from None
    media_type = headers.get("content-type", "").partition(";")[0].strip().lower()
    return Request(method, target.partition("?")[0], media_type, body)
