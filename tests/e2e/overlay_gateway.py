"""A gateway behind an overlay network: its parts in a namespace of their own, its people in theirs."""

import json
import sqlite3
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Generic, Protocol, TypeVar

from tests.e2e.client import LIMIT_S
from tests.e2e.follower import Event
from tests.e2e.gateway import LOOK_AGAIN_S, Gateway
from tests.e2e.processes import Process
from tests.e2e.viewer import Viewer
from tests.edges.vpn.namespaces import Namespace

T = TypeVar("T")


class End(Protocol):
    """One machine of the overlay: where it is, and its IPv4 address there."""

    @property
    def place(self) -> Namespace: ...

    @property
    def address(self) -> str: ...


class Overlay(Protocol):
    """The gateway's end, and those of its peers by name."""

    @property
    def gateway(self) -> End: ...

    @property
    def peers(self) -> Mapping[str, End]: ...


Found = TypeVar("Found", bound=Overlay)


class OverlayGateway(Gateway, Generic[Found]):
    """Every part runs in the gateway's namespace; `as_peer` does something in a peer's."""

    def __init__(self, folder: Path, segments: Path, lab: Found, **settings: str) -> None:
        super().__init__(folder, segments, **settings)
        self.lab = lab
        self.address = self.values["address"] = lab.gateway.address

    def _begin(self, name: str, argv: Sequence[str]) -> Process:
        process = Process(name, self.lab.gateway.place.argv(*argv), self.folder)
        self.processes.append(process)
        return process

    def as_peer(self, name: str, work: Callable[[], T]) -> T:
        """Do it from that peer's machine."""
        return self.lab.peers[name].place.inside(work)

    def open_from(self, name: str) -> str:
        """A session that this peer asked for and that streams, by the log's file; its id."""
        session = self.as_peer(name, lambda: self.request(source=self.lab.peers[name].address))
        event = self.in_the_log(session, lambda event: event.get("to") in ("streaming", "disabled"))
        assert event["trigger"] == "first_frame", event
        self.as_peer(name, lambda: self.wait_effect(source=self.lab.peers[name].address))
        return session

    def watch_from(self, name: str) -> tuple[str, Viewer]:
        """The id of a watch of this peer's, and its viewer with picture flowing."""
        source = self.lab.peers[name].address
        joined = self.as_peer(name, lambda: self.join(source=source))
        viewer = self.as_peer(name, lambda: self.view(joined["mp4"], source=source))
        viewer.wait_flow()
        return str(joined["watch"]), viewer

    def wait_known(self, name: str) -> None:
        """Until the gateway listens to this peer and knows it."""
        source, until = self.lab.peers[name].address, time.monotonic() + LIMIT_S
        while not self.as_peer(name, lambda: self._knows(source)):
            assert time.monotonic() < until, f"{name} is still unknown"
            time.sleep(LOOK_AGAIN_S)

    def _knows(self, source: str) -> bool:
        try:
            return self.ask("GET", "/api/v1/me", source=source).status == 200
        except OSError:
            return False

    def reload(self, **settings: str) -> None:
        """Change these keys of the file, and wait until the log says that they are in force."""
        loaded = self.in_the_log(None, lambda event: event.get("name") == "config_loaded", newest=True)
        self.write_configuration(**settings)
        self.in_the_log(
            None, lambda event: event.get("name") == "config_loaded" and event["seq"] > loaded["seq"]
        )

    def wait_in_the_log(self, session: str) -> Event:
        """The transition that shut this session's camera."""
        return self.in_the_log(session, lambda event: event.get("to") == "disabled")

    def stood_still(self, session: str) -> bool:
        """Whether that session ended because the boundary was not proven for a moment. So it must when the
        machine stands still for a second, whatever the test is about: it then asks anew (S9, L3)."""
        return bool(self.wait_in_the_log(session)["data"].get("fault") == "vpn-down")

    def in_the_log(
        self,
        session: str | None,
        fits: Callable[[Event], bool],
        timeout_s: float = 30.0,
        *,
        newest: bool = False,
    ) -> Event:
        """The first (or newest) event of the session (None: of the site) that fits, read from the file: the
        overlay may be gone."""
        query = f"SELECT canonical FROM events WHERE session IS ? ORDER BY seq {'DESC' if newest else 'ASC'}"
        until = time.monotonic() + timeout_s
        while True:
            with sqlite3.connect(f"file:{self.database}?mode=ro", uri=True, timeout=1) as log:
                rows = log.execute(query, (session,)).fetchall()
            for event in map(json.loads, (row[0] for row in rows)):
                if fits(event):
                    found: Event = event
                    return found
            assert time.monotonic() < until, f"no such event of {session} in the log"
            time.sleep(LOOK_AGAIN_S)
