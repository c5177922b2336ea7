"""What we listen on, read back from the kernel and not from our intention (S7, S8)."""

from __future__ import annotations

import errno
import ipaddress
import os
import socket
import struct
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from orchestrator.edges.vpn.boundary import normalised
from orchestrator.edges.vpn.netlink import NETLINK_SOCK_DIAG, dump
from orchestrator.edges.vpn.processes import program_of, sockets_of, tree

BACKLOG = 128
_DEVICE_NAME_BYTES = 16
_BY_FAMILY = 20
_QUESTION = struct.Struct("=BBBxI48x")
_ANSWER = struct.Struct("=BBxx2sxx16s16xI8x12xII")
_LISTENING, _UNCONNECTED = 1 << 10, 1 << 7
_FAMILIES = (socket.AF_INET, socket.AF_INET6)

Protocol = Literal["tcp", "udp"]
_KINDS: Mapping[Protocol, tuple[int, int]] = {
    "tcp": (socket.IPPROTO_TCP, _LISTENING),
    "udp": (socket.IPPROTO_UDP, _UNCONNECTED),
}


@dataclass(frozen=True, slots=True)
class Declared:
    """A TCP listener that we mean to have, on exactly that address and bound to that device."""

    address: str
    port: int
    interface: str


@dataclass(frozen=True, slots=True)
class Listener:
    """A socket that takes packets from anyone: TCP in LISTEN, or UDP bound and not connected.

    `device` is empty when it is bound to none; `pid` None when nobody was asked who holds it, or nobody
    can be told. `program` is the holder's name as the kernel has it (comm, 15 characters).
    """

    protocol: Protocol
    address: str
    port: int
    device: str
    inode: int
    pid: int | None = None
    program: str = field(default="", compare=False)

    def __str__(self) -> str:
        device = f" on device {self.device}" if self.device else " on every device"
        holder = f", {self.holder}" if self.pid is not None else ""
        return f"{self.protocol} {self.place}{device}{holder}"

    @property
    def place(self) -> str:
        """`0.0.0.0:8000` or `[::]:8000`."""
        return f"[{self.address}]:{self.port}" if ":" in self.address else f"{self.address}:{self.port}"

    @property
    def holder(self) -> str:
        """Who has it, in words."""
        if self.pid is None:
            return "a process that only root can name"
        return f"process {self.pid} ({self.program})" if self.program else f"process {self.pid}"

    def held_by(self, pid: int) -> Listener:
        """The same, now that it is known who has it."""
        return replace(self, pid=pid, program=program_of(pid))


@dataclass(frozen=True, slots=True)
class Audit:
    """One look at every listener of the process tree, begun at `looked_us` (boot clock).

    `unread` are processes of ours whose descriptors could not be read, `failure` why the kernel
    did not answer (empty: it did): both prove nothing.
    """

    strays: tuple[Listener, ...]
    missing: tuple[Declared, ...]
    unread: tuple[int, ...]
    failure: str
    looked_us: int

    @property
    def good(self) -> bool:
        """Exactly what is declared is there, and nothing else."""
        return not (self.strays or self.missing or self.unread or self.failure)

    @property
    def detail(self) -> str:
        """What was found and what to do, in one sentence."""
        if self.failure:
            return f"our own listeners could not be read: {self.failure}"
        if self.strays:
            named = "; ".join(map(str, self.strays[:3]))
            return f"{len(self.strays)} undeclared: {named}; stop it, `ss -tulpn` shows who it is"
        if self.unread:
            return (
                f"the sockets of process {self.unread[0]} of ours could not be read; run it as our user, "
                "and let the unit see /proc (ProtectProc=default)"
            )
        if self.missing:
            gone = self.missing[0]
            return f"nothing of ours listens on {gone.address}:{gone.port} bound to {gone.interface}"
        return "only what is declared listens, bound to the VPN's device"


def listen(address: str, port: int, interface: str) -> socket.socket:
    """A listening TCP socket that only packets from `interface` reach (S8); not blocking, the caller's.

    OSError, whose `strerror` says what to do, when there is no such interface or address, or the port
    is taken.
    """
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, interface.encode())
        sock.setblocking(False)
        sock.bind((address, port))
        sock.listen(BACKLOG)
    except OSError as error:
        sock.close()
        number = error.errno or 0
        raise OSError(number, _mending(number, address, port, interface)) from error
    except BaseException:
        sock.close()
        raise
    return sock


