"""What can be asked and what can happen: each a named step that changes two lanes, and when it can happen
at all."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from orchestrator.core.commands import Acknowledge, Extend, Join, Leave, Request, Why
from orchestrator.core.events import LOCKED, Actor
from orchestrator.core.faults import LOCKING
from orchestrator.core.worker import FailureClass
from tests.model.lane_parts import Disk
from tests.model.two_lanes import TwoLanes
from tests.model.weather import ASKED_S, MORE_S, PROOFS, TICK_S, TO_HOLD, WAIT_S, Weather

ANYONE = Why("close", Actor("local", "socket"))
HOUR_S = 3_600
CAUSES = {"listener": "listener-exposed", "memory": "memory-not-private"}


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that can happen. `can`: only then; `does` changes the world in place. `shuts`: whoever
    sees it must find the gate shut at once. `mends`: what a site does to get going again, or what time and
    fair lanes do by themselves; progress is proven along these alone."""

    can: Callable[[TwoLanes], bool]
    does: Callable[[TwoLanes], object]
    shuts: bool = False
    mends: bool = False


def _is_asking(world: TwoLanes) -> bool:
    return bool(world.queue) or world.write is not None


def _request(world: TwoLanes) -> None:
    world.sessions += 1
    person = {"reason": "aim the camera"}
    name = f"s-{world.sessions}"
    world.ask(Request(name, "m-1", "d-laptop", "alignment", ASKED_S, WAIT_S, person))


def _acknowledge(world: TwoLanes) -> None:
    lasting = {fault for name, fault in CAUSES.items() if name in world.weather.broken}
    world.ask(Acknowledge("m-2", frozenset(lasting) & LOCKING, {"reason": "mended"}))


def _people() -> dict[str, Step]:
    def watching(world: TwoLanes) -> bool:
        return bool(world.state.session and world.state.session.viewers)

    def idle_and_open(world: TwoLanes) -> bool:
        return world.state.is_open and not _is_asking(world)

    return {
        "the maintainer asks": Step(lambda w: not _is_asking(w) and w.state.is_shut, _request),
        "somebody else asks as well": Step(lambda w: not w.state.is_shut and not _is_asking(w), _request),
        "the maintainer extends": Step(
            idle_and_open, lambda w: w.ask(Extend("m-1", MORE_S, {"reason": "not done"}))
        ),
        "somebody closes": Step(
            lambda w: w.exposed or bool(w.queue), lambda w: w.shut_now(ANYONE), shuts=True
        ),
        "an approver acknowledges": Step(
            lambda w: not _is_asking(w) and w.state.place == LOCKED, _acknowledge, mends=True
        ),
        "a viewer joins": Step(
            lambda w: idle_and_open(w) and not watching(w),
            lambda w: w.ask(Join("w-1", "m-1", "d-laptop", {"name": "Maintainer A"})),
        ),
        "the viewer leaves": Step(
            lambda w: watching(w) and not _is_asking(w), lambda w: w.ask(Leave("w-1", 12, 4_096, "left"))
        ),
    }


def _disk(world: TwoLanes, disk: Disk, lands: bool = False) -> None:
    world.disk = disk
    if lands:
        late, world.late = world.late, ()
        world.land(late)


def _sets(attribute: str, value: bool) -> Step:
    def does(world: TwoLanes) -> None:
        setattr(world, attribute, value)

    return Step(lambda world: getattr(world, attribute) is not value, does)


def _log() -> dict[str, Step]:
    def under_way(world: TwoLanes) -> bool:
        return world.write is not None or bool(world.late)

    return {
        "the disk refuses": Step(lambda w: w.disk == "works", lambda w: _disk(w, "refuses")),
        "the disk hangs": Step(lambda w: w.disk == "works", lambda w: _disk(w, "hangs")),
        "the disk works again": Step(lambda w: w.disk != "works", lambda w: _disk(w, "works"), mends=True),
        "the disk works again, and what hung is there": Step(
            lambda w: w.disk == "hangs" and bool(w.late), lambda w: _disk(w, "works", lands=True), mends=True
        ),
        "the black box takes nothing": _sets("box_takes", False),
        "the black box takes again": _sets("box_takes", True),
        "the process is killed and starts": Step(lambda w: True, lambda w: w.starts_again(lands=False)),
        "the process is killed and starts, and what was under way is there": Step(
            under_way, lambda w: w.starts_again(lands=True)
        ),
        "the machine starts anew": Step(lambda w: True, lambda w: w.starts_again(lands=False, reboots=True)),
    }


