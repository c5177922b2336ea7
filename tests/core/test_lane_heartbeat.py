"""When a heartbeat is alive, and for whose word it vouches (CONTRACT 9, S5, F7, F8, F21)."""

from __future__ import annotations

import pytest

from orchestrator.core import lane as lane_rules
from orchestrator.core.moment import Moment
from orchestrator.core.policy import LanePolicy, LaneRule
from tests.core.lane_story import ALIVE, BEAT, NO_VEHICLE, PLAIN, PRESENT, SECOND, START, Lane, proven

# -- the heartbeat --


def test_a_retained_beat_proves_nothing_however_fresh() -> None:
    lane = Lane()
    lane.beats(retained=True)
    lane.wait(2)
    lane.beats()
    assert not lane.verdict(ALIVE).holds
    lane.wait(2)
    lane.beats()
    assert lane.verdict(ALIVE).holds


def test_a_lease_ends_max_age_after_the_last_larger_beat_to_the_microsecond() -> None:
    lane = proven()
    lane.now = lane.now.after(6 * SECOND - 1)
    assert lane.verdict(ALIVE).holds
    lane.now = lane.now.after(1)
    verdict = lane.verdict(ALIVE)
    assert (verdict.holds, verdict.fault, verdict.ready_in_ms) == (False, "lane-unknown", None)


def test_an_equal_beat_renews_nothing() -> None:
    lane = proven()
    wall = lane.now.wall_us // SECOND
    for _ in range(6):
        lane.wait(1)
        lane.says(BEAT, str(wall))
    assert not lane.verdict(ALIVE).holds


def test_after_a_lapse_two_beats_must_prove_it_anew() -> None:
    lane = proven()
    lane.wait(6)
    lane.beats()
    assert not lane.verdict(ALIVE).holds
    lane.wait(1)
    lane.beats()
    assert lane.verdict(ALIVE).holds


def test_two_beats_further_apart_than_a_lease_prove_nothing() -> None:
    lane = Lane()
    lane.beats()
    lane.wait(6)
    lane.beats()
    assert not lane.verdict(ALIVE).holds


@pytest.mark.parametrize("bad", ["garbage", "", "1000", "99999999999"])
def test_garbage_or_a_far_beat_drops_the_proof_and_two_more_restore_it(bad: str) -> None:
    lane = proven()
    lane.says(BEAT, bad)
    assert not lane.verdict(ALIVE).holds
    lane.beats(ahead_s=1)
    assert not lane.verdict(ALIVE).holds
    lane.beats(ahead_s=2)
    assert lane.verdict(ALIVE).holds


def test_a_smaller_beat_drops_the_proof_so_two_senders_never_prove_one_sensor() -> None:
    lane = proven()
    for _ in range(10):
        lane.wait(1)
        lane.beats(ahead_s=-3)
        assert not lane.verdict(ALIVE).holds
        lane.beats()
        assert not lane.verdict(ALIVE).holds


def test_a_sensor_whose_clock_was_set_back_is_proven_by_the_two_beats_after_the_smaller_one() -> None:
    lane = proven()
    for alive in (False, False, True):
        lane.wait(1)
        lane.beats(ahead_s=-4)
        assert lane.verdict(ALIVE).holds is alive


@pytest.mark.parametrize(("ahead_s", "first_counts"), [(-7, False), (-6, True), (6, True), (7, False)])
def test_a_beat_may_be_max_age_from_our_clock_and_no_further(ahead_s: int, first_counts: bool) -> None:
    lane = Lane()
    lane.beats(ahead_s=ahead_s)
    assert lane.verdict(ALIVE).evidence["beats"] == (1 if first_counts else 0)


def test_a_step_of_the_wall_clock_does_not_lengthen_a_lease() -> None:
    lane = proven()
    lane.now = Moment(lane.now.wall_us - 3600 * SECOND, lane.now.boottime_us + 6 * SECOND)
    assert not lane.verdict(ALIVE).holds


# -- vouching (S5) --


