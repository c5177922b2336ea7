"""What was on the wire: tcpdump on one interface, and its packets with the kernel's own time of each."""

import ipaddress
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from shutil import which
from types import TracebackType
from typing import Protocol, Self

import pytest

from tests.e2e.processes import Process

_MICROSECONDS = 0xA1B2C3D4
"""The magic number of a pcap file whose stamps are in microseconds."""
_FILE_HEAD = struct.Struct("=IHHiIII")
_RECORD = struct.Struct("=IIII")
_ETHERNET, _RAW, _COOKED, _COOKED_2 = 1, 101, 113, 276
_LINK_BYTES = {_ETHERNET: 14, _RAW: 0, 12: 0, _COOKED: 16, _COOKED_2: 20, 0: 4}
"""How far the IP header lies behind each kind of link header (12: raw too, 0: a loopback's family)."""
_SNAP_BYTES = 192
_TCP, _UDP = 6, 17
_FLAGS = "FSRPAUEC"
"""RFC 9293 3.1, from the lowest bit on."""
_numbers = count(1)
LATEST_US = 50_000
"""No picture later than this after the daemon was told, or found out by its poll (S9 allows a second)."""
UNDERWAY_US = 1_000_000
"""What left in time may wait for as long in the overlay's own processes when the machine is busy."""


class Place(Protocol):
    """Where tcpdump runs: a network namespace."""

    def argv(self, *words: str) -> list[str]:
        """The words that run a program there, as that program's own process."""


@dataclass(frozen=True, slots=True)
class Packet:
    """One packet. `at_us`: wall clock in microseconds, stamped by the kernel as it passed the interface.
    `payload_bytes`: of TCP (or UDP), headers left out. `flags`: letters of `FSRPAUEC`, empty for UDP."""

    at_us: int
    source: str
    source_port: int
    destination: str
    destination_port: int
    payload_bytes: int
    flags: str


class Capture:
    """tcpdump on `interface` at `place` ("any": on all of them, also while one goes and comes), of what
    fits `expression` (pcap-filter(7)). Skips where there is no tcpdump."""

    def __init__(self, place: Place, interface: str, folder: Path, expression: str = "tcp") -> None:
        self.place, self.interface, self.expression = place, interface, expression
        self.name = f"capture-{next(_numbers)}-{interface}"
        self.file = folder / f"{self.name}.pcap"
        self.heard_to_the_end = False
        """After `stop`: tcpdump had not ended by itself before, as it does when its interface goes down."""
        self._folder = folder
        self._process: Process

    def __enter__(self) -> Self:
        """It listens by now."""
        if which("tcpdump") is None:
            pytest.skip("needs tcpdump")
        words = ["tcpdump", "-i", self.interface, "-n", "-U", "--immediate-mode", "-s", str(_SNAP_BYTES)]
        words += ["-Z", "root", "-w", str(self.file), self.expression]
        self._process = Process(self.name, self.place.argv(*words), self._folder)
        try:
            self._process.wait_line(lambda line: "listening on" in line)
        except BaseException:
            self._process.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.stop()

    def stop(self) -> list[Packet]:
        """End it; what it heard, in order. AssertionError when the kernel kept some of it back."""
        self.heard_to_the_end = self._process.running
        self._process.stop()
        dropped = [line for line in self._process.lines if "dropped by kernel" in line]
        assert dropped == ["0 packets dropped by kernel"] or not self.heard_to_the_end, self._process.text()
        return list(packets_of(self.file.read_bytes()))


def last_picture_us(packets: Iterable[Packet], address: str, port: int) -> int:
    """When the last packet with payload left that address and port. AssertionError when none did: then
    nothing was measured."""
    times = [p.at_us for p in packets if (p.source, p.source_port) == (address, port) and p.payload_bytes]
    assert times, f"no packet with payload from {address} port {port} was heard"
    return max(times)


def packets_of(data: bytes) -> Iterator[Packet]:
    """The TCP and UDP packets of a pcap file of this machine's byte order, IPv4 and IPv6."""
    if not data:
        return
    magic, *_, link = _FILE_HEAD.unpack_from(data)
    assert magic == _MICROSECONDS, f"a pcap file in microseconds begins with {_MICROSECONDS:x}, not {magic:x}"
    at = _FILE_HEAD.size
    while at + _RECORD.size <= len(data):
        seconds, microseconds, held_bytes, _ = _RECORD.unpack_from(data, at)
        at += _RECORD.size
        packet = _packet(seconds * 1_000_000 + microseconds, data[at : at + held_bytes][_LINK_BYTES[link] :])
        at += held_bytes
        if packet is not None:
            yield packet


def _packet(at_us: int, ip: bytes) -> Packet | None:
    """The packet that begins with this IP header; None when it is neither TCP nor UDP."""
    version = ip[0] >> 4 if ip else 0
    if version == 4:
        head_bytes, protocol = (ip[0] & 15) * 4, ip[9]
        total_bytes, source, destination = int.from_bytes(ip[2:4], "big"), ip[12:16], ip[16:20]
    elif version == 6:
        head_bytes, protocol = 40, ip[6]
        total_bytes, source, destination = 40 + int.from_bytes(ip[4:6], "big"), ip[8:24], ip[24:40]
    else:
        return None
    inner = ip[head_bytes:]
    if protocol == _TCP:
        inner_bytes, flags = (inner[12] >> 4) * 4, _flags(inner[13])
    elif protocol == _UDP:
        inner_bytes, flags = 8, ""
    else:
        return None
    return Packet(
        at_us,
        str(ipaddress.ip_address(source)),
        int.from_bytes(inner[0:2], "big"),
        str(ipaddress.ip_address(destination)),
        int.from_bytes(inner[2:4], "big"),
        total_bytes - head_bytes - inner_bytes,
        flags,
    )


def _flags(bits: int) -> str:
    return "".join(letter for place, letter in enumerate(_FLAGS) if bits >> place & 1)
