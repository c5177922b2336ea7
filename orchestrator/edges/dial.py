"""A plain TCP connection out: bound to nothing, so that no socket of ours stands anywhere (S7, FIELD 9)."""

from __future__ import annotations

import errno
import os
import select
import socket
from collections.abc import Callable

MAX_ADDRESSES = 4
TURN_MS = 250
RECEIVE_BYTES = 64 * 1024
"""Left to itself the kernel would hold megabytes: under a flood, seconds of old messages before a new one."""


def dial(host: str, port: int, gives_up: Callable[[], bool]) -> socket.socket:
    """A non-blocking socket connected to the first of the host's addresses that answers.

    `gives_up` is asked four times a second; a host name that must be resolved blocks meanwhile.
    Raises OSError whose text says what could not be reached and why.
    """
    try:
        addresses = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise OSError(f"the host {host!r} cannot be resolved: {error}") from error
    code = 0
    for family, kind, protocol, _, address in addresses[:MAX_ADDRESSES]:
        connection = socket.socket(family, kind, protocol)
        connection.setblocking(False)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BYTES)
        code = connection.connect_ex(address)
        poller = select.poll()
        poller.register(connection, select.POLLOUT)
        while code == errno.EINPROGRESS and not gives_up():
            if poller.poll(TURN_MS):
                code = connection.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code == 0:
            return connection
        connection.close()
    why = "no answer in time" if code == errno.EINPROGRESS else os.strerror(code)
    raise OSError(f"{host}:{port} cannot be reached: {why}")
