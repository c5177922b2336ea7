"""Whose our port is, as `doctor` finds it: nobody's, the running daemon's by its sockets, or a stranger's."""

from __future__ import annotations

import errno
import socket
import struct
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from orchestrator.edges.vpn.boundary import Boundary
from orchestrator.edges.vpn.other_listeners import in_the_way
from orchestrator.edges.vpn.sockets import Audit, Declared, Listener, listen

_CREDENTIALS = struct.Struct("=iII")
_ANSWER_S = 1.0


@dataclass(frozen=True, slots=True)
class Running:
    """The process that listens on the local socket, and the user it runs as."""

    pid: int
    user: int


@dataclass(frozen=True, slots=True)
class Port:
    """`declared` is what should listen; `trouble` why it could not, and `taker` who keeps it from that."""

    declared: tuple[Declared, ...] = ()
    trouble: str = ""
    taker: Listener | None = None


def running_daemon(local_socket: Path) -> Running | None:
    """Whoever listens there, as the kernel knows it; None when nobody does, or in another pid namespace."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(_ANSWER_S)
        try:
            if probe.connect_ex(str(local_socket)) != 0:
                return None
        except OSError:
            return None
        told = probe.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    pid, user, _ = _CREDENTIALS.unpack(told)
    return Running(pid, user) if pid > 0 else None


def declared_of(boundary: Boundary, port: int) -> tuple[Declared, ...]:
    """What the daemon listens on while the boundary stands."""
    return tuple(Declared(address, port, boundary.interface) for address in boundary.addresses())


def try_to_listen(wanted: Sequence[Declared], stack: ExitStack) -> Port:
    """Do what the daemon would do at its start; the sockets live as long as the stack."""
    if not wanted:
        return Port((), "there is no address to listen on until vpn-interface passes")
    with ExitStack() as undo:
        for one in wanted:
            try:
                undo.enter_context(listen(one.address, one.port, one.interface))
            except OSError as problem:
                taken = problem.errno == errno.EADDRINUSE
                taker = in_the_way(one.address, one.port) if taken else None
                return Port((), _taken(one, taker) if taker else str(problem.strerror), taker)
        stack.enter_context(undo.pop_all())
    return Port(tuple(wanted))


def of_the_daemon(daemon: Running, audited: Audit, wanted: Sequence[Declared]) -> Port:
    """Whether what its process tree really holds is what should be there."""
    if not wanted:
        return Port((), "there is no address to listen on until vpn-interface passes")
    if audited.unread:
        said = f"the sockets of process {audited.unread[0]} of the running daemon could not be read"
        return Port((), f"{said}: run doctor as root, or as the daemon's user")
    if audited.strays or audited.failure or not audited.missing:
        return Port(tuple(wanted))
    gone = audited.missing[0]
    taker = in_the_way(gone.address, gone.port)
    said = f"the running daemon (process {daemon.pid}) does not listen on {gone.address}:{gone.port}"
    return Port((), f"{said}; {_taken(gone, taker)}" if taker else said, taker)


def _taken(wanted: Declared, taker: Listener) -> str:
    return f"{wanted.address}:{wanted.port} is taken by {taker.holder}, which listens on {taker.place}"
