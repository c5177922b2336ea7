"""A gateway whose boundary is a real WireGuard tunnel, in a network namespace; its people behind tunnels."""

import json
import sqlite3
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from tests.e2e.configuration import put, text_of
from tests.e2e.follower import Event, Follower
from tests.e2e.gateway import Gateway
from tests.e2e.processes import Process
from tests.edges.vpn.lab import Lab

T = TypeVar("T")

LAPTOP = "10.77.0.2"
TABLET = "10.77.0.3"

MEMBERS = """
[[members]]
name = "Maintainer A"
roles = ["maintainer", "approver", "reviewer"]
devices = [{{ label = "laptop", key = "{laptop}" }}]
[[members]]
name = "Viewer"
roles = ["viewer"]
devices = [{{ label = "tablet", key = "{tablet}" }}]
"""


class TunnelGateway(Gateway):
    """Every part runs in the gateway's namespace; `as_peer` does something in a peer's."""

    def __init__(self, folder: Path, segments: Path, lab: Lab, **settings: str) -> None:
        super().__init__(folder, segments, **settings)
        self.lab = lab
        self.address = self.values["address"] = lab.gateway.address
        keys = {name: tunnel.key for name, tunnel in lab.peers.items()}
        self.values["members"] = MEMBERS.format(laptop=keys["laptop"], tablet=keys["tablet"])

    def write_configuration(self, **settings: str) -> None:
        """As ever, but for the provider and its interface."""
        self.values |= settings
        text = text_of(self.values, self.camera_port, self.cameras)
        text = text.replace('provider = "loopback"', 'provider = "wireguard"')
        put(self.config, text.replace('interface = "lo"', f'interface = "{self.lab.interface}"'))

    def _begin(self, name: str, argv: Sequence[str]) -> Process:
        process = Process(name, self.lab.gateway.place.argv(*argv), self.folder)
        self.processes.append(process)
        return process

    def follow(self) -> None:
        """Follow the log from the laptop."""
        self.follower = self.as_peer("laptop", lambda: Follower((self.address, self.port), LAPTOP))
        self.wait("config_loaded")

    def as_peer(self, name: str, work: Callable[[], T]) -> T:
        """Do it from that peer's machine."""
        return self.lab.peers[name].place.inside(work)

    def wait_in_the_log(self, session: str) -> Event:
        """The transition that shut this session's camera."""
        return self.in_the_log(session, lambda event: event.get("to") == "disabled")

    def in_the_log(self, session: str, fits: Callable[[Event], bool], timeout_s: float = 30.0) -> Event:
        """The first event of the session that fits, read from the file: the tunnel may be gone."""
        until = time.monotonic() + timeout_s
        while True:
            with sqlite3.connect(f"file:{self.database}?mode=ro", uri=True, timeout=1) as log:
                rows = log.execute("SELECT canonical FROM events WHERE session = ?", (session,)).fetchall()
            for event in map(json.loads, (row[0] for row in rows)):
                if fits(event):
                    found: Event = event
                    return found
            assert time.monotonic() < until, f"no such event of {session} in the log"
            time.sleep(0.02)
