"""Where connections come in: bounded in number and in time, and the gate is told when one ends."""

from __future__ import annotations

import asyncio
import logging
import re
import socket
import struct
from collections import Counter
from collections.abc import Callable
from typing import Any

from aiohttp import web

from orchestrator.core.refusal import Refusal
from orchestrator.edges.http.problems import SECURITY_HEADERS, problem
from orchestrator.edges.vpn.sockets import bound_device

log = logging.getLogger(__name__)

SEND_BUFFER_BYTES = 32 * 1024
"""The kernel's send queue: what a stalled viewer may hold at most, before it is purged (S1)."""
USER_TIMEOUT_MS = 3_000
"""After this long without an acknowledgement the kernel gives the connection up (FIELD 2)."""
KEEP_ALIVE_S = 15.0
"""How long a connection may be idle, or take over its request's header."""
LINGER_S = 1.0
"""How long the rest of a refused body is read and thrown away, so that the refusal arrives."""
WRITE_LIMIT_S = 20.0
"""A connection whose reader takes nothing of an answer for this long is cut; TCP itself waits less."""
MAX_CONNECTIONS = 384
"""Beyond it a new connection takes the place of the oldest that has no request under way."""
MAX_CONNECTIONS_A_PEER = 256
_OWN_WORDS = re.compile(r"[A-Z][A-Za-z0-9 `/,.'-]{3,79}", re.ASCII)
"""A sentence of the parser's own; where it quotes the request, that stands alone or after a colon."""
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


class Doors:
    """The connections of one edge. `on_lost` hears of each TCP connection's end, `on_exposed` in a sentence
    of one that does not have its listener's device."""

    def __init__(
        self,
        server: web.Server,
        on_lost: Callable[[asyncio.BaseTransport], None],
        on_exposed: Callable[[str], None],
    ) -> None:
        self._server = server
        self._on_lost, self._on_exposed = on_lost, on_exposed
        self._open: dict[Door, asyncio.Transport] = {}
        self._peers: Counter[str] = Counter()

    def tcp(self, device: str) -> Door:
        """A protocol for one TCP connection of a listener that is bound to that device."""
        return Door(self, self._server, device)

    def local(self) -> Door:
        """A protocol for one accepted connection of the Unix socket."""
        return Door(self, self._server, None)

    def has_device(self, transport: asyncio.Transport, device: str) -> bool:
        """Whether an accepted connection is bound to that device, as the kernel says and not our intention
        (S8). One whose device has gone is not, and that is the interface's fault, not the listener's."""
        try:
            found = bound_device(transport.get_extra_info("socket"))
        except OSError:
            return False
        if found != device:
            where = f"device {found}" if found else "no device"
            self._on_exposed(f"a connection came in bound to {where} and not to {device}: it was cut unread")
        return found == device

    def enter(self, door: Door, transport: asyncio.Transport) -> bool:
        """Whether there is room, or room was made; then the connection is counted until `leave`."""
        peer = _peer(transport)
        if self._peers[peer] >= MAX_CONNECTIONS_A_PEER:
            return False
        if len(self._open) >= MAX_CONNECTIONS and not self._make_room():
            return False
        self._open[door] = transport
        self._peers[peer] += 1
        return True

    def _make_room(self) -> bool:
        """Nobody keeps others out by connections that ask for nothing (F18)."""
        oldest = next((door for door in self._open if door.is_idle), None)
        if oldest is None:
            return False
        cut(self._open[oldest])
        self.leave(oldest)
        return True

    def leave(self, door: Door) -> None:
        """The connection ended; one that never entered is ignored."""
        transport = self._open.pop(door, None)
        if transport is None:
            return
        peer = _peer(transport)
        self._peers[peer] -= 1
        if not self._peers[peer]:
            del self._peers[peer]
        if not door.is_local:
            self._on_lost(transport)

    def end_streams(self) -> None:
        """Cut what would never end by itself: pictures and event streams."""
        for door, transport in list(self._open.items()):
            if door.is_streaming:
                cut(transport)

    def cut_all(self, *, tcp_only: bool = False) -> None:
        """End every connection at once, unsent bytes and all."""
        for door, transport in list(self._open.items()):
            if not (tcp_only and door.is_local):
                cut(transport)


