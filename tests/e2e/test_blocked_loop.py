"""A viewer that stops reading before the fault gets nothing beyond what its own kernel held (S1, F18)."""

import fcntl
import signal
import socket
import termios
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e.configuration import MAINTAINER
from tests.e2e.conftest import MakeGateway
from tests.e2e.gateway import Gateway

pytestmark = pytest.mark.slow

DAEMON = str(Path(__file__).with_name("blockable_daemon.py"))
LIMIT_S = 15.0
QUEUED_BYTES = 12_000
"""This much must stand in the gateway's send queue before the fault, so that there is something to purge."""


class StalledViewer:
    """Asks for the MP4 with a small receive buffer and does not read."""

    def __init__(self, gateway: Gateway, path: str) -> None:
        self._sock = socket.socket()
        self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self._sock.bind((MAINTAINER, 0))
        self._sock.connect((gateway.address, gateway.port))
        self._sock.settimeout(LIMIT_S)
        self._sock.sendall(f"GET {path} HTTP/1.1\r\nHost: {gateway.address}:{gateway.port}\r\n\r\n".encode())
        self.port: int = self._sock.getsockname()[1]

    def held_bytes(self) -> int:
        """What this side's kernel holds and nobody has read."""
        answer = bytearray(4)
        fcntl.ioctl(self._sock, termios.FIONREAD, answer)
        return int.from_bytes(answer, "little")

    def read_on(self) -> int:
        """Read whatever still comes until the connection ends; how many bytes."""
        total = 0
        try:
            while data := self._sock.recv(65536):
                total += len(data)
        except OSError:
            pass  # reset: what the purge does
        return total

    def close(self) -> None:
        self._sock.close()


def _queued_bytes(gateway: Gateway, viewer_port: int) -> int:
    """The gateway's send queue for that viewer, from the kernel's own table."""
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        local, remote = fields[1].split(":")[1], fields[2].split(":")[1]
        if int(local, 16) == gateway.port and int(remote, 16) == viewer_port:
            return int(fields[4].split(":")[0], 16)
    return 0


def _until(holds: Callable[[], bool], what: str) -> None:
    until = time.monotonic() + LIMIT_S
    while not holds():
        assert time.monotonic() < until, f"waited until {what}"
        time.sleep(0.005)


def _what_a_stalled_viewer_gets(gateway: Gateway, *, blocked: bool) -> tuple[int, int]:
    """(held by its own kernel when the lane turned unsafe, received in all when it reads on after it)."""
    session = gateway.open()
    worker = gateway.worker(session)
    viewer = StalledViewer(gateway, gateway.join()["mp4"])
    try:
        _until(lambda: _queued_bytes(gateway, viewer.port) > QUEUED_BYTES, "the send queue fills")
        if blocked:
            gateway.daemon.kill(signal.SIGUSR1)
            gateway.daemon.wait_line(lambda line: line == "the loop is blocked")
        held = viewer.held_bytes()
        gateway.lane.say("publish parking/barriere_entree/cmd 100")
        worker.wait(LIMIT_S)
        if blocked:
            assert "the loop goes on" not in gateway.daemon.lines, "shut only once the loop went on"
        return held, viewer.read_on()
    finally:
        viewer.close()
        closing = gateway.wait_end(session)
        assert closing["data"]["fault"] == "lane-unsafe"


@pytest.mark.parametrize("blocked", [False, True], ids=["loop runs", "loop blocked for 5 s"])
def test_a_stalled_viewer_gets_nothing_more_after_the_fault(make_gateway: MakeGateway, blocked: bool) -> None:
    gateway = make_gateway()
    gateway.start(launcher=(DAEMON,))
    held, received = _what_a_stalled_viewer_gets(gateway, blocked=blocked)
    assert received <= held
    assert gateway.wait("closed")["data"]["unsent_bytes_discarded"] > 0


def test_without_the_purge_it_would_get_more(make_gateway: MakeGateway) -> None:
    """The negative control: the same run with the purge taken out of the gate leaks the send queue."""
    gateway = make_gateway()
    gateway.start(launcher=(DAEMON, "--keep-queues"))
    held, received = _what_a_stalled_viewer_gets(gateway, blocked=True)
    assert received > held + QUEUED_BYTES // 2
