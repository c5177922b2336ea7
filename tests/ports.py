"""Ports that a test may have something listen on, and that nobody else takes first."""

import os
import random
import socket
from collections.abc import Iterator
from functools import cache
from itertools import cycle

PORTS = range(20_000, 32_000)
"""Below those that outgoing connections are given (ip_local_port_range begins at 32768)."""
RUNNERS = 8
"""Of the tests, at once: each has ports of its own."""


def free_port() -> int:
    """A TCP port that nobody has on any address, and that nobody takes before it is listened on, whatever
    runs beside."""
    while True:
        port = next(_own_ports())
        with socket.socket() as sock:
            try:
                sock.bind(("0.0.0.0", port))
            except OSError:
                continue
            return port


@cache
def _own_ports() -> Iterator[int]:
    """Each in its turn, again and again: none is given twice before it can be in use."""
    runner = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    own = PORTS[runner % RUNNERS :: RUNNERS]
    return cycle(random.sample(own, len(own)))
