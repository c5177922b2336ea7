"""Talks to the daemon over HTTP: on its local socket, or at its address on the VPN (CONTRACT 5)."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
from collections.abc import AsyncIterator, Coroutine, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self
from urllib.parse import quote

import aiohttp
from yarl import URL

from orchestrator.cli.outcome import NO, UNREACHABLE, USAGE, Failure

EXAMPLE_URL = "http://100.x.y.z:8080"
API = "/api/v1"
ANSWER_LIMIT_S = 20.0
CONNECT_LIMIT_S = 5.0
LINE_LIMIT_BYTES = 1 << 20
"""The longest line of the event stream: an opening with the evidence of every check has room."""

Body = Mapping[str, Any]


class Unreachable(Failure):
    """The daemon cannot be reached: exit status 69."""

    def __init__(self, message: str) -> None:
        super().__init__(message, UNREACHABLE)


class Refused(Failure):
    """The daemon said no: `code` of CONTRACT 8 and the whole problem document."""

    def __init__(self, message: str, code: str, problem: Body) -> None:
        super().__init__(message, NO)
        self.code = code
        self.problem = problem


@dataclass(frozen=True, slots=True)
class Target:
    """Where the daemon is: its address on the VPN, or its local socket."""

    url: URL | None
    socket: Path

    @property
    def name(self) -> str:
        """What to call it in a message."""
        return str(self.url) if self.url else str(self.socket)


def add_target(parser: argparse.ArgumentParser) -> None:
    """The options that say where the daemon is."""
    group = parser.add_mutually_exclusive_group()
    group.add_argument(
        "--url", help=f"the daemon's address on the VPN, e.g. {EXAMPLE_URL} (default: $VOLET_URL)"
    )
    group.add_argument(
        "--socket",
        type=Path,
        metavar="PATH",
        help="the local socket (default: volet.sock in $RUNTIME_DIRECTORY, else /run/volet/volet.sock)",
    )


def target(values: argparse.Namespace, environ: Mapping[str, str] = os.environ) -> Target:
    """Where the options and the environment say the daemon is. Failure (usage) when that is no address."""
    folder = environ.get("RUNTIME_DIRECTORY", "").partition(":")[0] or "/run/volet"
    if values.socket is not None:
        return Target(None, values.socket)
    text = values.url or environ.get("VOLET_URL")
    if not text:
        return Target(None, Path(folder) / "volet.sock")
    try:
        url = URL(text)
        usable = url.scheme in {"http", "https"} and bool(url.host) and url.port is not None and not url.user
    except ValueError:
        usable = False
        url = URL()
    if not usable:
        raise Failure(f"{text!r} is not an address; write for example {EXAMPLE_URL}", USAGE)
    return Target(url.origin(), Path(folder) / "volet.sock")


def target_on_vpn(values: argparse.Namespace, verb: str) -> Target:
    """The daemon's address on the VPN; Failure (usage) when only the local socket is known."""
    found = target(values)
    if found.url is None:
        raise Failure(
            f"`{verb}` works over the VPN only; give the address there with --url {EXAMPLE_URL}", USAGE
        )
    return found


class Told(dict[str, Any]):
    """A JSON object that the daemon told; a member that must be there and is not is no answer."""

    def __missing__(self, name: str) -> Any:
        raise Unreachable(f"the daemon's answer lacks `{name}`; compare both versions (`volet --version`)")


