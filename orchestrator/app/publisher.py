"""Tells the site what the cameras do: state, a lamp's `live`, and each event from the log's position."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from orchestrator.app.lane_facts import LaneFacts
from orchestrator.app.views import place_now
from orchestrator.core.camera_state import CameraState
from orchestrator.core.chain import canonical
from orchestrator.core.moment import Moment, rfc3339
from orchestrator.runtime.event_store import EventStore
from orchestrator.runtime.event_store.errors import LogError
from orchestrator.runtime.ledger import CameraStates
from orchestrator.runtime.site import Site

PAGE = 200
RETRY_S = 1.0


class Publisher:
    """Publishes below the prefix (CONTRACT 6). Nothing waits for it; what the broker missed of states is
    said again with the next change or connection."""

    def __init__(
        self,
        site: Site,
        store: EventStore[CameraStates],
        lane: LaneFacts,
        *,
        now: Callable[[], Moment],
    ) -> None:
        self._site, self._store, self._lane, self._now = site, store, lane, now

    def changed(self, state: CameraState) -> None:
        """A camera's state is another."""
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
        self._lane.publish(f"{state.camera}/state", canonical(body), qos=1, retain=True)
        watched = state.is_open and session is not None and bool(session.viewers)
        self._lane.publish(f"{state.camera}/live", b"1" if watched else b"0", qos=1, retain=True)

    def connected(self) -> None:
        """A session with the broker has begun: say who is there and how everything stands."""
        self._lane.publish("status", b"online", qos=1, retain=True)
        for parts in list(self._site.cameras.values()):
            self.changed(parts.actor.state)

    async def follow_log(self) -> None:
        """Each event's canonical bytes, in order, from the start of this process on."""
        last = self._store.last
        position = last.seq if last else 0
        was_connected = False
        while True:
            connected = self._site.board.bus.good
            if connected and not was_connected:
                self.connected()
            was_connected = connected
            try:
                async with asyncio.timeout(RETRY_S):
                    await self._store.wait_for(position)
                page = await self._store.read(after=position, limit=PAGE) if connected else []
            except (TimeoutError, LogError):
                continue
            for record in page:
                if not self._lane.publish("event", record.canonical, qos=1, retain=False):
                    await asyncio.sleep(RETRY_S)
                    break
                position = record.seq
            if not connected:
                await asyncio.sleep(RETRY_S)
