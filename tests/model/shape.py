"""What makes two worlds the same: everything that anything ahead depends on, and nothing else.

Absolute times, ids, run numbers and evidence are left out: what decides is what is *left* of each span, in
whole ticks (every span of `weather.POLICY` is a whole number of them), and how numbers relate. `limit`,
`fault` and the digests go into events and answers alone. While nothing is pending the log's fold equals the
live state, which is asserted at every step, so it is not told apart then; of a session that is being closed
nothing is left to decide.

Merged with a loss: how long a cool-down lasts (each storm in a row makes the next only longer; time passes
over it in one step), and how far the wall clock stands behind the log (it is set right, or it never
catches up).
"""

from __future__ import annotations

from collections.abc import Sequence

from orchestrator.core.camera_state import CameraState, Session
from orchestrator.core.events import REQUESTED, SAFETY_CHECKED, Sealed
from orchestrator.core.moment import SECOND_US
from tests.model.two_lanes import TwoLanes
from tests.model.weather import FAILURES_S, HEALTHY_S, IDLE_S

Shape = tuple[object, ...]
TICK_US = 10 * SECOND_US
BRIEF_US = 2 * SECOND_US


def _ago(instant_us: int | None, now_us: int, most_s: int) -> int | None:
    return None if instant_us is None else min(now_us - instant_us, most_s * SECOND_US) // SECOND_US


def _session(world: TwoLanes, state: CameraState, session: Session) -> Shape:
    now = world.now
    now_us = now.boottime_us
    step_us = (now.wall_us - session.asked_wall_us) - (now_us - session.asked_boottime_us)
    retry_us = session.retry_at_us
    child = world.child
    ahead: Shape = ()
    if state.place == REQUESTED:
        ahead = (session.wait_until_us - now_us,)
    elif state.place == SAFETY_CHECKED:
        ahead = (now_us - (session.checked_boottime_us or 0),)
    elif session.opened:
        ahead = (
            session.ends_boottime_us - now_us,
            session.ends_wall_us - now.wall_us,
            now_us - (session.opened_boottime_us or 0),
            _ago(session.idle_since_us, now_us, IDLE_S),
            _ago(session.frames_since_us, now_us, HEALTHY_S),
            None if retry_us is None else max(0, retry_us - now_us),
        )
    return (
        *ahead,
        session.opened,
        step_us,
        session.running,
        world.newest == (session.id, session.run if session.running else session.run + 1),
        child is not None and (child.session == session.id, child.run == session.run),
        tuple(now_us - at for at in session.failures if now_us - at < FAILURES_S * SECOND_US),
        tuple(session.viewers),
        tuple(session.lane.values()),
        now_us - session.lane_at_us >= SECOND_US,
    )


def _state(world: TwoLanes, state: CameraState) -> Shape:
    session, place = state.session, state.place
    ahead: Shape | None = None
    if session is not None:
        ahead = ("over",) if place.state == "disabled" else _session(world, state, session)
    cools_down = state.cool_down_until_us > 0 and state.cool_down_left_us(world.now) > 0
    return (place.state, place.substate, state.locks, cools_down, ahead)


def _behind(world: TwoLanes, log: CameraState) -> Shape:
    """Where the log stands while memory is ahead of it: whatever is open there will be closed, that is
    all."""
    session = log.session
    open_there = session and (session.opened, session.running, tuple(session.viewers))
    return (log.place.state, log.place.substate, log.locks, log.cool_down_left_us(world.now) > 0, open_there)


def _weather(world: TwoLanes) -> Shape:
    behind_us = (world.written[-1].sealed.at.wall_us - world.now.wall_us) if world.written else 0
    return (world.weather.shape, behind_us > BRIEF_US)


def _names(sealed: Sequence[Sealed]) -> Shape:
    return tuple((one.event.name, one.event.data.get("fault")) for one in sealed)


def shape(world: TwoLanes) -> Shape:
    """The shape of a world, at rest or on the way to it."""
    child, write, generation = world.child, world.write, world.generation
    lag: Shape | None = None
    if write is not None or world.late or world.is_pending:
        lag = (
            _behind(world, world.log),
            _names(world.waiting),
            _names(world.late),
            _names(world.box),
            world.unsure,
            world.draining,
        )
    return (
        _state(world, world.state),
        _weather(world),
        world.disk,
        world.box_takes,
        world.exposed,
        world.open_for == generation,
        world.exposed and world.asked_generation == generation,
        child and (child.has_frames, child.told),
        world.spawns,
        world.proving,
        lag,
        None if world.is_settled else _moving(world),
    )


def _moving(world: TwoLanes) -> Shape:
    """What is still to be done."""
    write = world.write
    return (
        tuple(closing.why.fault or closing.why.trigger for closing in world.closings),
        world.announced,
        tuple(
            (type(command), repr(getattr(command, "report", command)), generation == world.generation)
            for command, generation in world.queue
        ),
        world.look_due,
        write
        and (
            _names(write.sealed),
            type(write.command),
            write.fence is None,
            world.holds(write.fence or 0),
        ),
    )


def found_by_a_start(world: TwoLanes, how: str) -> Shape:
    """What a start after a kill of that kind goes on from, and nothing else: the rest died."""
    under_way = _names(world.under_way) if "is there" in how else ()
    left = _behind(world, world.log), _names(world.box), under_way
    return (how, left, _weather(world), world.box_takes, world.spawns)
