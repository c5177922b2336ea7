"""The shutter of one camera: every byte of picture passes it; shutting it waits for nothing (S1, S13).

Connections are attached by a duplicate of their descriptor that the gate alone closes, so that a
purge from any thread never meets a reused number. Each entry is taken out of the table by exactly
one thread (`dict.pop` is atomic), and whoever took it closes it.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import socket
import termios
from dataclasses import dataclass, field
from itertools import count

_LIBC = ctypes.CDLL(None, use_errno=True)
_UNSPECIFIED = (ctypes.c_ubyte * 16)()
"""A sockaddr of family AF_UNSPEC: connecting to it drops the kernel's send queue (FIELD 2)."""

_CLOSED = 7
"""TCP_CLOSE in `tcpi_state`."""


def unsent_bytes(descriptor: int) -> int:
    """Bytes in the kernel's send queue that the peer has not acknowledged (tcp(7), TIOCOUTQ); 0 of a
    connection that was reset, whose queue is gone though the kernel still counts it."""
    answer = bytearray(4)
    try:
        fcntl.ioctl(descriptor, termios.TIOCOUTQ, answer)
        if _is_over(descriptor):
            return 0
    except OSError:
        return 0
    return int.from_bytes(answer, "little")


def _is_over(descriptor: int) -> bool:
    connection = socket.socket(fileno=descriptor)
    try:
        return connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] == _CLOSED
    finally:
        connection.detach()


def purge(descriptor: int) -> int:
    """Empty the send queue and reset the peer, then close the descriptor; how many bytes were dropped."""
    dropped = unsent_bytes(descriptor)
    _LIBC.connect(descriptor, _UNSPECIFIED, len(_UNSPECIFIED))
    os.close(descriptor)
    return dropped


@dataclass(slots=True)
class Attached:
    """One connection under the gate, and whose watch it serves."""

    watch: str
    descriptor: int


@dataclass(frozen=True, slots=True)
class Purged:
    """What a shut dropped: whose connections, and how many unsent bytes."""

    watches: tuple[str, ...] = ()
    unsent_bytes: int = 0


@dataclass(slots=True)
class Gate:
    """Open for one generation at most. `generation` changes with each shut and never comes back (S22)."""

    _generations: count[int] = field(default_factory=lambda: count(1))
    generation: int = 0
    _open_for: int | None = None
    _attached: dict[int, Attached] = field(default_factory=dict)
    _lingering: dict[int, Attached] = field(default_factory=dict)

    @property
    def is_open(self) -> bool:
        """Whether picture may pass at this very moment."""
        return self._open_for is not None and self._open_for == self.generation

    def open(self, generation: int) -> bool:
        """Open for that generation; False when a closing came in between."""
        if generation == self.generation:
            self._open_for = generation
        return self.is_open and generation == self._open_for

    def shut(self) -> Purged:
        """Shut, purge every connection, begin a new generation. Any thread; cannot wait or raise."""
        self.generation = next(self._generations)
        self._open_for = None
        watches: list[str] = []
        dropped = 0
        for table in (self._attached, self._lingering):
            while table:
                try:
                    _, entry = table.popitem()
                except KeyError:
                    break
                dropped += purge(entry.descriptor)
                watches.append(entry.watch)
        return Purged(tuple(dict.fromkeys(watches)), dropped)

    def attach(self, connection: int, descriptor: int, watch: str) -> bool:
        """Put a connection (known by `connection`, e.g. the transport's id) under the gate before its
        first byte of picture. False when the gate is shut: then nothing may be sent."""
        if connection not in self._attached:
            self._attached[connection] = Attached(watch, os.dup(descriptor))
        if self.is_open:
            return True
        entry = self._attached.pop(connection, None)
        if entry is not None:
            purge(entry.descriptor)
        return False

    def detach(self, connection: int) -> None:
        """The connection has ended. What the kernel still holds stays under the gate until it is gone."""
        entry = self._attached.pop(connection, None)
        if entry is None:
            return
        if unsent_bytes(entry.descriptor) == 0:
            os.close(entry.descriptor)
            return
        _LIBC.shutdown(entry.descriptor, 1)
        self._lingering[entry.descriptor] = entry
        if not self.is_open:
            self._purge_one(self._lingering, entry.descriptor)

    def cut(self, watch: str) -> Purged:
        """Purge one viewer's connections alone (S9)."""
        dropped = 0
        for table in (self._attached, self._lingering):
            for connection, entry in list(table.items()):
                if entry.watch == watch:
                    dropped += self._purge_one(table, connection)
        return Purged((watch,), dropped)

    def sweep(self) -> None:
        """Let go of ended connections whose last bytes have been acknowledged."""
        for connection, entry in list(self._lingering.items()):
            if unsent_bytes(entry.descriptor) == 0:
                taken = self._lingering.pop(connection, None)
                if taken is not None:
                    os.close(taken.descriptor)

    @staticmethod
    def _purge_one(table: dict[int, Attached], connection: int) -> int:
        entry = table.pop(connection, None)
        return 0 if entry is None else purge(entry.descriptor)
