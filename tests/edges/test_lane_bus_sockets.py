"""No socket of the lane bus is ever bound or listens (S7, FIELD 9)."""

from __future__ import annotations

import os
import sys
import threading
from pathlib import Path

from orchestrator.edges.lane_bus import Link, anonymous_refused
from tests.edges.lane_broker import (
    PATIENCE_S,
    TOPIC,
    Broker,
    Listener,
    Start,
    WithBus,
    needs_mosquitto,
)


class TestWithMosquitto(WithBus):
    """Each with a real broker."""

    pytestmark = needs_mosquitto

    def test_no_socket_of_ours_is_ever_bound_or_listens_in_20_reconnects(
        self, broker: Broker, start: Start
    ) -> None:
        class Restless(Listener):
            ours: frozenset[str] = frozenset()

            def on_link(self, link: Link) -> None:
                self.ours |= listening_inodes() & our_inodes()
                super().on_link(link)
                if link.connected and sum(seen.connected for seen in self.links) < 20:
                    raise RuntimeError

        listener = Restless()
        before = listening_inodes() & our_inodes()
        with sockets_given_an_address() as given:
            start(broker.port, listener, TOPIC)
            listener.until_up(20)
            assert anonymous_refused("127.0.0.1", broker.port, PATIENCE_S) is False
        assert given == []
        assert listener.ours <= before


# -- what the kernel and the interpreter know of our sockets --


def listening_inodes() -> frozenset[str]:
    lines = [
        line.split()
        for table in ("tcp", "tcp6")
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]
    ]
    return frozenset(columns[9] for columns in lines if columns[3] == "0A")


def our_inodes() -> frozenset[str]:
    links = []
    for name in os.listdir("/proc/self/fd"):
        try:
            links.append(os.readlink(f"/proc/self/fd/{name}"))
        except FileNotFoundError:
            continue
    return frozenset(link[8:-1] for link in links if link.startswith("socket:["))


_given: list[str] | None = None
_strangers: frozenset[int] = frozenset()


def _audit(event: str, arguments: tuple[object, ...]) -> None:
    mine = threading.get_ident() not in _strangers
    if event in ("socket.bind", "socket.listen") and _given is not None and mine:
        _given.append(f"{event} {arguments[1:]} in {threading.current_thread().name}")


class sockets_given_an_address:  # noqa: N801 - reads as a sentence in its with statement
    """The bind and listen calls that this thread and those started inside the block make, to the last one."""

    _hooked = False

    def __enter__(self) -> list[str]:
        global _given, _strangers
        if not sockets_given_an_address._hooked:
            sys.addaudithook(_audit)
            sockets_given_an_address._hooked = True
        _given = []
        here = threading.get_ident()
        _strangers = frozenset(t.ident for t in threading.enumerate() if t.ident not in (None, here))
        return _given

    def __exit__(self, *_: object) -> None:
        global _given
        _given = None
