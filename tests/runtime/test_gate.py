"""S1, S13, S22: once the gate is shut nothing leaves the machine, on real TCP connections."""

import asyncio
import os
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import closing

import pytest

from orchestrator.core.commands import Closing, Why
from orchestrator.core.events import Actor
from orchestrator.core.moment import Moment
from orchestrator.runtime import gate as gate_module
from orchestrator.runtime.gate import Gate, Purged, unsent_bytes
from orchestrator.runtime.shutter import CLOSINGS_KEPT, Shutter
from tests.runtime.gate_parts import (
    LIMIT_S,
    Viewer,
    descriptors,
    drain,
    nothing_under_way,
    unread_bytes,
    until,
)

NOW = Moment(1_800_000_000_000_000, 5_000_000)
CHECKS = Actor("check", "checks")
WHY = Why("fault", CHECKS, "lane-unsafe")
RESET_ON_CLOSE = struct.pack("ii", 1, 0)


Connect = Callable[[], Viewer]


@pytest.fixture
def connect() -> Iterator[Connect]:
    """Makes viewers; the test's end takes them down."""
    viewers: list[Viewer] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def make() -> Viewer:
            viewers.append(Viewer(listener))
            return viewers[-1]

        yield make
        for viewer in viewers:
            viewer.close()


@pytest.fixture
def gate() -> Iterator[Gate]:
    """A gate that is open."""
    made = Gate()
    assert made.open(made.generation)
    yield made
    made.shut()


def test_a_stalled_viewer_gets_nothing_beyond_what_its_own_kernel_held(connect: Connect, gate: Gate) -> None:
    """S1, F18."""
    viewer = connect()
    assert gate.attach(1, viewer.near.fileno(), "watch")
    sent = viewer.stall()
    held = viewer.held()
    purged = gate.shut()
    viewer.near.close()
    assert viewer.read_on() == (held, True)
    assert purged == Purged(("watch",), sent - held)
    assert purged.unsent_bytes > 0


def test_without_the_purge_the_same_viewer_gets_all_of_it(
    connect: Connect, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the test above measures is the purge, and not the closing of the connection."""

    def close_alone(descriptor: int) -> int:
        os.close(descriptor)
        return 0

    monkeypatch.setattr(gate_module, "purge", close_alone)
    viewer = connect()
    assert gate.attach(1, viewer.near.fileno(), "watch")
    sent = viewer.stall()
    held = viewer.held()
    gate.shut()
    viewer.near.close()
    assert viewer.read_on() == (sent, False)
    assert sent > held


class Doomed:
    """Stands for a worker: only remembers that it was told."""

    def __init__(self) -> None:
        self.told = 0

    def tell_to_die(self) -> None:
        self.told += 1


class Streaming(asyncio.Protocol):
    """The loop's end of a connection, attached like a viewer's."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate
        self.connected = asyncio.Event()
        self.lost = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        assert self._gate.attach(id(transport), transport.get_extra_info("socket").fileno(), "watch")
        self.connected.set()

    def connection_lost(self, reason: Exception | None) -> None:
        self._gate.detach(id(self.transport))
        self.lost.set()


async def test_another_thread_shuts_while_the_loop_is_blocked() -> None:
    """S13: the blocked callback returns only after the shut has returned."""
    blocked, done = threading.Event(), threading.Event()
    worker, closings = Doomed(), list[Closing | None]()
    shutter = Shutter(Gate(), lambda: NOW, lambda: None)
    shutter.worker = worker
    assert shutter.gate.open(shutter.expose())
    streaming = Streaming(shutter.gate)

    def shut_from_elsewhere() -> None:
        if blocked.wait(LIMIT_S):
            closings.append(shutter.shut_now(WHY, NOW))
            done.set()

    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: streaming, "127.0.0.1", 0)
    with socket.socket() as far:
        far.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        far.settimeout(LIMIT_S)
        await asyncio.to_thread(far.connect, server.sockets[0].getsockname())
        await streaming.connected.wait()
        # More than the kernel takes: the rest waits in the transport's own buffer.
        streaming.transport.write(bytes(16 << 20))
        assert streaming.transport.get_write_buffer_size() > 0
        near = streaming.transport.get_extra_info("socket")
        until(lambda: unread_bytes(far) > 0 and nothing_under_way(near))

        elsewhere = threading.Thread(target=shut_from_elsewhere)
        elsewhere.start()
        held = unread_bytes(far)
        blocked.set()
        assert done.wait(LIMIT_S)
        assert worker.told == 1
        assert not shutter.gate.is_open
        await streaming.lost.wait()
        elsewhere.join()
        got = await asyncio.to_thread(drain, far)
    server.close()
    await server.wait_closed()
    [closing_written] = closings
    assert closing_written is not None
    assert (closing_written.viewers_cut, closing_written.unsent_bytes > 0) == (1, True)
    assert got == (held, True)


