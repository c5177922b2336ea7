"""Network namespaces that a test makes and takes away again; entered by one thread at a time."""

from __future__ import annotations

import ctypes
import os
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import count
from typing import TypeVar

import pytest

T = TypeVar("T")
NEW_NETWORK = 0x40000000
_LIBC = ctypes.CDLL(None, use_errno=True)
_numbers = count(1)


class Namespace:
    """One network namespace, in which lo is down."""

    def __init__(self, name: str) -> None:
        self.name = name

    def ip(self, *words: str) -> None:
        """Run `ip` inside."""
        subprocess.run(["ip", "-n", self.name, *words], check=True, capture_output=True, text=True)

    def argv(self, *words: str) -> list[str]:
        """The words that run a program inside; `ip` becomes it, so the process id is the program's."""
        return ["ip", "netns", "exec", self.name, *words]

    def inside(self, work: Callable[[], T]) -> T:
        """Run `work` in a thread of its own that has entered the namespace: its new sockets belong there."""

        def enter() -> T:
            descriptor = os.open(f"/run/netns/{self.name}", os.O_RDONLY)
            try:
                if _LIBC.setns(descriptor, NEW_NETWORK) != 0:
                    raise OSError(ctypes.get_errno(), "setns")
            finally:
                os.close(descriptor)
            return work()

        with ThreadPoolExecutor(1) as thread:
            return thread.submit(enter).result()


@contextmanager
def namespace() -> Iterator[Namespace]:
    """A fresh network namespace; skips without root."""
    if os.geteuid() != 0:
        pytest.skip("making a network namespace needs root")
    name = f"volet-{os.getpid()}-{next(_numbers)}"
    made = subprocess.run(["ip", "netns", "add", name], capture_output=True, text=True, check=False)
    if made.returncode != 0:
        pytest.skip(f"no network namespace to be had: {made.stderr.strip()}")
    try:
        yield Namespace(name)
    finally:
        subprocess.run(["ip", "netns", "delete", name], check=True)


@contextmanager
def gateway_and_lan() -> Iterator[tuple[Namespace, Namespace]]:
    """A gateway at 192.0.2.1 on device `lan0`, and a host on its LAN at 192.0.2.2."""
    with namespace() as gateway, namespace() as host:
        gateway.ip("link", "add", "lan0", "type", "veth", "peer", "name", "eth0", "netns", host.name)
        for place, device, address in ((gateway, "lan0", "192.0.2.1/24"), (host, "eth0", "192.0.2.2/24")):
            place.ip("link", "set", "lo", "up")
            place.ip("address", "add", address, "dev", device)
            place.ip("link", "set", device, "up")
        yield gateway, host
