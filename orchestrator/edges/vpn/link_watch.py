"""Notifications about one interface, by netlink: it went down, lost an address, vanished, or came back."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Literal

from orchestrator.edges.vpn.links import Link, link, link_of
from orchestrator.edges.vpn.netlink import NETLINK_ROUTE, held, messages

_GROUPS = 0x1 | 0x10 | 0x100  # RTMGRP_LINK, RTMGRP_IPV4_IFADDR, RTMGRP_IPV6_IFADDR
_NEW_LINK, _DELETED_LINK, _NEW_ADDRESS, _DELETED_ADDRESS = 16, 17, 20, 21
_READ_BYTES = 1 << 16
_KERNEL_BUFFER_BYTES = 1 << 20
_READS_AT_ONCE = 256
_MAX_WAITING = 64


@dataclass(frozen=True, slots=True)
class LinkChange:
    """What one message says of our interface. `fault` is empty for what takes nothing away; `address` is
    the one that came or went, empty when it is about the interface itself."""

    fault: Literal["", "vpn-down", "vpn-address-changed"]
    detail: str
    address: str = ""


class LinkWatch:
    """Follows the interface of that name, whether it is there yet or not.

    `heard` is called for each message, on the loop's thread, as soon as the kernel has told us and before
    anything else is done about it; it must not block. `changes` gives the same as sentences.
    """

    def __init__(self, interface: str, heard: Callable[[LinkChange], None] | None = None) -> None:
        self.interface = interface
        self._heard = heard
        self._index: int | None = None
        self._socket: socket.socket | None = None
        self._sentences: asyncio.Queue[str | None] = asyncio.Queue()

    def start(self) -> None:
        """Listen from now on, on the running loop. OSError when the kernel gives no such socket."""
        sock = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_ROUTE)
        try:
            sock.setblocking(False)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _KERNEL_BUFFER_BYTES)
            sock.bind((0, _GROUPS))
            # Looked up after the socket hears: what changes in between is in a message.
            found = link(self.interface)
            self._index = None if found is None else found.index
            self._sentences = asyncio.Queue()
            asyncio.get_running_loop().add_reader(sock.fileno(), self._read)
        except BaseException:
            sock.close()
            raise
        self._socket = sock

    def stop(self) -> None:
        """Let go; ends `changes`. Repeatable."""
        sock, self._socket = self._socket, None
        if sock is not None:
            asyncio.get_running_loop().remove_reader(sock.fileno())
            sock.close()
        self._sentences.put_nowait(None)

    async def changes(self) -> AsyncIterator[str]:
        """A sentence for each message, as far as they are taken: of more than some dozen waiting, the rest
        is left out, since one is reason enough to look. Ends with `stop` or when nothing can be heard."""
        while (sentence := await self._sentences.get()) is not None:
            yield sentence

    def _read(self) -> None:
        for _ in range(_READS_AT_ONCE):
            if self._socket is None:
                return
            try:
                data = self._socket.recv(_READ_BYTES)
            except (BlockingIOError, InterruptedError):
                return
            except OSError as error:
                self._lost(error)
                return
            for kind, _, body in messages(data):
                change = self._change(kind, body)
                if change is not None:
                    self._tell(change)

    def _lost(self, error: OSError) -> None:
        """ENOBUFS: the kernel had more to say than it could hold. What it was is not known, so the worst is
        assumed, and the interface looked up anew."""
        with contextlib.suppress(OSError):
            found = link(self.interface)
            self._index = None if found is None else found.index
        detail = f"the kernel's messages about {self.interface} were lost: {error.strerror}"
        self._tell(LinkChange("vpn-down", detail))

    def _tell(self, change: LinkChange) -> None:
        if self._heard is not None:
            self._heard(change)
        if self._sentences.qsize() < _MAX_WAITING:
            self._sentences.put_nowait(change.detail)

    def _change(self, kind: int, body: bytes) -> LinkChange | None:
        """What a message says of our interface; None when it is about another."""
        if kind in (_NEW_LINK, _DELETED_LINK):
            return self._link_change(kind, link_of(body))
        if kind in (_NEW_ADDRESS, _DELETED_ADDRESS):
            one = held(body)
            if one is None or one.index != self._index:
                return None
            address = str(one.address.ip)
            if kind == _NEW_ADDRESS:
                return LinkChange("", f"{self.interface} has the address {address}", address)
            return LinkChange("vpn-address-changed", f"{self.interface} lost the address {address}", address)
        return None

    def _link_change(self, kind: int, told: Link) -> LinkChange | None:
        ours, named = told.index == self._index, told.name == self.interface
        if not ours and not named:
            return None
        if kind == _DELETED_LINK or (ours and not named):
            if not ours:
                return None
            self._index = None
            gone = "is gone" if kind == _DELETED_LINK else f"has become {told.name}"
            return LinkChange("vpn-down", f"{self.interface} {gone}")
        replaced = self._index is not None and not ours
        self._index = told.index
        if replaced:
            return LinkChange("vpn-down", f"{self.interface} is another interface than it was")
        if not told.up:
            return LinkChange("vpn-down", f"{self.interface} is down")
        return LinkChange("", f"{self.interface} is up")
