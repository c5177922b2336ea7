"""What the rules of CONTRACT 4, 6 and 10 say of a world, told again on the bare `Weather`: the measure of
the core's own judgement must not be that judgement."""

from __future__ import annotations

from collections.abc import Iterable

from orchestrator.core.moment import SECOND_US
from tests.model.two_lanes import TwoLanes
from tests.model.weather import SETTLING, SILENCE_S, TO_HOLD

STEP_S = 2
OVERLOAD_S = 30


def wrong_to_hold(world: TwoLanes) -> Iterable[str]:
    """What forbids picture at this very moment, once it flows."""
    weather, session = world.weather, world.state.session
    yield from world.broken & TO_HOLD
    if not weather.window_is_open():
        yield "window"
    if weather.unseen_since_s is not None and weather.boot_s - weather.unseen_since_s > SILENCE_S:
        yield "interface not looked at"
    if weather.overloaded_since_s is not None and weather.boot_s - weather.overloaded_since_s >= OVERLOAD_S:
        yield "overloaded"
    if session is None:
        yield "no session"
        return
    asked_s = (session.asked_wall_us - session.asked_boottime_us) // SECOND_US
    now_s = (world.now.wall_us - world.now.boottime_us) // SECOND_US
    if abs(now_s - asked_s) > STEP_S:
        yield "clock stepped"
    over = world.now.boottime_us >= session.ends_boottime_us or world.now.wall_us >= session.ends_wall_us
    if session.opened and over:
        yield "time over"


def wrong_to_start(world: TwoLanes) -> Iterable[str]:
    """What forbids a first picture besides."""
    yield from wrong_to_hold(world)
    weather = world.weather
    yield from world.broken & {"bus_trusted", "vehicle"}
    if weather.overloaded_since_s is not None:
        yield "overloaded"
    if not weather.synchronised:
        yield "clock not synchronised"
    if world.written and world.written[-1].sealed.at.wall_us - world.now.wall_us > STEP_S * SECOND_US:
        yield "clock behind the log"


def wrong_to_open(world: TwoLanes) -> Iterable[str]:
    """What forbids that the checks pass."""
    yield from wrong_to_start(world)
    yield from (f"{name} not settled" for name in world.fresh & SETTLING)
