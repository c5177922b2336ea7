"""The link to a real broker that is stopped, frozen, restarted, refuses or floods (F7, F8, F21, K3)."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from orchestrator.edges.dial import dial
from orchestrator.edges.lane_bus import BusSettings, Heard, LaneBus, Link, anonymous_refused
from tests.edges.lane_broker import (
    PATIENCE_S,
    STATUS,
    TOPIC,
    Broker,
    Listener,
    Start,
    WithBus,
    boottime_us,
    dynamic_security,
    limits,
    needs_mosquitto,
)
from tests.ports import free_port


def peak_memory_kib() -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))


class TestWithMosquitto(WithBus):
    """Each with a real broker."""

    pytestmark = needs_mosquitto

    def test_retained_and_live_messages_are_told_apart(self, broker: Broker, start: Start) -> None:
        broker.say(TOPIC, b"0", retain=True)
        listener = Listener()
        start(broker.port, listener, TOPIC, clock=boottime_us)
        listener.until_heard(b"0")
        broker.say(TOPIC, b"1", retain=True)
        listener.until_heard(b"1")
        assert listener.payloads() == [(b"0", True), (b"1", False)]
        assert listener.links[0].connected
        assert listener.links[0].at_boottime_us <= listener.heard[0].at_boottime_us <= boottime_us()

    @pytest.mark.parametrize("store", [True, False])
    def test_a_restarted_broker_is_found_again_and_only_its_store_remembers(
        self, tmp_path: Path, start: Start, store: bool
    ) -> None:
        kept = ["persistence true", f"persistence_location {tmp_path}/"] if store else []
        broker = Broker(tmp_path, *kept).start()
        try:
            broker.say(TOPIC, b"0", retain=True)
            listener = Listener()
            bus = start(broker.port, listener, TOPIC)
            listener.until_heard(b"0")
            broker.stop()
            listener.until(lambda: not listener.links[-1].connected)
            assert not bus.publish(TOPIC, b"lost", qos=1, retain=False)
            broker.start()
            listener.until_up(2)
            broker.say(TOPIC, b"live")
            listener.until_heard(b"live")
        finally:
            broker.stop()
        again = [(b"0", True)] if store else []
        assert listener.payloads() == [(b"0", True), *again, (b"live", False)]

    def test_a_frozen_broker_is_noticed_by_keepalive_and_found_again(
        self, broker: Broker, start: Start
    ) -> None:
        listener = Listener()
        start(broker.port, listener, TOPIC, keepalive_s=1)
        listener.until_up()
        broker.freeze()
        listener.until_down("no longer answers")
        broker.thaw()
        listener.until_up(2)
        broker.say(TOPIC, b"1")
        listener.until_heard(b"1")

    def test_a_refused_subscription_is_named_and_is_no_connection(self, tmp_path: Path, start: Start) -> None:
        secret = "pässword"
        settings = dynamic_security(tmp_path, "volet", secret, [TOPIC])
        broker = Broker(tmp_path, *settings, anonymous=False).start()
        try:
            granted, refused = Listener(), Listener()
            start(broker.port, granted, TOPIC, username="volet", password=secret)
            granted.until_up()
            start(broker.port, refused, TOPIC, "parking/barriere", username="volet", password=secret)
            refused.until_down("subscription to parking/barriere (Not authorized)")
            assert not any(link.connected for link in refused.links)
        finally:
            broker.stop()

    def test_a_refused_connection_says_so_and_the_probe_finds_the_bus_trusted(
        self, tmp_path: Path, start: Start
    ) -> None:
        broker = Broker(tmp_path, anonymous=False).start()
        try:
            listener = Listener()
            start(broker.port, listener, TOPIC)
            listener.until_down("the broker refused the connection: Not authorized")
            assert anonymous_refused("127.0.0.1", broker.port, PATIENCE_S) is True
        finally:
            broker.stop()

    def test_the_probe_finds_an_open_bus_and_publishes_nothing(self, broker: Broker, start: Start) -> None:
        listener = Listener()
        start(broker.port, listener, "#")
        listener.until_up()
        assert anonymous_refused("127.0.0.1", broker.port, PATIENCE_S) is False
        broker.say(TOPIC, b"after")
        listener.until_heard(b"after")
        assert listener.payloads() == [(b"after", False)]

    def test_a_flood_of_20_000_messages_leaves_memory_bounded_and_the_last_word_is_heard(
        self, broker: Broker, start: Start
    ) -> None:
        class Counter(Listener):
            flooded = 0

            def on_heard(self, heard: Heard) -> None:
                if heard.payload.startswith(b"x"):
                    self.flooded += 1
                else:
                    super().on_heard(heard)

        counter = Counter()
        bus = start(broker.port, counter, TOPIC)
        counter.until_up()
        Path("/proc/self/clear_refs").write_text("5")
        before_kib = peak_memory_kib()
        broker.say(TOPIC, *[b"x" * 1000] * 20_000, qos=0)
        counter.until_heard_of(lambda: broker.say(TOPIC, b"last"), b"last")
        assert 0 < counter.flooded <= 20_000
        assert peak_memory_kib() - before_kib < 8_000
        assert bus.raised == 0

    def test_a_message_that_cannot_be_taken_is_told_as_a_lost_link_and_the_session_begins_anew(
        self, broker: Broker, start: Start
    ) -> None:
        class Stumbling(Listener):
            def on_heard(self, heard: Heard) -> None:
                if not self.heard:
                    super().on_heard(heard)
                    raise KeyError("secret")
                super().on_heard(heard)

        broker.say(TOPIC, b"0", retain=True)
        listener = Stumbling()
        bus = start(broker.port, listener, TOPIC)
        listener.until(lambda: len(listener.heard) == 2)
        assert [link.connected for link in listener.links] == [True, False, True]
        assert listener.links[1].why == f"a message on {TOPIC} could not be taken: KeyError"
        assert bus.raised == 1

    def test_the_word_that_the_link_is_lost_is_repeated_until_someone_takes_it(
        self, broker: Broker, start: Start
    ) -> None:
        class Deaf(Listener):
            refusals = 0
            alive_when_refused: frozenset[int] = frozenset()

            def on_link(self, link: Link) -> None:
                if not link.connected and self.refusals < 3:
                    self.refusals += 1
                    self.alive_when_refused |= {bus.alive_at_us}
                    raise RuntimeError
                super().on_link(link)

        listener = Deaf()
        bus = start(broker.port, listener, TOPIC)
        listener.until_up()
        broker.stop()
        listener.until(lambda: not listener.links[-1].connected)
        assert listener.refusals == bus.raised == 3
        assert len(listener.alive_when_refused) == 1

    def test_a_word_that_the_link_is_up_which_nobody_took_begins_the_session_anew(
        self, broker: Broker, start: Start
    ) -> None:
        class Late(Listener):
            tries = 0

            def on_link(self, link: Link) -> None:
                self.tries += link.connected
                if link.connected and self.tries == 1:
                    raise RuntimeError
                super().on_link(link)

        broker.say(TOPIC, b"0", retain=True)
        listener = Late()
        start(broker.port, listener, TOPIC)
        listener.until_heard(b"0")
        assert [link.connected for link in listener.links] == [False, True]

    def test_a_large_message_is_cut_and_a_huge_one_ends_the_session_unread(
        self, broker: Broker, start: Start
    ) -> None:
        listener = Listener()
        start(broker.port, listener, TOPIC)
        listener.until_up()
        broker.say(TOPIC, b"x" * 100_000)
        listener.until_heard(b"x" * 4097)
        broker.say(TOPIC, b"x" * 2_000_000)
        listener.until_down("more than we can hold")
        listener.until_up(2)

    def test_the_thread_says_that_it_lives_while_nothing_happens(self, broker: Broker, start: Start) -> None:
        ticks = threading.Event()
        seen: set[int] = set()
        listener = Listener()

        def clock() -> int:
            seen.add(bus.alive_at_us if bus_ready.is_set() else 0)
            if len(seen) > 4:
                ticks.set()
            return boottime_us()

        bus_ready = threading.Event()
        bus = start(broker.port, listener, TOPIC, clock=clock)
        bus_ready.set()
        listener.until_up()
        assert ticks.wait(PATIENCE_S)


class TestWithoutABroker(WithBus):
    """With sockets that only look like one."""

    def test_a_broker_that_takes_the_connection_and_says_nothing_is_given_up(
        self, start: Start, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        limits(monkeypatch, times=1)
        with socket.create_server(("127.0.0.1", 0)) as silent:
            listener = Listener()
            port = silent.getsockname()[1]
            start(port, listener, TOPIC)
            listener.until_down("sent no CONNACK in time")
            assert anonymous_refused("127.0.0.1", port, 0.2) is None

    def test_a_broker_that_cannot_be_reached_is_named(self, start: Start) -> None:
        listener = Listener()
        port = free_port()
        bus = start(port, listener, TOPIC)
        listener.until_down(f"127.0.0.1:{port} cannot be reached: Connection refused")
        assert not bus.publish(TOPIC, b"", qos=0, retain=False)
        assert anonymous_refused("127.0.0.1", port, PATIENCE_S) is None

    def test_messages_that_come_before_the_suback_are_heard_after_the_link_is_up(self, start: Start) -> None:
        order: list[object] = []

        class Ordered(Listener):
            def on_heard(self, heard: Heard) -> None:
                order.append(heard.payload)
                super().on_heard(heard)

            def on_link(self, link: Link) -> None:
                order.append(link.connected)
                super().on_link(link)

        with socket.create_server(("127.0.0.1", 0)) as early:
            listener = Ordered()
            start(early.getsockname()[1], listener, "t")
            connection, _ = early.accept()
            with connection:
                connection.recv(1000)
                connection.sendall(b"\x20\x03\x00\x00\x00")
                connection.recv(1000)
                connection.sendall(b"\x31\x05\x00\x01t\x000" + b"\x90\x04\x00\x01\x00\x01")
                listener.until_heard(b"0")
        assert order[:2] == [True, b"0"]

    def test_what_was_read_together_is_heard_to_its_end_though_the_broker_says_nothing_more(
        self, start: Start
    ) -> None:
        """No poll announces what stands in our own buffer (or in that of TLS) already."""
        with socket.create_server(("127.0.0.1", 0)) as talkative:
            listener = Listener()
            start(talkative.getsockname()[1], listener, "t", clock=boottime_us, keepalive_s=60)
            connection, _ = talkative.accept()
            with connection:
                connection.recv(1000)
                connection.sendall(b"\x20\x03\x00\x00\x00")
                connection.recv(1000)
                connection.sendall(b"\x90\x04\x00\x01\x00\x01" + b"\x30\x05\x00\x01t\x000" * 1000)
                listener.until(lambda: len(listener.heard) == 1000)

    def test_a_host_is_tried_at_each_of_its_addresses_and_a_name_that_is_none_is_said(self) -> None:
        with (
            socket.create_server(("127.0.0.1", 0)) as server,
            dial("localhost", server.getsockname()[1], lambda: False) as connection,
        ):
            assert connection.getpeername() == server.getsockname()
        with pytest.raises(OSError, match=r"the host 'a\.\.b' cannot be resolved"):
            dial("a..b", 1883, lambda: False)

    def test_a_bus_that_was_never_started_stops(self) -> None:
        listener = Listener()
        bus = LaneBus(
            BusSettings("127.0.0.1"),
            topics=[],
            on_heard=listener.on_heard,
            on_link=listener.on_link,
            boottime_us=boottime_us,
            random=lambda: 0.0,
        )
        assert bus.stop(0.0)

    def test_a_broker_that_knows_only_3_1_1_is_spoken_to_in_3_1_1(
        self, start: Start, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The site's own broker is one (FIELD 1)."""
        limits(monkeypatch, times=1)
        port = free_port()
        program = (
            "import asyncio, sys\n"
            "from amqtt.broker import Broker\n"
            "async def main():\n"
            "    plugins = {'amqtt.plugins.authentication.AnonymousAuthPlugin': {'allow_anonymous': True}}\n"
            "    listeners = {'default': {'type': 'tcp', 'bind': '127.0.0.1:' + sys.argv[1]}}\n"
            "    broker = Broker({'listeners': listeners, 'plugins': plugins})\n"
            "    await broker.start()\n"
            "    print('running', flush=True)\n"
            "    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)\n"
            "    await broker.shutdown()\n"
            "asyncio.run(main())\n"
        )
        process = subprocess.Popen(
            [sys.executable, "-c", program, str(port)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == b"running\n"
            listener = Listener()
            will: dict[str, Any] = {"client_id": "volet", "will_topic": STATUS, "will_payload": b"offline"}
            bus = start(port, listener, STATUS, clock=boottime_us, **will)
            listener.until_up()
            assert bus.publish(STATUS, b"online", qos=1, retain=True)
            listener.until_heard(b"online")
            assert anonymous_refused("127.0.0.1", port, PATIENCE_S) is False
            bus.stop(PATIENCE_S)
        finally:
            process.communicate(timeout=PATIENCE_S)
