"""S8, F5: only what comes through the tunnel reaches a listener that is bound to its device."""

from __future__ import annotations

import asyncio
import os
import select
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from typing import Self

import pytest

from orchestrator.edges.vpn.boundary import NotADevice, Peer
from orchestrator.edges.vpn.sockets import Declared, audit, listen
from orchestrator.edges.vpn.wireguard import WireGuard

from .lab import Lab, lab
from .namespaces import Namespace
from .provider import answered

pytestmark = pytest.mark.slow

OURS = b"a byte of ours"
BOUND, BARE = 8080, 8081
ANSWER_S, SILENCE_S = 10.0, 0.7
"""How long a byte is waited for that must come, and one that must not."""


class Seen:
    """Serves on listening sockets, and keeps the addresses that it served to."""

    def __init__(self, *listeners: socket.socket) -> None:
        self._listeners = listeners
        self._ended, self._end = os.pipe()
        self._thread = threading.Thread(target=self._serve)
        self.addresses: list[str] = []

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._end)
        self._thread.join()
        os.close(self._ended)

    def _serve(self) -> None:
        while True:
            waited: list[socket.socket | int] = [*self._listeners, self._ended]
            ready, _, _ = select.select(waited, [], [])
            if self._ended in ready:
                return
            for listener in ready:
                assert isinstance(listener, socket.socket)
                connection, address = listener.accept()
                self.addresses.append(address[0])
                with connection:
                    connection.sendall(OURS)


def got(
    place: Namespace, address: str, port: int, source: str | None = None, *, wait_s: float = ANSWER_S
) -> bytes:
    """What a client in that namespace is given; nothing when it cannot connect."""

    def ask() -> bytes:
        try:
            with socket.create_connection(
                (address, port), wait_s, (source, 0) if source is not None else None
            ) as connection:
                return connection.recv(100)
        except OSError:
            return b""

    return place.inside(ask)


@contextmanager
def served(found: Lab) -> Iterator[Seen]:
    """On both VPN addresses: a listener of ours on BOUND, and one bound by its address alone on BARE."""
    gateway = found.gateway

    def bare(address: str) -> socket.socket:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        return socket.create_server((address, BARE), family=family)

    with ExitStack() as stack:
        listeners = []
        for address in (gateway.address, gateway.address6):
            for make in (lambda a: listen(a, BOUND, found.interface), bare):
                sock = gateway.place.inside(lambda make=make, a=address: make(a))  # type: ignore[misc]
                listeners.append(stack.enter_context(closing(sock)))
        yield stack.enter_context(Seen(*listeners))


def test_a_lan_host_that_routes_the_vpn_address_to_the_gateway_gets_no_byte() -> None:
    """And the same host does get it from a listener that is bound by its address alone."""
    with lab() as found, served(found) as seen:
        laptop, gateway = found.peers["laptop"], found.gateway
        for address, mine in ((gateway.address, laptop.address), (gateway.address6, laptop.address6)):
            assert got(laptop.place, address, BOUND) == OURS
            assert seen.addresses[-1] == mine
            assert got(found.lan, address, BARE) == OURS
            before = list(seen.addresses)
            assert got(found.lan, address, BOUND, wait_s=SILENCE_S) == b""
            assert seen.addresses == before


def test_nor_does_it_while_the_interface_is_down_or_up_again() -> None:
    with lab() as found, served(found):
        gateway = found.gateway
        # So that the IPv6 address outlives the link, as some distributions have it.
        gateway.place.inside(lambda: _keep_ipv6(found.interface))
        gateway.place.ip("link", "set", found.interface, "down")
        assert got(found.lan, gateway.address, BARE) == OURS
        for address in (gateway.address, gateway.address6):
            assert got(found.lan, address, BOUND, wait_s=SILENCE_S) == b""
        gateway.place.ip("link", "set", found.interface, "up")
        for address in (gateway.address, gateway.address6):
            assert got(found.lan, address, BARE) == OURS
            assert got(found.lan, address, BOUND, wait_s=SILENCE_S) == b""


