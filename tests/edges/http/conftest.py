"""The real server on a free port of loopback, a scripted house behind it, and a client that says anything."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import aiohttp
import pytest

from orchestrator.edges.http.server import HttpEdge
from orchestrator.edges.vpn.sockets import listen

from .scripted_house import ScriptedHouse
from .webdriver import Browser, chromium


class Reply(NamedTuple):
    """One HTTP answer as it came."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def code(self) -> str:
        """The problem's code; the document must agree with the status line."""
        assert self.headers["content-type"] == "application/problem+json", self
        document = self.json
        assert document["status"] == self.status
        assert document["title"]
        assert document["detail"]
        prefix, _, code = document["type"].rpartition("/")
        assert prefix == "https://volet.invalid/problems"
        return str(code)


class Wire:
    """One connection, written and read by hand, so that every malformed thing can be said."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, host: str) -> None:
        self.reader = reader
        self.writer = writer
        self.host = host

    def send(self, method: str, path: str, headers: Mapping[str, str | None], body: bytes) -> None:
        lines: dict[str, str | None] = {"Host": self.host}
        if body or method in ("POST", "PATCH"):
            lines |= {"Content-Type": "application/json", "Content-Length": str(len(body))}
        lines |= headers
        head = "".join(f"{name}: {value}\r\n" for name, value in lines.items() if value is not None)
        self.writer.write(f"{method} {path} HTTP/1.1\r\n{head}\r\n".encode() + body)

    async def head(self) -> tuple[int, dict[str, str]]:
        """The status line and the header fields, names in lower case."""
        text = (await self.reader.readuntil(b"\r\n\r\n")).decode()
        first, *lines = text.strip().split("\r\n")
        fields = dict(line.split(": ", 1) for line in lines)
        return int(first.split()[1]), {name.lower(): value for name, value in fields.items()}

    async def chunk(self) -> bytes:
        """One chunk of a chunked body; empty at its proper end."""
        size = int(await self.reader.readline(), 16)
        data = await self.reader.readexactly(size + 2)
        return data[:-2]

    async def reply(self, *, to_head: bool = False) -> Reply:
        status, headers = await self.head()
        if to_head:
            return Reply(status, headers, b"")
        if headers.get("transfer-encoding") == "chunked":
            chunks = []
            while piece := await self.chunk():
                chunks.append(piece)
            return Reply(status, headers, b"".join(chunks))
        return Reply(status, headers, await self.reader.readexactly(int(headers.get("content-length", 0))))

    def close(self) -> None:
        self.writer.close()


class Client:
    """Asks the edge under test."""

    def __init__(self, port: int, unix: Path | None = None) -> None:
        self.port = port
        self.unix = unix
        self._open: list[Wire] = []

    async def wire(self, receive_bytes: int | None = None) -> Wire:
        """A connection; with `receive_bytes` one whose kernel takes little before somebody reads."""
        if self.unix is not None:
            reader, writer = await asyncio.open_unix_connection(self.unix)
        else:
            sock = socket.socket()
            sock.setblocking(False)
            if receive_bytes is not None:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
            await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", self.port))
            reader, writer = await asyncio.open_connection(sock=sock)
        wire = Wire(reader, writer, f"127.0.0.1:{self.port}")
        self._open.append(wire)
        return wire

    async def ask(
        self, method: str, path: str, *, body: Any = None, headers: Mapping[str, str | None] | None = None
    ) -> Reply:
        wire = await self.wire()
        data = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        wire.send(method, path, {"Connection": "close", **(headers or {})}, data)
        return await wire.reply(to_head=method == "HEAD")

    async def get(self, path: str, **headers: str) -> Reply:
        return await self.ask("GET", path, headers={name.replace("_", "-"): v for name, v in headers.items()})

    async def pull(self, **body: Any) -> Reply:
        return await self.ask("POST", "/api/v1/cameras/cam1/transitions", body=body)

    def close(self) -> None:
        for wire in self._open:
            wire.close()


@pytest.fixture
def house() -> ScriptedHouse:
    return ScriptedHouse("maintainer", "reviewer")


@pytest.fixture
async def edge(house: ScriptedHouse) -> AsyncIterator[HttpEdge]:
    edge = HttpEdge(house)
    sock = listen("127.0.0.1", 0, "lo")
    house.names |= {"127.0.0.1", f"127.0.0.1:{sock.getsockname()[1]}"}
    await edge.start_tcp(sock, "lo")
    yield edge
    await edge.stop()


@pytest.fixture
async def client(edge: HttpEdge) -> AsyncIterator[Client]:
    client = Client(int(edge.addresses[0].rpartition(":")[2]))
    yield client
    client.close()


@pytest.fixture
async def local(edge: HttpEdge, client: Client, tmp_path: Path) -> AsyncIterator[Client]:
    """The same house over the Unix socket."""
    path = tmp_path / "volet.sock"
    await edge.start_unix(path)
    local = Client(client.port, path)
    yield local
    local.close()


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """One browser for all tests of a module; each test opens its page anew."""
    with chromium(tmp_path_factory.mktemp("chromium")) as session:
        yield session


@pytest.fixture
async def browser(session: str) -> AsyncIterator[Browser]:
    async with aiohttp.ClientSession() as http:
        browser = Browser(http, session)
        await browser.look()
        yield browser
        await browser.open("about:blank")
        await browser.messages()
