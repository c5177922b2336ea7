"""Tells a story of tests/scenarios on a running gateway, line by line, and compares what it says."""

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from tests.e2e.client import LIMIT_S
from tests.e2e.configuration import COLLEAGUE, MEMBERS
from tests.e2e.follower import Event, name_of
from tests.e2e.gateway import LOOK_AGAIN_S, Gateway
from tests.e2e.scenario_gateways import (
    EVERYWHERE,
    LOOPBACK,
    NO_MAINTAINER,
    PLENTY,
    TOO_MUCH,
    StoryGateway,
    StoryTunnel,
    newest_of,
    rows_of,
)
from tests.e2e.viewer import Viewer
from tests.model.explore import Line
from tests.model.stories import read

HOUR_S = 3_600
EXTENDED_S = 5
TICKS = ("ten seconds pass", "ten seconds pass in a session")
LogLine = tuple[str, str, str]
"""A name, where from and to, the fault."""


def log_of(path: Path) -> list[LogLine]:
    """What a story's file says that the log says."""
    lines = path.read_text().split("\n\n")[1].splitlines()[1:]
    return [(line[2:18].strip(), line[18:68].strip(), line[68:].strip()) for line in lines]


def _place(event: Event, end: str) -> str:
    return ".".join(filter(None, (event[end], event[f"{end}_substate"])))


def _told(event: Event) -> LogLine:
    lead = f"{_place(event, 'from')} -> {_place(event, 'to')}" if event["type"] == "transition" else ""
    return name_of(event), lead, str(event["data"].get("fault") or "")


