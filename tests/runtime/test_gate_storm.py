"""S1, S13: the gate under many threads at once never touches a connection that is not its own."""

import random
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing

import pytest

from orchestrator.runtime.gate import Gate
from tests.runtime.gate_parts import LIMIT_S, Viewer, descriptors


class Storm:
    """One thread attaches and detaches as the loop does, others shut, others have peers of their own."""

    def __init__(self, seed: int) -> None:
        self.gate = Gate()
        self.faults: list[str] = []
        self.shuts = self.attached = self.echoes = 0
        self._random = random.Random(seed)
        self._over = threading.Event()

    def run(self, connections: int) -> None:
        """Until so many connections have come and gone."""
        work = [lambda: self._serve(connections), self._shut, self._shut, self._talk, self._talk]
        threads = [threading.Thread(target=self._noting_faults, args=(each,)) for each in work]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
            self._over.set()
        assert not any(thread.is_alive() for thread in threads)

    def _noting_faults(self, work: Callable[[], None]) -> None:
        try:
            work()
        except Exception as fault:
            self.faults.append(f"{threading.current_thread().name}: {fault!r}")

    def _serve(self, connections: int) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            for number in range(connections):
                self.gate.open(self.gate.generation)
                with closing(Viewer(listener)) as viewer:
                    viewer.near.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
                    self.attached += self.gate.attach(number, viewer.near.fileno(), "watch")
                    self._send_something(viewer)
                    self.gate.detach(number)
                self.gate.sweep()

    def _send_something(self, viewer: Viewer) -> None:
        try:
            for _ in range(self._random.randrange(4)):
                viewer.near.send(bytes(8192))
        except (BlockingIOError, ConnectionError):
            pass  # the viewer is stalled, or the gate has cut it

    def _shut(self) -> None:
        while not self._over.is_set():
            self.gate.shut()
            self.shuts += 1
            time.sleep(0)

    def _talk(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            while not self._over.is_set():
                with socket.create_connection(listener.getsockname(), LIMIT_S) as far:
                    near, _ = listener.accept()
                    with near:
                        near.settimeout(LIMIT_S)
                        for _ in range(3):
                            far.sendall(b"ask")
                            assert near.recv(3) == b"ask"
                            near.sendall(b"say")
                            assert far.recv(3) == b"say"
                self.echoes += 1


@pytest.fixture
def eager_switching() -> Iterator[None]:
    """Threads change places between almost any two instructions."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


@pytest.mark.usefixtures("eager_switching")
@pytest.mark.parametrize("seed", range(3))
def test_a_reused_descriptor_number_is_never_purged(seed: int) -> None:
    """S1, S13: connections that are not under the gate are never touched, whatever number they have."""
    before = descriptors()
    storm = Storm(seed)
    storm.run(500)
    storm.gate.shut()
    assert storm.faults == []
    assert min(storm.attached, storm.shuts, storm.echoes) > 0
    assert descriptors() == before
