"""What every VPN provider proves: the interface stands, and which device is behind an address (S8, S9)."""

from __future__ import annotations

import ipaddress
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Literal, Protocol

from orchestrator.core.policy import Role

ADDRESSES_KEPT = 1024
"""Of how many addresses the parsed form is kept: it is asked for with each chunk of each viewer."""


@dataclass(frozen=True, slots=True)
class InterfaceSight:
    """One look at the interface. `fault` is empty when it is good, else `vpn-down`,
    `vpn-address-changed`, `vpn-not-private` or `identity-stale`.

    `evidence` holds integers, booleans and strings of the configuration alone (CONTRACT 7). `way_around`
    says how the overlay itself leads past our door (Funnel, Serve), and how to mend it; empty: it does not.
    """

    good: bool
    fault: str
    detail: str
    evidence: Mapping[str, bool | int | str] = field(default_factory=dict)
    way_around: str = ""


class NotADevice(Exception):
    """Nobody's device is behind that address. `code` is the problem's (CONTRACT 8)."""

    def __init__(self, code: Literal["unknown-device", "own-address"], detail: str) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail


@dataclass(frozen=True, slots=True)
class Grant:
    """What the overlay's own policy grants a person (Tailscale's app capability): then the configuration
    need not name them. `cameras` None: all."""

    name: str
    roles: frozenset[Role]
    cameras: frozenset[str] | None


@dataclass(frozen=True, slots=True)
class Peer:
    """A device behind an address, by host route. `key` is what `Member.devices` knows it by: a WireGuard
    public key (base64), a Tailscale stable id, on loopback the address."""

    key: str
    grant: Grant | None = None


class Boundary(Protocol):
    """One overlay on one interface. Everything is called on the loop's thread, and returns within
    milliseconds whatever the overlay does."""

    interface: str
    """The device that every listener must be bound to (S8)."""

    async def start(self) -> None:
        """Begin to follow the overlay. A missing interface is waited for, not an error (CONTRACT 3)."""

    async def stop(self) -> None:
        """Let go of it; ends `changes`. Repeatable."""

    def addresses(self) -> tuple[str, ...]:
        """Where to listen, at most one address of each family; empty while there is none."""

    def look(self, now_us: int) -> InterfaceSight:
        """Look at the interface now; `now_us` is the boot clock, for what the overlay said earlier.
        Never raises: what cannot be read is not proven."""

    def own(self, address: str) -> bool:
        """Whether a connection from that address is the gateway's own (a relay on it looks so, FIELD 2)."""

    async def identify(self, address: str, port: int) -> Peer:
        """Who is behind a peer's address and port, as the overlay knows it now, at most 500 ms old.
        NotADevice for our own addresses first, then for networks and strangers."""

    def still(self, address: str, port: int) -> Peer | None:
        """Who that is by what is known without asking, at most a second old and never from before a
        notification; None: not proven any more. Synchronous and cheap: asked for each chunk (S9)."""

    def changes(self) -> AsyncIterator[str]:
        """A sentence for each notification that something may have changed: a reason to `look` now.
        Ends with `stop`, or when the overlay can no longer be followed: then nothing is proven."""


@lru_cache(maxsize=ADDRESSES_KEPT)
def normalised(address: str) -> str:
    """The one way to write an address: `::ffff:127.0.0.1` is 127.0.0.1. ValueError when it is none."""
    parsed = ipaddress.ip_address(address)
    if isinstance(parsed, ipaddress.IPv6Address) and parsed.ipv4_mapped is not None:
        parsed = parsed.ipv4_mapped
    return str(parsed)
