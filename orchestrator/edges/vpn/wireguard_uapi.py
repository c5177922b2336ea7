"""wireguard-go's peers over its UAPI socket, and proof that who answers runs our interface (FIELD 2)."""

from __future__ import annotations

import errno
import ipaddress
import os
import socket
import struct
import time
from collections.abc import Iterator

from orchestrator.edges.vpn.links import namespace_inode
from orchestrator.edges.vpn.netlink import NETLINK_SOCK_DIAG, ask, attributes
from orchestrator.edges.vpn.processes import sockets_of
from orchestrator.edges.vpn.wireguard_peers import NotProven, PeerEntry, bounded, key_from

FOLDER = "/var/run/wireguard"
TIMEOUT_S = 0.5
_MAX_ANSWER_BYTES = 1 << 20
_READ_BYTES = 1 << 16
_CREDENTIALS = struct.Struct("=iII")
_BY_FAMILY, _SHOW_PEER, _PEER = 20, 0x4, 2
_UNIX_QUESTION = struct.Struct("=BBHIIIII")
_UNIX_ANSWER_BYTES = 16
_ANY = 0xFFFFFFFF
_SECRETS = ("private_key", "preshared_key")


class Uapi:
    """The socket of one interface. Blocking, for half a second at most; one caller at a time."""

    def __init__(self, interface: str) -> None:
        self._interface = interface
        self._owner: int | None = None

    @property
    def path(self) -> str:
        """Where wireguard-go listens for questions; the folder is shared by all network namespaces."""
        return f"{FOLDER}/{self._interface}.sock"

    def read(self) -> tuple[PeerEntry, ...]:
        """Its peers now. NotProven when nobody answers in time, or another than the one who holds the
        interface in our network namespace."""
        until = time.monotonic() + TIMEOUT_S
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
                sock.settimeout(TIMEOUT_S)
                sock.connect(self.path)
                sock.sendall(b"get=1\n\n")
                answer = _answer(sock, until)
                # While both ends are still open: the one at the other end is who gave this answer.
                self._prove(sock)
        except OSError as error:
            raise NotProven(self._mending(error)) from error
        return bounded(_peers(answer, int(time.time())))

    def _prove(self, sock: socket.socket) -> None:
        """SO_PEERCRED names who began to listen, which for a wireguard-go in the background is the process
        that started it and has ended; so the process that holds the other end is looked for."""
        theirs, namespace = _other_end(sock), namespace_inode()
        listened, _, _ = _CREDENTIALS.unpack(
            sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
        )
        for pid in self._candidates(listened):
            if _runs(pid, self._interface, namespace) and _holds(pid, theirs):
                self._owner = pid
                return
        self._owner = None
        raise NotProven(
            f"who answers on {self.path} does not hold the tun device {self._interface} of our network "
            f"namespace: `ls -l {self.path}`, and restart the tunnel"
        )

    def _candidates(self, listened: int) -> Iterator[int]:
        first = [pid for pid in (self._owner, listened) if pid is not None and pid > 0]
        yield from first
        for name in os.listdir("/proc"):
            if name.isdigit() and int(name) not in first:
                yield int(name)

    def _mending(self, error: OSError) -> str:
        if error.errno in (errno.EACCES, errno.EPERM):
            return f"{self.path} is root's: run `volet peers` beside the daemon, and set vpn.helper"
        if isinstance(error, TimeoutError):
            return f"wireguard-go did not answer on {self.path} in time: restart the tunnel"
        why = error.strerror or error
        return f"wireguard-go does not answer on {self.path} ({why}): restart the tunnel"


def _answer(sock: socket.socket, until: float) -> bytes:
    """All of an answer, which ends with an empty line."""
    received = bytearray()
    while not received.endswith(b"\n\n"):
        left_s = until - time.monotonic()
        if left_s <= 0:
            raise TimeoutError(errno.ETIMEDOUT, "no whole answer in time")
        if len(received) > _MAX_ANSWER_BYTES:
            raise NotProven(f"wireguard-go answered with more than {_MAX_ANSWER_BYTES} bytes")
        sock.settimeout(left_s)
        data = sock.recv(_READ_BYTES)
        if not data:
            raise OSError(errno.EPIPE, "the answer broke off")
        received += data
    return bytes(received)


def _peers(answer: bytes, wall_s: int) -> Iterator[PeerEntry]:
    """The peers of an answer to `get=1` (wireguard.com/xplatform). Its private keys are passed over here
    and nowhere kept."""
    key: str | None = None
    allowed: list[ipaddress.IPv4Network | ipaddress.IPv6Network] = []
    shaken_s = 0
    status = ""
    try:
        for line in answer.decode("ascii").splitlines():
            name, _, value = line.partition("=")
            if name in _SECRETS:
                continue
            if name == "public_key":
                if key is not None:
                    yield _entry(key, allowed, shaken_s, wall_s)
                key, allowed, shaken_s = key_from(bytes.fromhex(value)), [], 0
            elif name == "allowed_ip":
                allowed.append(ipaddress.ip_network(value, strict=False))
            elif name == "last_handshake_time_sec":
                shaken_s = int(value)
            elif name == "errno":
                status = value
    except ValueError:
        raise NotProven("wireguard-go's answer cannot be read: is it another program?") from None
    if status != "0":
        raise NotProven(f"wireguard-go answered with errno={status[:8]}")
    if key is not None:
        yield _entry(key, allowed, shaken_s, wall_s)


def _entry(
    key: str, allowed: list[ipaddress.IPv4Network | ipaddress.IPv6Network], shaken_s: int, wall_s: int
) -> PeerEntry:
    return PeerEntry(key, tuple(allowed), max(0, wall_s - shaken_s) if shaken_s else None)


def _other_end(sock: socket.socket) -> int:
    """The inode of the socket that ours is connected to (sock_diag(7))."""
    inode = os.fstat(sock.fileno()).st_ino
    question = _UNIX_QUESTION.pack(socket.AF_UNIX, 0, 0, _ANY, inode, _SHOW_PEER, _ANY, _ANY)
    told = attributes(ask(NETLINK_SOCK_DIAG, _BY_FAMILY, question), _UNIX_ANSWER_BYTES).get(_PEER)
    if told is None or len(told) != 4:
        raise OSError(errno.EPROTO, "the kernel does not say who is at the other end")
    return int.from_bytes(told, "little" if struct.pack("=H", 1)[0] else "big")


def _runs(pid: int, interface: str, namespace: int) -> bool:
    """Whether a process in that network namespace holds the tun device of that name."""
    try:
        if os.stat(f"/proc/{pid}/ns/net").st_ino != namespace:
            return False
        for name in os.listdir(f"/proc/{pid}/fdinfo"):
            with open(f"/proc/{pid}/fdinfo/{name}", encoding="ascii", errors="replace") as info:
                if any(line.split() == ["iff:", interface] for line in info):
                    return True
    except OSError:
        # It has ended, or we may not look: either way it proves nothing.
        return False
    return False


def _holds(pid: int, inode: int) -> bool:
    try:
        return inode in sockets_of(pid)
    except OSError:
        return False
