"""A viewer that counts: each piece of picture with the instant at which the kernel took it in."""

import socket
import struct
import threading
import time
from typing import Any

_SO_TIMESTAMPNS = 35
"""socket(7): each recvmsg tells the wall time at which its last segment came in, whenever it is read."""
_PIECE_BYTES = 64 * 1024
_TIMESPEC = struct.Struct("qq")
LIMIT_S = 20.0


class Viewer:
    """Reads one path as fast as it comes, in a thread, until the connection ends."""

    def __init__(self, gateway: tuple[str, int], source: str, path: str) -> None:
        self.arrivals: list[tuple[int, int]] = []
        """Wall time in microseconds and size of each piece of body, in order."""
        self.status = 0
        self.headers = ""
        self.ending = ""
        self._news = threading.Condition()
        self._sock = socket.socket()
        self._sock.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
        self._sock.bind((source, 0))
        self._sock.settimeout(LIMIT_S)
        self._sock.connect(gateway)
        self.port: int = self._sock.getsockname()[1]
        """The viewer's own."""
        self._sock.settimeout(None)
        self._sock.sendall(f"GET {path} HTTP/1.1\r\nHost: {gateway[0]}:{gateway[1]}\r\n\r\n".encode())
        self._thread = threading.Thread(target=self._read, name=f"viewer-{source}", daemon=True)
        self._thread.start()

    def _read(self) -> None:
        head = b""
        try:
            while True:
                data, ancillary, _, _ = self._sock.recvmsg(_PIECE_BYTES, 128)
                if not data:
                    return self._end("end")
                size = len(data)
                if not self.status:
                    head += data
                    text, found, body = head.partition(b"\r\n\r\n")
                    if not found:
                        continue
                    self.headers, size = text.decode(), len(body)
                    self.status = int(self.headers.split()[1])
                with self._news:
                    if size:
                        self.arrivals.append((_arrived_us(ancillary), size))
                    self._news.notify_all()
        except OSError as error:
            self._end(error.strerror or "error")

    def _end(self, how: str) -> None:
        with self._news:
            self.ending = how
            self._news.notify_all()

    @property
    def size_bytes(self) -> int:
        """The picture received so far (with the chunks' frames)."""
        return sum(size for _, size in self.arrivals)

    @property
    def first_us(self) -> int:
        """When the first byte of picture came in (wall time, microseconds)."""
        return self.arrivals[0][0]

    @property
    def last_us(self) -> int:
        """When the last byte of picture came in (wall time, microseconds)."""
        return self.arrivals[-1][0]

    def wait_flow(self, pieces: int = 6, timeout_s: float = LIMIT_S) -> None:
        """Until that many more pieces of picture have come."""
        wanted = len(self.arrivals) + pieces
        self._wait(lambda: len(self.arrivals) >= wanted, "picture flows", timeout_s)

    def wait_head(self) -> int:
        """Until the answer has begun, or will not; its status, 0 when it never began."""
        self._wait(lambda: self.status or self.ending, "the answer begins", LIMIT_S, may_end=True)
        return self.status

    def wait_end(self, timeout_s: float = LIMIT_S) -> str:
        """Until the connection ends; how: `end`, or the error's name."""
        self._wait(lambda: bool(self.ending), "the connection ends", timeout_s, may_end=True)
        return self.ending

    def _wait(self, done: Any, what: str, timeout_s: float, may_end: bool = False) -> None:
        until = time.monotonic() + timeout_s
        with self._news:
            while not done():
                assert may_end or not self.ending, f"waited until {what}; {self.status}, {self.ending}"
                left = until - time.monotonic()
                assert left > 0, f"waited until {what}; {len(self.arrivals)} pieces came"
                self._news.wait(left)

    def close(self) -> None:
        """Hang up."""
        try:
            self._sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass  # it has ended already
        self._thread.join(LIMIT_S)
        self._sock.close()


def _arrived_us(ancillary: list[tuple[int, int, bytes]]) -> int:
    for level, kind, data in ancillary:
        if level == socket.SOL_SOCKET and kind == _SO_TIMESTAMPNS:
            seconds, nanoseconds = _TIMESPEC.unpack(data)
            return int(seconds * 1_000_000 + nanoseconds // 1000)
    # The kernel begins to stamp a moment after it was asked to; to have read it now says "not later".
    return time.time_ns() // 1000
