"""What a person is told of a lane's rule, and the evidence beside it (S3, S19, CONTRACT 9)."""

from __future__ import annotations

from typing import Literal, NamedTuple

from orchestrator.core.lane_memory import (
    ABSENT_AFTER_US,
    LaneMemory,
    RuleMemory,
    lease_until_us,
    vouched_until_us,
)
from orchestrator.core.moment import SECOND_US
from orchestrator.core.policy import LanePolicy, LaneRule

LaneFault = Literal["lane-unsafe", "lane-unknown"]


class Reading(NamedTuple):
    """What is to be said of a rule, but for how long it has held: of a rule that holds the fault
    is not looked at."""

    fault: LaneFault
    detail: str
    evidence: dict[str, int | bool | str]


def span(us: int) -> str:
    """A length of time for a person's eyes, cut off: `4.2 s`, `42 s`, `3 min 5 s`, `2 h 10 min`, `3 days`."""
    seconds = us // SECOND_US
    if seconds < 10:
        tenths = us // (SECOND_US // 10)
        return f"{seconds} s" if tenths % 10 == 0 else f"{tenths / 10:.1f} s"
    if seconds < 60:
        return f"{seconds} s"
    if seconds < 3600:
        return f"{seconds // 60} min" + (f" {seconds % 60} s" if seconds % 60 else "")
    if seconds < 2 * 86_400:
        return f"{seconds // 3600} h" + (f" {seconds % 3600 // 60} min" if seconds % 3600 >= 60 else "")
    return f"{seconds // 86_400} days"


def read(rule: LaneRule, lane: LanePolicy, memory: LaneMemory, entry: RuleMemory, at_us: int) -> Reading:
    """What is to be said of `rule` at that instant of the boot clock, within a session with the broker."""
    listens_us = max(0, at_us - (memory.subscribed_at_us or 0))
    if rule.heartbeat:
        return _read_heartbeat(rule, entry, at_us, listens_us)
    if rule.quiet_for_us is not None:
        return _read_quiet(rule.quiet_for_us, entry, at_us, listens_us)
    if entry.heard_at_us is None:
        return _read_absence(rule, listens_us)
    return _read_value(rule, lane, memory, entry, at_us)


