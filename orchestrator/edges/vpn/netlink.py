"""Questions to the kernel over netlink, by hand: one answer, a dump's answers, our interfaces' addresses."""

from __future__ import annotations

import errno
import ipaddress
import os
import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass

NETLINK_ROUTE, NETLINK_SOCK_DIAG = 0, 4
_REQUEST, _DUMP, _INTERRUPTED = 0x1, 0x300, 0x10
_ERROR, _DONE = 2, 3
_GET_ADDRESS, _ADDRESS, _LOCAL = 22, 1, 2
_NAME_MASK = 0x3FFF
_HEADER = struct.Struct("=IHHII")
_ERROR_NUMBER = struct.Struct("=i")
INTERFACE_ADDRESS = struct.Struct("=BBBBI")
_ATTRIBUTE = struct.Struct("=HH")
_READ_BYTES = 1 << 16
_TRIES = 4
_TIMEOUT_S = 1.0


@dataclass(frozen=True, slots=True)
class HeldAddress:
    """An address on an interface, with its prefix."""

    index: int
    address: ipaddress.IPv4Interface | ipaddress.IPv6Interface


class Interrupted(OSError):
    """The table changed while it was being read, so the answer may miss an entry."""


def dump(protocol: int, kind: int, *bodies: bytes) -> list[bytes]:
    """The bodies of all answers to each dump request. An interrupted one is asked again.

    OSError when the kernel refuses, or the table would not stand still for a whole look.
    """
    for attempt in range(_TRIES):
        try:
            with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, protocol) as sock:
                sock.settimeout(_TIMEOUT_S)
                return [answer for body in bodies for answer in _answers(sock, kind, body)]
        except Interrupted:
            if attempt == _TRIES - 1:
                raise
    raise AssertionError("unreachable")


def ask(protocol: int, kind: int, body: bytes) -> bytes:
    """The body of the one answer to a request that asks for one thing. OSError when there is none such."""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, protocol) as sock:
        sock.settimeout(_TIMEOUT_S)
        sock.send(_HEADER.pack(_HEADER.size + len(body), kind, _REQUEST, 1, 0) + body)
        for answered, _, inner in messages(sock.recv(_READ_BYTES)):
            if answered == _ERROR:
                raise _refusal(inner)
            return inner
    raise OSError(errno.EPROTO, "the kernel gave no answer to a netlink question")


def messages(data: bytes) -> Iterator[tuple[int, int, bytes]]:
    """Kind, flags and body of each message in what one read gave."""
    at = 0
    while at + _HEADER.size <= len(data):
        length, kind, flags, _, _ = _HEADER.unpack_from(data, at)
        yield kind, flags, data[at + _HEADER.size : at + length]
        at += max((length + 3) & ~3, _HEADER.size)


def attributes(body: bytes, at: int = 0) -> dict[int, bytes]:
    """The attributes that begin `at` bytes into a message's body, by number; the last of each."""
    found: dict[int, bytes] = {}
    while at + _ATTRIBUTE.size <= len(body):
        length, name = _ATTRIBUTE.unpack_from(body, at)
        found[name & _NAME_MASK] = body[at + _ATTRIBUTE.size : at + length]
        at += max((length + 3) & ~3, _ATTRIBUTE.size)
    return found


def held_addresses() -> tuple[HeldAddress, ...]:
    """Every address of every interface of this network namespace."""
    answers = dump(NETLINK_ROUTE, _GET_ADDRESS, INTERFACE_ADDRESS.pack(socket.AF_UNSPEC, 0, 0, 0, 0))
    return tuple(one for one in map(held, answers) if one is not None)


def is_local(address: str) -> bool:
    """Whether packets to that address end at this machine."""
    wanted = ipaddress.ip_address(address)
    if wanted.is_loopback or wanted.is_unspecified:
        return True
    return any(one.address.ip == wanted for one in held_addresses())


def _answers(sock: socket.socket, kind: int, body: bytes) -> Iterator[bytes]:
    sock.send(_HEADER.pack(_HEADER.size + len(body), kind, _REQUEST | _DUMP, 1, 0) + body)
    while True:
        for answered, flags, inner in messages(sock.recv(_READ_BYTES)):
            if flags & _INTERRUPTED:
                raise Interrupted(errno.EINTR, "the kernel's table changed while it was being read")
            if answered == _DONE:
                return
            if answered == _ERROR:
                raise _refusal(inner)
            yield inner


def _refusal(inner: bytes) -> OSError:
    number = -_ERROR_NUMBER.unpack_from(inner)[0]
    return OSError(number, f"the kernel refused a netlink question: {os.strerror(number)}")


def held(answer: bytes) -> HeldAddress | None:
    """The address that an RTM_*ADDR message is about; None for another family than IPv4 and IPv6."""
    family, prefix, _, _, index = INTERFACE_ADDRESS.unpack_from(answer)
    if family not in (socket.AF_INET, socket.AF_INET6):
        return None
    found = attributes(answer, INTERFACE_ADDRESS.size)
    # On a point-to-point link IFA_ADDRESS is the other end (rtnetlink(7)); IFA_LOCAL is ours.
    packed = found.get(_LOCAL, found.get(_ADDRESS))
    if packed is None:
        return None
    return HeldAddress(index, ipaddress.ip_interface((packed, prefix)))
