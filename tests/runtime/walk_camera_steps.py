"""What can be asked of one camera or happen to it, by name, with how often it is drawn."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from orchestrator.core.camera_state import Session
from orchestrator.core.commands import CHECKS, Acknowledge, Extend, Join, Leave, Request, Why
from orchestrator.core.events import LOCKED, READY, Actor
from orchestrator.core.worker import FailureClass
from tests.model.weather import ASKED_S, LANES, MORE_S, WAIT_S
from tests.model.world import CAUSES
from tests.runtime.actor_walk import CAMERAS, MEMBERS, Walk

HOUR_S = 3_600
FAULT = "fault"
CLOSES = {
    "somebody at the socket closes": Why("close", Actor("local", "socket")),
    "the bus closes": Why("close", Actor("bus", "parking")),
    "a member closes": Why("close", Actor("member", "m-1"), person={"reason": "done"}),
    "the configuration of it changes": Why(FAULT, CHECKS, "config-changed", {"fault": "config-changed"}),
}


@dataclass(frozen=True, slots=True)
class Step:
    """One thing. `concerns` names the cameras that may be another after it; `shuts` those that must be
    found shut at once; `kills`: how the process ends by it ("" where it does not); `mends`: what a site does
    to get going again."""

    weight: float
    can: Callable[[Walk], bool]
    does: Callable[[Walk], Any]
    concerns: tuple[str, ...] = CAMERAS
    shuts: tuple[str, ...] = ()
    kills: str = ""
    mends: bool = False


def always(walk: Walk) -> bool:
    """At any time."""
    return True


def _session(walk: Walk, camera: str) -> Session | None:
    return walk.actor(camera).state.session


def _request(walk: Walk, camera: str, member: str, **rest: Any) -> None:
    walk.ids += 1
    wish: dict[str, Any] = {
        "purpose": "alignment",
        "duration_s": ASKED_S,
        "wait_s": WAIT_S,
        "person": {"reason": "aim the camera"},
    }
    walk.ask(camera, Request(f"s-{walk.ids}", member, "d-laptop", **(wish | rest)))


def _both_ask(walk: Walk, camera: str) -> None:
    for member in MEMBERS:
        _request(walk, camera, member)


def _acknowledge(walk: Walk, camera: str) -> None:
    lasting = frozenset(CAUSES[name] for name in walk.known.broken & set(CAUSES))
    walk.ask(camera, Acknowledge("m-2", lasting, {"reason": "mended"}))


def _join(walk: Walk, camera: str, member: str) -> None:
    walk.ids += 1
    watch = f"w-{walk.ids}"
    walk.way.site.watches.add(watch, camera, member, "d-laptop")
    walk.ask(camera, Join(watch, member, "d-laptop", {"name": "Maintainer"}))


def _leave(walk: Walk, camera: str) -> None:
    session = _session(walk, camera)
    assert session is not None
    walk.actor(camera).tell(Leave(next(iter(session.viewers)), 12, 4_096, "left"))


def people(camera: str) -> dict[str, Step]:
    """What people ask."""

    def ready(walk: Walk) -> bool:
        return walk.actor(camera).state.place == READY

    def open_(walk: Walk) -> bool:
        return walk.actor(camera).state.is_open

    def watched(walk: Walk) -> bool:
        session = _session(walk, camera)
        return bool(session and session.viewers)

    only = (camera,)
    return {
        "m-1 asks": Step(40, ready, lambda w: _request(w, camera, "m-1"), only),
        "m-2 asks": Step(20, ready, lambda w: _request(w, camera, "m-2"), only),
        "m-1 asks for as long as it may last": Step(
            5, ready, lambda w: _request(w, camera, "m-1", duration_s=None), only
        ),
        "m-1 asks and waits for nothing": Step(
            4, ready, lambda w: _request(w, camera, "m-1", wait_s=0), only
        ),
        "m-1 asks for a look at plates": Step(
            4, ready, lambda w: _request(w, camera, "m-1", purpose="vision-debug"), only
        ),
        "both ask at once": Step(3, always, lambda w: _both_ask(w, camera), only),
        "m-1 extends": Step(
            14, open_, lambda w: w.ask(camera, Extend("m-1", MORE_S, {"reason": "not done"})), only
        ),
        "m-1 extends by far too much": Step(
            1, always, lambda w: w.ask(camera, Extend("m-1", HOUR_S, {"reason": "not done"})), only
        ),
        "an approver acknowledges": Step(
            12, lambda w: w.actor(camera).state.place == LOCKED, lambda w: _acknowledge(w, camera), only
        ),
        "an approver acknowledges what is not there": Step(
            0.5, always, lambda w: _acknowledge(w, camera), only
        ),
        "m-1 joins": Step(20, open_, lambda w: _join(w, camera, "m-1"), only),
        "m-2 joins": Step(5, always, lambda w: _join(w, camera, "m-2"), only),
        "a viewer leaves": Step(8, watched, lambda w: _leave(w, camera), only),
        **{name: Step(2, always, partial(_close, why, camera), only, only) for name, why in CLOSES.items()},
    }


def _frame(walk: Walk, camera: str) -> None:
    walk.crew.alive(camera)[-1].frame()


def _refuses(walk: Walk, camera: str, refuses: bool) -> None:
    (walk.crew.refuses.add if refuses else walk.crew.refuses.discard)(camera)


def worker(camera: str) -> dict[str, Step]:
    """What becomes of its workers."""

    def waits(walk: Walk) -> bool:
        return any(not hand.has_frames and not hand.told_by for hand in walk.crew.alive(camera))

    def alive(walk: Walk) -> bool:
        return bool(walk.crew.alive(camera))

    def held(walk: Walk) -> bool:
        return walk.crew.holds(camera)

    only = (camera,)
    crew: dict[str, Step] = {
        "the first frame comes": Step(150, waits, lambda w: _frame(w, camera), only),
        "no worker can be started": Step(
            0.6, lambda w: camera not in w.crew.refuses, lambda w: _refuses(w, camera, True), only
        ),
        "workers can be started again": Step(
            12, lambda w: camera in w.crew.refuses, lambda w: _refuses(w, camera, False), only
        ),
        "workers hear nothing": Step(
            1, lambda w: camera not in w.crew.deaf, lambda w: w.crew.is_deaf(camera, True), only
        ),
        "workers hear again": Step(
            10, lambda w: camera in w.crew.deaf, lambda w: w.crew.is_deaf(camera, False), only
        ),
        "segments cannot be wiped": Step(
            1, lambda w: camera not in w.crew.stays, lambda w: w.crew.segments_stay(camera, True), only
        ),
        "segments can be wiped again": Step(
            10, lambda w: camera in w.crew.stays, lambda w: w.crew.segments_stay(camera, False), only
        ),
        "the proof is given up": Step(5, held, lambda w: w.crew.gives_up(camera), only),
    }
    weights = {FailureClass.REFUSED: 12.0, FailureClass.STALLED: 3.0}
    for failure in FailureClass:
        crew[f"the worker ends: {failure}"] = Step(
            weights.get(failure, 0.7),
            alive,
            partial(_end, failure, camera),
            only,
        )
    return crew


def turn(walk: Walk, name: str, broken: bool) -> None:
    """A fact is another from now on."""
    known = walk.known
    (known.broken.add if broken else known.broken.discard)(name)
    known.since[name] = walk.now.boottime_us


def fact(
    name: str, breaks: str, mends: str, tell: Callable[[Walk], object], concerns: tuple[str, ...]
) -> dict[str, Step]:
    """What breaks and mends, told to the lanes by `tell`."""

    def does(broken: bool) -> Callable[[Walk], None]:
        def turned(walk: Walk) -> None:
            turn(walk, name, broken)
            tell(walk)

        return turned

    return {
        breaks: Step(0.8, lambda w: name not in w.known.broken, does(True), concerns),
        mends: Step(9, lambda w: name in w.known.broken, does(False), concerns),
    }


def lane(camera: str) -> dict[str, Step]:
    """What stands in its lane."""

    def tell(walk: Walk) -> None:
        walk.puts_lane(camera)
        walk.way.site.look(LANES[camera])

    vehicle = fact(f"{camera} vehicle", "a vehicle comes", "the vehicle leaves", tell, (camera,))
    return vehicle | fact(f"{camera} sensor", "the sensor fails", "the sensor recovers", tell, (camera,))


def _close(why: Why, camera: str, walk: Walk) -> None:
    walk.way.site.close(why, [camera])


def _end(failure: FailureClass, camera: str, walk: Walk) -> None:
    walk.crew.alive(camera)[-1].ends(failure)