def test_a_viewer_that_one_thread_cut_while_another_took_the_session_is_counted(connect: Connect) -> None:
    """CONTRACT 7 `viewers_cut`: the second thread comes between the first one's gate and its closing."""

    class Overtaken(Gate):
        def shut(self) -> Purged:
            purged = super().shut()
            if purged.watches:
                written.append(shutter.shut_now(WHY, NOW))
            return purged

    written: list[Closing | None] = []
    gate = Overtaken()
    shutter = Shutter(gate, lambda: NOW, lambda: None)
    assert gate.open(shutter.expose())
    assert gate.attach(1, connect().near.fileno(), "watch")
    assert shutter.shut_now(WHY, NOW) is None
    [closing_written] = written
    assert closing_written is not None
    assert closing_written.viewers_cut == 0
    assert [purged.watches for purged in shutter.cut_besides()] == [("watch",)]
    assert shutter.cut_besides() == []


def test_a_connection_that_comes_after_the_shut_is_refused_and_reset(connect: Connect, gate: Gate) -> None:
    gate.shut()
    viewer, before = connect(), descriptors()
    assert not gate.attach(1, viewer.near.fileno(), "watch")
    assert viewer.read_on() == (0, True)
    assert descriptors() == before


def test_what_an_ended_connection_had_not_sent_stays_under_the_gate(connect: Connect, gate: Gate) -> None:
    """S1: a finished response may still lie in the kernel."""
    viewer = connect()
    gate.attach(1, viewer.near.fileno(), "watch")
    sent = viewer.stall()
    gate.detach(1)
    viewer.near.close()
    gate.sweep()
    held = viewer.held()
    purged = gate.shut()
    assert viewer.read_on() == (held, True)
    assert purged.watches == ("watch",)
    assert sent - held <= purged.unsent_bytes <= sent - held + 1, "the end of the stream counts as one"


