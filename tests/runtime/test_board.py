"""The newest facts, read by any thread while others write them (S5)."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import pytest

from orchestrator.core.facts import Facts
from orchestrator.core.moment import SECOND_US, Moment
from orchestrator.core.policy import RecurringWindow
from orchestrator.runtime.board import Board, renewed
from tests.core.scene import POLICY, START, proven

HOUR_US = 3_600 * SECOND_US


def test_a_sight_that_another_thread_puts_there_while_a_judge_reads_is_never_one_from_the_future() -> None:
    """Else an open camera would be shut for nothing."""
    board = Board(POLICY, log=proven("log-unwritable", "log"), bus=proven("broker-lost", "broker"))
    turns = [START.boottime_us]
    board.bus_alive_at_us = lambda: turns[-1]

    def clock() -> Moment:
        board.log = replace(board.log, seen_at_us=START.boottime_us + 5)
        turns.append(START.boottime_us + 7)
        return START

    facts = board.facts("cam1", clock)
    for proof in (facts.log, facts.bus):
        assert proof.fault_at(facts.now.boottime_us) is None


def test_the_buss_word_is_as_old_as_its_threads_last_turn() -> None:
    """F21."""
    board = Board(POLICY, bus=proven("broker-lost", "broker", max_age_us=SECOND_US))
    board.bus_alive_at_us = lambda: START.boottime_us - 2 * SECOND_US
    assert board.facts("cam1", lambda: START).bus.fault_at(START.boottime_us) == "broker-lost"
    board.bus_alive_at_us = lambda: START.boottime_us
    assert board.facts("cam1", lambda: START).bus.fault_at(START.boottime_us) is None


def test_nothing_looked_at_is_nothing_proven_and_nothing_that_locks() -> None:
    facts = Board(POLICY).facts("cam1", lambda: START)
    for name in ("interface", "listener", "side_door", "config", "bus", "memory", "log"):
        fault = getattr(facts, name).fault_at(START.boottime_us)
        assert fault in ("vpn-down", "side-door", "config-invalid", "broker-lost", "host-overloaded") or (
            fault == "log-unwritable"
        )


def test_since_goes_on_while_it_stays_good_and_begins_anew_after_a_break_or_a_gap() -> None:
    first = replace(proven("vpn-down", "netlink", max_age_us=3 * SECOND_US), since_us=START.boottime_us)
    later_us = START.boottime_us + 2 * SECOND_US
    again = renewed(first, later_us, True, fault="vpn-down", detail="up")
    assert (again.since_us, again.seen_at_us) == (START.boottime_us, later_us)
    down = renewed(again, later_us + 1, False, fault="vpn-down", detail="down")
    assert down.since_us is None
    assert renewed(down, later_us + 2, True, fault="vpn-down", detail="up").since_us == later_us + 2
    gap_us = later_us + 4 * SECOND_US
    assert renewed(again, gap_us, True, fault="vpn-down", detail="up").since_us == gap_us


def test_a_window_that_is_remembered_ends_and_begins_on_time_and_with_another_policy() -> None:
    """What is looked up once serves for a minute, never past a boundary."""
    # START is 10:00 in UTC, 11:00 in Paris.
    window = RecurringWindow("w", ("cam1",), "0 11 * * *", HOUR_US)
    board = Board(replace(POLICY, windows=(window,)))

    def is_open(wall_us: int) -> bool:
        return board.facts("cam1", lambda: replace(START, wall_us=wall_us)).window is not None

    for wall_us, wanted in (
        (START.wall_us - 1, False),
        (START.wall_us, True),
        (START.wall_us + HOUR_US - 1, True),
        (START.wall_us + HOUR_US, False),
        (START.wall_us + 24 * HOUR_US, True),
    ):
        assert is_open(wall_us) is wanted
    board.policy = POLICY
    assert not is_open(START.wall_us + 24 * HOUR_US)


@pytest.mark.parametrize("back_us", [1, HOUR_US - 1])
@pytest.mark.parametrize("forth_us", [0, HOUR_US, 24 * 30 * HOUR_US])
def test_a_window_that_was_over_does_not_open_again_when_the_clock_is_set_back(
    forth_us: int, back_us: int
) -> None:
    """S17: whether its end came by itself or by a step of the clock; the next coming opens."""
    window = RecurringWindow("w", ("cam1",), "0 11 * * mon,tue", HOUR_US)
    other = RecurringWindow("x", ("cam1",), "10 11 * * *", 30 * 60 * SECOND_US)
    board = Board(replace(POLICY, windows=(window,)))
    start_us = START.wall_us

    def facts(wall_us: int) -> Facts:
        return board.facts("cam1", lambda: replace(START, wall_us=wall_us))

    while facts(start_us).window is None:
        start_us += 24 * HOUR_US
    end_us = start_us + HOUR_US
    assert facts(end_us + forth_us).window_over_us is None
    again = facts(end_us - back_us)
    assert (again.window, again.window_over_us) == (None, end_us)
    assert board.window_for("cam1", "m-1", end_us - back_us) is None
    assert facts(end_us).window_over_us is None
    assert facts(start_us + 7 * 24 * HOUR_US).window is not None
    # Another window of the same hour, made since, was never open.
    board.policy = replace(POLICY, windows=(other,))
    assert facts(start_us + 20 * 60 * SECOND_US).window is not None


@pytest.mark.parametrize("step_us", [HOUR_US, 24 * HOUR_US, 400 * 24 * HOUR_US])
def test_a_window_that_never_ends_is_open_again_when_the_clock_is_right_again(step_us: int) -> None:
    window = RecurringWindow("always", ("cam1",), "* * * * *", 120 * SECOND_US)
    board = Board(replace(POLICY, windows=(window,)))
    for wall_us in (START.wall_us, START.wall_us + step_us, START.wall_us + 1, START.wall_us - step_us):
        assert board.facts("cam1", partial(replace, START, wall_us=wall_us)).window is not None
