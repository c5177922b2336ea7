"""The link to the site's MQTT broker: lane messages in, states and events out. Sole importer of paho.

One thread, `volet-bus`, drives paho's reads, writes and keepalive itself, so that a closing message
reaches the gate even when the asyncio loop is blocked, and so that no socket of ours ever listens or
is bound: paho's own `loop_start` opens a stray listener, its `connect` binds 0.0.0.0 (FIELD 9).
Connectivity is never the safety signal; the lease of a heartbeat is (F21).
"""

from __future__ import annotations

import os
import secrets
import select
import socket
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from paho.mqtt import client as mqtt
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from orchestrator.core.backoff import retry_in_us
from orchestrator.core.lane_values import MAX_PAYLOAD_BYTES
from orchestrator.core.policy import Backoff
from orchestrator.edges.dial import dial
from orchestrator.edges.lane_messages import BusSettings, Heard, Link, Outgoing
from orchestrator.edges.lane_outbox import Outbox

__all__ = ["BusSettings", "Heard", "LaneBus", "Link", "anonymous_refused"]

TURN_MS = 250
CONNECT_LIMIT_US = 5_000_000
# A broker of 3.1.1 may wait for ever for the rest of a CONNECT of MQTT 5 that it misreads.
V5_ANSWER_LIMIT_US = 2_000_000
HEALTHY_AFTER_US = 60_000_000
MAX_PACKET_BYTES = 1024 * 1024
MAX_HANDED_OVER_BYTES = MAX_PAYLOAD_BYTES + 1
MAX_HELD_MESSAGES = 1000
MAX_IN_FLIGHT = 20
MAX_A_TURN = 64

_V5, _V311 = MQTTProtocolVersion.MQTTv5, MQTTProtocolVersion.MQTTv311
_UNSUPPORTED_VERSION = 132
_NOT_WITHOUT_A_NAME = frozenset({134, 135, 138, 140})


class _Client(mqtt.Client):
    """paho on a connection that was made for it, never reading more than we can hold.

    A new client for each connection: a clean start, and a session that ends with the connection (of
    MQTT 5 that is what no expiry means), so that no old value is ever replayed (FIELD 9).
    """

    def __init__(self, connection: socket.socket, version: MQTTProtocolVersion, client_id: str) -> None:
        super().__init__(
            CallbackAPIVersion.VERSION2, client_id=client_id, protocol=version, reconnect_on_failure=False
        )
        self.too_large_bytes = 0
        self._connection = connection
        self._drained = False

    def turn(self, poller: select.poll, timeout_ms: int) -> None:
        """Wait for the broker or for a waker, then do what there is to do."""
        connection = self._connection.fileno()
        poller.register(connection, select.POLLIN | (select.POLLOUT if self.want_write() else 0))
        for descriptor, happened in poller.poll(timeout_ms):
            if descriptor != connection:
                os.eventfd_read(descriptor)
                continue
            if happened & ~select.POLLOUT:
                self._read_what_came()
            if happened & select.POLLOUT:
                self.loop_write()
        self.loop_misc()

    def _read_what_came(self) -> None:
        self._drained = False
        for _ in range(MAX_A_TURN):
            self.loop_read()
            if self._drained or self.socket() is None:
                return

    def _create_socket_connection(self) -> socket.socket:
        return self._connection

    def _sock_recv(self, bufsize: int) -> bytes:
        if bufsize > MAX_PACKET_BYTES:
            self.too_large_bytes = bufsize
            raise ConnectionAbortedError("more than we can hold")
        try:
            return super()._sock_recv(bufsize)
        except BlockingIOError:
            self._drained = True
            raise


@dataclass(slots=True)
class _Session:
    """One connection's life: `answer` is the CONNACK's reason, `over` says why it must end."""

    dialled: bool = False
    answer: ReasonCode | None = None
    up_at_us: int | None = None
    over: str = ""
    in_flight: set[int] = field(default_factory=set)
    max_in_flight: int = MAX_IN_FLIGHT
    held: list[Heard] = field(default_factory=list)

    @property
    def not_understood(self) -> bool:
        """Whether the broker may not speak the version that we tried: it refused it, or never answered."""
        if self.answer is None:
            return self.dialled
        return bool(self.answer.value == _UNSUPPORTED_VERSION)


