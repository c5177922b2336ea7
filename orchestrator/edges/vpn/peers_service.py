"""`volet peers`: as root, tells the unprivileged daemon WireGuard's peers, and nothing that is secret."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
import stat
import struct
import time
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from orchestrator.edges.vpn.links import namespace_inode
from orchestrator.edges.vpn.peers_reader import PeersReader
from orchestrator.edges.vpn.peers_words import QUESTION, answer, refusal
from orchestrator.edges.vpn.wireguard_peers import NotProven

log = logging.getLogger(__name__)

MAX_CONNECTIONS = 4
MAX_QUESTION_BYTES = 64
IDLE_S = 30.0
TAKE_S = 1.0
PAUSE_S = 0.02
LOOK_S = 1.0
ONE_QUESTION = "the one question here is `peers`"
_BACKLOG = 8
_CREDENTIALS = struct.Struct("=iII")
_UMASK = 0o117


class PeersService:
    """Serves one interface's peers on a Unix socket. It only reads, takes one question, and keeps nothing.

    The socket gets this process's own group and mode 0660 by being made so: a chown by path would follow
    whatever the folder's owner puts there.
    """

    def __init__(self, interface: str, path: Path) -> None:
        self._interface, self._path = interface, path
        self._reader = PeersReader(interface)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="volet-peers")
        self._reading = asyncio.Lock()
        self._read_s = float("-inf")
        self._connections = 0
        self._last_caller: tuple[int, int, int] | None = None

    async def serve(self) -> None:
        """Until cancelled. The socket is made again when it was taken away, as the run folder is when the
        daemon restarts; a folder that is not there yet is waited for."""
        said = ""
        try:
            while True:
                try:
                    async with self._listening() as made:
                        log.info("telling the peers of %s on %s", self._interface, self._path)
                        said = ""
                        await self._until_gone(made)
                except OSError as error:
                    trouble = f"{self._path}: {error.strerror or error}"
                    if trouble != said:
                        log.warning("no socket yet, trying again every second: %s", trouble)
                    said = trouble
                await asyncio.sleep(LOOK_S)
        finally:
            self._thread.shutdown(wait=False)

    @contextlib.asynccontextmanager
    async def _listening(self) -> AsyncIterator[tuple[int, int]]:
        """A server on the path, and the device and inode of the socket it made there."""
        sock, made = _bound(self._path)
        server = await asyncio.start_unix_server(self._converse, sock=sock, limit=MAX_QUESTION_BYTES)
        try:
            yield made
        finally:
            server.close()
            if self._is_there(made):
                self._path.unlink(missing_ok=True)

    async def _until_gone(self, made: tuple[int, int]) -> None:
        present = True
        while present:
            await asyncio.sleep(LOOK_S)
            present = self._is_there(made)

    def _is_there(self, made: tuple[int, int]) -> bool:
        try:
            found = self._path.lstat()
        except OSError:
            return False
        return (found.st_dev, found.st_ino) == made

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one caller until it leaves, is silent for too long, or asks for anything else."""
        self._note(writer.get_extra_info("socket"))
        self._connections += 1
        try:
            if self._connections > MAX_CONNECTIONS:
                await _say(writer, refusal("too many connections; one is enough"))
                return
            while True:
                async with asyncio.timeout(IDLE_S):
                    question = await reader.readline()
                if not question:
                    return
                if question != QUESTION:
                    await _say(writer, refusal(ONE_QUESTION))
                    return
                await _say(writer, await self._told())
        except ValueError:
            with contextlib.suppress(OSError):
                await _say(writer, refusal(ONE_QUESTION))
        except OSError:
            # It left, fell silent or does not read: it is let go.
            return
        finally:
            self._connections -= 1
            writer.transport.abort()

    async def _told(self) -> bytes:
        """The answer, read after the question: an older one may be from before a link went down. However
        many ask, WireGuard is asked one by one and calmly."""
        async with self._reading:
            await asyncio.sleep(max(0.0, self._read_s + PAUSE_S - time.monotonic()))
            told = await asyncio.get_running_loop().run_in_executor(self._thread, self._read)
            self._read_s = time.monotonic()
            return told

    def _read(self) -> bytes:
        try:
            return answer(self._interface, namespace_inode(), self._reader.read())
        except (NotProven, OSError) as trouble:
            return refusal(str(trouble))

    def _note(self, sock: socket.socket) -> None:
        """Who connected, as the kernel says; the same one again is not said again."""
        told = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
        caller = pid, user, group = _CREDENTIALS.unpack(told)
        if caller != self._last_caller:
            log.info("asked by process %d, user %d, group %d", pid, user, group)
        self._last_caller = caller


def _bound(path: Path) -> tuple[socket.socket, tuple[int, int]]:
    """A listening socket on that path, in the place of one that nobody answers on any more."""
    with contextlib.ExitStack() as undo:
        _clear(path)
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        undo.callback(sock.close)
        sock.setblocking(False)
        before = os.umask(_UMASK)
        try:
            sock.bind(os.fspath(path))
        finally:
            os.umask(before)
        sock.listen(_BACKLOG)
        found = path.lstat()
        undo.pop_all()
        return sock, (found.st_dev, found.st_ino)


def _clear(path: Path) -> None:
    """Take away a socket that was left behind. FileExistsError when somebody answers on it, or it is none."""
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise FileExistsError(0, "something that is no socket stands there; remove it")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(TAKE_S)
        try:
            probe.connect(os.fspath(path))
        except ConnectionRefusedError:
            path.unlink(missing_ok=True)
            return
    raise FileExistsError(0, "another one answers there already")


async def _say(writer: asyncio.StreamWriter, line: bytes) -> None:
    writer.write(line)
    async with asyncio.timeout(TAKE_S):
        await writer.drain()