def _read_heartbeat(rule: LaneRule, entry: RuleMemory, at_us: int, listens_us: int) -> Reading:
    lease_us = lease_until_us(rule, entry)
    left_us = 0 if lease_us is None else max(0, lease_us - at_us)
    beats = entry.beats if at_us - entry.beat_at_us < rule.max_age_us else 0
    if left_us:
        detail = f"beats; without another beat its word ends in {span(left_us)}"
    elif entry.last_beat is None:
        detail = f"no beat on {rule.topic} since we listen, {span(listens_us)} ago"
    elif beats == 1 and entry.last_beat != "nothing":
        detail = "one beat heard; the next one proves it"
    else:
        detail = _read_beat(rule, entry, at_us)
    return Reading(
        "lane-unknown",
        detail,
        {"limit_ms": rule.max_age_us // 1000, "beats": beats, "lease_left_ms": left_us // 1000},
    )


def _read_beat(rule: LaneRule, entry: RuleMemory, at_us: int) -> str:
    """Of a heartbeat that is not proven: what was wrong with its newest message."""
    allowed = span(rule.max_age_us)
    silent = f"no new beat for {span(at_us - entry.beat_at_us)}, {allowed} are allowed"
    match entry.last_beat:
        case "retained" if entry.beat_us is None:
            return f"only a stored (retained) beat was heard, {entry.quote}: it does not say who lives now"
        case "unreadable":
            return f"{entry.quote} cannot be read: {entry.unread}"
        case "far":
            ahead = entry.ahead_us > 0
            return (
                f"the beat {entry.quote} says a time {span(abs(entry.ahead_us))} "
                f"{'ahead of' if ahead else 'behind'} our clock, {allowed} are allowed: "
                f"{'' if ahead else 'an old copy, or '}a clock to be set right"
            )
        case "smaller":
            return f"the beat {entry.quote} is older than the one before: two senders, or a clock set back"
        case "nothing":
            return f"the same beat {entry.quote} comes again; {silent}"
    return silent


def _read_quiet(quiet_for_us: int, entry: RuleMemory, at_us: int, listens_us: int) -> Reading:
    evidence: dict[str, int | bool | str] = {"limit_ms": quiet_for_us // 1000}
    wanted = "" if entry.holds_at(at_us) else f"; {span(quiet_for_us)} of quiet are wanted"
    if entry.heard_at_us is None:
        return Reading("lane-unknown", f"no message for {span(listens_us)} since we listen{wanted}", evidence)
    ago = span(max(0, at_us - entry.heard_at_us))
    return Reading("lane-unsafe", f"the last message, {entry.quote}, came {ago} ago{wanted}", evidence)


def _limits(rule: LaneRule) -> dict[str, int | bool | str]:
    limits: dict[str, int | bool | str] = {}
    if rule.equals is not None:
        limits["limit"] = rule.equals
    if rule.steady_for_us is not None:
        limits["limit_ms"] = rule.steady_for_us // 1000
    return limits


def _read_absence(rule: LaneRule, listens_us: int) -> Reading:
    if listens_us < ABSENT_AFTER_US:
        detail = f"nothing heard on {rule.topic} yet; too early to call it absent"
        return Reading("lane-unknown", detail, _limits(rule))
    detail = f"nothing came on {rule.topic} since we listen, {span(listens_us)} ago"
    passes = rule.when_absent == "pass"
    detail += "; here that passes" if passes else "; what is sent only on change must be sent again"
    return Reading("lane-unknown", detail, _limits(rule) | {"absent": True})


def _read_value(
    rule: LaneRule, lane: LanePolicy, memory: LaneMemory, entry: RuleMemory, at_us: int
) -> Reading:
    evidence = _limits(rule) | {"retained": not entry.live}
    if entry.value is None:
        detail = f"{entry.quote} cannot be read: {entry.unread}"
        return Reading("lane-unknown", detail, evidence | {"readable": False})
    if entry.value == rule.equals or entry.value in rule.also:
        evidence["value"] = entry.value
    if rule.vouched_by is not None:
        evidence["vouched"] = vouched_until_us(lane, memory.rules, rule, entry, at_us) is not None
    stood_us = max(0, at_us - entry.since_us)
    stands = f"{entry.quote} has stood there for {span(stood_us)}"
    if rule.equals is not None and entry.value != rule.equals:
        return Reading("lane-unsafe", f"{stands}; “{rule.equals}” is wanted", evidence)
    if rule.steady_for_us is not None:
        evidence["steady_ms"] = stood_us // 1000
        if stood_us < rule.steady_for_us:
            fault: LaneFault = "lane-unsafe" if entry.changed else "lane-unknown"
            return Reading(fault, f"{stands}; {span(rule.steady_for_us)} are wanted", evidence)
    if entry.holds_at(at_us):
        return Reading("lane-unknown", stands, evidence)
    return Reading("lane-unknown", f"{entry.quote} {_why_it_is_not_proven(rule, entry, at_us)}", evidence)


def _why_it_is_not_proven(rule: LaneRule, entry: RuleMemory, at_us: int) -> str:
    """Of a value that is the right one: what it lacks (S5)."""
    if rule.vouched_by is None:
        return "is a stored (retained) message and proves nothing about now; it must be said again"
    if entry.vouch_until_us is not None and at_us < entry.vouch_until_us:
        return f"counts as soon as {rule.vouched_by} is proven alive"
    ago = span(max(0, at_us - (entry.heard_at_us or 0)))
    return (
        f"is {ago} old and nobody vouches for it: its heartbeat, {rule.vouched_by}, has had a gap since; "
        "it must be said again"
    )
