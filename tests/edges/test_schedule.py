"""The schedule wakes at boundaries: APScheduler itself, with boundaries a moment ahead."""

from __future__ import annotations

import asyncio
import time

import pytest

from orchestrator.edges.schedule import Schedule


def wall_us() -> int:
    return time.time_ns() // 1000


class Boundaries:
    """So many boundaries, each named a moment before it is due, and each call of a Schedule's `on_boundary`.

    None has an instant of its own: one that is past when it is asked for is rightly named to nobody.
    """

    def __init__(self, left: int, ahead_us: int = 50_000) -> None:
        self.left = left
        self.at_us: list[int] = []
        self.woken: list[int] = []
        self._ahead_us = ahead_us
        self._news = asyncio.Event()
        self.failing = False

    def following(self, now_us: int) -> int | None:
        if not self.left:
            return None
        self.left -= 1
        self.at_us.append(now_us + self._ahead_us)
        return self.at_us[-1]

    def wake(self) -> None:
        self.woken.append(wall_us())
        self._news.set()
        if self.failing:
            raise RuntimeError("told to fail")

    async def until_woken(self, times: int) -> None:
        while len(self.woken) < times:
            await self._news.wait()
            self._news.clear()


async def test_it_wakes_at_each_boundary_in_turn_and_never_before() -> None:
    boundaries = Boundaries(3)
    schedule = Schedule(boundaries.wake, boundaries.following, wall_us)
    schedule.start()
    await asyncio.wait_for(boundaries.until_woken(3), 20)
    schedule.stop()
    assert all(woken >= at for woken, at in zip(boundaries.woken, boundaries.at_us, strict=True))


async def test_a_boundary_that_was_missed_while_the_loop_was_blocked_still_wakes_f20() -> None:
    boundaries = Boundaries(1)
    schedule = Schedule(boundaries.wake, boundaries.following, wall_us)
    schedule.start()
    # The blocked loop is what is tested; APScheduler's own grace is 1 s.
    time.sleep(1.5)
    await asyncio.wait_for(boundaries.until_woken(1), 20)
    schedule.stop()


async def test_a_wake_up_that_raises_ends_nothing(caplog: pytest.LogCaptureFixture) -> None:
    boundaries = Boundaries(2)
    boundaries.failing = True
    schedule = Schedule(boundaries.wake, boundaries.following, wall_us)
    schedule.start()
    await asyncio.wait_for(boundaries.until_woken(2), 20)
    schedule.stop()
    assert "told to fail" in caplog.text


async def test_a_refresh_finds_a_boundary_that_was_not_there_before() -> None:
    boundaries = Boundaries(0)
    schedule = Schedule(boundaries.wake, boundaries.following, wall_us)
    schedule.start()
    boundaries.left = 1
    schedule.refresh()
    await asyncio.wait_for(boundaries.until_woken(1), 20)
    schedule.stop()


async def test_a_refresh_forgets_a_boundary_that_is_gone() -> None:
    boundaries, witness = Boundaries(1), Boundaries(1, ahead_us=150_000)
    schedule = Schedule(boundaries.wake, boundaries.following, wall_us)
    schedule.start()
    assert len(boundaries.at_us) == 1
    schedule.refresh()
    later = Schedule(witness.wake, witness.following, wall_us)
    later.start()
    await asyncio.wait_for(witness.until_woken(1), 20)
    assert boundaries.woken == []
    schedule.stop()
    later.stop()


async def test_stopped_it_wakes_no_more_and_stopping_twice_is_nothing() -> None:
    boundaries, witness = Boundaries(1), Boundaries(1, ahead_us=150_000)
    schedule = Schedule(boundaries.wake, boundaries.following, wall_us)
    other = Schedule(witness.wake, witness.following, wall_us)
    schedule.start()
    other.start()
    schedule.stop()
    schedule.stop()
    await asyncio.wait_for(witness.until_woken(1), 20)
    other.stop()
    assert boundaries.woken == []
    schedule.refresh()
