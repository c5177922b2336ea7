"""From the word that shuts a camera to the end at the viewer, beside what carries that word alone."""

from __future__ import annotations

import statistics
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import pytest
from paho.mqtt import client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from tests.bench.conftest import MakeGateway
from tests.bench.figures import Aim, Report, Row, milliseconds
from tests.bench.gateway import BenchGateway
from tests.e2e.configuration import MAINTAINER
from tests.e2e.incident import at_us, now_us
from tests.e2e.viewer import Viewer

CLOSINGS = 20
PIECES_FIRST = 3
FRAME_S = 1 / 12
COMMAND = "parking/stream/cmd"
SENSOR = "parking/sensor_gate/error"
LIMIT_S = 10.0


class TimedViewer(Viewer):
    """Knows when the connection ended (wall time, microseconds)."""

    ended_us = 0

    def _end(self, how: str) -> None:
        self.ended_us = now_us()
        super()._end(how)


class Neighbour:
    """A client of the same broker: it publishes, and hears its own words come back."""

    def __init__(self, port: int) -> None:
        self.heard_us: dict[str, int] = {}
        self._heard = threading.Condition()
        self._granted = threading.Event()
        self.client = mqtt.Client(CallbackAPIVersion.VERSION2)
        self.client.on_connect = lambda client, *_: client.subscribe([(COMMAND, 0), (SENSOR, 0)])
        self.client.on_subscribe = lambda *_: self._granted.set()
        self.client.on_message = self._take
        self.client.connect("127.0.0.1", port)
        self.client.loop_start()
        assert self._granted.wait(LIMIT_S)

    def _take(self, _client: object, _data: object, message: mqtt.MQTTMessage) -> None:
        with self._heard:
            self.heard_us[message.topic] = now_us()
            self._heard.notify_all()

    def say(self, topic: str, payload: str, *, retain: bool = False) -> None:
        """Publish at QoS 0; the socket has it when this returns."""
        self.heard_us.pop(topic, None)
        self.client.publish(topic, payload, retain=retain)

    def wait_echo(self, topic: str) -> int:
        """When the broker brought it to us."""
        with self._heard:
            assert self._heard.wait_for(lambda: topic in self.heard_us, LIMIT_S)
            return self.heard_us[topic]

    def stop(self) -> None:
        """Leave."""
        self.client.disconnect()
        self.client.loop_stop()


@contextmanager
def neighbour_of(gateway: BenchGateway) -> Iterator[Neighbour]:
    neighbour = Neighbour(gateway.lane_port)
    try:
        yield neighbour
    finally:
        neighbour.stop()


@dataclass(slots=True)
class Times:
    """Of each closing in seconds: word given → connection ended, → last byte; the gate's own time; the same
    way without a gate."""

    to_end: list[float] = field(default_factory=list)
    to_last_byte: list[float] = field(default_factory=list)
    to_seen: list[float] = field(default_factory=list)
    shut: list[float] = field(default_factory=list)
    carried: list[float] = field(default_factory=list)
    late_bytes: int = 0


def shut_once(
    gateway: BenchGateway, times: Times, word: Callable[[], int], carried_us: Callable[[], int]
) -> None:
    """Open, let bytes flow, give the word (`word` returns its instant), and see what came of it."""
    gateway.wait_ready()
    session = gateway.open()
    viewer = TimedViewer((gateway.address, gateway.port), MAINTAINER, gateway.join()["mp4"])
    try:
        viewer.wait_flow(PIECES_FIRST)
        # Frames come in step with the camera: the word must not.
        time.sleep(FRAME_S * len(times.to_end) / CLOSINGS)
        said_us = word()
        viewer.wait_end()
        carried = carried_us()
        closing, proof = gateway.wait_end(session), gateway.wait("closed", session)["data"]
    finally:
        viewer.close()
    seen_us = at_us(closing)
    times.to_end.append((viewer.ended_us - said_us) / 1e6)
    times.to_last_byte.append((viewer.last_us - said_us) / 1e6)
    times.to_seen.append((seen_us - said_us) / 1e6)
    times.shut.append(proof["shut_us"] / 1e6)
    times.carried.append(carried / 1e6)
    times.late_bytes += sum(size for at, size in viewer.arrivals if at > seen_us + proof["shut_us"])
    assert proof["viewers_cut"] == 1


def add_rows(report: Report, how: str, beside: str, times: Times) -> None:
    last_ms = [value * 1e3 for value in times.to_last_byte]
    raw = {
        "word → seen by the daemon, ms": milliseconds("", times.to_seen).shown,
        "seen → gate shut (`shut_us`), ms": milliseconds("", times.shut).shown,
        "word → last byte, ms": f"{max(last_ms):.3g} at most, {statistics.median(last_ms):.3g} median",
        "bytes after the gate was shut": times.late_bytes,
    }
    row = Row(
        f"shut {how}: word to reset at the viewer",
        milliseconds("viewer", times.to_end),
        milliseconds(beside, times.carried),
        Aim("p99", 10),
        raw,
    )
    report.add(row)


def by_bus(
    gateway: BenchGateway, neighbour: Neighbour, times: Times, topic: str, payload: str, *, retain: bool
) -> None:
    said_us = 0

    def word() -> int:
        nonlocal said_us
        said_us = now_us()
        neighbour.say(topic, payload, retain=retain)
        return said_us

    shut_once(gateway, times, word, lambda: neighbour.wait_echo(topic) - said_us)


def by_socket(gateway: BenchGateway, times: Times) -> None:
    carried_us = 0

    def word() -> int:
        nonlocal carried_us
        began_us = now_us()
        assert gateway.ask_locally("GET", "/healthz").status == 200
        said_us = now_us()
        carried_us = said_us - began_us
        assert gateway.local_close().status == 202
        return said_us

    shut_once(gateway, times, word, lambda: carried_us)


@pytest.mark.timeout(300)
def test_shutting(make_gateway: MakeGateway, report: Report) -> None:
    gateway = make_gateway(new_per_minute="600")
    gateway.start()
    command, unsafe, local = Times(), Times(), Times()
    with neighbour_of(gateway) as neighbour:
        for _ in range(CLOSINGS):
            close = '{"trigger": "close", "camera": "cam1"}'
            by_bus(gateway, neighbour, command, COMMAND, close, retain=False)
            by_bus(gateway, neighbour, unsafe, SENSOR, "no echo", retain=True)
            neighbour.say(SENSOR, "OK", retain=True)
            by_socket(gateway, local)
    add_rows(report, "by MQTT command", "another subscriber", command)
    add_rows(report, "by an unsafe lane", "another subscriber", unsafe)
    add_rows(report, "by the local socket", "GET /healthz there", local)
