"""A Mosquitto of our own, someone who listens to a bus, and the fixtures that start both."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import shutil
import signal
import socket
import struct
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from orchestrator.edges import lane_bus
from orchestrator.edges.lane_bus import BusSettings, Heard, LaneBus, Link
from tests.ports import free_port

MOSQUITTO = shutil.which("mosquitto", path=os.environ.get("PATH", "") + ":/usr/sbin")
PATIENCE_S = 30
TOPIC = "parking/sensor_gate/present"
PREFIX = "parking/stream"
STATUS = f"{PREFIX}/status"
LIMITS_US = {
    "CONNECT_LIMIT_US": lane_bus.CONNECT_LIMIT_US,
    "V5_ANSWER_LIMIT_US": lane_bus.V5_ANSWER_LIMIT_US,
}

needs_mosquitto = [
    pytest.mark.slow,
    pytest.mark.skipif(MOSQUITTO is None, reason="mosquitto is not installed"),
]


def boottime_us() -> int:
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1000


def hurried_us() -> int:
    """A clock that runs twenty times as fast, so that nobody waits for a back-off."""
    return boottime_us() * 20


def limits(monkeypatch: pytest.MonkeyPatch, times: int) -> None:
    """A bus waits for the broker's answers `times` as long, by its own clock, as the product does."""
    for name, limit_us in LIMITS_US.items():
        monkeypatch.setattr(lane_bus, name, limit_us * times)


