"""Facts × rules → checks with evidence: the single judge of "may it open" and "may it stay open"."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from typing import Any

from orchestrator.core import lane as lane_rules
from orchestrator.core import lane_words
from orchestrator.core.camera_state import CameraState, Session
from orchestrator.core.events import CLOSING, LOCKED, Json
from orchestrator.core.facts import Facts, Proof
from orchestrator.core.faults import foremost
from orchestrator.core.moment import rfc3339
from orchestrator.core.policy import CameraPolicy, Member, Phase, Policy, Purpose

HOST_PATIENCE_US = 30_000_000
HOST_MAX_AGE_US = 15_000_000
CLOCK_STEP_US = 2_000_000
MEMORY_WAITED_LIMIT_MILLI = 100
"""Everything stood still for memory during a tenth of the last ten seconds. Waiting for a processor or for
the disk is evidence alone: our own worker, which yields to everybody, is the first to wait for them (K2)."""


class Stage(Enum):
    """How much is asked: opening wants every check to hold and to be settled; the moment of the
    first frame wants every check to hold; an open camera wants the hold checks alone."""

    OPENING = "opening"
    STARTING = "starting"
    OPEN = "open"


@dataclass(frozen=True, slots=True)
class Check:
    """One verdict. `holds` and `settled` are the two answers; `ready_in_ms` is None when time alone
    will not settle it. `detail` is for a person and never enters the chain."""

    id: str
    phase: Phase
    holds: bool
    settled: bool
    fault: str | None
    detail: str
    evidence: Json
    age_ms: int | None = None
    waived: bool = False
    ready_in_ms: int | None = 0

    def passes(self, stage: Stage) -> bool:
        """Whether this check lets a camera through at that stage."""
        if self.waived:
            return True
        if stage is Stage.OPENING:
            return self.holds and self.settled
        return self.holds or (stage is Stage.OPEN and self.phase == "open")

    def chained(self, stage: Stage) -> dict[str, Any]:
        """The form that stands in an event: no free text (CONTRACT 7)."""
        return {
            "id": self.id,
            "phase": self.phase,
            "passed": self.passes(stage),
            "waived": self.waived,
            "fault": None if self.passes(stage) else self.fault,
            "age_ms": self.age_ms,
            "evidence": dict(self.evidence),
        }

    def shown(self, stage: Stage) -> dict[str, Any]:
        """The form that the API shows."""
        return self.chained(stage) | {
            "detail": self.detail,
            "fault": self.fault,
            "ready_in_ms": self.ready_in_ms,
        }


@dataclass(frozen=True, slots=True)
class Case:
    """What is judged: a camera, who asks for what, and the facts of the moment."""

    policy: Policy
    camera: CameraPolicy
    state: CameraState
    facts: Facts
    member: str | None
    device: str | None
    purpose: Purpose
    session: Session | None

    @property
    def now_us(self) -> int:
        """The boot clock of the moment."""
        return self.facts.now.boottime_us


def case_of(policy: Policy, state: CameraState, facts: Facts) -> Case:
    """The case of the session that the state holds (or of nobody, when it holds none)."""
    session = state.session
    purpose = policy.purpose(session.purpose if session else None) or policy.purposes[0]
    return Case(
        policy,
        policy.cameras[state.camera],
        state,
        facts,
        session.member if session else None,
        session.device if session else None,
        purpose,
        session,
    )


def judge(case: Case) -> tuple[Check, ...]:
    """Every check of CONTRACT 4, in the order shown."""
    return (
        _window(case),
        _identity(case),
        _proof(case, "vpn-interface", case.facts.interface, settle_us=case.policy.boundary_settle_us),
        _proof(case, "vpn-listener", case.facts.listener),
        _proof(case, "vpn-side-door", case.facts.side_door),
        _proof(case, "config", case.facts.config),
        _proof(case, "bus-connected", case.facts.bus),
        _proof(case, "bus-trusted", case.facts.bus_trusted, phase="open"),
        *_lane(case),
        _camera(case),
        _host(case),
        _proof(case, "memory-only", case.facts.memory),
        _clock(case),
        _proof(case, "log", case.facts.log),
    )


def failing(checks: Iterable[Check], stage: Stage) -> tuple[Check, ...]:
    """The checks that do not let the camera through at that stage."""
    return tuple(check for check in checks if not check.passes(stage))


def first_fault(failed: Iterable[Check]) -> str | None:
    """The event's code when several checks fail at once."""
    return foremost(check.fault for check in failed if check.fault)


def ready_in_ms(checks: Iterable[Check]) -> int | None:
    """How long until all are settled if nothing changes; None when something must happen first."""
    longest = 0
    for check in checks:
        if check.passes(Stage.OPENING):
            continue
        if check.ready_in_ms is None:
            return None
        longest = max(longest, check.ready_in_ms)
    return longest


