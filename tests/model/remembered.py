"""What is pure and asked again and again is answered once: the judgement of a case and its parts, the reason
to shut, a start from what a killed process left.

What each answer may depend on is its key; each 64th answer is found once more by the real function, and must
be the same.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any
from unittest import mock

from orchestrator.core import camera, camera_state, checks
from orchestrator.core.camera_state import CameraState, Session
from orchestrator.core.checks import Case, Check, judge
from orchestrator.core.commands import Command, Look, Why
from orchestrator.core.facts import Facts, Proof
from orchestrator.core.moment import parse_rfc3339
from orchestrator.core.policy import Policy
from tests.model import invariants, trial
from tests.model.two_lanes import TwoLanes

AGAIN_EACH = 64
_PROOF, _LANE, _START = checks._proof, checks._lane, TwoLanes.starts_again


def _judged(state: CameraState, session: Session | None) -> tuple[Any, ...]:
    """What a judgement reads of a state and a session besides the facts."""
    if session is None:
        return (state.place, state.locks, state.fault, state.cool_down_until_us, state.cool_down_boot)
    return (
        state.place,
        state.locks,
        state.fault,
        state.cool_down_until_us,
        state.cool_down_boot,
        session.member,
        session.asked_wall_us,
        session.asked_boottime_us,
        session.opened_boottime_us is None,
    )


def _timed(session: Session | None) -> tuple[Any, ...]:
    """What a reason to shut reads of a session besides."""
    if session is None:
        return ()
    return (
        session.ends_wall_us,
        session.ends_boottime_us,
        session.limit,
        session.idle_since_us,
        session.checked_boottime_us,
    )


class _Remembered:
    """Both questions. The facts are kept with each answer, so that their identity is not given to others."""

    def __init__(self) -> None:
        self._reason_to_shut = trial.reason_to_shut
        self._cases: dict[Any, tuple[Case, tuple[Check, ...]]] = {}
        self._reasons: dict[Any, tuple[Facts, Why | None]] = {}
        self._parts: dict[Any, tuple[Facts, tuple[Check, ...]]] = {}
        self._starts: dict[Any, tuple[TwoLanes, TwoLanes]] = {}
        self._asked = 0

    def judge(self, case: Case) -> tuple[Check, ...]:
        key = (id(case.facts), _judged(case.state, case.session))
        found = self._cases.get(key)
        if found is None:
            found = self._cases[key] = (case, judge(case))
        elif self._is_due():
            assert found[1] == judge(case), "judge reads more of a state than the key holds"
        return found[1]

    def reason(self, policy: Policy, state: CameraState, command: Command, facts: Facts) -> Why | None:
        if not isinstance(command, Look):
            return self._reason_to_shut(policy, state, command, facts)
        session = state.session
        key = (id(facts), _judged(state, session), _timed(session))
        found = self._reasons.get(key)
        if found is None:
            found = self._reasons[key] = (facts, self._reason_to_shut(policy, state, command, facts))
        elif self._is_due():
            again = self._reason_to_shut(policy, state, command, facts)
            assert found[1] == again, "reason_to_shut reads more of a state than the key holds"
        return found[1]

    def proof(self, case: Case, identifier: str, proof: Proof, **rest: Any) -> Check:
        key = (id(case.facts), identifier)
        found = self._parts.get(key)
        if found is None:
            found = self._parts[key] = (case.facts, (_PROOF(case, identifier, proof, **rest),))
        return found[1][0]

    def lane(self, case: Case) -> tuple[Check, ...]:
        key = (id(case.facts), case.purpose.name)
        found = self._parts.get(key)
        if found is None:
            found = self._parts[key] = (case.facts, tuple(_LANE(case)))
        return found[1]

    def start(self, world: TwoLanes, lands: bool, reboots: bool = False) -> None:
        """What a start finds: the log, the black box, what lands; and the weather."""
        under_way = world.under_way if lands else ()
        key = (
            (id(world.log), id(world.written[-1]) if world.written else 0, id(world.weather)),
            (tuple(map(id, world.box)), tuple(map(id, under_way))),
            (lands, reboots, world.box_takes, world.spawns, world.sessions, world.promised),
        )
        found = self._starts.get(key)
        if found is None:
            kept = world.copied()
            _START(world, lands, reboots)
            self._starts[key] = (kept, world.copied())
            return
        if self._is_due():
            again = world.copied()
            _START(again, lands, reboots)
            assert again.__dict__ == found[1].__dict__, "a start reads more of a world than the key holds"
        world.__dict__.clear()
        world.__dict__.update(found[1].__dict__)

    def _is_due(self) -> bool:
        self._asked += 1
        return self._asked % AGAIN_EACH == 0


@contextmanager
def remembered_judgements() -> Iterator[None]:
    """For as long as it is entered."""
    memory = _Remembered()
    with (
        mock.patch.object(trial, "reason_to_shut", memory.reason),
        mock.patch.object(camera, "judge", memory.judge),
        mock.patch.object(checks, "_proof", memory.proof),
        mock.patch.object(checks, "_lane", memory.lane),
        mock.patch.object(TwoLanes, "starts_again", lambda *how, **more: memory.start(*how, **more)),
        mock.patch.object(camera_state, "parse_rfc3339", cache(parse_rfc3339)),
        mock.patch.object(invariants, "parse_rfc3339", cache(parse_rfc3339)),
    ):
        # Nearly all that is made is kept: looking for what is not costs a third of the time.
        gc.disable()
        try:
            yield
        finally:
            gc.enable()
