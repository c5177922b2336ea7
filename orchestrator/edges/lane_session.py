"""One session with the broker, from the CONNECT to its end: what is heard, sent and acknowledged."""

from __future__ import annotations

import select
from collections.abc import Callable, Sequence
from typing import Any

from paho.mqtt import client as mqtt
from paho.mqtt.enums import MQTTProtocolVersion
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from orchestrator.core.lane_values import MAX_PAYLOAD_BYTES
from orchestrator.edges.lane_client import MAX_A_TURN, Client
from orchestrator.edges.lane_messages import BusSettings, Heard, Outgoing
from orchestrator.edges.lane_outbox import Outbox

V5, V311 = MQTTProtocolVersion.MQTTv5, MQTTProtocolVersion.MQTTv311
UNSUPPORTED_VERSION = 132

MAX_HANDED_OVER_BYTES = MAX_PAYLOAD_BYTES + 1
MAX_HELD_MESSAGES = 1000
MAX_IN_FLIGHT = 20
_BAD_CREDENTIALS = frozenset({134, 135})


class Session:
    """One connection's life, in the bus thread. `over` says why it must end; empty: it need not.

    `on_up` comes once, when every subscription is granted, then `on_heard` for each message in order, and
    `on_pause` after those that came together. Each may raise: that is counted in `raised` and ends the
    session (F21).
    """

    def __init__(
        self,
        settings: BusSettings,
        topics: Sequence[str],
        outbox: Outbox,
        *,
        on_up: Callable[[int], None],
        on_heard: Callable[[Heard], None],
        on_pause: Callable[[], None],
        boottime_us: Callable[[], int],
    ) -> None:
        self._settings, self._topics, self._outbox = settings, topics, outbox
        self._on_up, self._on_heard, self._on_pause = on_up, on_heard, on_pause
        self._boottime_us = boottime_us
        self._unpaused = False
        self.over = ""
        self.raised = 0
        self.up_at_us: int | None = None
        self.answer: ReasonCode | None = None
        self.dialled = False
        self._version = V5
        self._in_flight: dict[int, Outgoing] = {}
        self._max_in_flight = MAX_IN_FLIGHT
        self._held: list[Heard] = []
        self._client: Client

    @property
    def not_understood(self) -> bool:
        """Whether the broker may not speak the version that we tried: it refused it, or never answered."""
        if self.answer is None:
            return self.dialled
        return bool(self.answer.value == UNSUPPORTED_VERSION)

    @property
    def connected(self) -> bool:
        """Whether there is a connection, and no reason to end it."""
        return self._client.socket() is not None and not self.over

    def begin(self, client: Client, version: MQTTProtocolVersion) -> None:
        """Send the CONNECT, with the last will in it."""
        settings = self._settings
        self._client, self._version, self.dialled = client, version, True
        if settings.username is not None:
            client.username_pw_set(settings.username, settings.password)
        if settings.will_topic is not None:
            client.will_set(settings.will_topic, settings.will_payload, qos=1, retain=True)
        client.on_connect, client.on_subscribe = self._connected, self._subscribed
        client.on_message, client.on_publish = self._received, self._acknowledged
        client.on_disconnect = self._disconnected
        client.connect(settings.host, settings.port, settings.keepalive_s)

    def turn(self, poller: select.poll, timeout_ms: int) -> None:
        """Send what waits, then wait for the broker or for a waker."""
        self._send()
        self._client.turn(poller, timeout_ms)
        if self._unpaused:
            self._unpaused = False
            try:
                self._on_pause()
            except Exception as error:
                self.raised += 1
                self.over = self.over or f"what was heard could not be judged: {type(error).__name__}"

    def ended(self, why: str) -> str:
        """The connection is closed: why, where `why` does not say it yet. What nobody acknowledged is told
        as lost."""
        lost, self._in_flight = self._in_flight, {}
        self._outbox.dropped += len(lost)
        for outgoing in lost.values():
            self._outbox.tell(outgoing, "the session with the broker ended before it was acknowledged")
        if not self.dialled:
            return why
        if self._client.too_large_bytes:
            return f"a message of {self._client.too_large_bytes} bytes came, more than we can hold"
        why = why or self.over
        if not why and self.answer is None:
            tls = "" if self._settings.certificates else "; if the port expects TLS, ca_file turns it on"
            why = f"the broker closed the connection without an answer{tls}"
        return why or "the connection was lost"

    def leave_when_sent(self, by_us: int) -> None:
        """Disconnect, without the will, as soon as everything is acknowledged, and at `by_us` in any case."""
        waits = self._outbox.waiting or self._in_flight or self._client.want_write()
        if not waits or self.up_at_us is None or self._boottime_us() >= by_us:
            self._client.disconnect()
            self.over = self.over or "stopped"

    def _connected(self, _c: Any, _u: Any, _f: Any, answer: ReasonCode, properties: Any) -> None:
        self.answer = answer
        if answer.is_failure:
            look = ": look at username, password_file and the broker's own list"
            self.over = f"the broker refused the connection: {answer}" + look * (
                answer.value in _BAD_CREDENTIALS
            )
            return
        self._max_in_flight = min(MAX_IN_FLIGHT, getattr(properties, "ReceiveMaximum", MAX_IN_FLIGHT))
        # QoS 0: no session outlives its connection, and a burst behind few unacknowledged
        # messages overruns the broker's queue, which then drops the newest.
        if self._topics and self._version == V5:
            self._client.subscribe([(topic, SubscribeOptions(qos=0)) for topic in self._topics])
        elif self._topics:
            self._client.subscribe([(topic, 0) for topic in self._topics])
        else:
            self._up()

    def _subscribed(self, _c: Any, _u: Any, _m: int, answers: list[ReasonCode], _p: Any) -> None:
        refused = [
            f"{topic} ({answer})"
            for topic, answer in zip(self._topics, answers, strict=True)
            if answer.is_failure
        ]
        if refused:
            self.over = (
                f"the broker refused the subscription to {', '.join(refused)}: allow the user to read it"
            )
        else:
            self._up()

    def _up(self) -> None:
        """Every subscription is granted: say so, then hand over what came before the SUBACK."""
        self.up_at_us = self._boottime_us()
        try:
            self._on_up(self.up_at_us)
        except Exception:
            self.raised += 1
            self.over = self.over or "nobody took the word that the link is up"
            return
        for early in self._held:
            self._take(Heard(early.topic, early.payload, early.retained, self.up_at_us))
        self._held.clear()

    def _received(self, _c: Any, _u: Any, message: mqtt.MQTTMessage) -> None:
        payload = bytes(message.payload[:MAX_HANDED_OVER_BYTES])
        heard = Heard(message.topic, payload, message.retain, self._boottime_us())
        if self.up_at_us is not None:
            self._take(heard)
        elif len(self._held) < MAX_HELD_MESSAGES:
            self._held.append(heard)
        else:
            self.over = f"more than {MAX_HELD_MESSAGES} messages came before the SUBACK"

    def _take(self, heard: Heard) -> None:
        if self.over:
            return
        self._unpaused = True
        try:
            self._on_heard(heard)
        except Exception as error:
            self.raised += 1
            self.over = f"a message on {heard.topic} could not be taken: {type(error).__name__}"

    def _acknowledged(self, _c: Any, _u: Any, message_id: int, answer: ReasonCode, _p: Any) -> None:
        outgoing = self._in_flight.pop(message_id, None)
        if answer.is_failure:
            self._outbox.dropped += 1
        if outgoing is not None:
            refused = f"the broker refused what was published on {outgoing.topic}: {answer}"
            self._outbox.tell(outgoing, refused if answer.is_failure else "")

    def _disconnected(
        self, _c: Any, _u: Any, flags: mqtt.DisconnectFlags, answer: ReasonCode, _p: Any
    ) -> None:
        if flags.is_disconnect_packet_from_server:
            self.over = self.over or f"the broker ended the session: {answer}"
        elif answer.getName() == "Keep alive timeout":
            self.over = self.over or "the broker no longer answers"

    def _send(self) -> None:
        """Give paho the next messages, as long as the last one left and not too many are in flight."""
        for _ in range(MAX_A_TURN):
            if self._client.want_write() or len(self._in_flight) >= self._max_in_flight:
                return
            outgoing = self._outbox.take()
            if outgoing is None:
                return
            try:
                sent = self._client.publish(outgoing.topic, outgoing.payload, outgoing.qos, outgoing.retain)
            except ValueError as error:
                self._outbox.dropped += 1
                self._outbox.tell(outgoing, f"it cannot be published: {error}")
                continue
            if outgoing.qos:
                self._in_flight[sent.mid] = outgoing
            else:
                self._outbox.tell(outgoing, "")
        self._outbox.wake()
