"""WireGuard's peers as values: whose device is behind an address, and who is only a network (S9, F29)."""

from __future__ import annotations

import base64
import binascii
import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

MAX_PEERS = 1024
_KEY_BYTES = 32


class NotProven(Exception):
    """The overlay could not be asked, or its answer proves nothing. The text says what to do."""


@dataclass(frozen=True, slots=True)
class PeerEntry:
    """One peer: its public key (base64), what it may send from, and how long ago it shook hands
    (seconds; None: never)."""

    key: str
    allowed_ips: tuple[Network, ...]
    handshake_age_s: int | None = None

    @property
    def is_device(self) -> bool:
        """Whether it stands for itself alone. One that may send from a wider network than a single address
        is a router: who is behind it cannot be told, not even at its own address."""
        return all(network.num_addresses == 1 for network in self.allowed_ips)


class Membership:
    """All peers at one moment."""

    def __init__(self, peers: Iterable[PeerEntry]) -> None:
        self.peers = tuple(peers)
        self._by_address: dict[str, PeerEntry | None] = {}
        self._wide: list[tuple[Network, PeerEntry]] = []
        for peer in self.peers:
            for network in peer.allowed_ips:
                if network.num_addresses > 1:
                    self._wide.append((network, peer))
                    continue
                # WireGuard gives an address to one peer only: an answer in which two have it is nobody's.
                address = str(network.network_address)
                self._by_address[address] = None if address in self._by_address else peer

    def device(self, address: str) -> PeerEntry | None:
        """The device that has this address (normalised), by the longest prefix: a host route is always that.
        None for networks and strangers."""
        peer = self._by_address.get(address)
        return peer if peer is not None and peer.is_device else None

    def why_not(self, address: str) -> str:
        """Why `device` knew nobody, in words for the caller: no key, no address of another."""
        try:
            parsed = ipaddress.ip_address(address)
        except ValueError:
            return "no WireGuard peer has this address"
        wide = any(parsed in network for network, _ in self._wide)
        if address in self._by_address or wide:
            return (
                "this address belongs to a WireGuard peer that stands for a network, not for one device: "
                "give the device a peer of its own whose AllowedIPs is its address with /32 or /128"
            )
        return "no WireGuard peer has this address"

    def routes(self) -> frozenset[tuple[str, Network]]:
        """Who may send from where: differs when a peer came, went, or its addresses moved."""
        return frozenset((peer.key, network) for peer in self.peers for network in peer.allowed_ips)


def key_of(text: str) -> str:
    """A public key in base64 as it is written by everybody; ValueError when it is none."""
    try:
        raw = base64.b64decode(text, validate=True)
    except binascii.Error:
        raise ValueError("not base64") from None
    return key_from(raw)


def key_from(raw: bytes) -> str:
    """A public key's 32 bytes as base64; ValueError for any other number of them."""
    if len(raw) != _KEY_BYTES:
        raise ValueError("not 32 bytes")
    return base64.b64encode(raw).decode()


def bounded(peers: Iterable[PeerEntry]) -> tuple[PeerEntry, ...]:
    """The peers, when there are not too many to be read five times a second; else NotProven."""
    taken = tuple(peers)
    if len(taken) > MAX_PEERS:
        raise NotProven(f"the interface has {len(taken)} peers, more than the {MAX_PEERS} that are looked at")
    return taken