class Teller:
    """One story on one gateway, which has been prepared for it."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._after = newest_of(gateway.database)
        self._watch = ""
        self._viewer: Viewer | None = None
        self._does: dict[str, Callable[[], object]] = {
            "the maintainer asks": self._asks,
            "somebody else asks as well": self._asks_as_well,
            "the first frame comes": partial(gateway.fail_camera, "ok"),
            "the worker is proven gone": lambda: None,
            "an approver acknowledges": self._acknowledges,
            "the maintainer extends": self._extends,
            "a viewer joins": self._joins,
            "the viewer leaves": self._leaves,
            **dict.fromkeys(TICKS, lambda: None),
        }
        if isinstance(gateway, StoryGateway):
            self._does |= _handles(gateway)
        if isinstance(gateway, StoryTunnel):
            self._does |= {
                "the VPN goes": partial(gateway.link, "down"),
                "the VPN comes back": partial(gateway.link, "up"),
            }

    def tell(self, path: Path) -> None:
        """AssertionError where the gateway goes another way."""
        for line, leads in read(path):
            self._line(line, leads)
        found = [_told(event) for event in self._rows()]
        assert found == log_of(path)

    def _line(self, line: Line, leads: str) -> None:
        self._does[line.step]()
        if line.between:
            # Time that passes while the log writes a viewer down is time that passes.
            assert line.between in TICKS, line
        self._comes_to(line, leads)

    def _comes_to(self, line: Line, leads: str) -> None:
        place, _, gate = leads.partition(", ")
        until = time.monotonic() + 2 * LIMIT_S
        while not self._is_at(place, gate == "gate open"):
            moves = "\n".join(map(str, map(_told, self._rows())))
            assert time.monotonic() < until, f"{line} does not lead to {leads}, but:\n{moves}"
            time.sleep(LOOK_AGAIN_S)
        if line.step in TICKS and place == "disabled.ready":
            self._wait_could_open(until)
        if line.step in TICKS and place.endswith("reconnecting"):
            self._wait_retried(until)

    def _is_at(self, place: str, is_open: bool) -> bool:
        rows = [row for row in self._rows() if row["type"] == "transition"]
        if place == "disabled.closing":
            # It is over in a moment: the log keeps that it was, and nothing opened since.
            passed = any(_place(row, "to") == place for row in rows[-2:])
        else:
            there = _place(rows[-1], "to") if rows else "disabled.ready"
            passed = there == place == self._api()
        return passed and self._is_open() is is_open

    def _api(self) -> str:
        body = self._gateway.ask_locally("GET", "/api/v1/cameras/cam1").body
        return ".".join(filter(None, (body["state"], body["substate"])))

    def _is_open(self) -> bool:
        metrics = self._gateway.ask_locally("GET", "/metrics").body
        return 'volet_open{camera="cam1"} 1' in metrics

    def _rows(self) -> list[Event]:
        return rows_of(self._gateway.database, self._after)

    def _wait_could_open(self, until: float) -> None:
        while not self._gateway.get("/api/v1/cameras/cam1/checks")["could_open"]:
            assert time.monotonic() < until, self._gateway.checks()
            self._gateway.lane.say("present 0")
            time.sleep(LOOK_AGAIN_S)

    def _wait_retried(self, until: float) -> None:
        """Until another worker has been started in the place of the one that ended."""
        while self._lives()[-1] != "worker_started":
            assert time.monotonic() < until, f"no worker is started again: {self._lives()}"
            time.sleep(LOOK_AGAIN_S)

    def _lives(self) -> list[str]:
        return [name for name in map(name_of, self._rows()) if name in ("worker_started", "worker_exited")]

    def _asks(self) -> None:
        """The camera shows nothing before the story says so."""
        self._gateway.fail_camera("hang")
        self._gateway.wait_lane_free()
        self._gateway.request(duration_s=16)

    def _asks_as_well(self) -> None:
        refused = self._gateway.transition("request", source=COLLEAGUE, reason="me too")
        assert (refused.status, refused.code) == (409, "not-permitted"), refused

    def _acknowledges(self) -> None:
        answer = self._gateway.transition("acknowledge", reason="mended")
        assert answer.status == 202, answer

    def _extends(self) -> None:
        answer = self._gateway.transition("extend", reason="not done", duration_s=EXTENDED_S)
        assert answer.status == 202, answer

    def _joins(self) -> None:
        joined = self._gateway.join()
        self._watch = joined["watch"]
        self._viewer = self._gateway.view(joined["mp4"])
        self._viewer.wait_flow()

    def _leaves(self) -> None:
        assert self._gateway.ask("DELETE", f"/api/v1/watches/{self._watch}").status in (200, 204)


def _handles(gateway: StoryGateway) -> dict[str, Callable[[], object]]:
    """What else can be done to a gateway on loopback."""

    def mends() -> None:
        gateway.write_configuration(quiet_for=gateway._at_first["quiet_for"])
        gateway.wait_configured()

    def killed() -> None:
        gateway.daemon.kill()
        gateway.daemon.wait()
        gateway.start_daemon()

    return {
        "the worker fails": gateway.kills_worker,
        "the broker goes": gateway.broker_goes,
        "the broker comes back": gateway.start_broker,
        "the configuration breaks": partial(gateway.write_configuration, quiet_for="a while"),
        "the configuration is mended": mends,
        "a stray listener appears": gateway.plants,
        "the stray listener is gone": gateway.removes,
        "the source listens on the LAN": partial(gateway.move_camera, EVERYWHERE),
        "the source is private again": partial(gateway.move_camera, LOOPBACK),
        "swap is switched on": partial(gateway.leaves_memory, True),
        "swap is switched off": partial(gateway.leaves_memory, False),
        "the sensor fails": partial(gateway.lane.say, "error no echo"),
        "the sensor recovers": partial(gateway.lane.say, "error OK"),
        "the member loses the right": partial(gateway.reconfigure, members=NO_MAINTAINER),
        "the member has the right again": partial(gateway.reconfigure, members=MEMBERS),
        "the window is cancelled": gateway.cancels_windows,
        "a window is approved": gateway.adds_window,
        "the gateway is overloaded": partial(gateway.reconfigure, memory=TOO_MUCH),
        "the gateway has room again": partial(gateway.reconfigure, memory=PLENTY),
        "the wall clock steps back": partial(gateway.steps_clock, -HOUR_S),
        "the wall clock is set right": partial(gateway.steps_clock, 0),
        "the process is killed and starts": killed,
    }