def _verdict(
    identifier: str, holds: bool, fault: str | None, detail: str, evidence: Json, **rest: Any
) -> Check:
    rest.setdefault("phase", "hold")
    rest.setdefault("settled", holds)
    rest.setdefault("ready_in_ms", 0 if holds else None)
    return Check(id=identifier, holds=holds, fault=fault, detail=detail, evidence=evidence, **rest)


def _proof(case: Case, identifier: str, proof: Proof, *, settle_us: int = 0, phase: Phase = "hold") -> Check:
    age_us = case.now_us - proof.seen_at_us
    stale = proof.is_stale(case.now_us)
    holds = proof.good and not stale
    detail = f"{proof.detail} (last seen {age_us // 1_000_000} s ago: too old)" if stale else proof.detail
    held_us = case.now_us - proof.since_us if holds and proof.since_us is not None else 0
    settled = holds and held_us >= settle_us
    evidence = dict(proof.evidence) | {"source": proof.source}
    if proof.max_age_us is not None:
        evidence["limit_ms"] = proof.max_age_us // 1000
    if settle_us:
        evidence |= {"holding_ms": held_us // 1000, "settle_ms": settle_us // 1000}
        if holds and not settled:
            detail = f"{detail}; good for {held_us // 1000} ms, wanted {settle_us // 1000} ms"
    remaining = -((held_us - settle_us) // 1000)
    return _verdict(
        identifier,
        holds,
        ((proof.stale_fault or proof.fault) if stale else proof.fault) or None,
        detail,
        evidence,
        phase=phase,
        settled=settled,
        age_ms=max(0, age_us // 1000),
        ready_in_ms=(0 if settled else max(1, remaining)) if holds else None,
    )


def _window(case: Case) -> Check:
    wall_us = case.facts.now.wall_us
    span = case.facts.window_for(case.member)
    if span is None:
        own = case.facts.window is not None
        detail = "no maintenance window is open for this camera now"
        if own:
            detail = "the window that is open was approved by the person who asks, and by nobody else"
        over_us = case.facts.window_over_us
        if over_us is not None:
            detail = f"the window was over already at {rfc3339(over_us)}; since then the clock was set back"
        evidence: dict[str, Any] = {"open": False}
        if own:
            evidence["approved_by_self"] = True
        if over_us is not None:
            evidence["over_us"] = over_us
        return _verdict("window", False, "window-closed", detail, evidence)
    inside = {
        "open": True,
        "windows": ", ".join(span.names),
        "start_us": span.start_us,
        "end_us": span.end_us,
    }
    if case.facts.window_waits:
        detail = "a window was cancelled or shortened, and the log has not taken that yet"
        return _verdict("window", True, "window-closed", detail, inside, settled=False, ready_in_ms=None)
    left_s = (span.end_us - wall_us) // 1_000_000
    detail = f"inside {', '.join(span.names)}, {left_s} s left"
    return _verdict("window", True, "window-closed", detail, inside)


def entitled(member: Member | None, device: str | None, camera: str) -> str | None:
    """Why this person may not hold a session of this camera on this device, or None when they may."""
    if member is None:
        return "the person who asked is no longer a member"
    if "maintainer" not in member.roles:
        return "the person who asked is not a maintainer"
    if not member.may_see(camera):
        return "this camera is not one of theirs"
    if device not in member.devices.values():
        return "the device that asked is no longer theirs"
    return None


def _identity(case: Case) -> Check:
    member = case.facts.members.get(case.member or "")
    why = entitled(member, case.device, case.camera.id)
    evidence = {"member": case.member, "role": "maintainer" if why is None else None}
    return _verdict(
        "identity",
        why is None,
        "identity-revoked",
        why or "a maintainer of this camera on a device of theirs",
        evidence,
    )


def _lane(case: Case) -> Iterable[Check]:
    policy = case.policy.lanes[case.camera.lane]
    for rule in policy.rules:
        verdict = lane_rules.judge(rule, policy, case.facts.lane, case.facts.now)
        waived = rule.id in case.purpose.waive
        yield Check(
            id=f"lane-{rule.id}",
            phase=rule.phase,
            holds=verdict.holds,
            settled=verdict.settled,
            fault=verdict.fault or "lane-unknown",
            detail=f"waived by the purpose {case.purpose.name}: {verdict.detail}"
            if waived
            else verdict.detail,
            evidence=verdict.evidence,
            age_ms=verdict.age_ms,
            waived=waived,
            ready_in_ms=verdict.ready_in_ms,
        )


def _camera(case: Case) -> Check:
    """Nothing left of the last session, cool-down over. While open it is the worker's word instead."""
    state = case.state
    left_us = state.cool_down_left_us(case.facts.now)
    if state.place == CLOSING:
        holds, fault, detail = False, "worker-failed", "the last session is still being closed"
    elif state.place == LOCKED or state.locks:
        named = ", ".join(sorted(state.locks))
        holds, fault, detail = (
            False,
            state.fault or "worker-failed",
            f"locked by {named}; an approver acknowledges it",
        )
    elif left_us > 0:
        holds, fault, detail = (
            False,
            "worker-storm",
            f"cooling down after a storm, {left_us // 1_000_000 + 1} s left",
        )
    else:
        holds, fault, detail = True, "worker-failed", "nothing is left of the last session"
    evidence = {"locks": len(state.locks), "cool_down_left_ms": left_us // 1000}
    waits = left_us // 1000 + 1 if fault == "worker-storm" else None
    return _verdict("camera", holds, fault, detail, evidence, phase="open", ready_in_ms=0 if holds else waits)


def _host(case: Case) -> Check:
    sight, limits = case.facts.host, case.policy.host
    if sight is None or case.now_us - sight.seen_at_us > HOST_MAX_AGE_US:
        return _verdict(
            "host", False, "host-overloaded", "the host has not been looked at lately", {"seen": False}
        )
    over_us = 0 if sight.overloaded_since_us is None else case.now_us - sight.overloaded_since_us
    evidence = {
        "load_per_cpu_milli": sight.load_per_cpu_milli,
        "load_limit_milli": limits.max_load_per_cpu_milli,
        "memory_available_bytes": sight.memory_available_bytes,
        "memory_limit_bytes": limits.min_memory_available_bytes,
        "temperature_milli": sight.temperature_milli,
        "temperature_limit_milli": limits.max_temperature_milli,
        "cpu_waited_milli": sight.cpu_waited_milli,
        "memory_waited_milli": sight.memory_waited_milli,
        "memory_waited_limit_milli": MEMORY_WAITED_LIMIT_MILLI,
        "io_waited_milli": sight.io_waited_milli,
    }
    calm = sight.overloaded_since_us is None
    is_open = case.session is not None and case.session.opened
    holds = calm or (is_open and over_us < HOST_PATIENCE_US)
    load_limit = limits.max_load_per_cpu_milli / 1000
    load = f"load {sight.load_per_cpu_milli / 1000:.2f} per CPU (limit {load_limit:.2f})"
    memory = (
        f"{sight.memory_available_bytes >> 20} MiB free (wanted {limits.min_memory_available_bytes >> 20})"
    )
    if sight.temperature_milli is not None:
        memory += (
            f", {sight.temperature_milli / 1000:.0f} °C (limit {limits.max_temperature_milli / 1000:.0f})"
        )
    if sight.memory_waited_milli is not None and sight.memory_waited_milli > MEMORY_WAITED_LIMIT_MILLI:
        memory += f", everything waits for memory {sight.memory_waited_milli // 10} % of the time"
    return _verdict(
        "host",
        holds,
        "host-overloaded",
        f"{load}, {memory}" + ("" if calm else f"; over the limits for {over_us // 1_000_000} s"),
        evidence,
        settled=calm,
        age_ms=(case.now_us - sight.seen_at_us) // 1000,
    )


def _clock(case: Case) -> Check:
    now, session = case.facts.now, case.session
    step_us = 0
    if session is not None:
        step_us = (now.wall_us - session.asked_wall_us) - (now.boottime_us - session.asked_boottime_us)
    behind_us = max(0, case.facts.last_event_wall_us - now.wall_us)
    evidence = {
        "synchronised": now.synchronised,
        "required": case.policy.require_clock_sync,
        "step_ms": step_us // 1000,
    }
    if abs(step_us) > CLOCK_STEP_US:
        way = "forward" if step_us > 0 else "back"
        detail = (
            f"the wall clock was set {way} by {lane_words.span(abs(step_us))} since the session was asked for"
        )
        return _verdict("clock", False, "clock-jumped", detail, evidence)
    if behind_us > CLOCK_STEP_US and not (session and session.opened):
        detail = f"the wall clock stands {lane_words.span(behind_us)} before the latest event of the log"
        detail += ": it is slow now, or was fast then; nothing opens before it has caught up"
        return _verdict("clock", False, "clock-jumped", detail, evidence | {"behind_ms": behind_us // 1000})
    settled = now.synchronised or not case.policy.require_clock_sync
    detail = (
        "the kernel says the clock is synchronised" if now.synchronised else "the clock is not synchronised"
    )
    if not now.synchronised and settled:
        detail += "; the site does not require it"
    return _verdict("clock", settled or bool(session and session.opened), "clock-jumped", detail, evidence)
