"""The link to the site's MQTT broker, kept up: lane messages in, states and events out.

One thread, `volet-bus`, drives paho's reads, writes and keepalive itself, so that a closing message
reaches the gate even when the asyncio loop is blocked, and so that no socket of ours ever listens or
is bound: paho's own `loop_start` opens a stray listener, its `connect` binds 0.0.0.0 (FIELD 9).
Connectivity is never the safety signal; the lease of a heartbeat is (F21).
"""

from __future__ import annotations

import os
import select
import threading
from collections.abc import Callable, Sequence

from orchestrator.core.backoff import retry_in_us
from orchestrator.core.policy import Backoff
from orchestrator.edges.lane_client import Client, connect
from orchestrator.edges.lane_messages import BusSettings, Heard, Link, Outgoing
from orchestrator.edges.lane_outbox import Outbox
from orchestrator.edges.lane_probe import anonymous_refused
from orchestrator.edges.lane_session import V5, V311, Session

__all__ = ["BusSettings", "Heard", "LaneBus", "Link", "anonymous_refused"]

TURN_MS = 250
"""How long the thread waits before it looks at what has a limit."""
QUIET_TURN_MS = 1_000
"""The same while the session is up: what comes, and what is to be sent, ends the wait."""
CONNECT_LIMIT_US = 5_000_000
# A broker of 3.1.1 may wait for ever for the rest of a CONNECT of MQTT 5 that it misreads.
V5_ANSWER_LIMIT_US = 2_000_000
HEALTHY_AFTER_US = 60_000_000
BACKOFF = Backoff(max_us=10_000_000)