def test_an_old_retained_value_beside_a_heartbeat_that_starts_in_time_counts() -> None:
    lane = Lane()
    lane.says(PRESENT, "0", retained=True)
    assert not lane.verdict(NO_VEHICLE).holds
    lane.wait(5.9)
    lane.beats()
    assert not lane.verdict(NO_VEHICLE).holds
    lane.wait(5.9)
    lane.beats()
    assert lane.verdict(NO_VEHICLE).holds


def test_a_value_whose_heartbeat_starts_late_is_an_old_value_until_it_is_said_again() -> None:
    lane = Lane()
    lane.says(PRESENT, "0", retained=True)
    lane.wait(6)
    lane.wait(5, beating=True)
    verdict = lane.verdict(NO_VEHICLE)
    assert lane.verdict(ALIVE).holds
    assert (verdict.holds, verdict.fault) == (False, "lane-unknown")
    assert "nobody vouches" in verdict.detail
    lane.says(PRESENT, "0")
    assert lane.verdict(NO_VEHICLE).holds


@pytest.mark.parametrize("live", [True, False])
def test_a_lapse_forgets_the_vouching_of_live_and_retained_values_alike(live: bool) -> None:
    lane = proven()
    lane.says(PRESENT, "0", retained=not live)
    assert lane.verdict(NO_VEHICLE).holds
    lane.wait(6)
    assert not lane.verdict(NO_VEHICLE).holds
    lane.wait(5, beating=True)
    assert lane.verdict(ALIVE).holds
    assert not lane.verdict(NO_VEHICLE).holds


def test_a_lapse_right_after_a_value_forgets_its_vouching_too() -> None:
    lane = proven()
    lane.wait(5)
    lane.says(PRESENT, "0")
    lane.wait(2)
    lane.beats()
    lane.wait(1)
    lane.beats()
    assert lane.verdict(ALIVE).holds
    assert not lane.verdict(NO_VEHICLE).holds


def test_one_garbage_beat_forgets_the_vouching_though_the_heartbeat_recovers() -> None:
    lane = proven()
    lane.says(PRESENT, "0")
    lane.says(BEAT, "garbage")
    lane.wait(5, beating=True)
    assert lane.verdict(ALIVE).holds
    assert not lane.verdict(NO_VEHICLE).holds


def test_a_retained_garbage_beat_takes_nobodys_word_away() -> None:
    lane = Lane()
    lane.says(PRESENT, "0", retained=True)
    lane.says(BEAT, "garbage", retained=True)
    lane.wait(3, beating=True)
    assert lane.verdict(NO_VEHICLE).holds


def test_a_value_said_again_unchanged_is_received_again() -> None:
    lane = Lane()
    lane.says(PRESENT, "0", retained=True)
    lane.wait(20)
    lane.says(PRESENT, "0")
    lane.wait(2, beating=True)
    assert lane.verdict(NO_VEHICLE).holds


def test_a_wrong_value_is_unsafe_whoever_vouches_for_it() -> None:
    lane = Lane()
    lane.says(PRESENT, "1", retained=True)
    assert lane.verdict(NO_VEHICLE).fault == "lane-unsafe"


def test_a_retained_value_becomes_good_without_a_voucher_once_it_is_said_live() -> None:
    lane = Lane()
    lane.says(PLAIN.topic, "0", retained=True)
    assert lane.verdict(PLAIN).fault == "lane-unknown"
    lane.says(PLAIN.topic, "0")
    assert lane.verdict(PLAIN).holds


def test_a_voucher_that_does_not_exist_vouches_for_nothing() -> None:
    orphan = LaneRule(id="orphan", topic="t", phase="open", equals="0", vouched_by="plain")
    lane = LanePolicy("x", 0, (orphan, PLAIN))
    memory = lane_rules.subscribed(lane, lane_rules.empty(lane), START)
    memory = lane_rules.heard(lane, memory, "t", b"0", False, START)
    assert lane_rules.judge(orphan, lane, memory, START).fault == "lane-unknown"
