"""A WireGuard interface's peers from whoever runs it: the kernel, or a wireguard-go in our namespace."""

from __future__ import annotations

from orchestrator.edges.vpn.links import link
from orchestrator.edges.vpn.wireguard_peers import NotProven, PeerEntry
from orchestrator.edges.vpn.wireguard_show import show
from orchestrator.edges.vpn.wireguard_uapi import Uapi

KINDS = ("wireguard", "tun")


class PeersReader:
    """For root. `read` blocks, for about a second at most; one caller at a time."""

    def __init__(self, interface: str) -> None:
        self._interface = interface
        self._uapi = Uapi(interface)

    def read(self) -> tuple[PeerEntry, ...]:
        """The peers now. NotProven when the interface is missing, down, or no WireGuard's."""
        try:
            found = link(self._interface)
        except OSError as error:
            raise NotProven(f"{self._interface} could not be looked at: {error}") from error
        if found is None:
            raise NotProven(f"there is no interface {self._interface}: start the tunnel")
        if found.kind not in KINDS:
            raise NotProven(wrong_kind(self._interface, found.kind))
        if not found.up:
            raise NotProven(down(self._interface))
        return show(self._interface) if found.kind == "wireguard" else self._uapi.read()

    def close(self) -> None:
        """Nothing is kept open."""


def down(interface: str) -> str:
    """What to do about an interface that is down."""
    return f"{interface} is down: ip link set {interface} up"


def wrong_kind(interface: str, kind: str) -> str:
    """What to do about an interface that only has the name of a tunnel."""
    return (
        f"{interface} is of kind {kind or 'none'}, not a WireGuard interface: `ip -d link show {interface}`, "
        "and set vpn.interface to the tunnel"
    )
