"""What may be published at all: below the prefix, and no command (K1); and what becomes of each message."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.edges.lane_bus import BusSettings, LaneBus
from orchestrator.edges.lane_messages import Outgoing
from orchestrator.edges.lane_outbox import MAX_QUEUED_MESSAGES, Outbox
from tests.edges.lane_broker import PREFIX, boottime_us


@pytest.fixture
def outbox() -> Iterator[Outbox]:
    outbox = Outbox(PREFIX)
    outbox.open()
    outbox.accept(accepting=True)
    yield outbox
    outbox.close()


@pytest.mark.parametrize("below", ["status", "event", "checkpoint", "cam1/state", "cam1/live", "cmd/state"])
def test_what_the_contract_names_is_taken(outbox: Outbox, below: str) -> None:
    assert outbox.put(Outgoing(f"{PREFIX}/{below}", b"", 1, retain=True))


@pytest.mark.parametrize(
    "topic",
    [
        "parking/sensor_gate/present",
        "parking/barriere/cmd",
        "parking/barriere_entree/cmd",
        "parking/camera/cmd",
        PREFIX,
        f"{PREFIX}/",
        f"{PREFIX}//state",
        f"{PREFIX}/cmd",
        f"{PREFIX}/cam1/cmd",
        f"{PREFIX}s/status",
        f"x/{PREFIX}/status",
        f"{PREFIX}/#",
        f"{PREFIX}/+/state",
        f"{PREFIX}/\0",
        f"{PREFIX}/\ud800",
        f"{PREFIX}/{'x' * 1024}",
        "",
    ],
)
def test_nothing_else_is_k1(outbox: Outbox, topic: str) -> None:
    assert not outbox.put(Outgoing(topic, b"100", 1, retain=False))
    assert (outbox.take(), outbox.dropped) == (None, 1)


@given(st.text(alphabet="parking/stecmd+#\0", max_size=40))
def test_whatever_is_taken_lies_below_the_prefix_and_is_no_command_k1(topic: str) -> None:
    if Outbox(PREFIX).may_publish(topic):
        assert topic.startswith(f"{PREFIX}/")
        assert not topic.endswith("/cmd")
        assert not set(topic) & set("+#\0")


def test_without_a_prefix_nothing_is_published_and_no_will_is_left() -> None:
    assert not Outbox(None).may_publish(f"{PREFIX}/status")
    with pytest.raises(ValueError, match="is not ours to publish on"):
        LaneBus(
            BusSettings("127.0.0.1", publish_prefix=PREFIX, will_topic="parking/barriere/cmd"),
            topics=[],
            on_heard=lambda heard: None,
            on_link=lambda link: None,
            boottime_us=boottime_us,
            random=lambda: 0.0,
        )


def test_what_waits_is_told_as_lost_when_the_session_ends_and_what_was_not_taken_never(
    outbox: Outbox,
) -> None:
    told: list[str] = []
    for _ in range(MAX_QUEUED_MESSAGES + 1):
        outbox.put(Outgoing(f"{PREFIX}/event", b"", 1, retain=False, on_done=told.append))
    outbox.accept(accepting=False)
    assert told == ["the session with the broker ended before it was sent"] * MAX_QUEUED_MESSAGES
    assert not outbox.put(Outgoing(f"{PREFIX}/event", b"", 1, retain=False, on_done=told.append))
    assert len(told) == MAX_QUEUED_MESSAGES


def test_nobody_who_raises_stops_the_others(outbox: Outbox) -> None:
    told: list[str] = []

    def raising(lost: str) -> None:
        raise RuntimeError

    outbox.put(Outgoing(f"{PREFIX}/event", b"", 1, retain=False, on_done=raising))
    outbox.put(Outgoing(f"{PREFIX}/event", b"", 1, retain=False, on_done=told.append))
    outbox.accept(accepting=False)
    assert (outbox.raised, len(told)) == (1, 1)
