"""What a lane's rules say, told as stories on the site's own lane (CONTRACT 3 and 9, S3, S5, F6, F7)."""

from __future__ import annotations

import pytest

from orchestrator.core import lane as lane_rules
from orchestrator.core.policy import LanePolicy, LaneRule
from tests.core.lane_story import (
    ALIVE,
    BARRIER,
    BARRIER_STILL,
    BEAT,
    ENTRY,
    ERROR,
    LIFT,
    LIFT_STILL,
    NO_VEHICLE,
    PLAIN,
    PRESENT,
    SECOND,
    SENSOR_OK,
    START,
    STEADY,
    Lane,
    proven,
)

# -- without a session --


@pytest.mark.parametrize("rule", ENTRY.rules, ids=lambda rule: rule.id)
def test_without_a_session_nothing_holds_and_a_message_says_nothing(rule: LaneRule) -> None:
    lane = Lane(listening=False)
    lane.says(rule.topic, "0")
    verdict = lane.verdict(rule)
    assert (verdict.holds, verdict.fault, verdict.ready_in_ms) == (False, "lane-unknown", None)


@pytest.mark.parametrize("rule", ENTRY.rules, ids=lambda rule: rule.id)
def test_a_disconnect_forgets_everything_and_a_new_session_begins_anew(rule: LaneRule) -> None:
    lane = proven()
    lane.says(PRESENT, "0")
    lane.says(PLAIN.topic, "0")
    lane.says(STEADY.topic, "0")
    lane.wait(30, beating=True)
    assert lane.verdict(rule).settled
    lane.disconnect()
    assert not lane.verdict(rule).holds
    lane.subscribe()
    assert not lane.verdict(rule).holds


# -- rule kind × payload kind: each case is a sentence --

HOLDS = "holds"
UNSAFE = "lane-unsafe"
UNKNOWN = "lane-unknown"

CASES = [
    (PLAIN, "0", False, HOLDS),
    (PLAIN, " 0\n", False, HOLDS),
    (PLAIN, "0", True, UNKNOWN),
    (PLAIN, "1", False, UNSAFE),
    (PLAIN, "1", True, UNSAFE),
    (PLAIN, "NaN", False, UNSAFE),
    (PLAIN, "", False, UNKNOWN),
    (PLAIN, b"\xff", False, UNKNOWN),
    (PLAIN, b"0" * 5000, False, UNKNOWN),
    (PLAIN, None, False, UNKNOWN),
    (SENSOR_OK, "OK", False, HOLDS),
    (SENSOR_OK, "OK", True, HOLDS),
    (SENSOR_OK, "sensor timeout", True, UNSAFE),
    (SENSOR_OK, "", True, UNKNOWN),
    (SENSOR_OK, b"\xff", False, UNKNOWN),
    (SENSOR_OK, None, False, HOLDS),
    (NO_VEHICLE, "0", False, HOLDS),
    (NO_VEHICLE, "0", True, HOLDS),
    (NO_VEHICLE, "1", True, UNSAFE),
    (NO_VEHICLE, "1", False, UNSAFE),
    (NO_VEHICLE, None, False, UNKNOWN),
    (BARRIER_STILL, "100", False, UNSAFE),
    (BARRIER_STILL, "100", True, UNSAFE),
    (BARRIER_STILL, b"\xff", False, UNSAFE),
    (BARRIER_STILL, b"", False, UNSAFE),
    (BARRIER_STILL, None, False, HOLDS),
    (STEADY, "x", False, UNKNOWN),
    (STEADY, None, False, UNKNOWN),
    (LIFT_STILL, None, False, HOLDS),
    (LIFT_STILL, '{"current": 1}', False, UNSAFE),
    (LIFT_STILL, "RDC", False, UNSAFE),
    (LIFT_STILL, "ETAGE1", False, UNKNOWN),
    (LIFT_STILL, '{"current": NaN}', False, UNKNOWN),
    (ALIVE, "garbage", False, UNKNOWN),
    (ALIVE, "", False, UNKNOWN),
    (ALIVE, b"1" * 5000, False, UNKNOWN),
    (ALIVE, b"\xff", False, UNKNOWN),
    (ALIVE, "NaN", False, UNKNOWN),
    (ALIVE, "99999999999", False, UNKNOWN),
    (ALIVE, "1000", False, UNKNOWN),
    (ALIVE, "garbage", True, HOLDS),
    (ALIVE, "1000", True, HOLDS),
    (ALIVE, None, False, HOLDS),
]


