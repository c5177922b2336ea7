"""Each connection is read back: one that does not have its listener's device gets nothing (S7, S8)."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing

import pytest
from aiohttp import web

from orchestrator.edges.http.door import Doors
from orchestrator.edges.http.server import HttpEdge
from orchestrator.edges.vpn.sockets import bound_device, listen
from tests.edges.vpn.namespaces import namespace

from .scripted_house import ScriptedHouse

REQUEST = b"GET /healthz HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n"
LOOPBACKS = [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")]


def bare(address: str) -> socket.socket:
    """A listener that is bound by its address alone."""
    sock = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET)
    sock.setblocking(False)
    sock.bind((address, 0))
    return sock


def bound(address: str) -> socket.socket:
    return listen(address, 0, "lo")


@asynccontextmanager
async def edge_on(
    house: ScriptedHouse, sock: socket.socket, told: Callable[[str], None], device: str = "lo"
) -> AsyncIterator[bytes]:
    """An edge that serves on that socket; the `Host` that names it."""
    address, port = sock.getsockname()[:2]
    host = f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
    house.names.add(host)
    edge = HttpEdge(house, told)
    await edge.start_tcp(sock, device)
    try:
        yield host.encode()
    finally:
        await edge.stop()


async def answered(sock: socket.socket, host: bytes) -> bytes:
    """All that a client is given who connects to where that socket listens."""
    address, port = sock.getsockname()[:2]
    reader, writer = await asyncio.open_connection(address, port)
    try:
        writer.write(REQUEST % host)
        return await reader.read()
    except ConnectionError:
        return b""
    finally:
        writer.close()


@pytest.mark.parametrize(("family", "address"), LOOPBACKS)
async def test_an_accepted_connection_has_its_listeners_device_and_is_served(
    house: ScriptedHouse, family: int, address: str
) -> None:
    told: list[str] = []
    sock = bound(address)
    async with edge_on(house, sock, told.append) as host:
        assert (await answered(sock, host)).startswith(b"HTTP/1.1 200 ")
    assert told == []
    with closing(bound(address)) as listening, socket.create_connection(listening.getsockname()[:2]):
        listening.setblocking(True)
        with listening.accept()[0] as accepted:
            assert (accepted.family, bound_device(accepted)) == (family, "lo")


@pytest.mark.parametrize("address", [address for _, address in LOOPBACKS])
async def test_a_connection_of_a_listener_without_a_device_is_cut_unread_and_told(
    house: ScriptedHouse, address: str
) -> None:
    told: list[str] = []
    sock = bare(address)
    async with edge_on(house, sock, told.append) as host:
        assert await answered(sock, host) == b""
    assert house.asked == []
    assert told == ["a connection came in bound to no device and not to lo: it was cut unread"]


async def test_so_is_one_of_a_listener_on_another_device(house: ScriptedHouse) -> None:
    told: list[str] = []
    sock = bound("127.0.0.1")
    async with edge_on(house, sock, told.append, device="wg0") as host:
        assert await answered(sock, host) == b""
    assert house.asked == []
    assert told == ["a connection came in bound to device lo and not to wg0: it was cut unread"]


@pytest.mark.slow
async def test_one_whose_device_has_gone_is_cut_and_that_is_not_the_listeners_fault() -> None:
    """FIELD 2: then the interface's own check says so, which does not lock."""
    told: list[str] = []

    def accepted() -> socket.socket:
        with closing(listen("192.0.2.1", 0, "gone0")) as listening:
            listening.setblocking(True)
            with socket.create_connection(listening.getsockname(), 5):
                return listening.accept()[0]

    with namespace() as place:
        place.ip("link", "set", "lo", "up")
        place.ip("link", "add", "gone0", "type", "veth", "peer", "name", "other0")
        place.ip("address", "add", "192.0.2.1/24", "dev", "gone0")
        for device in ("gone0", "other0"):
            place.ip("link", "set", device, "up")
        with place.inside(accepted) as connection:
            doors = Doors(web.Server(_nothing), lambda _: None, told.append)
            transport = asyncio.Transport({"socket": connection})
            assert doors.has_device(transport, "gone0")
            place.ip("link", "delete", "gone0")
            assert not doors.has_device(transport, "gone0")
    assert told == []


async def _nothing(request: web.BaseRequest) -> web.StreamResponse:
    return web.Response()
