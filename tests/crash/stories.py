"""What happens in one life of a gateway, up to its end; a cut ends it earlier."""

from __future__ import annotations

import os
import signal
from collections.abc import Awaitable, Callable

from orchestrator.core.moment import SECOND_US
from tests.crash.gateway import CALLER, Gateway

Story = Callable[[Gateway], Awaitable[None]]


async def a_session(way: Gateway) -> None:
    """Asked for, opened, watched, extended, lost, found again, left, expiring, closed by hand."""
    await way.opened(duration_s=240)
    await way.watched()
    await way.pull("extend", duration_s=60)
    await _lose_frames_and_find_them(way)
    await way.house.leave(way.watch, CALLER)
    way.passes(240)
    await way.at("expiring.live")
    await way.pull("close")
    await way.at("disabled.ready")


async def _lose_frames_and_find_them(way: Gateway) -> None:
    workers = [worker for worker in [way.actor.shutter.worker] if worker is not None]
    os.kill(getattr(workers[0], "pid"), signal.SIGKILL)  # noqa: B009 - the protocol has no pid
    await way.at("streaming.reconnecting")
    way.passes(3)
    await way.at("streaming.live")


async def the_log_refuses(way: Gateway) -> None:
    """A fault while the log takes nothing: into the black box, from there into the log. Then once more, by
    hand, and the service stops before the log comes back."""
    await way.opened()
    await way.watched()
    way.log.refuses = True
    way.sensor_fails()
    await way.at("disabled.ready")
    way.log.refuses = False
    way.all_is_well()
    await way.until(lambda: not way.actor.closing_pending)
    await way.opened()
    way.log.refuses = True
    await way.pull("close")
    await way.at("disabled.ready")


async def locks_and_windows(way: Gateway) -> None:
    """A lock and its acknowledgement; windows added, shortened, cancelled, the last under an open camera."""
    window = await way.window()
    await way.opened()
    await way.watched()
    way.goes_bad("listener")
    await way.at("disabled.locked")
    way.all_is_well()
    await way.pull("acknowledge")
    await way.house.shorten_window(CALLER, window, way.now().wall_us + 1_800 * SECOND_US)
    await way.pull("request", wait_s=0)
    await way.at("streaming.live")
    await way.house.cancel_window(CALLER, window)
    now = await way.house.windows(CALLER, None, 1)
    way.log.refuses = True
    await way.house.cancel_window(CALLER, now["items"][0]["id"])
    await way.at("disabled.ready")
    way.log.refuses = False
    await way.until(lambda: not way.actor.closing_pending and not way.site.windows.pending)


async def a_start(way: Gateway) -> None:
    """Nothing but a start and a stop."""


async def snapshots(way: Gateway) -> None:
    """A session while the fold is kept every few events."""
    await way.opened()
    await way.pull("close")
    await way.at("disabled.ready")


FIRST, KEPT = "a_start", "snapshots"
STORIES: dict[str, Story] = {
    story.__name__: story for story in (a_session, the_log_refuses, locks_and_windows, a_start, snapshots)
}