class Client:
    """One conversation with the daemon. Raises Refused for a problem document, Unreachable for no answer."""

    def __init__(self, to: Target) -> None:
        self.target = to

    async def __aenter__(self) -> Self:
        connector = aiohttp.UnixConnector(str(self.target.socket)) if self.target.url is None else None
        self._session = aiohttp.ClientSession(
            base_url=self.target.url or URL("http://localhost"),
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=ANSWER_LIMIT_S, connect=CONNECT_LIMIT_S),
            read_bufsize=LINE_LIMIT_BYTES,
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()

    async def get(self, path: str, query: Mapping[str, str | int] | None = None) -> Told:
        """The JSON object that `path` (below /api/v1) answers."""
        return await self._ask("GET", path, query=query)

    async def post(self, path: str, body: Body) -> Told:
        """The JSON object that a state-changing call answers."""
        return await self._ask("POST", path, body=body)

    async def patch(self, path: str, body: Body) -> Told:
        """The JSON object that a change answers."""
        return await self._ask("PATCH", path, body=body)

    async def delete(self, path: str) -> Told:
        """Take away what `path` names; what is answered, an empty object when nothing is."""
        return await self._ask("DELETE", path, body={})

    async def stream(self, after: int) -> AsyncIterator[Told]:
        """Events as they become durable, after that sequence number. Ends when the daemon ends the answer."""
        headers = {"Accept": "text/event-stream", "Last-Event-ID": str(after)}
        limits = aiohttp.ClientTimeout(total=None, connect=CONNECT_LIMIT_S)
        async with self._answer("GET", "/events/stream", headers=headers, timeout=limits) as answer:
            data: list[str] = []
            async for raw in answer.content:
                line = raw.decode(errors="replace").rstrip("\r\n")
                if line.startswith("data:"):
                    data.append(line[5:].removeprefix(" "))
                elif not line and data:
                    yield self._object("\n".join(data))
                    data = []

    async def _ask(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str | int] | None = None,
        body: Body | None = None,
    ) -> Told:
        async with self._answer(method, path, params=query, json=body) as answer:
            text = await answer.text(errors="replace")
            return self._object(text) if text else Told()

    @asynccontextmanager
    async def _answer(self, method: str, path: str, **rest: Any) -> AsyncIterator[aiohttp.ClientResponse]:
        try:
            async with self._session.request(
                method, URL(API + path, encoded=True), allow_redirects=False, **rest
            ) as answer:
                if not 200 <= answer.status < 300:
                    raise self._refused(answer, await answer.text(errors="replace"))
                yield answer
        except aiohttp.ClientError as error:
            raise Unreachable(self._why_unreachable(error)) from None
        except (TimeoutError, ValueError) as error:
            raise Unreachable(
                f"no usable answer from {self.target.name} ({_words(error)}); "
                "look whether the daemon is well with `systemctl status volet`"
            ) from None

    def _object(self, text: str) -> Told:
        try:
            value = json.loads(text, object_hook=Told)
        except ValueError:
            raise self._stranger() from None
        if not isinstance(value, Told):
            raise self._stranger()
        return value

    def _stranger(self) -> Unreachable:
        return Unreachable(
            f"what answers at {self.target.name} is not volet; look at the address and the port"
        )

    def _refused(self, answer: aiohttp.ClientResponse, text: str) -> Failure:
        try:
            problem = json.loads(text)
            code = str(problem["type"]).rpartition("/")[2]
            detail = str(problem.get("detail") or problem.get("title") or f"status {answer.status}")
        except (ValueError, KeyError, TypeError, AttributeError):
            return self._stranger()
        return Refused(f"{detail.rstrip('.')} ({code}){self._advice(code, problem, answer)}", code, problem)

    def _advice(self, code: str, problem: Body, answer: aiohttp.ClientResponse) -> str:
        if code == "vpn-only":
            return f"; give the address on the VPN with --url {EXAMPLE_URL}"
        retry_after = answer.headers.get("Retry-After")
        if retry_after:
            return f"; try again in {retry_after} s"
        for name in ("latest_end", "permitted", "roles", "pointer"):
            if problem.get(name):
                value = problem[name]
                return f"; {name}: {', '.join(map(str, value)) if isinstance(value, list) else value}"
        return ""

    def _why_unreachable(self, error: aiohttp.ClientError) -> str:
        reason = error.os_error if isinstance(error, aiohttp.ClientConnectorError) else error
        if self.target.url is not None:
            return (
                f"the daemon cannot be reached at {self.target.url} ({_words(reason)}); "
                "look whether this machine is on the VPN and the daemon runs"
            )
        if isinstance(reason, PermissionError):
            return (
                f"{self.target.socket} may not be used by this user; "
                f"join the socket's group, or give --url {EXAMPLE_URL}"
            )
        return (
            f"the daemon cannot be reached at {self.target.socket} ({_words(reason)}); start it with "
            f"`volet serve --config volet.toml`, or give its address on the VPN with --url {EXAMPLE_URL}"
        )


def camera_path(camera: str, *below: str) -> str:
    """The path of that camera, or of something below it; whatever was typed stays one segment."""
    return "/".join(("/cameras", quote(camera, safe=""), *below))


def _words(error: BaseException) -> str:
    if isinstance(error, TimeoutError):
        return "it took too long"
    return str(getattr(error, "strerror", None) or str(error) or type(error).__name__)


def run(work: Coroutine[Any, Any, int]) -> int:
    """Run a command's coroutine to its exit status."""
    return asyncio.run(work)
