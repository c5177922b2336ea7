"""One look at a network interface, over rtnetlink: is it there, is it up, of what kind is it."""

from __future__ import annotations

import errno
import ipaddress
import os
import struct
from dataclasses import dataclass

from orchestrator.edges.vpn.netlink import NETLINK_ROUTE, ask, attributes, held_addresses

LINK_BODY = struct.Struct("=BxHiII")
LINK_NAME = 3
_GET_LINK, _LINK_INFO, _INFO_KIND = 18, 18, 1
_ATTRIBUTE = struct.Struct("=HH")
_UP = 0x1
_NAME_BYTES = 15


@dataclass(frozen=True, slots=True)
class Link:
    """A network interface. `kind` is its driver's word (`wireguard`, `tun`, `veth`), empty without one."""

    index: int
    name: str
    up: bool
    kind: str


def link(name: str) -> Link | None:
    """The interface of that name in this network namespace; None when there is none. OSError otherwise."""
    encoded = name.encode()
    if not encoded or len(encoded) > _NAME_BYTES:
        return None
    padded = encoded.ljust((len(encoded) + 4) & ~3, b"\0")
    wanted = _ATTRIBUTE.pack(_ATTRIBUTE.size + len(encoded) + 1, LINK_NAME) + padded
    try:
        return link_of(ask(NETLINK_ROUTE, _GET_LINK, LINK_BODY.pack(0, 0, 0, 0, 0) + wanted))
    except OSError as error:
        if error.errno == errno.ENODEV:
            return None
        raise


def link_of(body: bytes) -> Link:
    """The interface that an RTM_NEWLINK or RTM_DELLINK message is about (rtnetlink(7))."""
    _, _, index, flags, _ = LINK_BODY.unpack_from(body)
    found = attributes(body, LINK_BODY.size)
    kind = attributes(found.get(_LINK_INFO, b"")).get(_INFO_KIND, b"")
    return Link(index, _text(found.get(LINK_NAME, b"")), flags & _UP != 0, _text(kind))


def addresses_on(index: int) -> tuple[str, ...]:
    """The addresses of an interface that others can reach it by: without IPv6's link-local ones."""
    return tuple(
        str(one.address.ip)
        for one in held_addresses()
        if one.index == index and not (one.address.version == 6 and one.address.is_link_local)
    )


def globally_routable(address: str) -> bool:
    """Whether anybody on the Internet may have a route there: then it is no overlay's."""
    return ipaddress.ip_address(address).is_global


def namespace_inode() -> int:
    """What names this thread's network namespace; OSError when /proc does not say."""
    # The thread's: /proc/self is the main thread, which may stand in another one.
    return os.stat("/proc/thread-self/ns/net").st_ino


def _text(value: bytes) -> str:
    return value.rstrip(b"\0").decode(errors="replace")
