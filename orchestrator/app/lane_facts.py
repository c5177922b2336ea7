"""The lane's word: what the broker says goes to the board and, at once, before every gate it concerns."""

from __future__ import annotations

import asyncio
import json
import os
from collections import Counter
from collections.abc import Callable, Container, Iterable
from dataclasses import replace
from typing import Protocol

from orchestrator.core import lane as lane_rules
from orchestrator.core.commands import CHECKS, Why
from orchestrator.core.events import Actor
from orchestrator.core.facts import Proof
from orchestrator.core.lane import LaneMemory
from orchestrator.core.moment import Moment
from orchestrator.core.policy import CameraPolicy, LanePolicy
from orchestrator.edges.lane_bus import BusSettings, Heard, LaneBus, Link, anonymous_refused
from orchestrator.runtime.board import Board, renewed
from orchestrator.settings import Settings

BUS_MAX_AGE_US = 6_000_000
TRUST_EVERY_S = 60.0
TRUST_AGAIN_S = 2.0
TRUST_MAX_AGE_US = 180_000_000
TRUST_TIMEOUT_S = 5.0
STOP_TIMEOUT_S = 0.5
BUS = Actor("bus", "mqtt")


class Shutters(Protocol):
    """What the lane's word may shut: the site; for `doctor`, nothing."""

    @property
    def cameras(self) -> Container[str]:
        """The cameras there are."""

    def look(self, lane: str | None = None) -> None:
        """Judge now; any thread."""

    def close(self, why: Why, cameras: Iterable[str] | None = None) -> None:
        """Shut now; any thread."""


