"""What happens next: `decide(state, command, facts)` gives the events, or a refusal that says why."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from orchestrator.core import ending, lane, recovery
from orchestrator.core.camera_state import CameraState, Session, evolve
from orchestrator.core.checks import Check, Stage, case_of, failing, first_fault, judge
from orchestrator.core.commands import (
    CHECKS,
    CLOCK,
    SERVICE,
    WORKER,
    Acknowledge,
    Closing,
    Command,
    Extend,
    Gone,
    Join,
    Layer,
    Leave,
    Look,
    Reported,
    Request,
    Why,
)
from orchestrator.core.events import (
    CLOSING,
    LOCKED,
    REQUESTED,
    SAFETY_CHECKED,
    Actor,
    Event,
    observation,
    transition,
)
from orchestrator.core.facts import Facts
from orchestrator.core.faults import LOCKING
from orchestrator.core.moment import SECOND_US
from orchestrator.core.moves import moved, only, seen
from orchestrator.core.policy import Policy
from orchestrator.core.refusal import Refusal
from orchestrator.core.statechart import Chart
from orchestrator.core.worker import FirstFrame, WorkerExited, WorkerStarted

__all__ = ["CameraState", "Decision", "decide", "evolve", "reason_to_shut"]

Decision = tuple[Event, ...] | Refusal
LANE_NEWS_EVERY_US = SECOND_US


def decide(chart: Chart, policy: Policy, state: CameraState, command: Command, facts: Facts) -> Decision:
    """The events that `command` leads to in `state` on these facts. Pure: nothing else is looked at."""
    match command:
        case Request():
            return _request(chart, policy, state, command, facts)
        case Extend():
            return _extend(chart, policy, state, command, facts)
        case Acknowledge():
            return _acknowledge(chart, state, command)
        case Look():
            return _progress(chart, policy, state, facts)
        case Closing():
            return moves_of_closing(chart, state, command)
        case Reported(report=WorkerStarted() as started):
            return _worker_started(state, started)
        case Reported(report=FirstFrame()):
            return _first_frame(chart, policy, state, facts)
        case Reported(report=WorkerExited() as exited):
            return recovery.after_exit(chart, policy, state, exited, command.random, facts.now)
        case Join():
            return _join(chart, policy, state, command)
        case Leave():
            return _leave(state, command)
        case Gone():
            return moves_of_gone(chart, state, command)
    raise TypeError(f"no rule for {command!r}")


def reason_to_shut(policy: Policy, state: CameraState, command: Command, facts: Facts) -> Why | None:
    """The closing lane's question: must this camera be shut (or one more lock be set) right now?

    The same judgement serves each notification, each look at the clocks and each command (S4).
    """
    if isinstance(command, Reported) and isinstance(command.report, WorkerExited):
        ended = recovery.fatal_exit(policy, state, command.report, facts.now)
        if ended is not None:
            return ended
    if state.is_open:
        assert state.session is not None
        camera = policy.cameras[state.camera]
        due = ending.overdue(policy, state.session, facts.now)
        due = due or ending.idle_too_long(camera, state.session, facts.now)
        if due is not None:
            by: Layer = command.by if isinstance(command, Look) else "look"
            return replace(due, data={**due.data, "by": by})
    if state.place == SAFETY_CHECKED and state.session is not None:
        late = ending.never_started(policy, state.session, facts.now)
        if late is not None:
            return late
    stage = Stage.OPEN if state.is_open else Stage.STARTING
    failed = failing(judge(case_of(policy, state, facts)), stage)
    if not state.is_open and state.place != SAFETY_CHECKED:
        fresh = [c for c in failed if c.fault in LOCKING and c.id != "camera" and c.fault not in state.locks]
        return _fault_of(fresh, stage) if fresh else None
    return _fault_of(failed, stage) if failed else None


def _fault_of(failed: Iterable[Check], stage: Stage) -> Why:
    checks = tuple(failed)
    data = {"fault": first_fault(checks), "checks": [check.chained(stage) for check in checks]}
    return Why("fault", CHECKS, first_fault(checks), data)


def _not_permitted(chart: Chart, state: CameraState, trigger: str, facts: Facts) -> Refusal:
    if state.place == CLOSING:
        detail = "the last session is still being closed; ask again in a moment"
        return Refusal("closing", detail, retry_after_s=1)
    if state.place == LOCKED:
        locks = sorted(state.locks)
        detail = f"the camera is locked by {', '.join(locks)}; an approver acknowledges it with a reason"
        return Refusal("locked", detail, members={"fault": state.fault, "locks": locks, "who": "approver"})
    permitted = list(chart.permitted(state.place))
    detail = f"{trigger} is not possible in {state.place}; possible now: {', '.join(permitted)}"
    return Refusal("not-permitted", detail, members={"permitted": permitted})


def _request(chart: Chart, policy: Policy, state: CameraState, command: Request, facts: Facts) -> Decision:
    target = chart.target(state.place, "request")
    if target is None:
        return _not_permitted(chart, state, "request", facts)
    left_us = state.cool_down_left_us(facts.now)
    if left_us > 0:
        wait_s = left_us // SECOND_US + 1
        detail = f"the camera failed too often and cools down for {wait_s} s more"
        return Refusal("cooling-down", detail, members={"fault": "worker-storm"}, retry_after_s=wait_s)
    data = {
        "purpose": command.purpose,
        "duration_s": command.duration_s,
        "wait_s": command.wait_s,
        "device": command.device,
        "resume": command.resume,
    }
    asked = transition(
        "request",
        Actor("member", command.member),
        camera=state.camera,
        session=command.session,
        source=state.place,
        target=target,
        data=data,
        details=command.person,
    )
    return (asked,)


def _extend(chart: Chart, policy: Policy, state: CameraState, command: Extend, facts: Facts) -> Decision:
    session = state.session
    if session is None or chart.target(state.place, "extend") is None:
        return _not_permitted(chart, state, "extend", facts)
    end = ending.extended(policy, state.camera, session, command.duration_s * SECOND_US, facts)
    if isinstance(end, Refusal):
        return end
    data = end.chained() | {"duration_s": command.duration_s}
    actor = Actor("member", command.member)
    return only(moved(chart, state, "extend", actor, data=data, details=command.person))


def _acknowledge(chart: Chart, state: CameraState, command: Acknowledge) -> Decision:
    if chart.target(state.place, "acknowledge") is None:
        permitted = list(chart.permitted(state.place))
        return Refusal(
            "not-permitted", f"nothing to acknowledge in {state.place}", members={"permitted": permitted}
        )
    lasting = sorted(state.locks & command.lasting)
    if lasting:
        detail = f"the cause of {', '.join(lasting)} lasts; mend it first, then acknowledge"
        return Refusal("locked", detail, members={"fault": lasting[0], "locks": lasting, "who": "approver"})
    data = {"locks": sorted(state.locks)}
    actor = Actor("member", command.member)
    return only(moved(chart, state, "acknowledge", actor, data=data, details=command.person))


def _progress(chart: Chart, policy: Policy, state: CameraState, facts: Facts) -> Decision:
    """What a look leads to besides a closing, which `reason_to_shut` finds first."""
    session = state.session
    if session is None or state.is_shut:
        return ()
    news = _lane_news(policy, state, session, facts)
    if state.place == REQUESTED:
        return (*news, *_await_checks(chart, policy, state, session, facts))
    sooner = ending.shortened(session, facts) if state.is_open else None
    if sooner is not None:
        return (*news, seen(state, "deadline_shortened", CLOCK, sooner.chained()))
    if state.place.state == "streaming":
        camera = policy.cameras[state.camera]
        if facts.now.boottime_us >= ending.notice_at_us(camera, session):
            return (*news, *only(moved(chart, state, "expiry_notice", CLOCK, data={"limit": session.limit})))
    return news


def _lane_news(policy: Policy, state: CameraState, session: Session, facts: Facts) -> tuple[Event, ...]:
    """Which rules of the lane hold, where that differs from what was last written; once a second at most,
    so that a flood in the lane is none in the log."""
    now_us = facts.now.boottime_us
    if session.lane and now_us - session.lane_at_us < LANE_NEWS_EVERY_US:
        return ()
    lane_policy = policy.lanes[policy.cameras[state.camera].lane]
    verdicts = {rule.id: lane.judge(rule, lane_policy, facts.lane, facts.now) for rule in lane_policy.rules}
    rules = {rule: verdict.holds for rule, verdict in verdicts.items()}
    changed = {rule: holds for rule, holds in rules.items() if session.lane.get(rule) is not holds}
    return (seen(state, "lane_changed", CHECKS, {"rules": changed}),) if changed else ()


def _await_checks(
    chart: Chart, policy: Policy, state: CameraState, session: Session, facts: Facts
) -> tuple[Event, ...]:
    checks = judge(case_of(policy, state, facts))
    failed = failing(checks, Stage.OPENING)
    if not failed:
        evidence = {"checks": [check.chained(Stage.OPENING) for check in checks]}
        return only(moved(chart, state, "checks_passed", CHECKS, data=evidence))
    if facts.now.boottime_us < session.wait_until_us:
        return ()
    data = {
        "fault": first_fault(failed),
        "checks": [check.chained(Stage.OPENING) for check in failed],
    }
    words = {check.id: check.detail for check in failed}
    return only(moved(chart, state, "checks_failed", CHECKS, data=data, details={"words": words}))


def _first_frame(chart: Chart, policy: Policy, state: CameraState, facts: Facts) -> Decision:
    session = state.session
    if session is None:
        return ()
    if state.place.substate == "reconnecting":
        return only(moved(chart, state, "frames_back", WORKER, data={"run": session.run}))
    if state.place != SAFETY_CHECKED:
        return ()
    checks = judge(case_of(policy, state, facts))
    end = ending.first_end(policy, state.camera, session, facts)
    if failing(checks, Stage.STARTING) or end is None:
        return ()
    data = {"checks": [check.chained(Stage.STARTING) for check in checks]} | end.chained()
    return only(moved(chart, state, "first_frame", WORKER, data=data))


def _worker_started(state: CameraState, started: WorkerStarted) -> Decision:
    if state.session is None:
        return ()
    data = {"run": started.run, "pid": started.pid, "confinement": dict(started.confinement)}
    return (seen(state, "worker_started", WORKER, data),)


def _join(chart: Chart, policy: Policy, state: CameraState, command: Join) -> Decision:
    session = state.session
    if session is None or not chart.serves(state.place):
        return Refusal("shut", f"{state.camera} is shut: there is nothing to watch")
    if len(session.viewers) >= policy.max_viewers_per_camera:
        limit = policy.max_viewers_per_camera
        return Refusal(
            "too-many-viewers", f"{limit} are watching already, the most allowed", retry_after_s=10
        )
    joined = observation(
        "viewer_joined",
        Actor("member", command.member),
        camera=state.camera,
        session=session.id,
        data={"watch": command.watch, "device": command.device},
        details=command.person,
    )
    return (joined,)


def _leave(state: CameraState, command: Leave) -> Decision:
    session = state.session
    if session is None or command.watch not in session.viewers:
        return ()
    actor = Actor("member", session.viewers[command.watch])
    data = {
        "watch": command.watch,
        "seconds": command.seconds,
        "bytes": command.size_bytes,
        "reason": command.reason,
        **({"fault": command.fault} if command.fault else {}),
    }
    return (seen(state, "viewer_left", actor, data),)


def moves_of_closing(chart: Chart, state: CameraState, closing: Closing) -> tuple[Event, ...]:
    """The closing as the log's own place has it: a shut camera only gains a lock (CONTRACT 4)."""
    why = closing.why
    locks = why.fault in LOCKING
    if state.is_shut:
        if not locks or why.fault in state.locks:
            return ()
        return only(moved(chart, state, "fault", why.actor, "locks", data=why.data))
    guard = "locks" if locks else "no-lock"
    shut = moved(chart, state, why.trigger, why.actor, guard, data=why.data, details=why.person)
    if shut is None:
        shut = moved(chart, state, "close", SERVICE, data={"instead_of": why.trigger})
    return (*only(shut), *_cut_viewers(state, closing))


