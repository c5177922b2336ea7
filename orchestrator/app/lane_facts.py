"""The lane's word: what the broker says goes to the board and, at once, before every gate it concerns."""

from __future__ import annotations

import asyncio
import json
import logging
import os
from collections import Counter
from collections.abc import Callable, Container, Iterable
from dataclasses import replace
from typing import Protocol

from orchestrator.core import lane as lane_rules
from orchestrator.core.commands import CHECKS, Why
from orchestrator.core.events import Actor
from orchestrator.core.facts import Proof, unseen
from orchestrator.core.lane import LaneMemory
from orchestrator.core.moment import Moment
from orchestrator.core.policy import CameraPolicy, LanePolicy
from orchestrator.edges.clock import boottime_us
from orchestrator.edges.lane_bus import BusSettings, Heard, LaneBus, Link, anonymous_refused
from orchestrator.runtime.board import Board, renewed
from orchestrator.settings import Settings

log = logging.getLogger(__name__)

BUS_MAX_AGE_US = 6_000_000
WATCH_EVERY_S = 1.0
MAX_ABANDONED = 3
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

    def masked(self, camera: str) -> bool:
        """Whether a mask is in force on this camera; any thread."""

    def look(self, lane: str | None = None) -> None:
        """Judge now; any thread."""

    def close(self, why: Why, cameras: Iterable[str] | None = None) -> None:
        """Shut now; any thread."""


class LaneFacts:
    """Owns the link to the broker. `heard` and `linked` run in the bus's own thread, so that a lane
    that turns unsafe shuts the gate even while the loop is busy. A thread that died or hangs is left
    behind, and another one takes its place.

    `on_session` is called in the bus's thread when a session has begun.
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
        self._abandoned: list[LaneBus] = []
        self._settings: Settings | None = None
        self._unjudged: set[str] = set()
        self.on_session: list[Callable[[], None]] = []
        self._loop: asyncio.AbstractEventLoop | None = None
        self._doubted = asyncio.Event()
        self._doubts = 0

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
        self._doubt()
        self._bus = self._made(settings)
        self._bus.start()

    def _made(self, settings: Settings) -> LaneBus:
        """A link whose word counts only while it is the one in use."""
        mqtt = settings.mqtt

        def linked(link: Link) -> None:
            if self._bus is bus:
                self.linked(link)

        def heard(message: Heard) -> None:
            if self._bus is bus:
                self.heard(message)

        def paused() -> None:
            if self._bus is bus:
                self.paused()

        bus = LaneBus(
            BusSettings(
                host=mqtt.host,
                port=mqtt.port,
                username=mqtt.username,
                password=mqtt.password,
                certificates=mqtt.certificates,
                keepalive_s=mqtt.keepalive_s,
                client_id=f"volet-{settings.policy.site}" + (f"-{os.getpid()}" * self._only_listens),
                publish_prefix=None if self._only_listens else mqtt.publish_prefix,
                will_topic=None if self._only_listens else f"{mqtt.publish_prefix}/status",
                will_payload=b"offline",
            ),
            topics=topics_of(settings),
            on_heard=heard,
            on_link=linked,
            on_pause=paused,
            boottime_us=boottime_us,
            random=self._random,
        )
        return bus

    async def keep_watch(self) -> None:
        """Replace a thread that is dead, or that hangs in a session it still calls good (F21)."""
        while True:
            await asyncio.sleep(WATCH_EVERY_S)
            bus, settings = self._bus, self._settings
            if bus is None or settings is None or not self._is_stuck(bus):
                continue
            self._abandoned = [old for old in self._abandoned if old.runs]
            if len(self._abandoned) >= MAX_ABANDONED:
                continue
            if bus.runs:
                self._abandoned.append(bus)
            log.error("the thread of the broker's link %s; another one is begun", _state_of(bus))
            bus.stop(0)
            self.start(settings)
            self._site.look()

    def _is_stuck(self, bus: LaneBus) -> bool:
        age_us = self._now().boottime_us - bus.alive_at_us
        return not bus.runs or (self._board.bus.good and age_us > BUS_MAX_AGE_US)

    async def stop(self) -> None:
        """Leave the broker."""
        bus, self._settings = self._bus, None
        if bus is not None:
            await asyncio.to_thread(bus.stop, STOP_TIMEOUT_S)
            self._bus = None

    @property
    def connected(self) -> bool:
        """Whether there is a session with the broker, as far as its thread has said."""
        return self._settings is not None and self._board.bus.good

    def publish(
        self,
        topic: str,
        payload: bytes,
        *,
        qos: int,
        retain: bool,
        on_done: Callable[[str], None] | None = None,
    ) -> bool:
        """Below the prefix alone (K1). False when it could not be handed over; else `on_done` is told, in
        the bus's thread, why the broker does not have it, or nothing once it has."""
        if self._bus is None or self._settings is None:
            return False
        below = f"{self._settings.mqtt.publish_prefix}/{topic}"
        return self._bus.publish(below, payload, qos=qos, retain=retain, on_done=on_done)

    def linked(self, link: Link) -> None:
        """The session with the broker began or ended."""
        now = self._now()
        if link.connected:
            self._doubt()
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
        for begin in self.on_session if link.connected else ():
            begin()

    def heard(self, message: Heard) -> None:
        """One message: folded into every lane that listens. What breaks a rule is judged at once (S4), all
        else when the messages that came together have been heard."""
        settings = self._settings
        if settings is not None and message.topic == f"{settings.mqtt.publish_prefix}/cmd":
            self._command(message)
            return
        now = self._now()
        for name, lane in self._board.policy.lanes.items():
            if any(rule.topic == message.topic for rule in lane.rules):
                before, after = self._board.lane(name), self._folded(lane, message, now)
                self._board.lanes = {**self._board.lanes, name: after}
                self._unjudged.add(name)
                if _breaks(before, after, now):
                    self._judge(name)
        for camera in self._board.policy.cameras.values():
            if _moves(camera, message) and self._site.masked(camera.id):
                data = {"fault": "camera-moved"}
                self._site.close(Why("fault", CHECKS, "camera-moved", data), [camera.id])

    def paused(self) -> None:
        """No more messages for the moment."""
        for lane in tuple(self._unjudged):
            self._judge(lane)

    def _judge(self, lane: str) -> None:
        self._unjudged.discard(lane)
        self._site.look(lane)

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

    def _doubt(self) -> None:
        """Another broker, or other settings: what was found of the last one says nothing; asked at once."""
        self._doubts += 1
        self._board.bus_trusted = unseen("", "broker", "whether an anonymous client could publish")
        if self._loop is not None:
            try:
                self._loop.call_soon_threadsafe(self._doubted.set)
            except RuntimeError:
                log.debug("the loop has ended")

    async def keep_asking(self) -> None:
        """Whether a stranger could publish: each minute, and of each session with the broker anew."""
        self._loop = asyncio.get_running_loop()
        while True:
            self._doubted.clear()
            await self._look_at_trust()
            again_s = TRUST_EVERY_S if self._board.bus_trusted.good else TRUST_AGAIN_S
            try:
                async with asyncio.timeout(again_s):
                    await self._doubted.wait()
            except TimeoutError:
                pass

    async def _look_at_trust(self) -> None:
        settings, doubts = self._settings, self._doubts
        if settings is None:
            return
        mqtt = settings.mqtt
        if mqtt.trust == "open":
            refused: bool | None = True
            detail = "the site accepts that anybody on the network could publish the lane's state"
        else:
            refused = await asyncio.to_thread(
                anonymous_refused, mqtt.host, mqtt.port, TRUST_TIMEOUT_S, mqtt.certificates
            )
            detail = {
                True: "the broker refuses anonymous clients",
                False: "the broker lets anonymous clients in, so anybody could publish the lane's state: "
                'set allow_anonymous false and an ACL (ops/mosquitto.acl), or trust = "open" in [mqtt]',
                None: "the broker could not be asked whether it lets anonymous clients in",
            }[refused]
        if doubts != self._doubts:
            return
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


