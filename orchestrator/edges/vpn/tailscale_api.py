"""The client of tailscaled's LocalAPI: HTTP over its Unix socket, each question with a time limit."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator
from contextlib import aclosing
from pathlib import Path

from aiohttp import ClientError, ClientResponse, ClientSession, ClientTimeout, DummyCookieJar, UnixConnector

from orchestrator.edges.vpn.tailscale_shapes import decode

ANSWER_LIMIT_S = 1.0
FIRST_LINE_LIMIT_S = 2.0
_ANSWER_BYTES = 4 << 20
_LINE_BYTES = 16 << 20
_CONNECTIONS = 24
# The Host that tailscaled takes; with another one, or with Origin or Referer, it answers 403.
_BASE = "http://local-tailscaled.sock/localapi/v0/"
_INITIAL_STATE_AND_PREFS = "6"


class LocalApiError(Exception):
    """tailscaled did not answer the question; the sentence says what to do."""


class LocalApi:
    """One session with one tailscaled. Everything but the constructor is called on the loop."""

    def __init__(self, socket: Path) -> None:
        self._socket = socket
        self._session: ClientSession | None = None

    async def close(self) -> None:
        """Let go of every connection. Repeatable; the next question opens one again."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def status(self) -> object:
        """How tailscaled and this node are. LocalApiError, UnknownShape."""
        return decode((await self._get("status", peers="false"))[1], "status")

    async def whois(self, address: str, port: int) -> object | None:
        """The node behind a peer's address; None when the tailnet knows none. LocalApiError, UnknownShape."""
        place = f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
        status, body = await self._get("whois", (404,), addr=place)
        return None if status == 404 else decode(body, "whois")

    async def serve_config(self) -> object | None:
        """What Serve and Funnel are set to, None when unset. LocalApiError, UnknownShape."""
        return decode((await self._get("serve-config"))[1], "serve-config")

    async def prefs(self) -> object:
        """The node's own settings. LocalApiError, UnknownShape."""
        return decode((await self._get("prefs"))[1], "prefs")

    async def bus(self) -> AsyncGenerator[object, None]:
        """Each notification as it comes, the present state first; ends when tailscaled ends it.
        LocalApiError, UnknownShape."""
        try:
            async with asyncio.timeout(ANSWER_LIMIT_S):
                response = await self._ask("watch-ipn-bus", {"mask": _INITIAL_STATE_AND_PREFS})
        except (OSError, ClientError) as error:
            raise self._unanswered(error) from None
        try:
            self._judge("watch-ipn-bus", response, ())
            async with aclosing(_lines(response)) as lines:
                async for line in lines:
                    yield decode(line, "the notification bus")
        except (OSError, ClientError) as error:
            raise self._unanswered(error) from None
        finally:
            response.close()

    async def _get(self, name: str, also: tuple[int, ...] = (), **query: str) -> tuple[int, bytes]:
        """Status (200 or one of `also`) and body."""
        try:
            async with asyncio.timeout(ANSWER_LIMIT_S):
                response = await self._ask(name, query)
                try:
                    self._judge(name, response, also)
                    body = await _whole(response)
                finally:
                    response.release()
        except (OSError, ClientError) as error:
            raise self._unanswered(error) from None
        return response.status, body

    async def _ask(self, name: str, query: dict[str, str]) -> ClientResponse:
        self._trust()
        if self._session is None:
            self._session = ClientSession(
                connector=UnixConnector(path=str(self._socket), limit=_CONNECTIONS),
                cookie_jar=DummyCookieJar(),
                timeout=ClientTimeout(total=None),
                auto_decompress=False,
                headers={"Accept-Encoding": "identity"},
            )
        return await self._session.get(_BASE + name, params=query, allow_redirects=False)

    def _trust(self) -> None:
        """Whoever may put a socket there could say that all is well. OSError, LocalApiError."""
        owner = os.stat(self._socket).st_uid
        if owner not in (0, os.geteuid()):
            raise LocalApiError(
                f"{self._socket} belongs to user {owner}, not to root: that is not tailscaled; set vpn.socket"
            )

    def _judge(self, name: str, response: ClientResponse, also: tuple[int, ...]) -> None:
        if response.status != 200 and response.status not in also:
            raise LocalApiError(
                f"tailscaled answered {response.status} to {name}: `tailscale status` on this machine, "
                "and see that the daemon's user may ask it"
            )

    def _unanswered(self, error: Exception) -> LocalApiError:
        if isinstance(error, TimeoutError):
            return LocalApiError(
                f"tailscaled did not answer within {ANSWER_LIMIT_S:g} s: systemctl status tailscaled"
            )
        why = getattr(error, "strerror", None) or type(error).__name__
        return LocalApiError(
            f"no tailscaled answers at {self._socket} ({why}): systemctl status tailscaled, or set vpn.socket"
        )


async def _whole(response: ClientResponse) -> bytes:
    body = bytearray()
    async for piece in response.content.iter_any():
        body += piece
        if len(body) > _ANSWER_BYTES:
            raise LocalApiError(f"tailscaled answered more than {_ANSWER_BYTES} bytes")
    return bytes(body)


async def _lines(response: ClientResponse) -> AsyncGenerator[bytes, None]:
    """The lines of the bus. TimeoutError when the first does not come."""
    line = bytearray()
    pieces = response.content.iter_any()
    limit_s: float | None = FIRST_LINE_LIMIT_S
    while True:
        async with asyncio.timeout(limit_s):
            try:
                piece = await anext(pieces)
            except StopAsyncIteration:
                return
        *ended, rest = piece.split(b"\n")
        for part in ended:
            limit_s = None
            yield bytes(line + part)
            line.clear()
        line += rest
        if len(line) > _LINE_BYTES:
            raise LocalApiError(f"a notification of tailscaled is longer than {_LINE_BYTES} bytes")