def bound_device(sock: socket.socket) -> str:
    """The device that a listening or an accepted socket is bound to, which the latter has from the former;
    empty for none. OSError (ENODEV) when it is gone (FIELD 2)."""
    name = sock.getsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, _DEVICE_NAME_BYTES)
    return name.rstrip(b"\0").decode()


def audit(declared: Sequence[Declared], pids: Sequence[int] | None = None) -> Audit:
    """Compare all listeners of `pids` and their descendants (None: this process) with what is declared.

    Any thread; some milliseconds; never raises OSError.
    """
    looked_us = time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1000
    roots = (os.getpid(),) if pids is None else pids
    try:
        ours, unread = _ours(roots)
        if unread or any(listener.protocol == "udp" for listener in ours):
            # A UDP client is unconnected for some microseconds of its connect(), a child unreadable from
            # fork to exec: neither must lock the site, so these two count when they are seen twice.
            again, unread = _ours(roots)
            ours = _lasting(ours, again)
    except OSError as error:
        return Audit((), tuple(declared), (), str(error), looked_us)
    expected = {(one.address, one.port, one.interface): one for one in declared}
    found = {_place(listener) for listener in ours}
    return Audit(
        tuple(listener for listener in ours if _place(listener) not in expected),
        tuple(one for place, one in expected.items() if place not in found),
        tuple(unread),
        "",
        looked_us,
    )


def listening(kind: Protocol) -> list[Listener]:
    """Every such listener of this network namespace, whoever holds it (sock_diag(7))."""
    protocol, states = _KINDS[kind]
    questions = [_QUESTION.pack(family, protocol, 0, states) for family in _FAMILIES]
    devices: dict[int, str] = {0: ""}
    found: list[Listener] = []
    for answer in dump(NETLINK_SOCK_DIAG, _BY_FAMILY, *questions):
        family, _, port, address, index, _, inode = _ANSWER.unpack_from(answer)
        if index not in devices:
            devices[index] = _device(index)
        packed = address[:4] if family == socket.AF_INET else address
        text = normalised(str(ipaddress.ip_address(packed)))
        found.append(Listener(kind, text, int.from_bytes(port, "big"), devices[index], inode))
    return found


def _place(listener: Listener) -> tuple[str, int, str] | None:
    return (listener.address, listener.port, listener.device) if listener.protocol == "tcp" else None


def _ours(roots: Sequence[int]) -> tuple[list[Listener], list[int]]:
    """The listeners that a process of the tree holds, and the processes that could not be read."""
    known = {listener.inode: listener for kind in _KINDS for listener in listening(kind)}
    ours: list[Listener] = []
    unread: list[int] = []
    for pid in tree(roots):
        try:
            for inode in sockets_of(pid):
                listener = known.pop(inode, None)
                if listener is not None:
                    ours.append(listener.held_by(pid))
        except PermissionError:
            unread.append(pid)
    return ours, unread


def _lasting(first: Iterable[Listener], again: Iterable[Listener]) -> list[Listener]:
    """Every TCP listener of either look, and the UDP sockets that are in both."""
    before = {listener.inode: listener for listener in first}
    after = {listener.inode: listener for listener in again}
    return [
        listener
        for inode, listener in (before | after).items()
        if listener.protocol == "tcp" or (inode in before and inode in after)
    ]


def _device(index: int) -> str:
    try:
        return socket.if_indextoname(index)
    except OSError:
        return f"#{index}, which is gone"


def _mending(number: int, address: str, port: int, interface: str) -> str:
    """One line for the person at 3 a.m."""
    if number == errno.EADDRINUSE:
        return (
            f"{address}:{port} is taken: `ss -ltnp 'sport = :{port}'` shows by whom; stop it, or set vpn.port"
        )
    if number == errno.EADDRNOTAVAIL:
        return f"{address} is not on this machine: `ip address show dev {interface}`, or set vpn.address"
    if number == errno.ENODEV:
        return f"there is no interface {interface}: start the VPN, or set vpn.interface"
    if number in (errno.EACCES, errno.EPERM):
        return (
            f"we may not listen on {address}:{port} bound to {interface}: take a port above 1023, "
            "or allow it in the unit (SocketBindAllow)"
        )
    return f"cannot listen on {address}:{port} bound to {interface}: {os.strerror(number)}"