class LaneBus:
    """The link, kept up until it is stopped: it reconnects with full jitter, 0.5 s to 30 s. It speaks
    MQTT 5, or 3.1.1 to a broker that does not answer that.

    `on_heard` and `on_link` are called in the bus thread: `on_link` with connected first, then each
    message of that session in order. `Link(connected=False)` comes after every failed attempt too.
    Either may raise: that is counted in `raised`, told as a lost link, and the session begins anew,
    retained values and all, because a message nobody took leaves the lane unknown (F21).
    `alive_at_us` is the boot clock at the thread's last turn, at most half a second ago while it
    lives (a host name that must be resolved may take longer, while not connected); it stands still
    too while nobody takes the word that the link is lost.
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
    ) -> None:
        self._settings = settings
        self._topics = tuple(dict.fromkeys(topics))
        self._on_heard = on_heard
        self._on_link = on_link
        self._boottime_us = boottime_us
        self._random = random
        self.alive_at_us = 0
        self.raised = 0
        self._version = _V5
        self._stop_by_us: int | None = None
        self._outbox = Outbox()
        self._untold: Link | None = None
        self._thread = threading.Thread(target=self._run, name="volet-bus", daemon=True)

    @property
    def dropped(self) -> int:
        """How many publications were not taken, or lost with a session, or refused by the broker."""
        return self._outbox.dropped

    def start(self) -> None:
        """Begin to connect; `on_link` tells how it went."""
        self._outbox.open()
        self.alive_at_us = self._boottime_us()
        self._thread.start()

    def publish(self, topic: str, payload: bytes, *, qos: int, retain: bool) -> bool:
        """Hand a message over for publishing, from any thread, never waiting. False: it was dropped,
        because there is no session or the queue is full. What a lost link had not sent is gone."""
        return self._stop_by_us is None and self._outbox.put(Outgoing(topic, payload, qos, retain))

    def stop(self, timeout_s: float) -> bool:
        """Send what was handed over, disconnect without the will, and end the thread; blocks for
        `timeout_s` at most. False: the thread had not ended by then."""
        self._stop_by_us = self._boottime_us() + int(timeout_s * 700_000)
        self._outbox.wake()
        if self._thread.ident is not None:
            self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _run(self) -> None:
        failures = 0
        while self._stop_by_us is None:
            session = _Session()
            try:
                why = self._hold(session)
            except OSError as error:
                why = str(error)
            except Exception as error:
                self.raised += 1
                why = f"the link failed: {type(error).__name__}"
            self._lost(why)
            if session.not_understood:
                self._version = _V311 if self._version == _V5 else _V5
                if self._version == _V311:
                    continue
            up_us = 0 if session.up_at_us is None else self._boottime_us() - session.up_at_us
            failures = 1 if up_us >= HEALTHY_AFTER_US else failures + 1
            self._wait(retry_in_us(Backoff(), failures, self._random()))
        self._turned()
        self._outbox.close()

    def _hold(self, session: _Session) -> str:
        """Connect, subscribe, and serve the session until it is over; says why it is."""
        settings = self._settings
        give_up_at_us = self._boottime_us() + CONNECT_LIMIT_US
        with dial(settings.host, settings.port, lambda: self._gives_up(give_up_at_us)) as connection:
            session.dialled = True
            client = _Client(connection, self._version, settings.client_id)
            if settings.username is not None:
                client.username_pw_set(settings.username, settings.password)
            if settings.will_topic is not None:
                client.will_set(settings.will_topic, settings.will_payload, qos=1, retain=True)
            self._listen(client, session)
            limit_us = V5_ANSWER_LIMIT_US if self._version == _V5 else CONNECT_LIMIT_US
            give_up_at_us = self._boottime_us() + limit_us
            client.connect(settings.host, settings.port, settings.keepalive_s)
            poller = self._poller()
            while client.socket() is not None and not session.over:
                self._turned()
                self._send(client, session)
                client.turn(poller, TURN_MS)
                if session.up_at_us is None and self._gives_up(give_up_at_us):
                    missing = "SUBACK" if session.answer is not None else "CONNACK"
                    return f"the broker took the connection but sent no {missing} in time"
        if client.too_large_bytes:
            session.over = f"a message of {client.too_large_bytes} bytes came, more than we can hold"
        return session.over or "the connection was lost"

    def _listen(self, client: _Client, session: _Session) -> None:
        """Tell paho what to do with what comes; all of it happens in the bus thread."""

        def on_connect(_c: Any, _u: Any, _f: Any, answer: ReasonCode, properties: Any) -> None:
            session.answer = answer
            if answer.is_failure:
                session.over = f"the broker refused the connection: {answer}"
                return
            session.max_in_flight = min(MAX_IN_FLIGHT, getattr(properties, "ReceiveMaximum", MAX_IN_FLIGHT))
            # QoS 0: no session outlives its connection, and a burst behind few unacknowledged
            # messages overruns the broker's queue, which then drops the newest.
            if self._topics and self._version == _V5:
                client.subscribe([(topic, SubscribeOptions(qos=0)) for topic in self._topics])
            elif self._topics:
                client.subscribe([(topic, 0) for topic in self._topics])
            else:
                self._up(session)

        def on_subscribe(_c: Any, _u: Any, _m: int, answers: list[ReasonCode], _p: Any) -> None:
            refused = [
                f"{topic} ({answer})"
                for topic, answer in zip(self._topics, answers, strict=True)
                if answer.is_failure
            ]
            if refused:
                session.over = f"the broker refused the subscription to {', '.join(refused)}"
            else:
                self._up(session)

        def on_message(_c: Any, _u: Any, message: mqtt.MQTTMessage) -> None:
            payload = bytes(message.payload[:MAX_HANDED_OVER_BYTES])
            heard = Heard(message.topic, payload, message.retain, self._boottime_us())
            if session.up_at_us is not None:
                self._take(session, heard)
            elif len(session.held) < MAX_HELD_MESSAGES:
                session.held.append(heard)
            else:
                session.over = f"more than {MAX_HELD_MESSAGES} messages came before the SUBACK"

        def on_publish(_c: Any, _u: Any, message_id: int, answer: ReasonCode, _p: Any) -> None:
            session.in_flight.discard(message_id)
            if answer.is_failure:
                self._outbox.dropped += 1

        def on_disconnect(_c: Any, _u: Any, flags: mqtt.DisconnectFlags, answer: ReasonCode, _p: Any) -> None:
            if flags.is_disconnect_packet_from_server:
                session.over = session.over or f"the broker ended the session: {answer}"
            elif answer.getName() == "Keep alive timeout":
                session.over = session.over or "the broker no longer answers"

        client.on_connect, client.on_subscribe = on_connect, on_subscribe
        client.on_message, client.on_publish, client.on_disconnect = on_message, on_publish, on_disconnect

    def _up(self, session: _Session) -> None:
        """Every subscription is granted: say so, then hand over what came before the SUBACK."""
        session.up_at_us = self._boottime_us()
        self._outbox.accept(accepting=True)
        if self._untold is not None or not self._told(Link(True, "subscribed", session.up_at_us)):
            session.over = session.over or "nobody took the word that the link is up"
            return
        for early in session.held:
            self._take(session, Heard(early.topic, early.payload, early.retained, session.up_at_us))
        session.held.clear()

    def _take(self, session: _Session, heard: Heard) -> None:
        if session.over:
            return
        try:
            self._on_heard(heard)
        except Exception as error:
            self.raised += 1
            session.over = f"a message on {heard.topic} could not be taken: {type(error).__name__}"

    def _lost(self, why: str) -> None:
        self._outbox.accept(accepting=False)
        self._untold = Link(False, "stopped" if self._stop_by_us is not None else why, self._boottime_us())
        self._turned()

    def _told(self, link: Link) -> bool:
        try:
            self._on_link(link)
        except Exception:
            self.raised += 1
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

    def _send(self, client: _Client, session: _Session) -> None:
        """Give paho the next messages, as long as the last one left and not too many are in flight."""
        outgoing: Outgoing | None = None
        for _ in range(MAX_A_TURN):
            if client.want_write() or len(session.in_flight) >= session.max_in_flight:
                break
            outgoing = self._outbox.take()
            if outgoing is None:
                break
            try:
                sent = client.publish(outgoing.topic, outgoing.payload, outgoing.qos, outgoing.retain)
            except ValueError:
                self._outbox.dropped += 1
                continue
            if outgoing.qos:
                session.in_flight.add(sent.mid)
        else:
            self._outbox.wake()
        if self._stop_by_us is None:
            return
        sent_all = outgoing is None and not session.in_flight and not client.want_write()
        if sent_all or session.up_at_us is None or self._boottime_us() >= self._stop_by_us:
            client.disconnect()
            session.over = session.over or "stopped"


def anonymous_refused(host: str, port: int, timeout_s: float) -> bool | None:
    """Whether the broker refuses a client without a name, found by trying one that publishes and
    subscribes to nothing (`bus-trusted`, F30). True: refused; False: let in; None: not found out.
    Blocks for `timeout_s` at most; a host name that must be resolved may take longer."""
    give_up_at = time.monotonic() + timeout_s
    for version in (_V5, _V311):
        try:
            answer = _knock(host, port, version, lambda: time.monotonic() >= give_up_at)
        except OSError:
            return None
        if answer is None:
            return None
        if not answer.is_failure:
            return False
        if answer.value != _UNSUPPORTED_VERSION:
            return True if answer.value in _NOT_WITHOUT_A_NAME else None
    return None


def _knock(
    host: str, port: int, version: MQTTProtocolVersion, gives_up: Callable[[], bool]
) -> ReasonCode | None:
    """The CONNACK's reason for a client without a name; None when none came."""
    answers: list[ReasonCode] = []
    with dial(host, port, gives_up) as connection:
        client = _Client(connection, version, f"volet-{secrets.token_hex(4)}")
        client.on_connect = lambda _c, _u, _f, answer, _p: answers.append(answer)
        client.connect(host, port)
        poller = select.poll()
        while client.socket() is not None and not answers and not gives_up():
            client.turn(poller, 50)
        client.disconnect()
    return answers[0] if answers else None
