"""What the kernel says of a tunnel's interface: its kind, whether it is up, where one may listen on it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from orchestrator.edges.vpn.links import addresses_on, globally_routable, link
from orchestrator.edges.vpn.peers_reader import KINDS, down, wrong_kind


@dataclass(frozen=True, slots=True)
class TunnelSight:
    """`addresses` are those to listen on, one of each family at most; `fault` is empty when all is good."""

    fault: str
    detail: str
    is_tunnel: bool = False
    up: bool = False
    private: bool = False
    addresses: tuple[str, ...] = ()


def look_at(interface: str, address: str | None, before: tuple[str, ...]) -> TunnelSight:
    """Look now. `address` is the configured one; without it the addresses of `before` are kept as long as
    the interface holds them. Never raises."""
    try:
        found = link(interface)
        held = () if found is None else addresses_on(found.index)
    except OSError as error:
        return TunnelSight("vpn-down", f"{interface} could not be looked at: {error}")
    if found is None:
        return TunnelSight("vpn-down", f"there is no interface {interface}: start the tunnel")
    if found.kind not in KINDS:
        return TunnelSight("vpn-down", wrong_kind(interface, found.kind), up=found.up)
    if not found.up:
        return TunnelSight("vpn-down", down(interface), is_tunnel=True)
    chosen = _chosen(held, before) if address is None else tuple(one for one in held if one == address)
    if not chosen:
        wanted = "no address" if address is None else f"not the address {address}"
        return TunnelSight(
            "vpn-address-changed",
            f"{interface} holds {wanted}: ip address show dev {interface}",
            is_tunnel=True,
            up=True,
        )
    public = [one for one in chosen if globally_routable(one)]
    if public:
        return TunnelSight(
            "vpn-not-private",
            f"{public[0]} on {interface} is a globally routable address: give the tunnel private ones",
            is_tunnel=True,
            up=True,
            addresses=chosen,
        )
    return TunnelSight("", f"{interface} is up and holds {' and '.join(chosen)}", True, True, True, chosen)


def _chosen(held: tuple[str, ...], before: tuple[str, ...]) -> tuple[str, ...]:
    """One of each family, IPv4 first: the one of before if it is still there, else a private one."""
    by_family = ([one for one in held if ":" not in one], [one for one in held if ":" in one])
    return tuple(best for family in by_family if (best := _best(family, before)) is not None)


def _best(held: Iterable[str], before: tuple[str, ...]) -> str | None:
    return min(held, key=lambda one: (one not in before, globally_routable(one)), default=None)
