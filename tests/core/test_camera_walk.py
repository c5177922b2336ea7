"""Thousands of steps of the real `decide` and `evolve` on facts that come and go: what must hold, holds.

Long weighted walks, as long as a search to the end cannot be (tests/model; FIELD 11).
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from orchestrator.core.camera_state import CameraState, evolve
from orchestrator.core.commands import Acknowledge, Extend, Reported
from orchestrator.core.desired import desired
from orchestrator.core.events import Record
from orchestrator.core.moment import SECOND_US
from orchestrator.core.window import Span
from orchestrator.core.worker import FailureClass, FirstFrame, WorkerStarted
from tests.core.scene import (
    CHART,
    CLOSE,
    GONE,
    NO_VEHICLE,
    NOT_GONE,
    POLICY,
    SENSOR_OK,
    Story,
    exited,
    proven,
    rule_broken,
    rule_held,
    spoilt,
    why,
    with_lane,
)

Step = Callable[["World"], object]


class World(Story):
    """A story that knows whether a child process really is there, as the keeper would."""

    child: int | None = None

    def start(self) -> None:
        want = desired(CHART, POLICY, self.state, self.facts)
        if self.child is None and want.start_now and want.worker_run is not None:
            self.child = want.worker_run
            self.done(Reported(WorkerStarted(self.child, 1, {})))

    def frame(self) -> None:
        if self.child is not None:
            self.done(Reported(FirstFrame(self.child)))

    def dies(self, failure: FailureClass) -> None:
        if self.child is not None:
            run, self.child = self.child, None
            asked = self.state.is_shut
            self.done(exited(run, None if asked else failure))

    def gone(self) -> None:
        if self.child is not None:
            self.dies(FailureClass.KILLED)
        self.done(GONE)

    def spoil(self, name: str, fault: str) -> None:
        self.facts = spoilt(self.facts, name, fault)
        self.look()

    def mend(self) -> None:
        proofs: dict[str, Any] = {
            name: replace(proven(fault, name), seen_at_us=self.now.boottime_us)
            for name, fault in (("interface", "vpn-down"), ("log", "log-unwritable"), ("listener", "x"))
        }
        window = Span(self.now.wall_us - SECOND_US, self.now.wall_us + 7_200 * SECOND_US, ("weekly",))
        self.facts = replace(self.facts, window=window, **proofs)
        self.facts = with_lane(self.facts, no_vehicle=rule_held(NO_VEHICLE), sensor_ok=rule_held(SENSOR_OK))

    def opens(self) -> None:
        self.mend()
        self.request(duration_s=120, wait_s=30)
        for step in (self.look, self.start, self.frame):
            step()

    def passes(self, seconds: float) -> None:
        self.wait(seconds)
        self.look()


STEPS: dict[str, tuple[int, Step]] = {
    "request": (8, lambda w: w.request(duration_s=120, wait_s=30)),
    "opens": (6, World.opens),
    "look": (4, lambda w: w.look()),
    "start": (8, World.start),
    "frame": (8, World.frame),
    "refused": (3, lambda w: w.dies(FailureClass.REFUSED)),
    "unauthorised": (1, lambda w: w.dies(FailureClass.UNAUTHORISED)),
    "join": (3, lambda w: w.join("w-1")),
    "leave": (1, lambda w: w.leave("w-1")),
    "extend": (2, lambda w: w.do(Extend("m-1", 60, {}))),
    "close": (2, lambda w: w.shut(CLOSE)),
    "fault": (1, lambda w: w.shut(why("config-changed"))),
    "vehicle": (2, lambda w: setattr(w, "facts", with_lane(w.facts, no_vehicle=rule_broken("1")))),
    "sensor": (1, lambda w: setattr(w, "facts", with_lane(w.facts, sensor_ok=rule_broken("EIO")))),
    "vpn": (1, lambda w: w.spoil("interface", "vpn-down")),
    "listener": (1, lambda w: w.spoil("listener", "listener-exposed")),
    "mend": (6, World.mend),
    "gone": (8, World.gone),
    "unproven": (1, lambda w: w.done(NOT_GONE)),
    "acknowledge": (3, lambda w: w.do(Acknowledge("m-2", frozenset(), {}))),
    "a second": (4, lambda w: w.passes(1)),
    "a minute and a half": (1, lambda w: w.passes(95)),
    "a step back": (1, lambda w: w.wait(0, wall_step_s=-3_600)),
}


def _permitted(before: CameraState, record: Record) -> None:
    event = record.event
    if event.type == "transition":
        assert event.source == before.place, event
        assert event.target is not None
        assert CHART.permits(event.source, event.name, event.target), event


def check(world: World, before: CameraState, news: list[Record]) -> None:
    """What must hold after every step, whatever came before."""
    state = before
    for record in news:
        _permitted(state, record)
        state = evolve(state, record)
        if record.event.name in ("request", "closed"):
            assert (state.session is None) == (record.event.name == "closed")
    assert state == world.state
    want = desired(CHART, POLICY, state, world.facts)
    assert want.gate_open == (state.place.state in ("streaming", "expiring"))
    if state.is_shut:
        assert (want.worker_run, want.start_now) == (None, False)
    else:
        assert state.session is not None
    if state.is_open:
        _opened_by_proof(world, state)
    if state.locks:
        assert str(state.place) in ("disabled.closing", "disabled.locked")
    assert (str(state.place) == "disabled.locked") <= bool(state.locks)


def _opened_by_proof(world: World, state: CameraState) -> None:
    """S2: `checks_passed` and then `first_frame` of this very session stand in the log."""
    assert state.session is not None
    names = [r.event.name for r in world.records if r.event.session == state.session.id]
    assert names.index("request") < names.index("checks_passed") < names.index("first_frame")
    assert state.session.ends_boottime_us <= (state.session.opened_boottime_us or 0) + 900 * SECOND_US


def _take(world: World, step: str) -> None:
    before, count = world.state, len(world.records)
    STEPS[step][1](world)
    check(world, before, world.records[count:])


@pytest.mark.parametrize("seed", range(6))
def test_folding_the_records_from_nothing_equals_the_live_state_on_long_walks(seed: int) -> None:
    """S12."""
    dice = random.Random(seed)
    world = World()
    names, weights = list(STEPS), [weight for weight, _ in STEPS.values()]
    for step in dice.choices(names, weights, k=400):
        _take(world, step)
    state = CameraState.new("cam1")
    for record in world.records:
        state = evolve(state, record)
    assert state == world.state
    assert "first_frame" in world.events()
    world.mend()
    world.gone()
    world.do(Acknowledge("m-2", frozenset(), {}))
    if not world.state.is_shut:
        world.shut(CLOSE)
        world.gone()
    world.wait(600)
    world.mend()
    world.opened()
