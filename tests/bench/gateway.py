"""The gateway under the benchmarks: the end-to-end one, with the waits that are only settings made short."""

from __future__ import annotations

import socket
import sqlite3
import time
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

from orchestrator.runtime.bookmark import Bookmark
from tests.bench.closings import TimedViewer
from tests.e2e.configuration import MAINTAINER, put, text_of
from tests.e2e.gateway import Gateway

LOOK_AGAIN_S = 0.02
LIMIT_S = 20.0
PUBLISHED_S = 60.0
QUIET_BEAT_S = 2
"""How often a site's sensor says that it lives (FIELD 1)."""
SOON = {"lane_settle": "100ms", "boundary_settle": "100ms"}
SITE_TIMES = {'max_age = "3s"': 'max_age = "6s"'}


class BenchGateway(Gateway):
    """Opens again soon after it was shut: a benchmark measures the program, not the site's patience."""

    def __init__(self, folder: Path, segments: Path, **settings: str) -> None:
        super().__init__(folder, segments, **{**SOON, **settings})
        self.replaced: Mapping[str, str] = {}
        """Lines of the file that are others here."""

    def write_configuration(self, **settings: str) -> None:
        """As ever, with the lines that are others here."""
        self.values |= settings
        text = text_of(self.values, self.camera_port, self.cameras)
        for line, other in self.replaced.items():
            assert line in text, line
            text = text.replace(line, other)
        put(self.config, text)

    def begin(self, **wish: Any) -> tuple[str, TimedViewer]:
        """A session without any wait of the rules, and its viewer with the picture flowing."""
        self.wait_ready()
        session = self.open(**wish)
        viewer = TimedViewer((self.address, self.port), MAINTAINER, self.join()["mp4"])
        self._viewers.append(viewer)
        viewer.wait_flow()
        return session, viewer

    def wait_ready(self, camera: str = "cam1") -> None:
        """Until every check has passed and settled, so that a request meets no wait of the rules."""
        until = time.monotonic() + LIMIT_S
        while not self._could_open(camera):
            assert time.monotonic() < until, self.get(f"/api/v1/cameras/{camera}/checks")
            time.sleep(LOOK_AGAIN_S)

    def _could_open(self, camera: str) -> bool:
        return bool(self.get(f"/api/v1/cameras/{camera}/checks")["could_open"])

    def start_quiet(self) -> None:
        """The daemon with the site's own times, on a broker with a sensor that beats every 2 s; nobody is
        connected to it."""
        self.replaced = SITE_TIMES
        self.write_configuration()
        self.start_broker()
        self.beat_every_s = QUIET_BEAT_S
        self.start_lane()
        self.start_daemon()

    def wait_published(self) -> None:
        """Until the broker has been told all that the log held when this was asked."""
        with closing(sqlite3.connect(f"file:{self.database}?mode=ro", uri=True)) as log:
            newest = int(log.execute("SELECT max(seq) FROM events").fetchone()[0])
        bookmark = Bookmark(self.database.with_name(self.database.name + ".published"))
        until = time.monotonic() + PUBLISHED_S
        while (mark := bookmark.read()) is None or mark.seq < newest:
            assert time.monotonic() < until, f"{newest} events, published up to {mark}"
            time.sleep(LOOK_AGAIN_S)

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
