"""Asks `volet peers`, so that the daemon needs no root to know WireGuard's peers."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import struct
import time
from pathlib import Path

from orchestrator.edges.vpn.links import namespace_inode
from orchestrator.edges.vpn.peers_words import MAX_ANSWER_BYTES, QUESTION, understood
from orchestrator.edges.vpn.wireguard_peers import NotProven, PeerEntry

TIMEOUT_S = 0.8
_CREDENTIALS = struct.Struct("=iII")
_READ_BYTES = 1 << 16


class PeersClient:
    """One connection, kept between questions and made anew after any trouble. Blocking, for less than a
    second; one caller at a time."""

    def __init__(self, path: Path, interface: str) -> None:
        self._path, self._interface = path, interface
        self._socket: socket.socket | None = None

    def read(self) -> tuple[PeerEntry, ...]:
        """The peers now. NotProven when nobody answers in time, or not root."""
        until = time.monotonic() + TIMEOUT_S
        try:
            return understood(self._ask(until), self._interface, namespace_inode())
        except OSError as error:
            self.close()
            raise NotProven(
                f"`volet peers` does not answer on {self._path} ({error.strerror or error}): "
                "systemctl status volet-peers"
            ) from error
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Let go of the connection. Repeatable."""
        sock, self._socket = self._socket, None
        if sock is not None:
            sock.close()

    def _ask(self, until: float) -> bytes:
        kept = self._socket is not None
        try:
            return self._exchange(until)
        except (BrokenPipeError, ConnectionResetError):
            # The helper was restarted since the last question.
            self.close()
            if not kept:
                raise
            return self._exchange(until)

    def _exchange(self, until: float) -> bytes:
        sock = self._socket = self._socket or self._connected()
        sock.settimeout(max(0.01, until - time.monotonic()))
        sock.sendall(QUESTION)
        received = bytearray()
        while not received.endswith(b"\n"):
            left_s = until - time.monotonic()
            if left_s <= 0:
                raise TimeoutError(errno.ETIMEDOUT, "no whole answer in time")
            if len(received) > MAX_ANSWER_BYTES:
                raise NotProven(f"`volet peers` answered with more than {MAX_ANSWER_BYTES} bytes")
            sock.settimeout(left_s)
            data = sock.recv(_READ_BYTES)
            if not data:
                raise ConnectionResetError(errno.ECONNRESET, "the answer broke off")
            received += data
        return bytes(received)

    def _connected(self) -> socket.socket:
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        with contextlib.ExitStack() as undo:
            undo.callback(sock.close)
            sock.settimeout(TIMEOUT_S)
            sock.connect(os.fspath(self._path))
            # Its folder may be another's to write: who listens there must be root, or it proves nothing.
            told = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
            _, user, _ = _CREDENTIALS.unpack(told)
            if user != 0:
                raise NotProven(f"who listens on {self._path} is user {user} and not root: remove it")
            undo.pop_all()
        return sock
