"""What is published over the link: in order, bounded, and the will only when it should be (K3)."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from queue import Empty, Queue

import pytest

from orchestrator.edges.lane_bus import Heard
from orchestrator.edges.lane_session import MAX_IN_FLIGHT
from tests.edges.lane_broker import (
    PATIENCE_S,
    PREFIX,
    STATUS,
    TOPIC,
    Broker,
    Listener,
    Start,
    WithBus,
    boottime_us,
    needs_mosquitto,
)


class TestWithMosquitto(WithBus):
    """Each with a real broker."""

    pytestmark = needs_mosquitto

    def test_what_is_published_arrives_and_nothing_is_taken_without_a_session(
        self, broker: Broker, start: Start
    ) -> None:
        observer, publisher = Listener(), Listener()
        start(broker.port, observer, STATUS)
        observer.until_up()
        bus = start(broker.port, publisher)
        publisher.until_up()
        texts = [str(number).encode() for number in range(200)]
        for number, text in enumerate(texts):
            assert bus.publish(STATUS, text, qos=number % 2, retain=True)
        observer.until_heard(texts[-1])
        assert sorted(observer.payloads()) == sorted((text, False) for text in texts)
        assert bus.stop(PATIENCE_S)
        assert not bus.publish(STATUS, b"late", qos=1, retain=False)

    def test_a_message_that_cannot_be_published_is_dropped_alone(self, broker: Broker, start: Start) -> None:
        listener = Listener()
        bus = start(broker.port, listener, STATUS)
        listener.until_up()
        assert bus.publish(STATUS, b"", qos=3, retain=False)
        assert bus.publish(STATUS, b"1", qos=0, retain=False)
        listener.until_heard(b"1")
        assert (bus.dropped, bus.raised, len(listener.links)) == (1, 0, 1)

    def test_publications_for_a_frozen_broker_are_bounded_and_stopping_is_too(
        self, broker: Broker, start: Start
    ) -> None:
        listener = Listener()
        bus = start(broker.port, listener, STATUS, clock=boottime_us, keepalive_s=60)
        listener.until_up()
        broker.freeze()
        taken = 0
        while bus.publish(STATUS, b"x" * 1000, qos=1, retain=False):
            taken += 1
            assert taken < 3000
        assert taken >= 1000
        assert bus.dropped == 1
        bus.stop(1.0)
        listener.until(lambda: listener.links[-1].why == "stopped")

    def test_what_was_handed_over_is_sent_before_a_clean_stop_and_the_will_is_not(
        self, broker: Broker, start: Start
    ) -> None:
        observer, listener = Listener(), Listener()
        start(broker.port, observer, STATUS)
        observer.until_up()
        bus = start(broker.port, listener, clock=boottime_us, will_topic=STATUS, will_payload=b"will")
        listener.until_up()
        for number in range(100):
            assert bus.publish(STATUS, b"%d" % number, qos=1, retain=False)
        assert bus.stop(PATIENCE_S)
        broker.say(STATUS, b"end")
        observer.until_heard(b"end")
        assert [payload for payload, _ in observer.payloads()] == [*(b"%d" % n for n in range(100)), b"end"]

    def test_the_will_is_published_when_a_session_ends_otherwise(self, broker: Broker, start: Start) -> None:
        class Failing(Listener):
            def on_heard(self, heard: Heard) -> None:
                raise RuntimeError

        observer, listener = Listener(), Failing()
        start(broker.port, observer, STATUS)
        observer.until_up()
        start(broker.port, listener, TOPIC, will_topic=STATUS, will_payload=b"offline")
        listener.until_up()
        broker.say(TOPIC, b"0")
        observer.until_heard(b"offline")

    def test_what_is_acknowledged_is_told_and_what_a_lost_session_left_is_told_as_lost(
        self, broker: Broker, start: Start
    ) -> None:
        told: Queue[str] = Queue()
        listener = Listener()
        bus = start(broker.port, listener, STATUS)
        listener.until_up()
        assert bus.publish(STATUS, b"1", qos=1, retain=False, on_done=told.put)
        assert told.get(timeout=PATIENCE_S) == ""
        broker.freeze()
        for _ in range(100):
            assert bus.publish(STATUS, b"2", qos=1, retain=False, on_done=told.put)
        with pytest.raises(Empty):
            told.get(timeout=0.3)
        broker.kill()
        found = Counter(told.get(timeout=PATIENCE_S) for _ in range(100))
        assert found == {
            "the session with the broker ended before it was acknowledged": MAX_IN_FLIGHT,
            "the session with the broker ended before it was sent": 100 - MAX_IN_FLIGHT,
        }

    def test_what_the_broker_refuses_is_told_with_its_reason(self, tmp_path: Path, start: Start) -> None:
        (tmp_path / "acl").write_text(f"topic read #\ntopic write {STATUS}\n")
        broker = Broker(tmp_path, f"acl_file {tmp_path / 'acl'}").start()
        try:
            told: Queue[str] = Queue()
            listener = Listener()
            bus = start(broker.port, listener, STATUS)
            listener.until_up()
            for topic in (f"{PREFIX}/event", STATUS):
                assert bus.publish(topic, b"1", qos=1, retain=False, on_done=told.put)
            said = "the broker refused what was published on parking/stream/event: Not authorized"
            assert [told.get(timeout=PATIENCE_S) for _ in range(2)] == [said, ""]
            assert len(listener.links) == 1
        finally:
            broker.stop()
