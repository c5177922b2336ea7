"""Whether a lane's rules hold: rule × memory × now → verdict with evidence (CONTRACT 9, S3–S5)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

from orchestrator.core.events import Json
from orchestrator.core.lane_memory import (
    ABSENT_AFTER_US,
    LaneMemory,
    RuleMemory,
    disconnected,
    empty,
    heard,
    lease_until_us,
    subscribed,
    vouched_until_us,
)
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

LaneFault = Literal["lane-unsafe", "lane-unknown"]


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


class _Reading(NamedTuple):
    """What is to be said of a rule, but for how long it has held: of a rule that holds the fault
    is not looked at."""

    fault: LaneFault
    detail: str
    evidence: dict[str, int | bool | str]


def judge(rule: LaneRule, lane: LanePolicy, memory: LaneMemory, now: Moment) -> RuleVerdict:
    """The verdict on one rule of `lane` at `now`, whatever was looked at in between."""
    at_us = now.boottime_us
    if memory.subscribed_at_us is None:
        return RuleVerdict(
            False, False, None, "lane-unknown", "no session with the broker", {"topic": rule.topic}, None
        )
    entry = memory.rules[lane.rules.index(rule)]
    reading = _read(rule, lane, memory, entry, at_us)
    age_ms = _age_ms(rule, entry, at_us)
    holds = entry.holds_at(at_us)
    holding_us = at_us - entry.holds_from_us if holds and entry.holds_from_us is not None else 0
    evidence: dict[str, int | bool | str] = {"topic": rule.topic, "holding_ms": holding_us // 1000}
    if age_ms is not None:
        evidence["age_ms"] = age_ms
    return RuleVerdict(
        holds=holds,
        settled=holds and holding_us >= lane.settle_us,
        ready_in_ms=_ready_in_ms(entry, lane.settle_us, at_us),
        fault=None if holds else reading.fault,
        detail=reading.detail,
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


def _read(rule: LaneRule, lane: LanePolicy, memory: LaneMemory, entry: RuleMemory, at_us: int) -> _Reading:
    if rule.heartbeat:
        return _read_heartbeat(rule, entry, at_us)
    if rule.quiet_for_us is not None:
        return _read_quiet(rule.quiet_for_us, entry, at_us)
    return _read_value(rule, lane, memory, entry, at_us)


def _read_heartbeat(rule: LaneRule, entry: RuleMemory, at_us: int) -> _Reading:
    lease_us = lease_until_us(rule, entry)
    left_ms = 0 if lease_us is None else max(0, lease_us - at_us) // 1000
    beats = entry.beats if at_us - entry.beat_at_us < rule.max_age_us else 0
    if left_ms or entry.holds_at(at_us):
        detail = f"beats; without another beat its word ends in {left_ms} ms"
    elif lease_us is not None:
        detail = f"no new beat for {(at_us - entry.beat_at_us) // 1000} ms"
    elif entry.last_beat is None:
        detail = "no beat heard yet"
    elif beats == 1:
        detail = "one beat heard; the next one proves it"
    else:
        detail = {
            "retained": f"only an old, retained beat was heard: {entry.quote}",
            "unreadable": f"{entry.quote} is not a time in seconds or milliseconds",
            "far": f"the beat {entry.quote} is further than {rule.max_age_us // 1000} ms from our clock",
            "smaller": f"the beat {entry.quote} is older than the one before",
        }.get(entry.last_beat, "no new beat")
    return _Reading(
        "lane-unknown",
        detail,
        {"limit_ms": rule.max_age_us // 1000, "beats": beats, "lease_left_ms": left_ms},
    )


def _read_quiet(quiet_for_us: int, entry: RuleMemory, at_us: int) -> _Reading:
    evidence: dict[str, int | bool | str] = {"limit_ms": quiet_for_us // 1000}
    if entry.heard_at_us is None:
        long_enough = "long enough" if entry.holds_at(at_us) else "but not long enough yet"
        return _Reading("lane-unknown", f"no message since we listen, {long_enough}", evidence)
    ago_ms = max(0, at_us - entry.heard_at_us) // 1000
    return _Reading("lane-unsafe", f"the last message, {entry.quote}, came {ago_ms} ms ago", evidence)


def _read_value(
    rule: LaneRule, lane: LanePolicy, memory: LaneMemory, entry: RuleMemory, at_us: int
) -> _Reading:
    evidence: dict[str, int | bool | str] = {}
    if rule.equals is not None:
        evidence["limit"] = rule.equals
    if rule.steady_for_us is not None:
        evidence["limit_ms"] = rule.steady_for_us // 1000
    if entry.heard_at_us is None:
        subscribed_at_us = memory.subscribed_at_us or 0
        if at_us < subscribed_at_us + ABSENT_AFTER_US:
            return _Reading("lane-unknown", "nothing heard yet; too early to call it absent", evidence)
        return _Reading("lane-unknown", "nothing was ever said on this topic", evidence | {"absent": True})
    evidence["retained"] = not entry.live
    if entry.value is None:
        return _Reading("lane-unknown", f"{entry.quote} cannot be read", evidence | {"readable": False})
    if entry.value == rule.equals or entry.value in rule.also:
        evidence["value"] = entry.value
    vouched = rule.vouched_by is not None and (
        vouched_until_us(lane, memory.rules, rule, entry, at_us) is not None
    )
    if rule.vouched_by is not None:
        evidence["vouched"] = vouched
    if rule.equals is not None and entry.value != rule.equals:
        return _Reading("lane-unsafe", f"{entry.quote} stands there and not {rule.equals!r}", evidence)
    if rule.steady_for_us is not None:
        steady_ms = max(0, at_us - entry.since_us) // 1000
        evidence["steady_ms"] = steady_ms
        if at_us < entry.since_us + rule.steady_for_us:
            fault: LaneFault = "lane-unsafe" if entry.changed else "lane-unknown"
            return _Reading(fault, f"{entry.quote} has stood there for only {steady_ms} ms", evidence)
    if entry.holds_at(at_us):
        return _Reading("lane-unknown", f"{entry.quote} stands there", evidence)
    if rule.vouched_by is None:
        why = "is retained and proves nothing about now"
    elif entry.vouch_until_us is not None and at_us < entry.vouch_until_us:
        why = f"waits for {rule.vouched_by!r} to be proven"
    else:
        why = "is an old value: nobody vouches for it"
    return _Reading("lane-unknown", f"{entry.quote} {why}", evidence)
