"""Seeded mistakes: each changes one decision of the core or of a lane, and names the invariant that must
see it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any
from unittest import mock

from orchestrator.core import camera, camera_state, checks, ending, moves, recovery
from orchestrator.core.camera_state import CameraState
from orchestrator.core.checks import Stage
from orchestrator.core.commands import Reported
from orchestrator.core.events import SAFETY_CHECKED
from orchestrator.core.moment import SECOND_US
from orchestrator.core.window import Span
from tests.model import trial

LONG = Span(0, 2**62, ("weekly",))
Patch = tuple[Any, str, Any]


@dataclass(frozen=True, slots=True)
class Mutant:
    """`patches` are put in place of what stands there; the search of `slice` must stop at `caught_by`."""

    name: str
    slice: str
    caught_by: str
    patches: Callable[[], tuple[Patch, ...]]

    @contextmanager
    def loose(self) -> Iterator[None]:
        """While it is in place."""
        patches = [mock.patch.object(*patch) for patch in self.patches()]
        try:
            for patch in patches:
                patch.start()
            yield
        finally:
            for patch in reversed(patches):
                patch.stop()


def _locks_are_forgotten_at_closed() -> tuple[Patch, ...]:
    target = moves.moved

    def moved(chart: Any, state: Any, trigger: str, actor: Any, guard: str = "", **rest: Any) -> Any:
        return target(chart, state, trigger, actor, "no-lock" if trigger == "closed" else guard, **rest)

    return ((camera, "moved", moved),)


def _opening_does_not_wait_for_settled() -> tuple[Patch, ...]:
    def passes(check: checks.Check, stage: Stage) -> bool:
        return check.waived or check.holds or (stage is Stage.OPEN and check.phase == "open")

    return ((checks.Check, "passes", passes),)


def _the_window_is_not_looked_at() -> tuple[Patch, ...]:
    judged = checks.failing

    def failing(found: Any, stage: Stage) -> Any:
        return tuple(one for one in judged(found, stage) if one.id != "window" or stage is Stage.OPENING)

    return ((camera, "failing", failing),)


def _the_end_comes_a_second_late() -> tuple[Patch, ...]:
    left_us = ending.left_us
    return ((ending, "left_us", lambda session, now: left_us(session, now) + SECOND_US),)


def _a_step_of_the_wall_clock_is_not_seen() -> tuple[Patch, ...]:
    return ((checks, "CLOCK_STEP_US", 10**12), (ending, "CLOCK_STEP_US", 10**12))


def _the_first_frame_is_not_judged() -> tuple[Patch, ...]:
    """Neither by the lane before it decides."""
    asked, judged = trial.reason_to_shut, checks.failing

    def reason(policy: Any, state: Any, command: Any, facts: Any) -> Any:
        return None if isinstance(command, Reported) else asked(policy, state, command, facts)

    def failing(found: Any, stage: Stage) -> Any:
        return () if stage is Stage.STARTING else judged(found, stage)

    return ((trial, "reason_to_shut", reason), (camera, "failing", failing))


def _nobody_waits_for_the_first_frame() -> tuple[Patch, ...]:
    return ((ending, "never_started", lambda policy, session, now: None),)


def _safety_checked_is_not_watched() -> tuple[Patch, ...]:
    asked = trial.reason_to_shut

    def reason(policy: Any, state: Any, command: Any, facts: Any) -> Any:
        return None if state.place == SAFETY_CHECKED else asked(policy, state, command, facts)

    return ((trial, "reason_to_shut", reason),)


def _hold_rules_do_at_the_first_frame() -> tuple[Patch, ...]:
    judged = checks.failing

    def failing(found: Any, stage: Stage) -> Any:
        return judged(found, Stage.OPEN if stage is Stage.STARTING else stage)

    return ((camera, "failing", failing),)


def _a_restart_forgets_locks() -> tuple[Patch, ...]:
    def found(state: CameraState) -> CameraState:
        return replace(state, locks=frozenset())

    return ((trial, "found_at_start", found),)


def _only_the_newest_lock_stands() -> tuple[Patch, ...]:
    fold = camera_state._faulted

    def faulted(state: CameraState, record: Any) -> CameraState:
        return fold(replace(state, locks=frozenset()), record)

    return ((camera_state, "_faulted", faulted),)


def _the_fence_is_not_asked() -> tuple[Patch, ...]:
    return ((trial, "holds", lambda shutter, generation: True),)


def _what_waited_is_written_as_it_was() -> tuple[Patch, ...]:
    return ((trial, "rebased", lambda chart, state, sealed: sealed),)


def _a_retry_ignores_the_lane() -> tuple[Patch, ...]:
    judged = checks.failing

    def failing(found: Any, stage: Stage) -> Any:
        return tuple(
            one for one in judged(found, stage) if not one.id.startswith("lane-") or stage is not Stage.OPEN
        )

    return ((camera, "failing", failing),)


def _extend_goes_beyond_the_window() -> tuple[Patch, ...]:
    limited = ending.extended

    def extended(policy: Any, camera_id: str, session: Any, more_us: int, facts: Any) -> Any:
        return limited(policy, camera_id, session, more_us, replace(facts, window=LONG))

    return ((ending, "extended", extended),)


def _extend_goes_beyond_the_longest_session() -> tuple[Patch, ...]:
    return ((ending, "longest_us", lambda policy, camera_policy, purpose: 3_600_000_000),)


def _the_gate_opens_before_the_first_frame() -> tuple[Patch, ...]:
    wanted = trial.desired

    def desired(chart: Any, policy: Any, state: Any, facts: Any) -> Any:
        want = wanted(chart, policy, state, facts)
        return replace(want, gate_open=want.gate_open or state.place == SAFETY_CHECKED)

    return ((trial, "desired", desired),)


def _a_failed_worker_moves_the_deadline() -> tuple[Patch, ...]:
    fold = camera_state._exited

    def exited(session: Any, data: Any, at: Any) -> Any:
        after = fold(session, data, at)
        return replace(after, ends_boottime_us=after.ends_boottime_us + 10_000_000)

    return ((camera_state, "_exited", exited),)


def _no_exit_is_fatal() -> tuple[Patch, ...]:
    return ((recovery, "fatal_exit", lambda policy, state, exited, now: None),)


def _a_closing_is_believed_without_proof() -> tuple[Patch, ...]:
    believed = camera.moves_of_gone
    return (
        (
            camera,
            "moves_of_gone",
            lambda chart, state, gone: believed(chart, state, replace(gone, proven=True)),
        ),
    )


MUTANTS = (
    Mutant(
        "`closed` forgets that locks stand",
        "people and locks",
        "s16_a_lock_goes",
        _locks_are_forgotten_at_closed,
    ),
    Mutant("a restart forgets locks", "people and locks", "s16_a_lock_goes", _a_restart_forgets_locks),
    Mutant(
        "only the newest lock stands", "people and locks", "s16_a_lock_goes", _only_the_newest_lock_stands
    ),
    Mutant("opening asks `holds` and not `settled`", "the facts", "s3_", _opening_does_not_wait_for_settled),
    Mutant("reason_to_shut forgets the window", "the facts", "s23_", _the_window_is_not_looked_at),
    Mutant("reason_to_shut forgets safety_checked", "the facts", "s23_", _safety_checked_is_not_watched),
    Mutant(
        "before the first frame only hold rules count", "the facts", "s23_", _hold_rules_do_at_the_first_frame
    ),
    Mutant("first_frame judges nothing", "what grows old", "s4_at_rest", _the_first_frame_is_not_judged),
    Mutant(
        "the gate opens before the first frame", "the facts", "s1_", _the_gate_opens_before_the_first_frame
    ),
    Mutant("the end comes a second late", "the deadline", "s4_", _the_end_comes_a_second_late),
    Mutant(
        "a step of the wall clock is not seen", "the clocks", "s3_", _a_step_of_the_wall_clock_is_not_seen
    ),
    Mutant(
        "nobody waits for the first frame", "the deadline", "l1_a_request", _nobody_waits_for_the_first_frame
    ),
    Mutant("extend goes beyond the window", "the deadline", "s3_", _extend_goes_beyond_the_window),
    Mutant("extend goes beyond max_session", "the deadline", "s3_", _extend_goes_beyond_the_longest_session),
    Mutant("a failed worker moves the deadline", "the worker", "s6_", _a_failed_worker_moves_the_deadline),
    Mutant("a retry ignores the lane", "the worker", "s13_", _a_retry_ignores_the_lane),
    Mutant("a failed start is tried again", "the worker", "l1_the_lane", _no_exit_is_fatal),
    Mutant(
        "a closing is believed without proof",
        "the worker",
        "s16_nothing",
        _a_closing_is_believed_without_proof,
    ),
    Mutant("the fence is not asked", "the log and the worker", "s22_", _the_fence_is_not_asked),
    Mutant(
        "what waited is written as it was",
        "the log and the lane",
        "s12_every",
        _what_waited_is_written_as_it_was,
    ),
)