class Door(web.RequestHandler):
    """aiohttp's protocol for one connection, with our socket options, bounds and problem documents."""

    __slots__ = ("_device", "_doors", "_stalled", "_streaming", "is_local")

    def __init__(self, doors: Doors, server: web.Server, device: str | None) -> None:
        super().__init__(
            server,
            loop=asyncio.get_running_loop(),
            keepalive_timeout=KEEP_ALIVE_S,
            lingering_time=LINGER_S,
            access_log=None,  # type: ignore[arg-type] # aiohttp: "None for disabling"
            auto_decompress=False,
            max_headers=64,
            logger=log,
        )
        self._doors = doors
        self._streaming: asyncio.Task[Any] | None = None
        self._stalled: asyncio.TimerHandle | None = None
        self._device = device
        self.is_local = device is None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Bound the connection, or refuse it without a word: not through the device, or too many."""
        assert isinstance(transport, asyncio.Transport)
        if self._device is not None:
            if not self._doors.has_device(transport, self._device):
                cut(transport)
                return
            _tune(transport)
        if not self._doors.enter(self, transport):
            cut(transport)
            return
        if self.is_local:
            # A Unix socket has no patience of its own: whatever waits is seen by `pause_writing`.
            keep_nothing_back(transport)
        super().connection_made(transport)

    def pause_writing(self) -> None:
        """The reader does not keep up: it may not stay so for ever."""
        super().pause_writing()
        assert self.transport is not None
        self._stalled = asyncio.get_running_loop().call_later(WRITE_LIMIT_S, cut, self.transport)

    def resume_writing(self) -> None:
        """It does again."""
        self._stop_waiting()
        super().resume_writing()

    def _stop_waiting(self) -> None:
        if self._stalled is not None:
            self._stalled.cancel()
            self._stalled = None

    def connection_lost(self, exc: BaseException | None) -> None:
        """End what streams into this connection, and tell the gate."""
        self._stop_waiting()
        if self._streaming is not None:
            self._streaming.cancel()
        super().connection_lost(exc)
        self._doors.leave(self)

    @property
    def is_streaming(self) -> bool:
        """Whether an answer without an end is under way."""
        return self._streaming is not None

    @property
    def is_idle(self) -> bool:
        """Whether no request is being answered: nothing was asked, or not to its end, or it is done."""
        return self._current_request is None

    def ends_with_connection(self) -> None:
        """The running request streams: it is cancelled when the connection is lost. Others are not, since
        what they started (a transition) goes on without them."""
        self._streaming = asyncio.current_task()

    async def drained(self) -> None:
        """Wait until what was written has gone to the kernel: all of it after `keep_nothing_back`.
        ConnectionError when the connection ended."""
        await self._drain_helper()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """What aiohttp itself refuses (malformed HTTP) as a problem document; the connection then ends."""
        if request.writer.output_size > 0:
            raise ConnectionError("The response had begun; it cannot become an error.")
        if status < 500:
            words = re.split(r"[:\n]", (message or "").strip())[0].rstrip(" .")
            found = words if _OWN_WORDS.fullmatch(words) and " " in words else "The request is malformed"
            refusal = Refusal("bad-request", f"{found}. Send HTTP/1.1.")
        else:
            if not isinstance(exc, ConnectionError):  # who hangs up is no failure of ours
                log.error("A request failed unexpectedly", exc_info=exc)
            refusal = Refusal("internal", "The daemon could not answer; its journal says why.")
        response = problem(refusal)
        response.headers.update(SECURITY_HEADERS)
        response.force_close()
        return response


def cut(transport: asyncio.Transport) -> None:
    """End a connection so that the kernel drops what it had not sent: abort() alone delivers it (FIELD 2)."""
    sock = transport.get_extra_info("socket")
    if sock is not None and sock.family != socket.AF_UNIX:
        try:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        except OSError:
            pass  # the gate has already taken this socket down
    transport.abort()


def keep_nothing_back(transport: asyncio.WriteTransport) -> None:
    """Writing pauses until the kernel has it all: what it has not sent is then all there is to purge."""
    transport.set_write_buffer_limits(high=0)


def _tune(transport: asyncio.Transport) -> None:
    sock = transport.get_extra_info("socket")
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, USER_TIMEOUT_MS)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    except OSError:
        cut(transport)  # the peer is gone already, or the options are not in force: then nothing is sent


def _peer(transport: asyncio.Transport) -> str:
    name = transport.get_extra_info("peername")
    return str(name[0]) if isinstance(name, tuple) else ""
