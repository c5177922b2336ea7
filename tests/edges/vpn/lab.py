"""A gateway with a real WireGuard tunnel, its peers and a host on its LAN, each in a network namespace.

Everything is named after the test's process, and taken away by those names.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from itertools import count
from pathlib import Path
from shutil import which

import pytest

from .namespaces import Namespace, namespace

UAPI_FOLDER = Path("/var/run/wireguard")
LISTEN_PORT = 51820
READY_S = 10.0
_numbers = count(1)


def interface_name() -> str:
    """A name that no other test on this machine has: wireguard-go's sockets lie in one folder for all."""
    return f"vt{os.getpid()}-{next(_numbers)}"


def run(*argv: str, given: str = "") -> str:
    """Run a command to its end; what it printed."""
    done = subprocess.run(argv, input=given, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{argv}: {done.stderr}"
    return done.stdout.strip()


@dataclass
class Tunnel:
    """One end: a WireGuard interface run by a wireguard-go of its own, in a namespace."""

    place: Namespace
    interface: str
    private: str
    address: str
    address6: str
    lan: str
    process: subprocess.Popen[bytes] = field(repr=False)

    @cached_property
    def key(self) -> str:
        """The public key."""
        return run("wg", "pubkey", given=self.private)

    @property
    def socket(self) -> Path:
        """wireguard-go's UAPI socket."""
        return UAPI_FOLDER / f"{self.interface}.sock"

    def wg(self, *words: str, given: str = "") -> str:
        """`wg set` on this interface."""
        return run(*self.place.argv("wg", "set", self.interface, *words), given=given)

    def up(self) -> None:
        """Key, addresses and link, as the tunnel has them at its start."""
        self.wg("private-key", "/dev/stdin", "listen-port", str(LISTEN_PORT), given=self.private)
        self.place.ip("address", "add", f"{self.address}/24", "dev", self.interface)
        self.place.ip("address", "add", f"{self.address6}/64", "dev", self.interface, "nodad")
        self.place.ip("link", "set", self.interface, "up")

    def kill(self, number: int = signal.SIGKILL) -> None:
        """End its wireguard-go, and wait until its device is gone."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.send_signal(number)
        self.process.wait(READY_S)
        gone = self.place.argv("ip", "link", "show", self.interface)
        _wait(lambda: subprocess.run(gone, capture_output=True, check=False).returncode != 0)
        self.socket.unlink(missing_ok=True)

    def end(self) -> None:
        """Take away what it made: its process, and with that its device and socket."""
        _end(self.process)
        self.socket.unlink(missing_ok=True)

    def start(self) -> None:
        """Its wireguard-go anew, after `kill`; the interface has neither peers nor addresses yet."""
        self.process = _wireguard_go(self.place, self.interface)


@dataclass
class Lab:
    """`lan` is a host on the gateway's LAN that sends packets for the VPN addresses to the gateway."""

    gateway: Tunnel
    peers: dict[str, Tunnel]
    lan: Namespace

    @property
    def interface(self) -> str:
        """The gateway's VPN interface."""
        return self.gateway.interface

    def allow(self, peer: str, *networks: str) -> None:
        """Make those the peer's allowed IPs at the gateway (default: its own two addresses)."""
        tunnel = self.peers[peer]
        told = ",".join(networks or (f"{tunnel.address}/32", f"{tunnel.address6}/128"))
        endpoint = f"{tunnel.lan}:{LISTEN_PORT}"
        self.gateway.wg("peer", tunnel.key, "endpoint", endpoint, "allowed-ips", told)

    def forget(self, peer: str) -> None:
        """Take the peer away at the gateway."""
        self.gateway.wg("peer", self.peers[peer].key, "remove")

    def greet(self, peer: str) -> None:
        """As `shake`, but the gateway speaks first: a peer that it has forgotten would go on with the keys
        of before for 15 s."""
        _wait(lambda: _answers(self.gateway.place, self.peers[peer].address))

    def shake(self, peer: str) -> None:
        """See that the tunnel to that peer carries packets."""
        _wait(lambda: _answers(self.peers[peer].place, self.gateway.address))


@contextmanager
def lab(names: Sequence[str] = ("laptop",)) -> Iterator[Lab]:
    """A gateway at 10.77.0.1 and fd77::1 with these peers behind tunnels, and a LAN between them all."""
    for program in ("wireguard-go", "wg", "ip"):
        if which(program) is None:
            pytest.skip(f"needs {program}")
    if not os.path.exists("/dev/net/tun"):
        pytest.skip("needs /dev/net/tun")
    with ExitStack() as stack:
        switch = _switch(stack)
        gateway = _tunnel(stack, switch, 1)
        peers = {name: _tunnel(stack, switch, number) for number, name in enumerate(names, 2)}
        lan = stack.enter_context(namespace())
        _plug(switch, lan, 100)
        for address, via in ((gateway.address, "192.0.2.1"), (gateway.address6, "fd1a::1")):
            lan.ip("route", "add", address, "via", via)
        found = Lab(gateway, peers, lan)
        for name, tunnel in peers.items():
            found.allow(name)
            endpoint = f"{gateway.lan}:{LISTEN_PORT}"
            allowed = f"{gateway.address}/32,{gateway.address6}/128"
            tunnel.wg("peer", gateway.key, "endpoint", endpoint, "allowed-ips", allowed)
            found.shake(name)
        yield found


@contextmanager
def wireguard_go(place: Namespace, interface: str) -> Iterator[subprocess.Popen[bytes]]:
    """A wireguard-go that runs an interface of that name, neither configured nor up."""
    process = _wireguard_go(place, interface)
    try:
        yield process
    finally:
        _end(process)
        (UAPI_FOLDER / f"{interface}.sock").unlink(missing_ok=True)


def _switch(stack: ExitStack) -> Namespace:
    switch = stack.enter_context(namespace())
    switch.ip("link", "add", "br0", "type", "bridge")
    switch.ip("link", "set", "br0", "up")
    return switch


def _plug(switch: Namespace, place: Namespace, number: int) -> None:
    """Join a namespace to the LAN, at 192.0.2.`number` and fd1a::`number`."""
    port = f"port{number}"
    switch.ip("link", "add", port, "type", "veth", "peer", "name", "lan0", "netns", place.name)
    switch.ip("link", "set", port, "master", "br0", "up")
    place.ip("link", "set", "lo", "up")
    place.ip("address", "add", f"192.0.2.{number}/24", "dev", "lan0")
    place.ip("address", "add", f"fd1a::{number}/64", "dev", "lan0", "nodad")
    place.ip("link", "set", "lan0", "up")


def _tunnel(stack: ExitStack, switch: Namespace, number: int) -> Tunnel:
    place = stack.enter_context(namespace())
    _plug(switch, place, number)
    interface = interface_name()
    tunnel = Tunnel(
        place,
        interface,
        run("wg", "genkey"),
        f"10.77.0.{number}",
        f"fd77::{number}",
        f"192.0.2.{number}",
        _wireguard_go(place, interface),
    )
    stack.callback(tunnel.end)
    tunnel.up()
    return tunnel


def _wireguard_go(place: Namespace, interface: str) -> subprocess.Popen[bytes]:
    process = subprocess.Popen(
        place.argv("wireguard-go", "-f", interface),
        env={**os.environ, "LOG_LEVEL": "error"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        _wait(lambda: _takes_questions(UAPI_FOLDER / f"{interface}.sock"))
    except BaseException:
        _end(process)
        raise
    return process


def _takes_questions(path: Path) -> bool:
    # Not by `wg`: it unlinks a socket that refuses it, as one does between bind and listen.
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(os.fspath(path)) == 0


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.send_signal(signal.SIGCONT)
        process.kill()
    process.wait()


def _answers(place: Namespace, address: str) -> bool:
    """Whether that machine answers at all: nobody listens on the port, which it says."""
    try:
        place.inside(lambda: socket.create_connection((address, 9), 1))
    except ConnectionRefusedError:
        return True
    except OSError:
        return False
    return True


def _wait(holds: Callable[[], bool]) -> None:
    """Until it holds; other programs' doings have no event to wait for."""
    until = time.monotonic() + READY_S
    while not holds():
        assert time.monotonic() < until, "it did not come about in time"
        time.sleep(0.005)
