"""A client of the same broker beside the daemon: it publishes, and hears its own words come back."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from paho.mqtt import client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from tests.e2e.incident import now_us

COMMAND = "parking/stream/cmd"
SENSOR = "parking/sensor_gate/error"
LIMIT_S = 10.0


class Neighbour:
    """Connected and subscribed as soon as it is made."""

    def __init__(self, port: int) -> None:
        self._heard_us: dict[str, int] = {}
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
            self._heard_us[message.topic] = now_us()
            self._heard.notify_all()

    def say(self, topic: str, payload: str, *, retain: bool = False) -> None:
        """Publish at QoS 0."""
        with self._heard:
            self._heard_us.pop(topic, None)
        self.client.publish(topic, payload, retain=retain)

    def wait_echo(self, topic: str) -> int:
        """When the broker brought it to us (wall time, microseconds)."""
        with self._heard:
            assert self._heard.wait_for(lambda: topic in self._heard_us, LIMIT_S)
            return self._heard_us[topic]

    def stop(self) -> None:
        """Leave."""
        self.client.disconnect()
        self.client.loop_stop()


@contextmanager
def neighbour_at(port: int) -> Iterator[Neighbour]:
    """A neighbour that has left afterwards."""
    neighbour = Neighbour(port)
    try:
        yield neighbour
    finally:
        neighbour.stop()
