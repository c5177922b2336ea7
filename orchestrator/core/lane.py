"""Whether a lane's rules hold: rule × memory × now → verdict with evidence (CONTRACT 9, S3–S5)."""

from __future__ import annotations

from dataclasses import dataclass

from orchestrator.core.events import Json
from orchestrator.core.lane_memory import LaneMemory, RuleMemory, disconnected, empty, heard, subscribed
from orchestrator.core.lane_words import LaneFault, read, span
from orchestrator.core.moment import Moment
from orchestrator.core.policy import LanePolicy, LaneRule

__all__ = [
    "LaneMemory",
    "RuleVerdict",
    "disconnected",
    "empty",
    "heard",
    "judge",
    "next_change",
    "subscribed",
]


@dataclass(frozen=True, slots=True)
class RuleVerdict:
    """What one rule says at one moment.

    `settled`: it holds and has held for the lane's settle time. `ready_in_ms`: 0 when settled; n
    when it will be after that long if nothing changes (a heartbeat that beats goes on beating);
    None when something must happen first. `detail` is a sentence for a person and may quote the
    payload; `evidence` holds integers, booleans and strings of the configuration alone (S19).
    `age_ms`: since the newest message on the topic, of a heartbeat since its last live beat.
    """

    holds: bool
    settled: bool
    ready_in_ms: int | None
    fault: LaneFault | None
    detail: str
    evidence: Json
    age_ms: int | None


def judge(rule: LaneRule, lane: LanePolicy, memory: LaneMemory, now: Moment) -> RuleVerdict:
    """The verdict on one rule of `lane` at `now`, whatever was looked at in between."""
    at_us = now.boottime_us
    if memory.subscribed_at_us is None:
        return RuleVerdict(
            False, False, None, "lane-unknown", "no session with the broker", {"topic": rule.topic}, None
        )
    entry = memory.rules[lane.rules.index(rule)]
    reading = read(rule, lane, memory, entry, at_us)
    age_ms = _age_ms(rule, entry, at_us)
    holds = entry.holds_at(at_us)
    holding_us = at_us - entry.holds_from_us if holds and entry.holds_from_us is not None else 0
    evidence: dict[str, int | bool | str] = {"topic": rule.topic, "holding_ms": holding_us // 1000}
    if age_ms is not None:
        evidence["age_ms"] = age_ms
    settled = holds and holding_us >= lane.settle_us
    still = f"; good for {span(holding_us)}, wanted {span(lane.settle_us)}" if holds and not settled else ""
    return RuleVerdict(
        holds=holds,
        settled=settled,
        ready_in_ms=_ready_in_ms(entry, lane.settle_us, at_us),
        fault=None if holds else reading.fault,
        detail=reading.detail + still,
        evidence=evidence | reading.evidence,
        age_ms=age_ms,
    )


def next_change(lane: LanePolicy, memory: LaneMemory, now: Moment) -> int | None:
    """The next instant of the boot clock, after `now`, at which a rule of this lane begins to hold,
    settles or ceases to hold by time alone; None when only a message can change anything."""
    instants = []
    for entry in memory.rules:
        if entry.holds_from_us is None:
            continue
        until_us = entry.holds_until_us
        rising = (entry.holds_from_us, entry.holds_from_us + lane.settle_us)
        instants += [instant for instant in rising if until_us is None or instant < until_us]
        if until_us is not None and entry.holds_from_us < until_us:
            instants.append(until_us)
    return min((instant for instant in instants if instant > now.boottime_us), default=None)


def _ready_in_ms(entry: RuleMemory, settle_us: int, at_us: int) -> int | None:
    if entry.holds_from_us is None:
        return None
    if entry.holds_until_us is not None and at_us >= entry.holds_until_us:
        return None
    return max(0, -((at_us - entry.holds_from_us - settle_us) // 1000))


def _age_ms(rule: LaneRule, entry: RuleMemory, at_us: int) -> int | None:
    if rule.heartbeat:
        return None if entry.beat_us is None else max(0, at_us - entry.beat_at_us) // 1000
    return None if entry.heard_at_us is None else max(0, at_us - entry.heard_at_us) // 1000
