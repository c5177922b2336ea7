"""Tells the site what the cameras do: who is there, each state, and a lamp's `live` (CONTRACT 6)."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from orchestrator.app.lane_facts import LaneFacts
from orchestrator.app.views import place_now
from orchestrator.core.camera_state import CameraState
from orchestrator.core.canonical import canonical
from orchestrator.core.moment import Moment, rfc3339
from orchestrator.runtime.site import Site

log = logging.getLogger(__name__)

SAY_AGAIN_S = 10.0
"""How long after the broker did not take a value it is said again, as it is then."""


class Publisher:
    """Publishes below the prefix. Nothing waits for it: all of it is retained, so what the broker missed is
    said again, as it then is, with the next session, the next change, or after a while."""

    def __init__(self, site: Site, lane: LaneFacts, *, now: Callable[[], Moment]) -> None:
        self._site, self._lane, self._now = site, lane, now
        self._loop = asyncio.get_running_loop()
        self._missed: set[str] = set()
        self._warned: set[str] = set()
        self._again: asyncio.TimerHandle | None = None
        lane.on_session.append(self._session_began)

    def changed(self, state: CameraState) -> None:
        """A camera's state is another; the loop's thread."""
        parts = self._site.cameras.get(state.camera)
        if parts is None:
            return
        place, session, now = place_now(parts), state.session, self._now()
        opened = session is not None and session.opened
        body = {
            "ts": now.wall_us // 1000,
            "src": "stream",
            "site": self._site.board.policy.site,
            "camera": state.camera,
            "state": place.state,
            "substate": place.substate,
            "session": session.id if session else None,
            "deadline": rfc3339(session.ends_wall_us) if session and opened else None,
        }
        self._say(state.camera, f"{state.camera}/state", canonical(body))
        watched = state.is_open and session is not None and bool(session.viewers)
        self._say(state.camera, f"{state.camera}/live", b"1" if watched else b"0")

    def _say(self, camera: str, topic: str, payload: bytes) -> None:
        def on_done(lost: str) -> None:
            if lost:
                self._loop.call_soon_threadsafe(self._note_missed, camera, topic, lost)

        if not self._lane.publish(topic, payload, qos=1, retain=True, on_done=on_done):
            self._note_missed(camera, topic, "")

    def _note_missed(self, camera: str, topic: str, lost: str) -> None:
        if not self._lane.connected:
            return  # the next session says everything
        if lost and topic not in self._warned:
            self._warned.add(topic)
            log.warning("%s; it is said again until the broker takes it (ops/mosquitto.acl)", lost)
        self._missed.add(camera)
        if self._again is None:
            self._again = self._loop.call_later(SAY_AGAIN_S, self._say_missed)

    def _say_missed(self) -> None:
        self._again = None
        missed, self._missed = self._missed, set()
        for camera in sorted(missed):
            self._say_now(camera)

    def _say_now(self, camera: str) -> None:
        """One camera as it stands; the empty name is ourselves."""
        parts = self._site.cameras.get(camera)
        if not camera:
            self._say("", "status", b"online")
        elif parts is not None:
            self.changed(parts.actor.state)

    def _session_began(self) -> None:
        """A session with the broker has begun: say who is there and how everything stands; any thread."""
        self._loop.call_soon_threadsafe(self._say_everything)

    def _say_everything(self) -> None:
        for camera in ("", *self._site.cameras):
            self._say_now(camera)
