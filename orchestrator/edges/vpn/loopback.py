"""The loopback provider, for demo and tests: 127.0.0.0/8 on `lo` stands for the overlay (CONTRACT 3)."""

from __future__ import annotations

import asyncio
import fcntl
import ipaddress
import socket
import struct
from collections.abc import AsyncIterator
from functools import lru_cache

from orchestrator.edges.vpn.boundary import ADDRESSES_KEPT, InterfaceSight, NotADevice, Peer, normalised
from orchestrator.edges.vpn.netlink import held_addresses

NETWORK = ipaddress.ip_network("127.0.0.0/8")
_GET_FLAGS = 0x8913
_UP, _LOOPBACK = 0x1, 0x8
_INTERFACE_FLAGS = struct.Struct("=16sH22x")


class Loopback:
    """A `Boundary` on this machine alone. A peer is the device of its source address, so members get
    addresses such as 127.0.0.2; ValueError when `address` is not in 127.0.0.0/8."""

    def __init__(self, address: str = "127.0.0.1", interface: str = "lo") -> None:
        self._address = _loopback(address)
        if self._address is None:
            raise ValueError(f"the loopback provider listens in 127.0.0.0/8 only, not on {address!r}")
        self.interface = interface
        self._stopped = asyncio.Event()

    async def start(self) -> None:
        """Nothing to follow."""
        self._stopped.clear()

    async def stop(self) -> None:
        """Ends `changes`."""
        self._stopped.set()

    def addresses(self) -> tuple[str, ...]:
        """The one address to listen on."""
        return (str(self._address),)

    def look(self, now_us: int) -> InterfaceSight:
        """`vpn-down` when the interface is missing, down or no loopback; `vpn-address-changed` when it does
        not hold the address."""
        del now_us
        flags = _flags(self.interface)
        up = flags & _UP != 0
        is_loopback = flags & _LOOPBACK != 0
        holds = up and is_loopback and self._is_held()
        fault, detail = "vpn-down", ""
        if not flags:
            detail = f"there is no interface {self.interface}; the loopback provider needs lo"
        elif not is_loopback:
            detail = f"{self.interface} is no loopback interface; set vpn.interface to lo"
        elif not up:
            detail = f"{self.interface} is down: ip link set {self.interface} up"
        elif not holds:
            fault = "vpn-address-changed"
            detail = f"{self.interface} does not hold {self._address}: ip address show dev {self.interface}"
        else:
            fault, detail = "", f"{self.interface} is up and holds {self._address}"
        return InterfaceSight(
            holds,
            fault,
            detail,
            {
                "provider": "loopback",
                "interface": self.interface,
                "address": str(self._address),
                "up": up,
                "holds_address": holds,
            },
        )

    def own(self, address: str) -> bool:
        """The listener's address alone: every other of 127.0.0.0/8 is somebody else (CONTRACT 3)."""
        return _loopback(address) == self._address

    async def identify(self, address: str, port: int) -> Peer:
        """The peer's address itself. NotADevice outside 127.0.0.0/8 and for the listener's own."""
        if self.own(address):
            raise NotADevice(
                "own-address",
                "The listener's own address is nobody's device: a relay on this machine has it.",
            )
        peer = self.still(address, port)
        if peer is None:
            raise NotADevice("unknown-device", "Under the loopback provider devices are in 127.0.0.0/8 only.")
        return peer

    def still(self, address: str, port: int) -> Peer | None:
        """The same, for as long as it is asked: nobody takes an address of 127.0.0.0/8 away."""
        peer = _loopback(address)
        return None if peer is None or peer == self._address else Peer(str(peer))

    async def changes(self) -> AsyncIterator[str]:
        """None ever come; ends with `stop`."""
        await self._stopped.wait()
        none: tuple[str, ...] = ()
        for sentence in none:
            yield sentence

    def _is_held(self) -> bool:
        try:
            index = socket.if_nametoindex(self.interface)
            held = held_addresses()
        except OSError:
            return False
        # On a loopback device the whole prefix is the machine's own, not the address alone.
        return any(one.index == index and self._address in one.address.network for one in held)


@lru_cache(maxsize=ADDRESSES_KEPT)
def _loopback(address: str) -> ipaddress.IPv4Address | None:
    """The address, when it is one of 127.0.0.0/8."""
    try:
        parsed = ipaddress.ip_address(normalised(address))
    except ValueError:
        return None
    return parsed if isinstance(parsed, ipaddress.IPv4Address) and parsed in NETWORK else None


def _flags(interface: str) -> int:
    """The interface's flags (netdevice(7)); 0 when there is no such interface."""
    name = interface.encode()
    if not name or len(name) > 15:
        return 0
    request = bytearray(_INTERFACE_FLAGS.pack(name, 0))
    try:
        # A socket that is never bound is nobody's listener.
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            fcntl.ioctl(sock.fileno(), _GET_FLAGS, request)
    except OSError:
        return 0
    flags: int = _INTERFACE_FLAGS.unpack(request)[1]
    return flags