class Broker:
    """A Mosquitto of our own on a free loopback port."""

    def __init__(self, folder: Path, *lines: str, anonymous: bool = True) -> None:
        self.port = free_port()
        self._config = folder / "mosquitto.conf"
        self._process: subprocess.Popen[str] | None = None
        self._config.write_text(
            "\n".join(
                [
                    f"listener {self.port} 127.0.0.1",
                    f"allow_anonymous {'true' if anonymous else 'false'}",
                    "user root",
                    "log_dest stderr",
                    "connection_messages false",
                    *lines,
                ]
            )
        )

    def start(self) -> Broker:
        assert MOSQUITTO is not None
        self._process = subprocess.Popen(
            [MOSQUITTO, "-c", str(self._config)], stderr=subprocess.PIPE, text=True
        )
        assert self._process.stderr is not None
        said = []
        for line in self._process.stderr:
            said.append(line)
            if "running" in line:
                return self
        raise AssertionError("".join(said))

    def freeze(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        """SIGKILL: frozen as it may be, it says nothing more."""
        assert self._process is not None
        self._process.kill()
        self._process.wait(PATIENCE_S)

    def stop(self) -> None:
        if self._process is not None:
            self.thaw()
            self._process.terminate()
            self._process.wait(PATIENCE_S)
            assert self._process.stderr is not None
            self._process.stderr.close()
            self._process = None

    def say(self, topic: str, *payloads: bytes, retain: bool = False, qos: int = 1) -> None:
        """Publish by hand-made packets of 3.1.1, so that nothing of the code under test takes part."""
        with socket.create_connection(("127.0.0.1", self.port)) as connection:
            stream = connection.makefile("rwb")
            stream.write(b"\x10\x10\x00\x04MQTT\x04\x02\x00\x3c\x00\x04hand")
            stream.flush()
            assert stream.read(4) == b"\x20\x02\x00\x00"
            name = struct.pack("!H", len(topic)) + topic.encode()
            for payload in payloads:
                body = name + (b"\x00\x01" if qos else b"") + payload
                stream.write(bytes([0x30 | qos << 1 | retain]) + _length(len(body)) + body)
                if qos:
                    stream.flush()
                    assert stream.read(4) == b"\x40\x02\x00\x01"
            stream.write(b"\xe0\x00")
            stream.flush()


def _length(count: int) -> bytes:
    encoded = bytearray()
    while True:
        count, digit = divmod(count, 128)
        encoded.append(digit | (0x80 if count else 0))
        if not count:
            return bytes(encoded)


def dynamic_security(folder: Path, user: str, password: str, readable: Sequence[str]) -> tuple[str, ...]:
    """What Mosquitto's file says to let in this user alone, and to refuse (in the SUBACK) any subscription
    but these: a list of its own kind (`acl_file`) grants it and then delivers nothing."""
    salt = b"0123456789ab"
    digest = hashlib.pbkdf2_hmac("sha512", password.encode(), salt, 101)
    client = {
        "username": user,
        "password": base64.b64encode(digest).decode(),
        "salt": base64.b64encode(salt).decode(),
        "iterations": 101,
        "roles": [{"rolename": "reads"}],
    }
    allowed = [{"acltype": "subscribeLiteral", "topic": topic, "allow": True} for topic in readable]
    found = {
        "defaultACLAccess": {"publishClientReceive": True, "subscribe": False},
        "clients": [client],
        "roles": [{"rolename": "reads", "acls": allowed}],
    }
    (folder / "security.json").write_text(json.dumps(found))
    plugin = next(Path("/usr/lib").glob("*/mosquitto_dynamic_security.so"))
    return (f"plugin {plugin}", f"plugin_opt_config_file {folder / 'security.json'}")


class Listener:
    """Takes down what the bus thread tells, and waits for it."""

    def __init__(self) -> None:
        self.heard: list[Heard] = []
        self.links: list[Link] = []
        self._news = threading.Condition()

    def on_heard(self, heard: Heard) -> None:
        with self._news:
            self.heard.append(heard)
            self._news.notify_all()

    def on_link(self, link: Link) -> None:
        with self._news:
            self.links.append(link)
            self._news.notify_all()

    def until(self, seen: Callable[[], object]) -> None:
        with self._news:
            assert self._news.wait_for(seen, PATIENCE_S), (self.links[-5:], self.heard[-5:])

    def until_up(self, times: int = 1) -> None:
        self.until(lambda: sum(link.connected for link in self.links) >= times)

    def until_down(self, why: str) -> None:
        self.until(lambda: any(not link.connected and why in link.why for link in self.links))

    def until_heard(self, payload: bytes) -> None:
        self.until(lambda: any(heard.payload == payload for heard in self.heard))

    def until_heard_of(self, say: Callable[[], None], payload: bytes) -> None:
        """Say it again until it is heard: a broker drops what comes while a flood fills its queue."""
        give_up_at = time.monotonic() + PATIENCE_S
        while time.monotonic() < give_up_at:
            say()
            with self._news:
                if self._news.wait_for(lambda: any(heard.payload == payload for heard in self.heard), 0.2):
                    return
        raise AssertionError(f"{payload!r} was never heard")

    def payloads(self) -> list[tuple[bytes, bool]]:
        return [(heard.payload, heard.retained) for heard in self.heard]


Start = Callable[..., LaneBus]


class WithBus:
    """Fixtures for the tests of the lane bus."""

    @pytest.fixture(autouse=True)
    def patience(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """The hurried clock hurries these limits too, and a broker may wait for a CPU."""
        limits(monkeypatch, times=50)

    @pytest.fixture
    def start(self) -> Iterator[Start]:
        """Starts a bus for a listener; all are stopped at the end."""
        started: list[LaneBus] = []

        def _start(
            port: int, listener: Any, *topics: str, clock: Callable[[], int] = hurried_us, **more: Any
        ) -> LaneBus:
            bus = LaneBus(
                BusSettings("127.0.0.1", port, **({"publish_prefix": PREFIX} | more)),
                topics=topics,
                on_heard=listener.on_heard,
                on_link=listener.on_link,
                boottime_us=clock,
                random=lambda: 0.0,
            )
            bus.start()
            started.append(bus)
            return bus

        yield _start
        for bus in started:
            bus.stop(PATIENCE_S)

    @pytest.fixture
    def broker(self, tmp_path: Path) -> Iterator[Broker]:
        broker = Broker(tmp_path).start()
        yield broker
        broker.stop()
