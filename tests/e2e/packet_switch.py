"""Carries IP packets between tun devices, by destination: a tailnet's data plane for tests, as a process.

`python -m tests.e2e.packet_switch` reads commands from standard input, one JSON object a line, and answers
"ok" to each: {"open": {"place": "ns1", "interface": "ts0", "networks": ["100.64.0.7/32"]}} makes the device
in that network namespace and sends it what is for those networks; {"drop": "ns1"} loses what comes from
there and goes there, {"carry": "ns1"} no longer does. A device goes with this process, or when it is deleted.
"""

import fcntl
import ipaddress
import json
import os
import select
import struct
import sys
from dataclasses import dataclass
from typing import Any

from tests.edges.vpn.namespaces import Namespace

_TUNSETIFF = 0x400454CA
_TUN, _NO_HEADER = 0x0001, 0x1000
_PACKET_BYTES = 1 << 16
_COMMAND_BYTES = 1 << 16

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(slots=True)
class Port:
    """One tun device, by its open descriptor."""

    place: str
    networks: tuple[Network, ...]
    descriptor: int
    dropped: bool = False


class PacketSwitch:
    """All ports. The most special network wins, as in any routing table."""

    def __init__(self) -> None:
        self._ports: dict[int, Port] = {}
        self._poll = select.poll()
        self._poll.register(sys.stdin.fileno(), select.POLLIN)
        self._typed = b""

    def run(self) -> None:
        """Until the end of standard input."""
        while True:
            for descriptor, _ in self._poll.poll():
                if descriptor != sys.stdin.fileno():
                    self._carry(descriptor)
                elif not self._obey():
                    return

    def _obey(self) -> bool:
        """Do what was commanded; False at the end."""
        data = os.read(sys.stdin.fileno(), _COMMAND_BYTES)
        *lines, self._typed = (self._typed + data).split(b"\n")
        for line in lines:
            self._command(json.loads(line))
            sys.stdout.write("ok\n")
            sys.stdout.flush()
        return bool(data)

    def _command(self, order: dict[str, Any]) -> None:
        if "open" in order:
            self._open(**order["open"])
            return
        ((verb, place),) = order.items()
        for port in self._ports.values():
            if port.place == place:
                port.dropped = {"drop": True, "carry": False}[verb]

    def _open(self, place: str, interface: str, networks: list[str]) -> None:
        descriptor = Namespace(place).inside(lambda: _device(interface))
        told = tuple(map(ipaddress.ip_network, networks))
        self._ports[descriptor] = Port(place, told, descriptor)
        self._poll.register(descriptor, select.POLLIN)

    def _carry(self, descriptor: int) -> None:
        source = self._ports[descriptor]
        try:
            packet = os.read(descriptor, _PACKET_BYTES)
        except OSError:
            # The device was deleted, and its descriptor is good for nothing else.
            self._poll.unregister(descriptor)
            del self._ports[descriptor]
            os.close(descriptor)
            return
        goal = self._goal(packet)
        if goal is None or goal.dropped or source.dropped:
            return
        try:
            os.write(goal.descriptor, packet)
        except OSError:
            pass  # that end is down: a lost packet

    def _goal(self, packet: bytes) -> Port | None:
        version = packet[0] >> 4
        raw = packet[16:20] if version == 4 else packet[24:40]
        address = ipaddress.ip_address(raw)
        fits = [
            (network.prefixlen, port.descriptor)
            for port in self._ports.values()
            for network in port.networks
            if address in network
        ]
        return self._ports[max(fits)[1]] if fits else None


def _device(interface: str) -> int:
    """A new tun device of this thread's network namespace, which goes when its descriptor is closed."""
    descriptor = os.open("/dev/net/tun", os.O_RDWR)
    fcntl.ioctl(descriptor, _TUNSETIFF, struct.pack("16sH22x", interface.encode(), _TUN | _NO_HEADER))
    return descriptor


if __name__ == "__main__":
    PacketSwitch().run()
