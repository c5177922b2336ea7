"""What other programs of this machine listen on: the camera's source, and whoever has our port (F24)."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator

from orchestrator.edges.vpn.boundary import normalised
from orchestrator.edges.vpn.netlink import is_local
from orchestrator.edges.vpn.processes import holders_of
from orchestrator.edges.vpn.sockets import Listener, listening

_LOOPBACK_DEVICE = "lo"


def exposed(host: str, port: int) -> tuple[Listener, ...]:
    """Every TCP listener on the source's port beyond loopback, when the source may be on this machine.

    None when `host` is another machine's address. A name may be anybody's, so it may be ours: it is not
    resolved. OSError when the kernel does not answer: not proven.
    """
    try:
        if not is_local(normalised(host.strip("[]"))):
            return ()
    except ValueError:
        pass  # a name
    return tuple(each for each in listening("tcp") if each.port == port and _beyond_loopback(each))


def in_the_way(address: str, port: int) -> Listener | None:
    """Who keeps us from listening there, named where it can be told; None when nobody does."""
    wanted = ipaddress.ip_address(address)
    for each in listening("tcp"):
        theirs = ipaddress.ip_address(each.address)
        covers = theirs == wanted or (theirs.is_unspecified and theirs.version >= wanted.version)
        if each.port == port and covers:
            return next(iter(named([each])), each)
    return None


def named(listeners: Iterable[Listener]) -> Iterator[Listener]:
    """The same with who holds them: root is told of everybody, others of their own processes alone."""
    found = tuple(listeners)
    holders = holders_of({each.inode for each in found if each.pid is None})
    for each in found:
        pid = holders.get(each.inode)
        yield each if pid is None else each.held_by(pid)


def _beyond_loopback(listener: Listener) -> bool:
    address = ipaddress.ip_address(listener.address)
    return not address.is_loopback and listener.device != _LOOPBACK_DEVICE