class LaneBus:
    """The link, kept up until it is stopped: it reconnects with full jitter, 0.5 s to 10 s. It speaks
    MQTT 5, or 3.1.1 to a broker that does not answer that.

    `on_heard` and `on_link` are called in the bus thread: `on_link` with connected first, then each
    message of that session in order, and `on_pause` after those that came together.
    `Link(connected=False)` comes after every failed attempt too.
    Each may raise: that is counted in `raised`, told as a lost link, and the session begins anew,
    retained values and all, because a message nobody took leaves the lane unknown (F21).
    `alive_at_us` is the boot clock at the thread's last turn, at most half a second ago while it
    lives (a host name that must be resolved may take longer, while not connected); it stands still
    too while nobody takes the word that the link is lost.
    ValueError when the will lies outside what may be published.
    """

    def __init__(
        self,
        settings: BusSettings,
        *,
        topics: Sequence[str],
        on_heard: Callable[[Heard], None],
        on_link: Callable[[Link], None],
        boottime_us: Callable[[], int],
        random: Callable[[], float],
        on_pause: Callable[[], None] = lambda: None,
    ) -> None:
        self._settings = settings
        self._topics = tuple(dict.fromkeys(topics))
        self._on_heard = on_heard
        self._on_link = on_link
        self._on_pause = on_pause
        self._boottime_us = boottime_us
        self._random = random
        self.alive_at_us = 0
        self._raised = 0
        self._version = V5
        self._stop_by_us: int | None = None
        self._outbox = Outbox(settings.publish_prefix)
        if settings.will_topic is not None and not self._outbox.may_publish(settings.will_topic):
            raise ValueError(f"the will's topic {settings.will_topic!r} is not ours to publish on")
        self._untold: Link | None = None
        self._thread = threading.Thread(target=self._run, name="volet-bus", daemon=True)

    @property
    def dropped(self) -> int:
        """How many publications were not taken, or lost with a session, or refused by the broker."""
        return self._outbox.dropped

    @property
    def raised(self) -> int:
        """How often somebody we called, or paho itself, raised."""
        return self._raised + self._outbox.raised

    @property
    def runs(self) -> bool:
        """Whether the thread is there."""
        return self._thread.is_alive()

    def start(self) -> None:
        """Begin to connect; `on_link` tells how it went."""
        self._outbox.open()
        self.alive_at_us = self._boottime_us()
        self._thread.start()

    def publish(
        self,
        topic: str,
        payload: bytes,
        *,
        qos: int,
        retain: bool,
        on_done: Callable[[str], None] | None = None,
    ) -> bool:
        """Hand a message over for publishing, from any thread, never waiting. False: it was dropped,
        because there is no session, the queue is full, or the topic is none of ours (K1). True:
        `on_done` will be told once whether the broker has it or why not; what a lost link had not sent
        is gone."""
        message = Outgoing(topic, payload, qos, retain, on_done)
        return self._stop_by_us is None and self._outbox.put(message)

    def stop(self, timeout_s: float) -> bool:
        """Send what was handed over, disconnect without the will, and end the thread; blocks for
        `timeout_s` at most. False: the thread had not ended by then."""
        self._stop_by_us = self._boottime_us() + int(timeout_s * 700_000)
        self._outbox.wake()
        if self._thread.ident is not None:
            self._thread.join(timeout_s)
        if self._thread.is_alive():
            return False
        # It closes its outbox itself, unless it was never there, or died.
        self._outbox.close()
        return True

    def _run(self) -> None:
        failures = 0
        while self._stop_by_us is None:
            session = Session(
                self._settings,
                self._topics,
                self._outbox,
                on_up=self._up,
                on_heard=self._on_heard,
                on_pause=self._on_pause,
                boottime_us=self._boottime_us,
            )
            try:
                why = self._hold(session)
            except OSError as error:
                why = str(error)
            except Exception as error:
                self._raised += 1
                why = f"the link failed: {type(error).__name__}"
            self._raised += session.raised
            self._lost(session.ended(why))
            if session.not_understood:
                self._version = V311 if self._version == V5 else V5
                if self._version == V311:
                    continue
            up_us = 0 if session.up_at_us is None else self._boottime_us() - session.up_at_us
            failures = 1 if up_us >= HEALTHY_AFTER_US else failures + 1
            self._wait(retry_in_us(BACKOFF, failures, self._random()))
        self._turned()
        self._outbox.close()

    def _hold(self, session: Session) -> str:
        """Connect, subscribe, and serve the session until it is over; says why, where it is not the
        session itself that knows."""
        settings = self._settings
        give_up_at_us = self._boottime_us() + CONNECT_LIMIT_US
        with connect(
            settings.host, settings.port, settings.certificates, lambda: self._gives_up(give_up_at_us)
        ) as connection:
            limit_us = V5_ANSWER_LIMIT_US if self._version == V5 else CONNECT_LIMIT_US
            give_up_at_us = self._boottime_us() + limit_us
            session.begin(Client(connection, self._version, settings.client_id), self._version)
            poller = self._poller()
            while session.connected:
                self._turned()
                quiet = session.up_at_us is not None and self._stop_by_us is None
                session.turn(poller, QUIET_TURN_MS if quiet else TURN_MS)
                if self._stop_by_us is not None:
                    session.leave_when_sent(self._stop_by_us)
                elif session.up_at_us is None and self._boottime_us() >= give_up_at_us:
                    missing = "SUBACK" if session.answer is not None else "CONNACK"
                    return f"the broker took the connection but sent no {missing} in time"
        return ""

    def _up(self, at_us: int) -> None:
        """Every subscription is granted. RuntimeError while nobody has taken that the last link was lost."""
        self._outbox.accept(accepting=True)
        if self._untold is not None:
            raise RuntimeError("the word of the last link has not been taken")
        self._on_link(Link(True, "subscribed", at_us))

    def _lost(self, why: str) -> None:
        self._outbox.accept(accepting=False)
        self._untold = Link(False, "stopped" if self._stop_by_us is not None else why, self._boottime_us())
        self._turned()

    def _told(self, link: Link) -> bool:
        try:
            self._on_link(link)
        except Exception:
            self._raised += 1
            return False
        return True

    def _turned(self) -> None:
        if self._untold is not None and self._told(self._untold):
            self._untold = None
        if self._untold is None:
            self.alive_at_us = self._boottime_us()

    def _gives_up(self, at_us: int) -> bool:
        self._turned()
        return self._stop_by_us is not None or self._boottime_us() >= at_us

    def _poller(self) -> select.poll:
        poller = select.poll()
        if self._outbox.waker is not None:
            poller.register(self._outbox.waker, select.POLLIN)
        return poller

    def _wait(self, us: int) -> None:
        until_us = self._boottime_us() + us
        poller = self._poller()
        while not self._gives_up(until_us):
            left_ms = (until_us - self._boottime_us()) // 1000 + 1
            for descriptor, _ in poller.poll(max(1, min(TURN_MS, left_ms))):
                os.eventfd_read(descriptor)
