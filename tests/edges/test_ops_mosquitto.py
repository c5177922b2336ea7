"""The broker's files in `ops/` are read by Mosquitto, and allow what they say and no more (K1, F30)."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from queue import Queue

import pytest

from orchestrator.app.lane_facts import topics_of
from orchestrator.edges.lane_bus import LaneBus, anonymous_refused
from orchestrator.settings import load
from orchestrator.settings.certificates import Certificates
from tests.edges.authority import Authority, needs_openssl
from tests.edges.lane_broker import (
    PATIENCE_S,
    PREFIX,
    STATUS,
    TOPIC,
    Broker,
    Listener,
    Start,
    WithBus,
    needs_mosquitto,
)

OPS = Path(__file__).resolve().parents[2] / "ops"


class SiteBroker(Broker):
    """Mosquitto with the file from `ops/`: its port and its paths are the test's."""

    def __init__(self, folder: Path, certificates: Certificates) -> None:
        super().__init__(folder)
        passwords = folder / "passwords"
        passwords.touch(mode=0o600)
        for user in ("volet", "sensor", "dashboard"):
            command = ["mosquitto_passwd", "-b", str(passwords), user, f"{user}'s"]
            subprocess.run(command, check=True, capture_output=True, timeout=PATIENCE_S)
        shutil.copy(OPS / "mosquitto.acl", folder)
        (folder / "mosquitto.acl").chmod(0o600)
        text = (OPS / "mosquitto.conf").read_text()
        for ours, theirs in (
            ("listener 8883\n", f"listener {self.port} 127.0.0.1\n"),
            ("/etc/mosquitto/site-ca.crt", str(certificates.ca_file)),
            ("/etc/mosquitto/broker.crt", str(certificates.cert_file)),
            ("/etc/mosquitto/broker.key", str(certificates.key_file)),
            ("/etc/mosquitto/passwords", str(passwords)),
            ("/etc/mosquitto/mosquitto.acl", str(folder / "mosquitto.acl")),
            ("/var/lib/mosquitto/", f"{folder}/"),
        ):
            assert text.count(ours) >= 1
            text = text.replace(ours, theirs)
        self._config.write_text(f"{text}user root\nlog_dest stderr\n")


@dataclass
class Client:
    """A user of that broker: what it hears, and what becomes of what it publishes."""

    bus: LaneBus
    listener: Listener

    def publish(self, topic: str) -> str:
        told: Queue[str] = Queue()
        assert self.bus.publish(topic, b"1", qos=1, retain=False, on_done=told.put)
        return told.get(timeout=PATIENCE_S)


class TestWithMosquitto(WithBus):
    """The file and the list, with a real broker."""

    pytestmark = needs_mosquitto + needs_openssl

    @pytest.fixture
    def site(self, tmp_path: Path) -> Iterator[tuple[SiteBroker, Certificates]]:
        certificates = Authority(tmp_path / "authority").issue("broker")
        broker = SiteBroker(tmp_path, certificates)
        broker.start()
        yield broker, certificates.without_our_own()
        broker.stop()

    def test_each_user_reads_and_writes_what_is_theirs_alone(
        self, site: tuple[SiteBroker, Certificates], start: Start
    ) -> None:
        broker, certificates = site

        def join(user: str, prefix: str, *topics: str) -> Client:
            listener = Listener()
            known = {"certificates": certificates, "username": user, "password": f"{user}'s"}
            bus = start(broker.port, listener, *topics, client_id=user, publish_prefix=prefix, **known)
            listener.until_up()
            return Client(bus, listener)

        volet = join("volet", PREFIX, TOPIC, "parking/barriere", f"{PREFIX}/cmd")
        sensor = join("sensor", "parking", TOPIC)
        dashboard = join("dashboard", "parking", f"{PREFIX}/#")
        published = [STATUS, f"{PREFIX}/event", f"{PREFIX}/cam1/state", f"{PREFIX}/cam1/live"]
        assert [volet.publish(topic) for topic in published] == [""] * 4
        dashboard.listener.until(lambda: [heard.topic for heard in dashboard.listener.heard] == published)
        assert volet.publish(f"{PREFIX}/other").endswith("Not authorized")
        assert sensor.publish("parking/barriere").endswith("Not authorized")
        assert sensor.publish(TOPIC) == ""
        volet.listener.until(lambda: [heard.topic for heard in volet.listener.heard] == [TOPIC])
        assert sensor.listener.heard == []
        assert anonymous_refused("127.0.0.1", broker.port, PATIENCE_S, certificates) is True


def test_the_list_has_every_topic_that_the_example_configuration_listens_to(tmp_path: Path) -> None:
    """Mosquitto says nothing of a subscription that its list forbids, and silence may pass."""
    example = tmp_path / "volet.toml"
    example.write_text((OPS / "volet.toml").read_text())
    example.chmod(0o600)
    volet = (OPS / "mosquitto.acl").read_text().split("user volet\n")[1].split("\nuser ")[0]
    readable = [line.split()[2] for line in volet.splitlines() if line.startswith("topic read ")]
    assert sorted(readable) == sorted(topics_of(load(example, {})))
