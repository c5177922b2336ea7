"""What the gate's tests stand on: viewers with small receive buffers, and looks into the kernel."""

from __future__ import annotations

import fcntl
import os
import socket
import struct
import sys
import termios
import time
from asyncio.trsock import TransportSocket
from collections.abc import Callable

LIMIT_S = 20.0
TCP_INFO_UNACKED = struct.Struct("=24xI")


class Viewer:
    """A viewer with a small receive buffer, and our end of the connection."""

    def __init__(self, listener: socket.socket) -> None:
        self.far = socket.socket()
        self.far.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self.far.settimeout(LIMIT_S)
        self.far.connect(listener.getsockname())
        self.near, _ = listener.accept()
        self.near.setblocking(False)

    def stall(self) -> int:
        """Send until the kernel takes no more, and wait until nothing is under way; the bytes sent."""
        sent = 0
        try:
            while True:
                sent += self.near.send(bytes(65536))
        except BlockingIOError:
            until(lambda: nothing_under_way(self.near))
            return sent

    def held(self) -> int:
        """Bytes that the viewer's own kernel has and the viewer has not read."""
        return unread_bytes(self.far)

    def read_on(self) -> tuple[int, bool]:
        """Read to the end: how many bytes came, and whether the end was a reset."""
        return drain(self.far)

    def close(self) -> None:
        self.near.close()
        self.far.close()


def until(holds: Callable[[], bool]) -> None:
    """Wait for something of the kernel's that nothing announces."""
    deadline = time.monotonic() + LIMIT_S
    while not holds():
        assert time.monotonic() < deadline, "it never came to hold"
        time.sleep(0.001)


def unread_bytes(far: socket.socket) -> int:
    return int.from_bytes(fcntl.ioctl(far, termios.FIONREAD, bytes(4)), sys.byteorder)


def nothing_under_way(near: socket.socket | TransportSocket) -> bool:
    """Whether all that was sent has been acknowledged: the rest waits for the other end to read."""
    info = near.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, TCP_INFO_UNACKED.size)
    assert isinstance(info, bytes)
    return int(TCP_INFO_UNACKED.unpack(info)[0]) == 0


def drain(far: socket.socket) -> tuple[int, bool]:
    got = 0
    try:
        while data := far.recv(1 << 20):
            got += len(data)
    except ConnectionResetError:
        return got, True
    return got, False


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))
