"""Slow, half-open and silent clients: bounded, let go of, and nobody else notices (F18, K3)."""

import selectors
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass

import pytest

from orchestrator.edges.http.door import MAX_CONNECTIONS, MAX_CONNECTIONS_A_PEER
from orchestrator.edges.http.live import MAX_STREAMS_A_WATCH
from tests.e2e.configuration import COLLEAGUE, MAINTAINER, MAINTAINER_PHONE, NOBODY, VIEWER
from tests.e2e.conftest import MakeGateway
from tests.e2e.follower import name_of
from tests.e2e.gateway import Flow, Gateway
from tests.e2e.incident import log_is_whole
from tests.e2e.test_flood import resident_kib
from tests.hostile.http_tricks import GET, OURS, POST
from tests.hostile.raw_client import (
    answers_on,
    connected,
    connected_locally,
    descriptors,
    filled,
    half_close,
    is_let_go,
    reset,
    still_flows,
)

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

STRANGERS = (NOBODY, "127.0.0.98")
DEVICES = (MAINTAINER, MAINTAINER_PHONE, VIEWER, COLLEAGUE)
VIEWERS_A_DEVICE = 50
EVERY_S = 1.0
AGAIN_S = 0.05
LET_GO_S = 60.0
MAX_GROWTH_KIB = 64 * 1024
ASKED = GET + OURS + b"\r\n"


@dataclass(frozen=True, slots=True)
class House:
    """A gateway whose cam1 a member has opened, and watches; `base` is how many descriptors that takes."""

    gateway: Gateway
    flow: Flow
    base: int

    def is_unaffected(self) -> None:
        """Whoever is let in is answered, and who watches goes on watching."""
        for source in (MAINTAINER, VIEWER):
            assert self.gateway.ask("GET", "/healthz", source=source).status == 200
        still_flows(self.gateway, self.flow)

    def has_let_go(self) -> None:
        """Of every descriptor, and without a word of trouble."""
        until = time.monotonic() + LET_GO_S
        while descriptors(self.gateway) > self.base:
            assert time.monotonic() < until, f"{descriptors(self.gateway)} descriptors, {self.base} before"
            time.sleep(0.05)
        assert [line for line in self.gateway.daemon.lines if "ERROR" in line or "Traceback" in line] == []


@pytest.fixture(scope="module")
def whole_house(make_shared_gateway: MakeGateway) -> Iterator[House]:
    gateway = make_shared_gateway(
        max_session="10m", idle_close="10m", max_age="10s", max_per_camera="200", new_per_minute="1000"
    )
    gateway.start()
    flow = gateway.flow()
    yield House(gateway, flow, descriptors(gateway))
    gateway.shut(flow.session)
    log_is_whole(gateway)


@pytest.fixture
def house(whole_house: House) -> House:
    """With its descriptors as they are at rest."""
    whole_house.is_unaffected()
    whole_house.has_let_go()
    return whole_house


@pytest.fixture
def held() -> Iterator[ExitStack]:
    """Connections that end with the test."""
    with ExitStack() as stack:
        yield stack


def _from(house: House, held: ExitStack, source: str, said: bytes = b"", **more: int) -> socket.socket:
    sock = held.enter_context(connected(house.gateway, source, **more))
    sock.sendall(filled(house.gateway, said))
    return sock


def test_connections_that_ask_for_nothing_keep_nobody_out(house: House, held: ExitStack) -> None:
    """Two strangers take all the room there is, and a device of theirs no more than its share."""
    before_kib = resident_kib(house.gateway)
    for source in STRANGERS:
        for _ in range(MAX_CONNECTIONS_A_PEER + 50):
            # One too many may be cut before its own `connect` has come back.
            with suppress(ConnectionResetError):
                held.enter_context(connected(house.gateway, source))
        house.is_unaffected()
    assert descriptors(house.gateway) <= house.base + MAX_CONNECTIONS + 10
    for _ in range(20):
        house.is_unaffected()
    assert resident_kib(house.gateway) - before_kib <= MAX_GROWTH_KIB
    held.close()
    house.has_let_go()


def _silent(house: House, held: ExitStack) -> socket.socket:
    return _from(house, held, NOBODY)