@pytest.mark.parametrize(
    ("rule", "payload", "retained", "expected"),
    CASES,
    ids=lambda case: case.id if isinstance(case, LaneRule) else str(case)[:24],
)
def test_one_message_on_a_live_lane_that_has_been_quiet_for_long(
    rule: LaneRule, payload: bytes | str | None, retained: bool, expected: str
) -> None:
    lane = Lane()
    lane.wait(30, beating=True)
    if payload is not None:
        lane.says(rule.topic, payload, retained=retained)
    verdict = lane.verdict(rule)
    assert verdict.holds is (expected == HOLDS), verdict.detail
    assert verdict.fault == (None if expected == HOLDS else expected), verdict.detail


# -- absence --


def test_absent_is_judged_no_earlier_than_200_ms_after_the_suback_even_where_it_passes() -> None:
    lane = Lane()
    lane.wait(0.1999)
    early = lane.verdict(SENSOR_OK)
    assert (early.holds, early.fault) == (False, "lane-unknown")
    lane.wait(0.0001)
    assert lane.verdict(SENSOR_OK).holds
    assert not lane.verdict(PLAIN).holds


def test_how_long_until_absence_has_settled_is_told_at_once() -> None:
    lane = Lane()
    assert lane.verdict(SENSOR_OK).ready_in_ms == 8200
    assert lane.verdict(PLAIN).ready_in_ms is None
    lane.wait(8.2)
    assert lane.verdict(SENSOR_OK).settled
    assert lane.verdict(SENSOR_OK).ready_in_ms == 0


# -- quiet and steady --


def test_quiet_is_counted_from_the_subscription_and_from_each_message() -> None:
    lane = Lane()
    lane.wait(14.999)
    waiting = lane.verdict(BARRIER_STILL)
    assert (waiting.holds, waiting.fault, waiting.ready_in_ms) == (False, "lane-unknown", 8001)
    lane.wait(0.001)
    assert lane.verdict(BARRIER_STILL).holds
    lane.says(BARRIER, "100")
    broken = lane.verdict(BARRIER_STILL)
    assert (broken.holds, broken.fault, broken.ready_in_ms) == (False, "lane-unsafe", 23_000)


def test_steady_is_counted_from_when_the_value_was_first_seen_and_a_change_is_unsafe() -> None:
    lane = Lane()
    lane.says(LIFT, '{"current": 1}', retained=True)
    assert lane.verdict(LIFT_STILL).fault == "lane-unknown"
    lane.wait(9)
    lane.says(LIFT, '{"ts": 1, "current": 1}')
    lane.wait(1)
    assert lane.verdict(LIFT_STILL).holds
    lane.says(LIFT, '{"current": 2}')
    assert lane.verdict(LIFT_STILL).fault == "lane-unsafe"
    lane.wait(10)
    assert lane.verdict(LIFT_STILL).holds


def test_a_first_value_breaks_what_held_because_nothing_had_been_said() -> None:
    lane = Lane()
    lane.wait(1)
    assert lane.verdict(LIFT_STILL).holds
    lane.says(LIFT, '{"current": 2}')
    assert lane.verdict(LIFT_STILL).fault == "lane-unsafe"


def test_an_unreadable_message_ends_steadiness_and_it_is_counted_anew() -> None:
    lane = Lane()
    lane.says(STEADY.topic, "x")
    lane.wait(11)
    lane.says(STEADY.topic, b"\xff")
    assert lane.verdict(STEADY).fault == "lane-unknown"
    lane.says(STEADY.topic, "x")
    lane.wait(9.999)
    assert not lane.verdict(STEADY).holds
    lane.wait(0.001)
    assert lane.verdict(STEADY).holds