def _worker() -> dict[str, Step]:
    def child(world: TwoLanes) -> bool:
        return world.child is not None

    return {
        "the first frame comes": Step(
            lambda w: w.child is not None and not w.child.has_frames, TwoLanes.frame, mends=True
        ),
        "the worker fails": Step(child, lambda w: w.exits(FailureClass.REFUSED)),
        "the camera does not let the worker in": Step(child, lambda w: w.exits(FailureClass.UNAUTHORISED)),
        "no worker can be started": _sets("spawns", False),
        "workers can be started again": replace(_sets("spawns", True), mends=True),
        "the worker is proven gone": Step(lambda w: w.proving, lambda w: w.prove(True), mends=True),
        "the worker is not proven gone": Step(
            lambda w: w.proving and "closing-unproven" not in w.state.locks, lambda w: w.prove(False)
        ),
    }


def _fact(name: str, breaks: str, mends: str, at_once: int = 1) -> dict[str, Step]:
    """Broken while less than `at_once` others are; mended at any time."""
    return {
        breaks: Step(
            lambda w: name not in w.weather.broken and len(w.weather.broken) < at_once,
            lambda w: w.learn(w.weather.breaks(name)),
            shuts=name in TO_HOLD,
        ),
        mends: Step(lambda w: name in w.weather.broken, lambda w: w.learn(w.weather.mends(name)), mends=True),
    }


def _facts() -> dict[str, Step]:
    told = {
        "interface": ("the VPN goes", "the VPN comes back"),
        "listener": ("a stray listener appears", "the stray listener is gone"),
        "side_door": ("the source listens on the LAN", "the source is private again"),
        "config": ("the configuration breaks", "the configuration is mended"),
        "bus": ("the broker goes", "the broker comes back"),
        "bus_trusted": ("anyone may publish", "the bus is trusted again"),
        "memory": ("swap is switched on", "swap is switched off"),
        "log": ("the log's probe fails", "the log's probe passes"),
        "vehicle": ("a vehicle comes", "the vehicle leaves"),
        "sensor": ("the sensor fails", "the sensor recovers"),
        "window": ("the window is cancelled", "a window is approved"),
        "member": ("the member loses the right", "the member has the right again"),
    }
    assert set(PROOFS) <= set(told)
    return {name: step for fact, names in told.items() for name, step in _fact(fact, *names).items()}


def _changes(
    can: Callable[[TwoLanes], bool], weather: Callable[[Weather], Weather], mends: bool = False
) -> Step:
    return Step(can, lambda w: w.learn(weather(w.weather)), mends=mends)


def passes(world: TwoLanes, seconds: int) -> None:
    """Time passes; the sources look again and find the same, the sentinel looks."""
    world.learn(world.weather.passes(seconds))


def _is_stepped(world: TwoLanes) -> bool:
    return world.weather.wall_s != world.weather.boot_s


def _time() -> dict[str, Step]:
    def fit(world: TwoLanes) -> bool:
        return not world.state.is_shut

    return {
        "ten seconds pass": Step(lambda w: True, lambda w: passes(w, TICK_S), mends=True),
        "ten seconds pass in a session": Step(fit, lambda w: passes(w, TICK_S), mends=True),
        "ten minutes pass": Step(lambda w: w.state.is_shut, lambda w: passes(w, 600), mends=True),
        "the wall clock steps back": _changes(
            lambda w: not _is_stepped(w), lambda s: s.but(wall_s=s.wall_s - HOUR_S)
        ),
        "the wall clock steps on": _changes(
            lambda w: not _is_stepped(w), lambda s: s.but(wall_s=s.wall_s + HOUR_S)
        ),
        "the wall clock is set right": _changes(_is_stepped, lambda s: s.but(wall_s=s.boot_s), mends=True),
        "the clock loses its source": _changes(
            lambda w: w.weather.synchronised, lambda s: s.but(synchronised=False)
        ),
        "the clock is synchronised again": _changes(
            lambda w: not w.weather.synchronised, lambda s: s.but(synchronised=True), mends=True
        ),
        "the window is shortened": _changes(
            lambda w: w.weather.window_end_s > w.weather.wall_s + 20,
            lambda s: s.but(window_end_s=s.wall_s + 20),
        ),
        "a longer window is approved": _changes(
            lambda w: w.weather.window_end_s <= w.weather.wall_s + HOUR_S,
            lambda s: s.but(window_end_s=max(s.wall_s, s.boot_s) + 2 * HOUR_S),
            mends=True,
        ),
        "nobody looks at the VPN any more": _changes(
            lambda w: w.weather.unseen_since_s is None, lambda s: s.but(unseen_since_s=s.boot_s)
        ),
        "the VPN is looked at again": _changes(
            lambda w: w.weather.unseen_since_s is not None,
            lambda s: s.but(unseen_since_s=None),
            mends=True,
        ),
        "the gateway is overloaded": _changes(
            lambda w: w.weather.overloaded_since_s is None, lambda s: s.but(overloaded_since_s=s.boot_s)
        ),
        "the gateway has room again": _changes(
            lambda w: w.weather.overloaded_since_s is not None,
            lambda s: s.but(overloaded_since_s=None),
            mends=True,
        ),
    }


STEPS: Mapping[str, Step] = _people() | _log() | _worker() | _facts() | _time()
