"""The gateway under the benchmarks: the end-to-end one, with the waits that are only settings made short."""

from __future__ import annotations

import socket
import time
from pathlib import Path
from typing import Any

from tests.e2e.configuration import put
from tests.e2e.gateway import Gateway

LOOK_AGAIN_S = 0.02
LIMIT_S = 20.0
QUIET_BEAT_S = 2
"""How often a site's sensor says that it lives (FIELD 1)."""


class BenchGateway(Gateway):
    """Opens again soon after it was shut: a benchmark measures the program, not the site's patience."""

    def __init__(self, folder: Path, segments: Path, **settings: str) -> None:
        super().__init__(folder, segments, **{"lane_settle": "100ms", "boundary_settle": "100ms", **settings})

    def wait_ready(self) -> None:
        """Until every check has passed and settled, so that a request meets no wait of the rules."""
        until = time.monotonic() + LIMIT_S
        while not self._could_open():
            assert time.monotonic() < until, self.get("/api/v1/cameras/cam1/checks")
            time.sleep(LOOK_AGAIN_S)

    def _could_open(self) -> bool:
        return bool(self.get("/api/v1/cameras/cam1/checks")["could_open"])

    def start_quiet(self) -> None:
        """The daemon with the site's own times, on a broker with a sensor that beats every 2 s; nobody is
        connected to it."""
        self.write_configuration()
        text = self.config.read_text()
        for short, usual in (('keepalive = "2s"', 'keepalive = "5s"'), ('max_age = "3s"', 'max_age = "6s"')):
            assert short in text
            text = text.replace(short, usual)
        put(self.config, text)
        self.start_broker()
        self.beat_every_s = QUIET_BEAT_S
        self.start_lane()
        self.start_daemon()

    def wait_answer(self, limit_s: float = LIMIT_S) -> int:
        """Ask for /healthz on the Unix socket until it answers 200; that instant, monotonic nanoseconds."""
        until = time.monotonic() + limit_s
        while time.monotonic() < until:
            if self._answers():
                return time.monotonic_ns()
            assert self.daemon.running, self.daemon.text()
            time.sleep(0.002)
        raise AssertionError(f"no answer within {limit_s} s: {self.daemon.text()}")

    def _answers(self) -> bool:
        with socket.socket(socket.AF_UNIX) as sock:
            try:
                sock.connect(str(self.socket))
                sock.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
                return sock.recv(4096).startswith(b"HTTP/1.1 200")
            except OSError:
                return False

    def local_close(self) -> Any:
        """A `close` over the Unix socket."""
        return self.ask_locally("POST", "/api/v1/cameras/cam1/transitions", {"trigger": "close"})