def test_a_retained_value_that_nobody_vouches_for_is_never_steady_unless_absence_would_pass() -> None:
    lane = Lane()
    lane.says(STEADY.topic, "x", retained=True)
    lane.says(LIFT, "RDC", retained=True)
    lane.wait(11)
    assert lane.verdict(STEADY).fault == "lane-unknown"
    assert lane.verdict(LIFT_STILL).holds


# -- settling and pulses --


def test_a_pulse_that_came_and_went_between_two_looks_begins_the_settling_anew() -> None:
    lane = proven()
    lane.says(PRESENT, "0")
    lane.wait(8, beating=True)
    assert lane.verdict(NO_VEHICLE).settled
    lane.says(PRESENT, "1")
    lane.says(PRESENT, "0")
    verdict = lane.verdict(NO_VEHICLE)
    assert (verdict.holds, verdict.settled, verdict.ready_in_ms) == (True, False, 8000)


def test_a_good_value_said_again_does_not_begin_the_settling_anew() -> None:
    lane = proven()
    for _ in range(8):
        lane.says(PRESENT, "0")
        lane.wait(1, beating=True)
    assert lane.verdict(NO_VEHICLE).settled


def test_absence_that_turns_into_a_good_value_has_held_all_along() -> None:
    lane = Lane()
    lane.wait(8.2)
    lane.says(ERROR, "OK")
    assert lane.verdict(SENSOR_OK).settled


def test_next_change_names_each_instant_in_turn() -> None:
    policy = LanePolicy("x", 8 * SECOND, (BARRIER_STILL, SENSOR_OK, ALIVE))
    memory = lane_rules.subscribed(policy, lane_rules.empty(policy), START)
    told, now = [], START
    while (instant := lane_rules.next_change(policy, memory, now)) is not None:
        told.append((instant - START.boottime_us) / SECOND)
        now = START.after(instant - START.boottime_us)
    assert told == [0.2, 8.2, 15, 23]


# -- evidence (S3, S19) --


def test_the_evidence_holds_no_text_that_came_from_the_bus() -> None:
    lane = proven()
    secret = "04:AA:BB:CC"
    for rule in ENTRY.rules:
        lane.says(rule.topic, secret)
        assert secret not in str(dict(lane.verdict(rule).evidence))
    lane.says(PRESENT, "0")
    lane.says(LIFT, "RDC")
    assert lane.verdict(NO_VEHICLE).evidence["value"] == "0"
    assert lane.verdict(LIFT_STILL).evidence["value"] == "RDC"


@pytest.mark.parametrize("rule", ENTRY.rules, ids=lambda rule: rule.id)
def test_every_verdict_has_a_sentence_and_evidence_of_integers_booleans_and_configured_text(
    rule: LaneRule,
) -> None:
    lane = Lane()
    lane.says(rule.topic, "0\u202e" * 3000, retained=True)
    for seconds in (0, 1, 5, 20):
        lane.wait(seconds, beating=seconds == 5)
        verdict = lane.verdict(rule)
        assert 0 < len(verdict.detail) < 200
        assert verdict.detail.isprintable()
        assert verdict.evidence["topic"] == rule.topic
        assert all(type(value) in (int, bool, str) for value in verdict.evidence.values())


def test_the_verdict_on_a_proven_value_reads_like_this() -> None:
    lane = proven()
    lane.says(PRESENT, "0")
    lane.wait(1)
    verdict = lane.verdict(NO_VEHICLE)
    assert verdict.evidence == {
        "topic": PRESENT,
        "holding_ms": 1000,
        "age_ms": 1000,
        "limit": "0",
        "retained": False,
        "value": "0",
        "vouched": True,
    }
    assert lane.verdict(ALIVE).evidence == {
        "topic": BEAT,
        "holding_ms": 1000,
        "age_ms": 1000,
        "limit_ms": 6000,
        "beats": 2,
        "lease_left_ms": 5000,
    }
