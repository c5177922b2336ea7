"""What is heard is folded message by message; what breaks a rule is judged before the next one (S4, K3)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import pytest

from orchestrator.app.lane_facts import LaneFacts
from orchestrator.core.commands import Why
from orchestrator.edges.lane_bus import Heard, Link
from orchestrator.runtime.board import Board
from tests.core.scene import NO_VEHICLE, POLICY, SENSOR_OK, START

AT_US = START.boottime_us


class Judging:
    """A site that takes down what of the lane held each time it was asked to judge."""

    cameras = ("cam1",)

    def __init__(self, board: Board) -> None:
        self.seen: list[tuple[bool, ...]] = []
        self._board = board

    def look(self, lane: str | None = None) -> None:
        if lane is not None:
            self.seen.append(tuple(rule.holds_at(AT_US) for rule in self._board.lane(lane).rules))

    def close(self, why: Why, cameras: Iterable[str] | None = None) -> None:
        raise AssertionError(why)

    def masked(self, camera: str) -> bool:
        return False


@pytest.fixture
def site() -> Judging:
    return Judging(Board(POLICY))


@pytest.fixture
def lane(site: Judging) -> LaneFacts:
    lane = LaneFacts(site._board, site, Counter(), now=lambda: START, random=lambda: 0.0)
    lane.linked(Link(True, "subscribed", AT_US))
    return lane


def say(lane: LaneFacts, topic: str, *payloads: bytes) -> None:
    for payload in payloads:
        lane.heard(Heard(topic, payload, False, AT_US))


def test_messages_that_come_together_and_break_nothing_are_judged_once(
    lane: LaneFacts, site: Judging
) -> None:
    say(lane, SENSOR_OK.topic, *[b"OK"] * 100)
    say(lane, NO_VEHICLE.topic, *[b"0"] * 100)
    assert site.seen == []
    lane.paused()
    lane.paused()
    assert site.seen == [(True, True)]


def test_a_pulse_that_is_gone_with_the_next_message_is_judged_while_it_lasts(
    lane: LaneFacts, site: Judging
) -> None:
    """CONTRACT 9: a pulse that came and went between two looks still counts."""
    say(lane, NO_VEHICLE.topic, b"0")
    say(lane, SENSOR_OK.topic, b"OK")
    lane.paused()
    say(lane, SENSOR_OK.topic, b"OK", b"no echo", b"OK")
    lane.paused()
    assert site.seen == [(True, True), (True, False), (True, True)]


def test_of_a_thousand_unsafe_messages_the_first_is_judged_at_once(lane: LaneFacts, site: Judging) -> None:
    say(lane, NO_VEHICLE.topic, b"0")
    say(lane, SENSOR_OK.topic, b"OK")
    lane.paused()
    say(lane, SENSOR_OK.topic, *[b"no echo"] * 1000)
    assert site.seen == [(True, True), (True, False)]