def _cut_viewers(state: CameraState, closing: Closing) -> Iterable[Event]:
    if state.session is None:
        return
    sums = {cut.watch: cut for cut in closing.cut}
    for watch, member in state.session.viewers.items():
        cut = sums.get(watch)
        data = {
            "watch": watch,
            "seconds": cut.seconds if cut else 0,
            "bytes": cut.size_bytes if cut else 0,
            "reason": "cut",
        }
        yield seen(state, "viewer_left", Actor("member", member), data)


def moves_of_gone(chart: Chart, state: CameraState, gone: Gone) -> tuple[Event, ...]:
    """What the proof of a closing, or its absence, leads to (S16, L2)."""
    if state.place != CLOSING:
        return ()
    if not gone.proven:
        if "closing-unproven" in state.locks:
            return ()
        data = {"fault": "closing-unproven", "segments_wiped": gone.segments_wiped, "gone_ms": gone.gone_ms}
        return only(moved(chart, state, "fault", SERVICE, "locks", data=data))
    proof = {
        "shut_us": gone.shut_us,
        "unsent_bytes_discarded": gone.unsent_bytes_discarded,
        "viewers_cut": gone.viewers_cut,
        "worker_exit": gone.worker_exit,
        "segments_wiped": gone.segments_wiped,
        "gone_ms": gone.gone_ms,
    }
    guard = "locks" if state.locks else "no-lock"
    return only(moved(chart, state, "closed", WORKER, guard, data=proof))
