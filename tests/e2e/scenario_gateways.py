"""The gateways on which stories are told: each can be hurt in every way that a story knows, from outside."""

import json
import os
import signal
import sqlite3
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.e2e.client import LIMIT_S, Answer, Body
from tests.e2e.configuration import CAMERAS, MEMBERS, put
from tests.e2e.follower import Event
from tests.e2e.gateway import Gateway
from tests.e2e.tunnel_gateway import LAPTOP, TunnelGateway

LANE = "orchestrator.demo.lane"
NO_MAINTAINER = MEMBERS.replace('["maintainer", "approver", "reviewer"]', '["approver", "reviewer"]')
PLENTY, TOO_MUCH = "1MiB", "1000GiB"
WINDOWS = "/api/v1/windows"
LOOPBACK, EVERYWHERE = "127.0.0.1", "0.0.0.0"


def rows_of(database: Path, after: int, camera: str = "cam1") -> list[Event]:
    """What the log's file says of that camera since then, but for the lane's news."""
    with sqlite3.connect(f"file:{database}?mode=ro", uri=True, timeout=LIMIT_S) as log:
        query = "SELECT canonical FROM events WHERE seq > ? AND camera = ? ORDER BY seq"
        events = [json.loads(row[0]) for row in log.execute(query, (after, camera))]
    return [event for event in events if event.get("name") != "lane_changed"]


def newest_of(database: Path) -> int:
    """The last sequence number in the log's file; a follower hears of it later."""
    with sqlite3.connect(f"file:{database}?mode=ro", uri=True, timeout=LIMIT_S) as log:
        newest: int = log.execute("SELECT coalesce(max(seq), 0) FROM events").fetchone()[0]
    return newest


class StoryGateway(Gateway):
    """On loopback. `memory` is how much must be free."""

    def __init__(self, folder: Path, segments: Path, **settings: str) -> None:
        super().__init__(folder, segments, **settings)
        self.values |= {"memory": PLENTY}
        self._disk = folder / "on a disk"
        self._clock = folder / "clock.json"
        self.steps_clock(0)

    def begin(self) -> None:
        """Everything, and wait until the daemon listens."""
        self.write_configuration()
        self.start_broker()
        self.start_camera()
        self.start_lane(("-m", "tests.e2e.off_clock", str(self._clock), LANE))
        self.start_daemon()
        self.follow()

    def start_daemon(self, launcher: Sequence[str] = ()) -> None:
        super().start_daemon(launcher or ("-m", "tests.e2e.scenario_daemon", str(self._clock)))

    def write_configuration(self, **settings: str) -> None:
        super().write_configuration(**settings)
        text = self.config.read_text().replace("[worker]\n", "[worker]\nmax_failures = 2\n")
        put(self.config, text.replace(f'"{PLENTY}"', f'"{self.values["memory"]}"'))

    def steps_clock(self, seconds: int) -> None:
        """The wall clock of the daemon and of the sensor stands off by that."""
        put(self._clock, json.dumps({"offset_s": seconds}))

    def plants(self) -> None:
        """A listener that nobody declared, in the daemon's process tree."""
        after = len(self.daemon.lines)
        self.daemon.say(f"tcp {LOOPBACK}")
        self.daemon.wait_json("planted", after=after)

    def removes(self) -> None:
        """It is gone, and the daemon has seen that."""
        after = len(self.daemon.lines)
        self.daemon.say("remove")
        self.daemon.wait_json("removed", after=after)
        self.wait_check("vpn-listener", passes=True)

    def broker_goes(self) -> None:
        """And does not come back by itself."""
        self.broker.stop()

    def leaves_memory(self, leaves: bool) -> None:
        """Segments lie on a disk, or in memory again."""
        self._disk.mkdir(mode=0o700, exist_ok=True)
        self.reconfigure(segments=str(self._disk if leaves else self.segments))
        self.wait_check("memory-only", passes=not leaves)

    def adds_window(self) -> None:
        """A window of an hour, from now."""
        now_s = int(time.time())
        start, end = (time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(s)) for s in (now_s, now_s + 3_600))
        body = {"cameras": list(CAMERAS), "start": start, "end": end, "reason": "to aim"}
        assert self.ask("POST", WINDOWS, body).status == 201

    def cancels_windows(self) -> None:
        """Whatever was added."""
        for item in self.get(WINDOWS)["items"]:
            if item["state"] == "approved" and not item["recurring"]:
                assert self.ask("DELETE", f"{WINDOWS}/{item['id']}").status in (200, 202)

    def kills_worker(self) -> None:
        """The newest one; no other finds a frame until the camera shows one again."""
        self.fail_camera("hang")
        started = [e for e in rows_of(self.database, 0) if e.get("name") == "worker_started"]
        os.kill(started[-1]["data"]["pid"], signal.SIGKILL)

    def restore(self) -> None:
        """As it was at the start."""
        self.fail_camera("ok")
        self.write_configuration(memory=PLENTY, segments=str(self.segments))
        self.cancels_windows()
        for camera in CAMERAS:
            if self.get(f"/api/v1/cameras/{camera}")["locks"]:
                assert self.transition("acknowledge", camera, reason="mended").status == 202
        super().restore()


class StoryTunnel(TunnelGateway):
    """Behind a real tunnel, asked from the laptop."""

    def ask(
        self,
        method: str,
        path: str,
        body: Body | None = None,
        *,
        source: str = LAPTOP,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        def asks() -> Answer:
            return super(StoryTunnel, self).ask(method, path, body, source=LAPTOP, headers=headers)

        del source
        return self.as_peer("laptop", asks)

    def fail_camera(self, fault: str, for_s: float | None = None) -> None:
        self.lab.gateway.place.inside(lambda: super(StoryTunnel, self).fail_camera(fault, for_s))

    def link(self, state: str) -> None:
        """The tunnel's interface, down or up; up, until the laptop is heard through it again."""
        self.lab.gateway.place.ip("link", "set", self.lab.interface, state)
        if state == "up":
            self.wait_known("laptop")