def _half_a_head(house: House, held: ExitStack) -> socket.socket:
    return _from(house, held, VIEWER, GET + b"Host: ")


def _silent_after_an_answer(house: House, held: ExitStack) -> socket.socket:
    sock = _from(house, held, VIEWER, ASKED)
    assert answers_on(sock, only=1)[0].status == 200
    return sock


def _no_body(house: House, held: ExitStack) -> socket.socket:
    return _from(house, held, VIEWER, POST + OURS + b"Content-Length: 100\r\n\r\n{")


def _no_last_chunk(house: House, held: ExitStack) -> socket.socket:
    return _from(house, held, VIEWER, POST + OURS + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n")


def _no_body_of_a_stranger(house: House, held: ExitStack) -> socket.socket:
    return _from(house, held, NOBODY, POST + OURS + b"Content-Length: 60000\r\n\r\n{")


def _half_closed(house: House, held: ExitStack) -> socket.socket:
    sock = _from(house, held, VIEWER, GET)
    sock.shutdown(socket.SHUT_WR)
    return sock


def _half_closed_after_asking(house: House, held: ExitStack) -> socket.socket:
    sock = _from(house, held, VIEWER, ASKED)
    sock.shutdown(socket.SHUT_WR)
    return sock


def _silent_locally(house: House, held: ExitStack) -> socket.socket:
    return held.enter_context(connected_locally(house.gateway))


def _reads_nothing(sock: socket.socket, said: bytes) -> socket.socket:
    """Asks on and on, until neither side takes any more."""
    sock.settimeout(0.5)
    try:
        for _ in range(10_000):
            sock.sendall(said)
    except (TimeoutError, ConnectionError):
        pass  # it is full, or cut already
    return sock


def _asks_and_never_reads(house: House, held: ExitStack) -> socket.socket:
    said = filled(house.gateway, b"GET /api/v1/openapi.json HTTP/1.1\r\n" + OURS + b"\r\n")
    return _reads_nothing(_from(house, held, VIEWER, receive_bytes=4_096), said * 50)


def _asks_locally_and_never_reads(house: House, held: ExitStack) -> socket.socket:
    said = filled(house.gateway, b"GET /metrics HTTP/1.1\r\n" + OURS + b"\r\n")
    return _reads_nothing(held.enter_context(connected_locally(house.gateway)), said * 50)


SLOW: dict[Callable[[House, ExitStack], socket.socket], int] = {
    _silent: 40,
    _half_a_head: 20,
    _silent_after_an_answer: 20,
    _no_body: 20,
    _no_last_chunk: 20,
    _no_body_of_a_stranger: 20,
    _half_closed: 20,
    _half_closed_after_asking: 20,
    _silent_locally: 10,
    _asks_and_never_reads: 3,
    _asks_locally_and_never_reads: 2,
}


class Trickle:
    """Sends the head of a request on many connections, a byte a second, until it is ended."""

    def __init__(self, sockets: list[socket.socket], said: bytes) -> None:
        self._sockets, self._said, self._ended = sockets, said, threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        for byte in self._said:
            for sock in self._sockets:
                try:
                    sock.send(bytes([byte]))
                except OSError:
                    continue  # it has been let go of
            if self._ended.wait(EVERY_S):
                return

    def end(self) -> None:
        self._ended.set()
        self._thread.join()


def test_the_slow_the_half_open_and_the_silent_are_let_go_of(house: House, held: ExitStack) -> None:
    """All of them at once; meanwhile members are answered and the picture flows."""
    before_kib = resident_kib(house.gateway)
    slow = {kind.__name__: [kind(house, held) for _ in range(many)] for kind, many in SLOW.items()}
    slow["_trickle"] = [_from(house, held, NOBODY) for _ in range(60)]
    trickle = Trickle(slow["_trickle"], filled(house.gateway, GET + OURS + b"X-A: " + b"a" * 100))
    try:
        house.is_unaffected()
        for kind, sockets in slow.items():
            for sock in sockets:
                assert is_let_go(sock, LET_GO_S), kind
            house.is_unaffected()
    finally:
        trickle.end()
    assert resident_kib(house.gateway) - before_kib <= MAX_GROWTH_KIB
    held.close()
    house.has_let_go()


def _asks_for(house: House, held: ExitStack, source: str, path: str, **more: int) -> socket.socket:
    return _from(house, held, source, f"GET {path} HTTP/1.1\r\n".encode() + OURS + b"\r\n", **more)


def _served(
    house: House, held: ExitStack, viewer: socket.socket, source: str, path: str, **more: int
) -> socket.socket | None:
    """A viewer that gets picture, which asks again while the worker is being replaced, as a player does; None
    when another has taken its place. AssertionError when it gets anything else, or no end either."""
    until = time.monotonic() + LET_GO_S
    while True:
        try:
            head = viewer.recv(1_024)
        except ConnectionError:
            return None
        if not head.startswith(b"HTTP/1.1 503 "):
            assert head[:13] in (b"HTTP/1.1 200 ", b""), head
            return viewer if head else None
        assert time.monotonic() < until, head
        viewer.close()
        time.sleep(AGAIN_S)
        viewer = _asks_for(house, held, source, path, **more)


def test_a_viewer_who_reads_a_byte_a_second_is_dropped_alone(house: House, held: ExitStack) -> None:
    before = house.gateway.events()[-1]["seq"]
    path, few = house.gateway.join(source=VIEWER)["mp4"], 2_048
    asking = _asks_for(house, held, VIEWER, path, receive_bytes=few)
    sock = _served(house, held, asking, VIEWER, path, receive_bytes=few)
    assert sock is not None
    until = time.monotonic() + LET_GO_S
    # What its own kernel holds already it may read on: a RST beyond its window does not reach it.
    while not _has_left(house.gateway, before):
        with suppress(ConnectionError):
            assert sock.recv(1)
        assert time.monotonic() < until, "it is still fed"
        time.sleep(EVERY_S)
        still_flows(house.gateway, house.flow)
    house.is_unaffected()
    house.has_let_go()


def _has_left(gateway: Gateway, before: int) -> bool:
    return any(event["seq"] > before and name_of(event) == "viewer_left" for event in gateway.events())


def _read_until_few_are_left(viewers: list[socket.socket], few: int) -> None:
    """All of them read what comes, until no more than `few` still get anything."""
    until = time.monotonic() + LET_GO_S
    with selectors.DefaultSelector() as reading:
        for viewer in viewers:
            reading.register(viewer, selectors.EVENT_READ)
        while len(reading.get_map()) > few:
            assert time.monotonic() < until, f"{len(reading.get_map())} viewers are served"
            for key, _ in reading.select(1.0):
                assert isinstance(key.fileobj, socket.socket)
                if not _is_fed(key.fileobj):
                    reading.unregister(key.fileobj)


def _is_fed(viewer: socket.socket) -> bool:
    try:
        return bool(viewer.recv(65_536))
    except ConnectionError:
        return False


def test_two_hundred_viewers_who_come_back_at_once_are_served_and_forgotten(house: House) -> None:
    """On each device fifty players of one watch: they take each other's place, and nobody else's. Each round
    ends in the middle of the picture: by a reset, by half a close, by a close."""
    gateway, before_kib = house.gateway, resident_kib(house.gateway)
    paths = [(source, gateway.join(source=source)["mp4"]) for source in DEVICES]
    before, streams = gateway.events()[-1]["seq"], len(DEVICES) * MAX_STREAMS_A_WATCH
    for end in (reset, half_close, socket.socket.close):
        with ExitStack() as held:
            asking = [(_asks_for(house, held, *path), *path) for path in paths * VIEWERS_A_DEVICE]
            asked = [_served(house, held, *viewer) for viewer in asking]
            viewers = [viewer for viewer in asked if viewer is not None]
            assert len(viewers) >= streams
            _read_until_few_are_left(viewers, streams)
            house.is_unaffected()
            for viewer in viewers:
                end(viewer)
            house.has_let_go()
    house.is_unaffected()
    assert resident_kib(gateway) - before_kib <= MAX_GROWTH_KIB
    new = [name_of(event) for event in gateway.events() if event["seq"] > before]
    assert len([name for name in new if name.startswith("viewer_")]) <= len(DEVICES), new
