"""A tailnet for tests: real tun devices in network namespaces, packets carried between them by a process of
ours, and a stand-in for the gateway's tailscaled, whose answers a test changes while it runs."""

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.processes import Process, python
from tests.edges.vpn.namespaces import Namespace, gateway_and_lan, namespace
from tests.edges.vpn.tailscaled import GATEWAY, GATEWAY_ID, whois

OVERLAY, OVERLAY6 = "100.64.0.0/10", "fd7a:115c:a1e0::/48"
BEHIND_THE_ROUTER, ROUTED = "10.9.9.0/24", "10.9.9.9"
"""The network behind a subnet router, and an address in it."""
CAPABILITY = "volet.invalid/cap/camera"
_MTU = "1280"


@dataclass(frozen=True, slots=True)
class Node:
    """One machine of the tailnet. `networks` lie behind it (a subnet router); `order` numbers it."""

    name: str
    order: int
    place: Namespace
    address: str
    address6: str
    networks: tuple[str, ...] = ()

    @property
    def interface(self) -> str:
        """Its tun device, of a name that no other test on this machine has."""
        return f"ts{os.getpid()}-{self.order}"

    @property
    def stable_id(self) -> str:
        """What the control plane calls it for good."""
        return GATEWAY_ID if self.order == 0 else f"n{self.name.upper()}11CNTRL"


class Tailnet:
    """The gateway, its peers, and `lan`: a host on the gateway's LAN that sends packets for the gateway's
    tailnet addresses there."""

    def __init__(self, folder: Path, gateway: Node, peers: dict[str, Node], lan: Namespace) -> None:
        self.gateway, self.peers, self.lan = gateway, peers, lan
        self.socket = folder / "tailscaled.sock"
        self._folder = folder
        self._answers: dict[str, Any] = {}
        self.switch = Process("switch", python("-m", "tests.e2e.packet_switch"), folder)
        self.tailscaled: Process

    @property
    def interface(self) -> str:
        """The gateway's device."""
        return self.gateway.interface

    def join(self, node: Node) -> None:
        """Make the node's device, with its addresses and its way to all others: what its tailscaled does."""
        networks = [f"{node.address}/32", f"{node.address6}/128", *node.networks]
        opened = {"place": node.place.name, "interface": node.interface, "networks": networks}
        order(self.switch, {"open": opened})
        node.place.ip("link", "set", "lo", "up")
        node.place.ip("link", "set", node.interface, "mtu", _MTU, "up")
        for address in (f"{node.address}/32", f"{node.address6}/128"):
            node.place.ip("address", "add", address, "dev", node.interface, "nodad")
        ways = [OVERLAY, OVERLAY6]
        if node is self.gateway:
            ways += [network for peer in self.peers.values() for network in peer.networks]
        for way in ways:
            node.place.ip("route", "add", way, "dev", node.interface)

    def start_tailscaled(self) -> None:
        """The gateway's; it knows what it was told last of each node, and is as well as a new one."""
        command = python("-m", "tests.edges.vpn.tailscaled", str(self.socket))
        self.tailscaled = Process("tailscaled", command, self._folder)
        self.tailscaled.wait_line(lambda line: line == "ready")
        for address, answer in self._answers.items():
            self.tell({"node": {"address": address, "answer": answer}})

    def tell(self, what: dict[str, Any]) -> None:
        """Change what the gateway's tailscaled answers."""
        order(self.tailscaled, what)

    def know(self, name: str, *, capabilities: dict[str, Any] | None = None, **fields: Any) -> None:
        """What whois says of that peer from now on, at each of its addresses; `login` and the node's own
        keys. No notification is sent."""
        node = self.peers[name]
        answer = whois(node.stable_id, node.address, node.address6, capabilities=capabilities, **fields)
        for address in (node.address, node.address6, *([ROUTED] if node.networks else [])):
            self._know(address, answer)

    def _know(self, address: str, answer: Any) -> None:
        self._answers[address] = answer
        self.tell({"node": {"address": address, "answer": answer}})

    def notify(self) -> None:
        """The network map has changed, as the notification bus says it."""
        self.tell({"notify": {"NetMap": {}}})

    def stop(self) -> None:
        """End both processes."""
        self.tailscaled.stop()
        self.switch.stop()


def order(process: Process, what: dict[str, Any]) -> None:
    """One command, carried out by the time this returns."""
    lines = len(process.lines)
    process.say(json.dumps(what))
    process.wait_line(lambda line: line == "ok", after=lines)


@contextmanager
def tailnet(folder: Path, names: Sequence[str], router: str) -> Iterator[Tailnet]:
    """A gateway and these peers, of which `router` has a network behind it. whois knows only the gateway."""
    if not os.path.exists("/dev/net/tun"):
        pytest.skip("needs /dev/net/tun")
    with ExitStack() as stack:
        place, lan = stack.enter_context(gateway_and_lan())
        _reach_over_the_lan(place, lan)
        gateway = Node("gateway", 0, place, *GATEWAY)
        peers = {
            name: Node(
                name,
                number,
                stack.enter_context(namespace()),
                f"100.64.0.{number}",
                f"fd7a:115c:a1e0::{number:x}0",
                (BEHIND_THE_ROUTER,) if name == router else (),
            )
            for number, name in enumerate(names, 2)
        }
        found = Tailnet(folder, gateway, peers, lan)
        found.start_tailscaled()
        stack.callback(found.stop)
        for node in (gateway, *peers.values()):
            found.join(node)
        own = whois(GATEWAY_ID, *GATEWAY, login="owner@example.com")
        for address in GATEWAY:
            found._know(address, own)
        yield found


def _reach_over_the_lan(gateway: Namespace, lan: Namespace) -> None:
    """The LAN's host takes the gateway for the way to its tailnet addresses."""
    gateway.ip("address", "add", "fd1a::1/64", "dev", "lan0", "nodad")
    lan.ip("address", "add", "fd1a::2/64", "dev", "eth0", "nodad")
    for address, way in zip(GATEWAY, ("192.0.2.1", "fd1a::1"), strict=True):
        lan.ip("route", "add", address, "via", way)