def test_a_shut_in_the_middle_of_letting_go_purges_too(
    connect: Connect, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    """S1: the loop's thread may be anywhere when another thread shuts."""
    viewer, before = connect(), descriptors()
    gate.attach(1, viewer.near.fileno(), "watch")
    viewer.stall()
    held = viewer.held()

    def shut_before_the_look(descriptor: int) -> int:
        monkeypatch.undo()
        gate.shut()
        return unsent_bytes(descriptor)

    monkeypatch.setattr(gate_module, "unsent_bytes", shut_before_the_look)
    gate.detach(1)
    assert not gate.is_open
    assert descriptors() == before
    viewer.near.close()
    assert viewer.read_on() == (held, True)


def test_an_ended_connection_whose_bytes_have_arrived_is_let_go(connect: Connect, gate: Gate) -> None:
    viewer, before = connect(), descriptors()
    gate.attach(1, viewer.near.fileno(), "watch")
    sent = viewer.stall()
    gate.detach(1)
    viewer.near.close()
    assert viewer.read_on() == (sent, False)

    def swept() -> bool:
        gate.sweep()
        return descriptors() == before - 1

    until(swept)


def test_an_ended_connection_that_its_viewer_reset_is_let_go(connect: Connect, gate: Gate) -> None:
    """K3: a viewer that resets again and again must not use up the descriptors."""
    viewer, before = connect(), descriptors()
    gate.attach(1, viewer.near.fileno(), "watch")
    viewer.stall()
    viewer.far.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
    viewer.far.close()
    gate.detach(1)
    viewer.near.close()
    gate.sweep()
    assert descriptors() == before - 2


def test_two_ended_connections_of_one_number_both_stay_under_the_gate(connect: Connect, gate: Gate) -> None:
    """S1: the number is a transport's id, which a later transport may have again."""
    first, second = connect(), connect()
    for viewer, watch in ((first, "first"), (second, "second")):
        gate.attach(7, viewer.near.fileno(), watch)
        viewer.stall()
        gate.detach(7)
        viewer.near.close()
    held = first.held(), second.held()
    purged = gate.shut()
    assert (first.read_on()[0], second.read_on()[0]) == held
    assert set(purged.watches) == {"first", "second"}


def test_one_viewer_is_cut_and_the_others_go_on(connect: Connect, gate: Gate) -> None:
    """S9."""
    cut, ended, kept = connect(), connect(), connect()
    for number, (viewer, watch) in enumerate(((cut, "cut"), (ended, "cut"), (kept, "kept"))):
        gate.attach(number, viewer.near.fileno(), watch)
        viewer.stall()
    gate.detach(1)
    ended.near.close()
    held = cut.held(), ended.held()
    assert gate.cut("cut").watches == ("cut",)
    assert (cut.read_on(), ended.read_on()) == ((held[0], True), (held[1], True))
    assert kept.far.recv(1) == b"\0"
    assert unsent_bytes(kept.near.fileno()) > 0
    assert gate.shut().watches == ("kept",)


@pytest.mark.parametrize("end", ["detach", "shut", "refuse"])
def test_a_thousand_connections_leave_no_descriptor(connect: Connect, gate: Gate, end: str) -> None:
    """K3."""
    viewer = connect()
    before = descriptors()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        for number in range(1000):
            if end == "shut":
                gate.open(gate.generation)
            elif end == "refuse":
                gate.shut()
            with closing(Viewer(listener)) as viewer:
                assert gate.attach(number, viewer.near.fileno(), "watch") == (end != "refuse")
                if end == "shut":
                    gate.shut()
                gate.detach(number)
    assert descriptors() == before


def test_a_late_opening_under_an_old_generation_stays_shut(connect: Connect) -> None:
    """S22: a closing in between wins."""
    shutter = Shutter(Gate(), lambda: NOW, lambda: None)
    assert not shutter.holds(shutter.gate.generation)
    asked_for = shutter.expose()
    assert shutter.holds(asked_for)
    assert shutter.shut_now(WHY, NOW) is not None
    assert not shutter.holds(asked_for)
    assert not shutter.gate.open(asked_for)
    assert not shutter.gate.is_open
    assert not shutter.gate.attach(1, connect().near.fileno(), "watch")
    anew = shutter.expose()
    assert not shutter.holds(asked_for)
    assert not shutter.gate.open(asked_for)
    assert shutter.holds(anew)
    assert shutter.gate.open(anew)


def test_a_late_opening_takes_nothing_from_the_session_that_is_open(connect: Connect, gate: Gate) -> None:
    """S1: otherwise the gate says shut while its viewers' queues still flow."""
    old = gate.generation
    gate.shut()
    assert gate.open(gate.generation)
    assert not gate.open(old)
    assert gate.is_open


def test_a_shut_camera_is_shut_again_only_for_a_new_lock() -> None:
    woken: list[bool] = []
    shutter = Shutter(Gate(), lambda: NOW, lambda: woken.append(True))
    lock = Why("fault", CHECKS, "listener-exposed")
    assert shutter.shut_now(WHY, NOW) is None
    assert shutter.shut_now(lock, NOW) is not None
    assert shutter.shut_now(lock, NOW) is None
    taken = shutter.take()
    assert taken is not None
    assert (taken.why, taken.shut_at_us) == (lock, NOW.boottime_us)
    assert (shutter.take(), shutter.pending) == (None, False)
    assert len(woken) == 1


def test_closings_are_taken_in_order_and_are_bounded() -> None:
    """K3, L4."""
    shutter = Shutter(Gate(), lambda: NOW, lambda: None)
    for _ in range(CLOSINGS_KEPT + 3):
        shutter.expose()
        shutter.shut_now(WHY, NOW)
    taken = list(iter(shutter.take, None))
    generations = [one.generation for one in taken if one is not None]
    assert generations == sorted(set(generations))
    assert len(generations) == CLOSINGS_KEPT
