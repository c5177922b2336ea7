"""However often the broker's connection breaks, no audit ever meets a listener of the bus's (S7, FIELD 9)."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from orchestrator.edges import lane_bus
from orchestrator.edges.vpn.sockets import Audit, Declared, audit
from tests.edges.lane_broker import TOPIC, Broker, Listener, Start, WithBus, needs_mosquitto

RECONNECTS = 100
SPARE_DESCRIPTORS = 4
"""A connection and a look of the audit may be under way at the moment of counting."""


class Proxy:
    """Passes one connection after the other on to the broker, until it is told to cut it."""

    def __init__(self, target: int) -> None:
        self._target = target
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._server.getsockname()[1]
        self._pair: tuple[socket.socket, ...] = ()
        self._ready = threading.Condition()
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._server.accept()
            except OSError:
                return
            broker = socket.create_connection(("127.0.0.1", self._target))
            with self._ready:
                self._pair = (client, broker)
            pumps = [
                threading.Thread(target=_pump, args=ends) for ends in ((client, broker), (broker, client))
            ]
            for pump in pumps:
                pump.start()
            for pump in pumps:
                pump.join()
            client.close()
            broker.close()

    def cut(self) -> None:
        """End the connection under way, on both sides."""
        with self._ready:
            _hang_up(*self._pair)

    def close(self) -> None:
        _hang_up(self._server)
        self._server.close()
        self.cut()


def _pump(source: socket.socket, target: socket.socket) -> None:
    try:
        while data := source.recv(65536):
            target.sendall(data)
    except OSError:
        pass
    _hang_up(source, target)


def _hang_up(*sockets: socket.socket) -> None:
    for each in sockets:
        try:
            each.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass  # it has ended already


@contextmanager
def auditing(declared: list[Declared]) -> Iterator[list[Audit]]:
    """Looks one after the other, as fast as they go; those that are not good are kept, and the last."""
    bad: list[Audit] = []
    done = threading.Event()

    def look() -> None:
        while not done.is_set():
            found = audit(declared)
            if not found.good:
                bad.append(found)

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield bad
    finally:
        done.set()
        thread.join()


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


class TestWithMosquitto(WithBus):
    """With a real broker behind a proxy that cuts."""

    pytestmark = needs_mosquitto

    def test_a_hundred_reconnects_never_trip_the_audit_and_leave_no_descriptor(
        self, broker: Broker, start: Start, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        # The clock is hurried; the bus must look at it oftener to notice.
        monkeypatch.setattr(lane_bus, "TURN_MS", 5)
        listener: Any = Listener()
        proxy = Proxy(broker.port)
        ours = [Declared("127.0.0.1", port, "") for port in (broker.port, proxy.port)]
        try:
            with auditing(ours) as bad:
                start(proxy.port, listener, TOPIC)
                listener.until_up()
                before = descriptors()
                for times in range(RECONNECTS):
                    proxy.cut()
                    listener.until_up(times + 2)
                after = descriptors()
        finally:
            proxy.close()
        assert bad == []
        assert after <= before + SPARE_DESCRIPTORS