def test_the_listener_is_the_declared_one_and_the_bare_one_a_stray() -> None:
    with lab() as found, served(found):
        declared = [
            Declared(a, BOUND, found.interface) for a in (found.gateway.address, found.gateway.address6)
        ]
        looked = found.gateway.place.inside(lambda: audit(declared))
    assert looked.missing == ()
    assert {(stray.port, stray.device) for stray in looked.strays if stray.protocol == "tcp"} == {(BARE, "")}


def test_a_forged_source_inside_the_tunnel_gets_nothing() -> None:
    """WireGuard lets a peer send from its own allowed IPs alone."""
    with lab(("laptop", "phone")) as found, served(found) as seen:
        laptop, phone, gateway = found.peers["laptop"], found.peers["phone"], found.gateway
        laptop.place.ip("address", "add", f"{phone.address}/32", "dev", laptop.interface)
        laptop.place.ip("address", "add", f"{phone.address6}/128", "dev", laptop.interface, "nodad")
        for address, mine, forged in (
            (gateway.address, laptop.address, phone.address),
            (gateway.address6, laptop.address6, phone.address6),
        ):
            assert got(laptop.place, address, BOUND, forged, wait_s=SILENCE_S) == b""
            assert forged not in seen.addresses
            assert got(laptop.place, address, BOUND, mine) == OURS


def test_a_members_address_forged_on_the_lan_gets_nothing() -> None:
    with lab() as found, served(found) as seen:
        laptop, gateway = found.peers["laptop"], found.gateway
        found.lan.ip("address", "add", f"{laptop.address}/32", "dev", "lan0")
        assert got(found.lan, gateway.address, BOUND, laptop.address, wait_s=SILENCE_S) == b""
        assert laptop.address not in seen.addresses


@pytest.mark.parametrize("source", [None, "192.0.2.1", "10.77.0.1", "127.0.0.1"])
def test_a_relay_on_the_gateway_is_seen_as_the_gateways_own_address(source: str | None) -> None:
    """F5: local traffic counts as arriving on the device (FIELD 2), so the address is what gives it away."""
    with lab() as found, served(found) as seen, _relay(found, source) as port:
        given = got(found.lan, found.gateway.lan, port)
        assert (given == OURS) == bool(seen.addresses)
        if source in (None, found.gateway.address):
            assert given == OURS
        for address in seen.addresses:
            code = found.gateway.place.inside(lambda a=address: asyncio.run(_identity(found, a)))  # type: ignore[misc]
            assert code == "own-address"
        mine = found.peers["laptop"]
        assert found.gateway.place.inside(lambda: asyncio.run(_identity(found, mine.address))) == mine.key


async def _identity(found: Lab, address: str) -> str:
    """The key behind an address, or why there is none."""
    boundary = WireGuard(found.interface)
    await boundary.start()
    try:
        await answered(boundary)
        peer = await boundary.identify(address, 50000)
        assert boundary.still(address, 50000) == Peer(peer.key)
        return peer.key
    except NotADevice as no:
        assert boundary.still(address, 50000) is None
        return no.code
    finally:
        await boundary.stop()


@contextmanager
def _relay(found: Lab, source: str | None) -> Iterator[int]:
    """A program on the gateway that forwards one connection of its LAN port to our port."""
    gateway = found.gateway
    wait_s = ANSWER_S if source in (None, gateway.address) else SILENCE_S
    server = gateway.place.inside(lambda: socket.create_server((gateway.lan, 0)))

    def forward() -> None:
        connection, _ = server.accept()
        try:
            with (
                connection,
                socket.create_connection(
                    (gateway.address, BOUND), wait_s, (source, 0) if source is not None else None
                ) as onward,
            ):
                connection.sendall(onward.recv(100))
        except OSError:
            return

    with closing(server):
        thread = threading.Thread(target=gateway.place.inside, args=(forward,))
        thread.start()
        yield server.getsockname()[1]
        thread.join()


def _keep_ipv6(interface: str) -> None:
    with open(f"/proc/sys/net/ipv6/conf/{interface}/keep_addr_on_down", "w") as file:
        file.write("1")
