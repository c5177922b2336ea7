"""The HTTP edge: serves the house's answers on the sockets it is given, and ends within a second."""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import socket
import stat
from collections.abc import Callable
from pathlib import Path

from aiohttp import web

from orchestrator.edges.http.door import Doors
from orchestrator.edges.http.identity import door_keeper
from orchestrator.edges.http.ports import House
from orchestrator.edges.http.problems import SECURITY_HEADERS
from orchestrator.edges.http.routes import register, routes

log = logging.getLogger(__name__)

BACKLOG = 128
LOCAL_BACKLOG = 16
STOP_LIMIT_S = 1.0
GRACE_S = 0.3
"""How long an answer that is under way may take once the edge stops."""


class HttpEdge:
    """Serves one `House` on any number of listeners. Everything is called on the loop's thread.

    `exposed` is told, in a sentence, that a listener handed over a connection without its device (S8).
    """

    def __init__(self, house: House, exposed: Callable[[str], None] = log.error) -> None:
        self._house, self._exposed = house, exposed
        self._runner: web.AppRunner | None = None
        self._doors: Doors | None = None
        self._tcp: list[asyncio.Server] = []
        self._local: list[tuple[asyncio.Server, Path, int]] = []

    @property
    def addresses(self) -> list[str]:
        """Where it listens now: `http://address:port` and `unix:path`."""
        found = [_url(sock.getsockname()) for server in self._tcp for sock in server.sockets]
        return found + [f"unix:{path}" for _, path, _ in self._local]

    async def start_tcp(self, sock: socket.socket, device: str) -> None:
        """Serve on a TCP socket, bound to its address and device already (S7); owns it from now on.

        The device of each connection is read back: one without `device` is cut before it is read (S8).
        """
        doors = await self._ready()
        loop = asyncio.get_running_loop()
        server = await loop.create_server(
            lambda: doors.tcp(device), sock=sock, backlog=BACKLOG, start_serving=False
        )
        # Known before it serves: `close_tcp` may come while it begins to.
        self._tcp.append(server)
        await server.start_serving()

    async def start_unix(self, path: Path) -> None:
        """Serve on a Unix socket of mode 0660 at `path`. One that nobody answers on is replaced.

        OSError when somebody answers there, when something else lies there, or when it cannot be made.
        """
        doors = await self._ready()
        sock, inode = await asyncio.to_thread(_local_socket, path)
        loop = asyncio.get_running_loop()
        server = await loop.create_unix_server(doors.local, sock=sock, backlog=LOCAL_BACKLOG)
        self._local.append((server, path, inode))

    def close_tcp(self) -> None:
        """Close every TCP listener and cut every TCP connection, at once and without waiting (F1, F25)."""
        for server in self._tcp:
            server.close()
        self._tcp.clear()
        if self._doors is not None:
            self._doors.cut_all(tcp_only=True)

    def close_local(self) -> None:
        """Close every Unix socket and take its file away; answers under way go on."""
        for server, path, inode in self._local:
            server.close()
            _remove(path, inode)
        self._local.clear()

    async def stop(self) -> None:
        """Stop listening, give answers under way a moment, cut the rest: within a second. Repeatable."""
        for server in self._tcp:
            server.close()
        self._tcp.clear()
        self.close_local()
        runner, self._runner = self._runner, None
        if runner is None or self._doors is None:
            return
        self._doors.end_streams()
        try:
            async with asyncio.timeout(STOP_LIMIT_S):
                await runner.cleanup()
        except TimeoutError:
            pass  # what was still under way is cut below
        finally:
            self._doors.cut_all()

    async def _ready(self) -> Doors:
        if self._doors is None or self._runner is None:
            app = web.Application(middlewares=[door_keeper(self._house)])
            app.on_response_prepare.append(_add_headers)
            register(app, self._house, routes(self._house))
            self._runner = web.AppRunner(app, shutdown_timeout=GRACE_S)
            await self._runner.setup()
            server = self._runner.server
            assert server is not None
            self._doors = Doors(server, self._house.connection_lost, self._exposed)
        return self._doors


async def _add_headers(request: web.Request, response: web.StreamResponse) -> None:
    response.headers.update(SECURITY_HEADERS)


def _local_socket(path: Path) -> tuple[socket.socket, int]:
    _clear_stale(path)
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.bind(os.fspath(path))
        # Nobody can connect before listen(), so there is no moment with a wider mode.
        path.chmod(0o660)
        inode = path.stat().st_ino
    except OSError:
        sock.close()
        raise
    sock.setblocking(False)
    return sock, inode


def _clear_stale(path: Path) -> None:
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise FileExistsError(errno.EEXIST, "something that is not a socket lies there", os.fspath(path))
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(0.5)
        try:
            probe.connect(os.fspath(path))
        except ConnectionRefusedError:
            path.unlink(missing_ok=True)
            return
        except FileNotFoundError:
            return
    raise OSError(errno.EADDRINUSE, "another process answers there already", os.fspath(path))


def _remove(path: Path, inode: int) -> None:
    try:
        if path.lstat().st_ino == inode:
            path.unlink()
    except FileNotFoundError:
        pass


def _url(name: tuple[str, int] | tuple[str, int, int, int]) -> str:
    host, port = name[0], name[1]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
