"""The schedule wakes at boundaries: APScheduler itself, with boundaries a moment ahead."""

from __future__ import annotations

import asyncio
import time

import pytest

from orchestrator.edges.schedule import Schedule


def wall_us() -> int:
    return time.time_ns() // 1000


class Boundaries:
    """Boundaries at given instants, and each call of a Schedule's `on_boundary` as an event."""

    def __init__(self, *at_us: int) -> None:
        self.at_us = list(at_us)
        self.woken: list[int] = []
        self._news = asyncio.Event()
        self.failing = False

    def following(self, now_us: int) -> int | None:
        return min((at for at in self.at_us if at > now_us), default=None)

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
    soon = wall_us() + 50_000
    boundaries = Boundaries(soon, soon + 50_000, soon + 100_000)
    schedule = Schedule(boundaries.wake, boundaries.following, wall_us)
    schedule.start()
    await asyncio.wait_for(boundaries.until_woken(3), 20)
    schedule.stop()
    assert all(woken >= at for woken, at in zip(boundaries.woken, boundaries.at_us, strict=True))


async def test_a_boundary_that_was_missed_while_the_loop_was_blocked_still_wakes_f20() -> None:
    boundaries = Boundaries(wall_us() + 50_000)
    schedule = Schedule(boundaries.wake, boundaries.following, wall_us)
    schedule.start()
    # The blocked loop is what is tested; APScheduler's own grace is 1 s.
    time.sleep(1.5)
    await asyncio.wait_for(boundaries.until_woken(1), 20)
    schedule.stop()


async def test_a_wake_up_that_raises_ends_nothing(caplog: pytest.LogCaptureFixture) -> None:
    soon = wall_us() + 50_000
    boundaries = Boundaries(soon, soon + 100_000)
    boundaries.failing = True
    schedule = Schedule(boundaries.wake, boundaries.following, wall_us)
    schedule.start()
    await asyncio.wait_for(boundaries.until_woken(2), 20)
    schedule.stop()
    assert "told to fail" in caplog.text


async def test_a_refresh_finds_a_boundary_that_was_not_there_before() -> None:
    boundaries = Boundaries()
    schedule = Schedule(boundaries.wake, boundaries.following, wall_us)
    schedule.start()
    boundaries.at_us.append(wall_us() + 50_000)
    schedule.refresh()
    await asyncio.wait_for(boundaries.until_woken(1), 20)
    schedule.stop()


async def test_a_refresh_forgets_a_boundary_that_is_gone() -> None:
    cancelled = wall_us() + 100_000
    boundaries = Boundaries(cancelled)
    schedule = Schedule(boundaries.wake, boundaries.following, wall_us)
    schedule.start()
    boundaries.at_us[:] = []
    schedule.refresh()
    boundaries.at_us.append(cancelled + 100_000)
    later = Schedule(boundaries.wake, boundaries.following, wall_us)
    later.start()
    await asyncio.wait_for(boundaries.until_woken(1), 20)
    assert boundaries.woken[0] >= cancelled + 100_000
    schedule.stop()
    later.stop()


async def test_stopped_it_wakes_no_more_and_stopping_twice_is_nothing() -> None:
    due = wall_us() + 100_000
    boundaries, witness = Boundaries(due), Boundaries(due + 50_000)
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