def _state_of(bus: LaneBus) -> str:
    return "hangs" if bus.runs else "is dead"


def topics_of(settings: Settings) -> tuple[str, ...]:
    """What is subscribed to, and nothing else (CONTRACT 6)."""
    policy = settings.policy
    topics = [rule.topic for lane in policy.lanes.values() for rule in lane.rules]
    topics += [camera.moves_topic for camera in policy.cameras.values() if camera.moves_topic]
    topics.append(f"{settings.mqtt.publish_prefix}/cmd")
    return tuple(dict.fromkeys(topics))


def _breaks(before: LaneMemory, after: LaneMemory, now: Moment) -> bool:
    """Whether a rule held until now and does no longer: a pulse that is gone with the next message counts
    too (CONTRACT 9)."""
    at_us = now.boottime_us
    return any(
        old.holds_at(at_us) and not new.holds_at(at_us)
        for old, new in zip(before.rules, after.rules, strict=True)
    )


def _moves(camera: CameraPolicy, message: Heard) -> bool:
    """Whether this is a pan/tilt command to this camera, which makes a static mask wrong (FIELD 1)."""
    if camera.moves_topic != message.topic or message.retained:
        return False
    return message.payload.decode("utf-8", "replace").strip().startswith(camera.moves_prefix)


def _camera_to_close(payload: bytes) -> str | None:
    try:
        body = json.loads(payload[:4096])
    except (ValueError, RecursionError):
        return None
    if not isinstance(body, dict) or body.get("trigger") != "close":
        return None
    camera = body.get("camera")
    return camera if isinstance(camera, str) else None