class LaneFacts:
    """Owns the link to the broker. `heard` and `linked` run in the bus's own thread, so that a lane
    that turns unsafe shuts the gate even while the loop is busy.

    `only_listens`: beside the daemon, as a client of its own that leaves no last will (`doctor`).
    """

    def __init__(
        self,
        board: Board,
        site: Shutters,
        counters: Counter[str],
        *,
        now: Callable[[], Moment],
        random: Callable[[], float],
        only_listens: bool = False,
    ) -> None:
        self._board, self._site, self._counters = board, site, counters
        self._now, self._random = now, random
        self._only_listens = only_listens
        self._bus: LaneBus | None = None
        self._settings: Settings | None = None

    def start(self, settings: Settings) -> None:
        """Connect as `settings` say; nothing is known of any lane before the broker answers."""
        self._settings = settings
        mqtt = settings.mqtt
        self._board.lanes = {}
        self._board.bus = Proof(
            False,
            "broker-lost",
            f"connecting to {mqtt.host}:{mqtt.port}",
            "broker",
            self._now().boottime_us,
            max_age_us=BUS_MAX_AGE_US,
        )
        self._bus = LaneBus(
            BusSettings(
                host=mqtt.host,
                port=mqtt.port,
                username=mqtt.username,
                password=mqtt.password,
                keepalive_s=mqtt.keepalive_s,
                client_id=f"volet-{settings.policy.site}" + (f"-{os.getpid()}" * self._only_listens),
                will_topic=None if self._only_listens else f"{mqtt.publish_prefix}/status",
                will_payload=b"offline",
            ),
            topics=topics_of(settings),
            on_heard=self.heard,
            on_link=self.linked,
            boottime_us=lambda: self._now().boottime_us,
            random=self._random,
        )
        self._bus.start()

    async def stop(self) -> None:
        """Leave the broker."""
        if self._bus is not None:
            bus, self._bus = self._bus, None
            await asyncio.to_thread(bus.stop, STOP_TIMEOUT_S)

    def publish(self, topic: str, payload: bytes, *, qos: int, retain: bool) -> bool:
        """Below the prefix alone (K1). False when it could not be handed over."""
        if self._bus is None or self._settings is None:
            return False
        return self._bus.publish(
            f"{self._settings.mqtt.publish_prefix}/{topic}", payload, qos=qos, retain=retain
        )

    def linked(self, link: Link) -> None:
        """The session with the broker began or ended."""
        now = self._now()
        lanes = self._board.policy.lanes
        change = lane_rules.subscribed if link.connected else lane_rules.disconnected
        self._board.lanes = {name: change(lane, self._board.lane(name), now) for name, lane in lanes.items()}
        self._board.bus = renewed(
            self._board.bus,
            now.boottime_us,
            link.connected,
            fault="broker-lost",
            detail="connected and subscribed"
            if link.connected
            else f"no session with the broker: {link.why}",
        )
        self._site.look()

    def heard(self, message: Heard) -> None:
        """One message: folded into every lane that listens, judged at once."""
        settings = self._settings
        if settings is not None and message.topic == f"{settings.mqtt.publish_prefix}/cmd":
            self._command(message)
            return
        now = self._now()
        for name, lane in self._board.policy.lanes.items():
            if any(rule.topic == message.topic for rule in lane.rules):
                self._board.lanes = {**self._board.lanes, name: self._folded(lane, message, now)}
                self._site.look(name)
        for camera in self._board.policy.cameras.values():
            if _moves(camera, message):
                data = {"fault": "camera-moved"}
                self._site.close(Why("fault", CHECKS, "camera-moved", data), [camera.id])

    def _folded(self, lane: LanePolicy, message: Heard, now: Moment) -> LaneMemory:
        memory = self._board.lane(lane.name)
        return lane_rules.heard(lane, memory, message.topic, message.payload, message.retained, now)

    def _command(self, message: Heard) -> None:
        """Closing by MQTT; opening never (S18). A retained command is ignored (CONTRACT 9)."""
        camera = None if message.retained else _camera_to_close(message.payload)
        if camera is None or (camera != "*" and camera not in self._site.cameras):
            self._counters["bus-ignored"] += 1
            return
        self._site.close(Why("close", BUS), None if camera == "*" else [camera])

    def alive_at_us(self) -> int:
        """When the bus's own thread last turned: how old the link's word is (F21)."""
        return self._bus.alive_at_us if self._bus is not None else 0

    async def keep_asking(self) -> None:
        """Whether a stranger could publish, each minute."""
        while True:
            await self._look_at_trust()
            await asyncio.sleep(TRUST_EVERY_S if self._board.bus_trusted.good else TRUST_AGAIN_S)

    async def _look_at_trust(self) -> None:
        settings = self._settings
        if settings is None:
            return
        mqtt = settings.mqtt
        if mqtt.trust == "open":
            refused: bool | None = True
            detail = "the site accepts that anybody on the network could publish the lane's state"
        else:
            refused = await asyncio.to_thread(anonymous_refused, mqtt.host, mqtt.port, TRUST_TIMEOUT_S)
            detail = {
                True: "the broker refuses anonymous clients",
                False: "the broker lets anonymous clients in, so anybody could publish the lane's state: "
                'set allow_anonymous false and an ACL (ops/mosquitto.acl), or trust = "open" in [mqtt]',
                None: "the broker could not be asked whether it lets anonymous clients in",
            }[refused]
        before = replace(self._board.bus_trusted, max_age_us=TRUST_MAX_AGE_US)
        self._board.bus_trusted = renewed(
            before,
            self._now().boottime_us,
            refused is True,
            fault="",
            detail=detail,
            evidence={"trust": mqtt.trust, "anonymous_refused": refused if mqtt.trust == "acl" else None},
        )
        self._site.look()


def topics_of(settings: Settings) -> tuple[str, ...]:
    """What is subscribed to, and nothing else (CONTRACT 6)."""
    policy = settings.policy
    topics = [rule.topic for lane in policy.lanes.values() for rule in lane.rules]
    topics += [camera.moves_topic for camera in policy.cameras.values() if camera.moves_topic]
    topics.append(f"{settings.mqtt.publish_prefix}/cmd")
    return tuple(dict.fromkeys(topics))


def _moves(camera: CameraPolicy, message: Heard) -> bool:
    """Whether this is a pan/tilt command that makes the camera's static mask wrong (FIELD 1)."""
    if not camera.masked or camera.moves_topic != message.topic or message.retained:
        return False
    return message.payload.decode("utf-8", "replace").strip().startswith(camera.moves_prefix)


def _camera_to_close(payload: bytes) -> str | None:
    try:
        body = json.loads(payload[:4096])
    except ValueError:
        return None
    if not isinstance(body, dict) or body.get("trigger") != "close":
        return None
    camera = body.get("camera")
    return camera if isinstance(camera, str) else None
