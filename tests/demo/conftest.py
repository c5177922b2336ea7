"""The demo's parts, running, and a small client for the camera."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest

from orchestrator.demo.part import Part, running


@dataclass
class Response:
    """An HTTP response whose body is still coming."""

    status: int
    headers: dict[str, str]
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def part(self) -> bytes:
        """The content of the next multipart part; `IncompleteReadError` when it is not whole."""
        head = await self.reader.readuntil(b"\r\n\r\n")
        assert head.lstrip().startswith(b"--frame\r\n")
        length = int(head.lower().partition(b"content-length:")[2].split()[0])
        return await self.reader.readexactly(length)

    async def rest(self) -> bytes:
        """All that comes until the camera closes the connection."""
        return await self.reader.read()


class Client:
    """Asks the camera, and closes what it asked for."""

    def __init__(self, port: int) -> None:
        self.port = port
        self._writers: list[asyncio.StreamWriter] = []

    async def ask(
        self, method: str, path: str, body: bytes = b"", kind: str = "application/json"
    ) -> Response:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        self._writers.append(writer)
        head = [f"{method} {path} HTTP/1.1", f"Content-Type: {kind}", f"Content-Length: {len(body)}", "", ""]
        writer.write("\r\n".join(head).encode() + body)
        status, *lines = (await reader.readuntil(b"\r\n\r\n")).decode().strip().split("\r\n")
        headers = {key.lower(): value for key, value in (line.split(": ", 1) for line in lines)}
        return Response(int(status.split()[1]), headers, reader, writer)

    async def watch(self, path: str = "/mjpeg/cam1") -> Response:
        return await self.ask("GET", path)

    async def control(self, **order: Any) -> dict[str, Any]:
        answer = await self.ask("POST", "/control", json.dumps(order).encode())
        told: dict[str, Any] = json.loads(await answer.rest())
        return told

    def close(self) -> None:
        for writer in self._writers:
            writer.close()


@pytest.fixture
async def camera() -> AsyncIterator[Part]:
    async with running("camera") as part:
        yield part


@pytest.fixture
async def client(camera: Part) -> AsyncIterator[Client]:
    client = Client(camera.port)
    yield client
    client.close()


@pytest.fixture
async def broker() -> AsyncIterator[Part]:
    async with running("broker") as part:
        yield part
