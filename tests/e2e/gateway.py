"""One gateway on real parts, as a test uses it: ask, wait for what the log says, watch."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import pytest

from tests.e2e.client import LIMIT_S, Answer, Body, asked, connection_from, local_connection
from tests.e2e.configuration import CAMERAS, DEFAULTS, MAINTAINER
from tests.e2e.follower import Event, Follower, name_of
from tests.e2e.parts import DAEMON, Parts
from tests.e2e.processes import ProcessWatch, workers_of
from tests.e2e.viewer import Viewer

LOOK_AGAIN_S = 0.02
COOL_DOWN_S = 30
Seen = TypeVar("Seen")
GATEWAYS = pytest.StashKey["list[Gateway]"]()
"""A test's or a module's gateways: what they said is shown when it fails."""


@dataclass(slots=True)
class Flow:
    """A session with its picture flowing to one viewer, and the worker that makes it."""

    session: str
    path: str
    viewer: Viewer
    worker: ProcessWatch


class Gateway(Parts):
    """Start everything with `start`, or part by part; `stop` ends what was started."""

    def __init__(self, folder: Path, segments: Path, **settings: str) -> None:
        super().__init__(folder, segments, **settings)
        self.follower: Follower | None = None
        self._viewers: list[Viewer] = []
        self._at_first = dict(self.values)

    def start(self, launcher: Sequence[str] = DAEMON) -> None:
        """Everything, and wait until the daemon listens."""
        self.write_configuration()
        self.start_broker()
        self.start_camera()
        self.start_lane()
        self.start_daemon(launcher)
        self.follow()

    def stop(self) -> None:
        """End all that was started, the daemon first."""
        if self.follower is not None:
            self.follower.stop()
        while self._viewers:
            self._viewers.pop().close()
        self.stop_processes()

    def follow(self) -> None:
        """Follow the log from its beginning; the daemon has then said what it started with."""
        self.follower = Follower((self.address, self.port), MAINTAINER)
        self.wait("config_loaded")

    def ask(
        self,
        method: str,
        path: str,
        body: Body | None = None,
        *,
        source: str = MAINTAINER,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """One request from that member's address."""
        return asked(connection_from(source, (self.address, self.port)), method, path, body, headers)

    def ask_locally(
        self, method: str, path: str, body: Body | None = None, *, headers: Mapping[str, str] | None = None
    ) -> Answer:
        """One request over the Unix socket."""
        return asked(local_connection(self.socket), method, path, body, headers)

    def get(self, path: str, *, source: str = MAINTAINER) -> Any:
        """The body of a GET that must succeed."""
        answer = self.ask("GET", path, source=source)
        assert answer.status == 200, answer
        return answer.body

    def transition(
        self, trigger: str, camera: str = "cam1", *, source: str = MAINTAINER, **more: Any
    ) -> Answer:
        """Pull a trigger."""
        body = {"trigger": trigger, **more}
        return self.ask("POST", f"/api/v1/cameras/{camera}/transitions", body, source=source)

    def request(
        self, camera: str = "cam1", *, source: str = MAINTAINER, wait_s: int = 20, **more: Any
    ) -> str:
        """Ask for a session that is taken; its id."""
        answer = self.transition(
            "request", camera, source=source, reason="align the camera", wait_s=wait_s, **more
        )
        assert answer.status == 202, answer
        session: str = answer.body["session"]
        return session

    def wait(
        self, what: str, session: str | None = None, *, after: int = 0, timeout_s: float = 30.0
    ) -> Event:
        """The first event of that name (of that session)."""
        assert self.follower is not None
        return self.follower.wait(
            lambda event: name_of(event) == what and session in (None, event["session"]),
            f"{what} of {session or 'anything'}",
            after=after,
            timeout_s=timeout_s,
        )

    def follower_wait(self, fits: Callable[[Event], bool], session: str) -> Event:
        """The first event of that session that fits."""
        assert self.follower is not None
        return self.follower.wait(lambda e: e["session"] == session and fits(e), f"an event of {session}")

    def wait_end(self, session: str, *, timeout_s: float = 30.0) -> Event:
        """The transition that shut this session's camera."""
        assert self.follower is not None
        return self.follower.wait(
            lambda e: e["session"] == session and e["type"] == "transition" and e["to"] == "disabled",
            f"the end of {session}",
            timeout_s=timeout_s,
        )

    def open(self, camera: str = "cam1", *, source: str = MAINTAINER, **more: Any) -> str:
        """A session that streams; its id. AssertionError with the failing checks when it was refused."""
        assert self.follower is not None
        session = self.request(camera, source=source, **more)
        event = self.follower.wait(
            lambda e: e["session"] == session and (name_of(e) == "first_frame" or e.get("to") == "disabled"),
            f"first_frame of {session}",
        )
        assert name_of(event) == "first_frame", event
        self.wait_effect(camera, source=source)
        return session

    def wait_effect(self, camera: str = "cam1", *, source: str = MAINTAINER) -> None:
        """An opening is durable before it takes effect: until the camera is past `safety_checked`."""
        path = f"/api/v1/cameras/{camera}"
        _until(lambda: self.get(path, source=source), lambda body: body["state"] != "safety_checked")

    def join(self, camera: str = "cam1", *, source: str = MAINTAINER) -> dict[str, Any]:
        """A watch of one's own."""
        answer = self.ask("POST", f"/api/v1/cameras/{camera}/watches", {}, source=source)
        assert answer.status == 201, answer
        body: dict[str, Any] = answer.body
        return body

    def view(self, path: str, *, source: str = MAINTAINER) -> Viewer:
        """Read a path as a viewer does."""
        viewer = Viewer((self.address, self.port), source, path)
        self._viewers.append(viewer)
        return viewer

    def watch(self, camera: str = "cam1", *, source: str = MAINTAINER) -> Viewer:
        """Join and read the MP4."""
        return self.view(self.join(camera, source=source)["mp4"], source=source)

    def flow(self, camera: str = "cam1", *, source: str = MAINTAINER, **more: Any) -> Flow:
        """Open, watch, and wait until bytes of picture flow."""
        session = self.open(camera, source=source, **more)
        path = self.join(camera, source=source)["mp4"]
        viewer = self.view(path, source=source)
        viewer.wait_flow()
        return Flow(session, path, viewer, self.worker(session))

    def worker(self, session: str) -> ProcessWatch:
        """The newest worker of a session."""
        assert self.follower is not None
        started = [
            event
            for event in self.follower.events
            if event["session"] == session and name_of(event) == "worker_started"
        ]
        return ProcessWatch(int(started[-1]["data"]["pid"]))

    def watch_again(self, flow: Flow) -> Viewer:
        """What a player does when its response has ended: ask for the same watch anew, until it is there."""
        return _until(lambda: self.view(flow.path), lambda viewer: viewer.wait_head() == 200)

    def state(self, camera: str = "cam1") -> str:
        """`state` or `state.substate`, as the API says it now."""
        body = self.get(f"/api/v1/cameras/{camera}")
        return ".".join(filter(None, (body["state"], body["substate"])))

    def events(self, session: str | None = None) -> list[Event]:
        """The log from the API, all of it or one session's."""
        query = f"&session={session}" if session else ""
        items: list[Event] = self.get(f"/api/v1/events?limit=10000{query}")["items"]
        return items

    def last_seq(self) -> int:
        """The newest event heard of."""
        assert self.follower is not None
        return self.follower.last_seq

    def wait_served(self, path: str, *, source: str = MAINTAINER) -> Any:
        """Until a path that is not there yet is answered with 200; its body."""
        return _until(lambda: self.ask("GET", path, source=source), lambda answer: answer.status == 200).body

    def wait_disabled(self, *, substate: str = "", pending: bool | None = None, camera: str = "cam1") -> None:
        """Until the API says so; `pending`: with, or without, a closing that the log has not taken yet."""
        _until(
            lambda: self.get(f"/api/v1/cameras/{camera}"),
            lambda body: (
                body["state"] == "disabled"
                and substate in ("", body["substate"])
                and pending in (None, body["pending"])
            ),
        )

    def wait_metric(self, name: str, value: int) -> None:
        """Until a figure of the site stands there."""
        _until(lambda: self.get("/metrics"), lambda text: f"\n{name} {value}\n" in text)

    def checks(self, camera: str = "cam1") -> dict[str, Body]:
        """The checks as of now, by id."""
        return {one["id"]: one for one in self.get(f"/api/v1/cameras/{camera}/checks")["checks"]}

    def wait_check(
        self, check: str, *, passes: bool, camera: str = "cam1", timeout_s: float = LIMIT_S
    ) -> None:
        """Until this check passes, or does not."""
        _until(lambda: self.checks(camera), lambda checks: checks[check]["passed"] is passes, timeout_s)

    def wait_detail(self, check: str, text: str) -> None:
        """Until this check says so."""
        _until(lambda: self.checks()[check]["detail"], lambda detail: text in detail)

    def wait_lane_free(self, camera: str = "cam1") -> None:
        """The sensor says again that nobody is there, until that is proven and settled."""

        def said_again() -> dict[str, bool]:
            self.lane.say("present 0")
            found = self.get(f"/api/v1/cameras/{camera}/checks")["checks"]
            return {check["id"]: check["passed"] for check in found if check["id"].startswith("lane-")}

        _until(said_again, lambda lane: all(lane.values()))

    def wait_configured(self) -> None:
        """Until a valid configuration is in force."""
        _until(lambda: self.ask("GET", "/readyz").body["dependencies"]["config"], lambda part: part["ready"])

    def wait_windows(self, *names: str) -> None:
        """Until the recurring windows of the configuration in force are called so."""
        _until(
            lambda: {item["name"] for item in self.get("/api/v1/windows")["items"] if item["recurring"]},
            lambda found: found == set(names),
        )

    def wait_roles(self, source: str, *roles: str) -> None:
        """Until the member at that address has these roles."""
        _until(lambda: self.get("/api/v1/me", source=source)["roles"], lambda found: found == sorted(roles))

    def wait_no_workers(self, timeout_s: float = LIMIT_S) -> None:
        """Until no worker of ours is left, whether anybody still knows it or not."""
        _until(lambda: workers_of(self.segments), lambda left: not left, timeout_s)

    def reconfigure(self, **settings: str) -> None:
        """Change these keys of the file, and wait until the daemon has taken them over."""
        after = self.events()[-1]["seq"]
        self.write_configuration(**settings)
        self.wait("config_loaded", after=after)
        self.wait_configured()

    @contextmanager
    def configured(self, **settings: str) -> Iterator[None]:
        """These keys changed for a while."""
        before = {key: self.values[key] for key in settings}
        self.reconfigure(**settings)
        yield
        self.reconfigure(**before)

    def shut(self, session: str, camera: str = "cam1") -> None:
        """Close it and wait until nothing is left of the session."""
        assert self.transition("close", camera).status == 202
        self.wait("closed", session)

    def restore(self) -> None:
        """As it was at the start, whatever a test has left: its file, its lane, and shut."""
        self.cameras = CAMERAS
        self.write_configuration(**{key: self._at_first[key] for key in DEFAULTS})
        self.folder.chmod(0o700)
        self.wait_configured()
        self.pause_broker(False)
        for command in ("beat on", "present 0", "error OK"):
            self.lane.say(command)
        self.wait_check("lane-sensor-alive", passes=True)
        for camera in CAMERAS:
            self.transition("close", camera)
            self.wait_disabled(substate="ready", pending=False, camera=camera)
        self.wait_no_workers()

    def wait_out_the_cool_down(self) -> None:
        """A request is refused and told for how long; that long is waited."""
        refused = self.transition("request", reason="align the camera")
        assert (refused.status, refused.code) == (409, "cooling-down"), refused
        wait_s = int(refused.headers["retry-after"])
        assert 0 < wait_s <= COOL_DOWN_S + 1
        time.sleep(wait_s)


def _until(look: Callable[[], Seen], fits: Callable[[Seen], bool], timeout_s: float = LIMIT_S) -> Seen:
    """What was seen once it fitted; AssertionError with what was seen last when time is up."""
    until = time.monotonic() + timeout_s
    while not fits(seen := look()):
        assert time.monotonic() < until, f"still so after {timeout_s} s: {seen}"
        time.sleep(LOOK_AGAIN_S)
    return seen
