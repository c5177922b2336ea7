"""Connections to the gateway, written and read by hand, whole or half."""

import json
import os
import select
import socket
import struct
from dataclasses import dataclass
from typing import Any

from tests.e2e.follower import name_of
from tests.e2e.gateway import Flow, Gateway

LIMIT_S = 30.0
BUSY_MACHINE = frozenset({"lane-unknown", "worker-storm", "log-unwritable"})
"""Faults of a machine that lets a process of the house stand still: shut rightly, and once is an accident."""
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


@dataclass(frozen=True, slots=True)
class Said:
    """One answer as it came."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def problem(self) -> dict[str, Any]:
        """The problem document; it agrees with the status line."""
        assert self.headers["content-type"] == "application/problem+json", self
        document: dict[str, Any] = json.loads(self.body)
        assert document["status"] == self.status
        assert document["title"]
        assert document["detail"]
        return document


def connected(gateway: Gateway, source: str, *, receive_bytes: int | None = None) -> socket.socket:
    """A connection from that address; with `receive_bytes` one whose kernel takes little."""
    sock = socket.socket()
    sock.settimeout(LIMIT_S)
    if receive_bytes is not None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
    sock.bind((source, 0))
    try:
        sock.connect((gateway.address, gateway.port))
    except OSError:
        sock.close()
        raise
    return sock


def connected_locally(gateway: Gateway) -> socket.socket:
    """A connection to the Unix socket."""
    sock = socket.socket(socket.AF_UNIX)
    sock.settimeout(LIMIT_S)
    sock.connect(str(gateway.socket))
    return sock


def filled(gateway: Gateway, said: bytes, member: str = "") -> bytes:
    """`said` with the listener's name, and that member's address, where it asks for them."""
    host = f"{gateway.address}:{gateway.port}".encode()
    return said.replace(b"{host}", host).replace(b"{member}", member.encode())


def answers_on(sock: socket.socket, *, only: int = 0) -> list[Said]:
    """The answers that come until the connection ends, or so many."""
    data = b""
    found: list[Said] = []
    try:
        while not only or len(found) < only:
            piece = sock.recv(65_536)
            if not piece:
                break
            data += piece
            while (taken := _first(data)) is not None:
                answer, data = taken
                found.append(answer)
    except ConnectionError:
        pass  # cut instead of closed: what came before counts
    return found


def _first(data: bytes) -> tuple[Said, bytes] | None:
    head, ended, rest = data.partition(b"\r\n\r\n")
    if not ended:
        return None
    line, *fields = head.decode("latin-1").split("\r\n")
    headers = {name.lower(): value for name, _, value in (field.partition(": ") for field in fields)}
    size = int(headers.get("content-length", 0))
    return None if len(rest) < size else (Said(int(line.split()[1]), headers, rest[:size]), rest[size:])


def is_let_go(sock: socket.socket, limit_s: float) -> bool:
    """Whether the other end closes or cuts the connection in time, whatever of it nobody has read."""
    poller = select.poll()
    poller.register(sock, select.POLLRDHUP)
    return bool(poller.poll(limit_s * 1000))


def half_close(sock: socket.socket) -> None:
    """Say no more, and go on listening."""
    try:
        sock.shutdown(socket.SHUT_WR)
    except OSError:
        pass  # the other end has cut it already


def reset(sock: socket.socket) -> None:
    """Go away without a word: the other end gets a RST."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
    sock.close()


def descriptors(gateway: Gateway) -> int:
    """How many the daemon has open."""
    return len(os.listdir(f"/proc/{gateway.daemon.pid}/fd"))


def still_flows(gateway: Gateway, flow: Flow) -> None:
    """The session is open and its viewer watches; one whose worker was replaced (a machine that is busy
    elsewhere may let it stall) asks again, as a player does. A viewer who was cut has not asked to be, unless
    that machine has shut the camera: then there is another flow."""
    try:
        flow.viewer.wait_flow(2)
    except AssertionError:
        if not flow.viewer.ending:
            raise
        if flow.viewer.ending == "end" and gateway.state().startswith("streaming."):
            flow.viewer = gateway.watch_again(flow)
        else:
            _flow_again(gateway, flow)
        flow.viewer.wait_flow(2)
    assert gateway.state().startswith("streaming.")


def _flow_again(gateway: Gateway, flow: Flow) -> None:
    """Open anew after a closing that a busy machine explains; AssertionError when there is no such one."""
    closing = gateway.wait_end(flow.session)
    assert closing["data"].get("fault") in BUSY_MACHINE, closing
    faults = [event["data"]["fault"] for event in gateway.events() if name_of(event) == "fault"]
    assert len(faults) == 1, f"shut again and again while this is asked: {faults}"
    gateway.wait("closed", flow.session)
    gateway.wait_disabled(substate="ready", pending=False)
    if closing["data"]["fault"] == "worker-storm":
        gateway.wait_out_the_cool_down()
    # What a silent sensor had said counts no more: it says so again.
    gateway.wait_lane_free()
    new = gateway.flow()
    flow.session, flow.path, flow.viewer, flow.worker = new.session, new.path, new.viewer, new.worker
