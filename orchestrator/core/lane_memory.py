"""What is remembered of a lane: every message is folded in, and every later instant follows from it.

Between two messages a rule holds during one span of the boot clock at most, so the memory of a
rule ends in that span: `holds_from_us` ≤ t < `holds_until_us`. A tick is only a wake-up.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from orchestrator.core.lane_values import quoted, read_epoch_us, read_value, why_unreadable
from orchestrator.core.moment import Moment
from orchestrator.core.policy import LanePolicy, LaneRule

ABSENT_AFTER_US = 200_000
"""How long after the SUBACK a topic that said nothing counts as absent (CONTRACT 9)."""

BEATS_TO_PROVE = 2

BeatKind = Literal["good", "nothing", "unreadable", "far", "smaller"]


@dataclass(frozen=True, slots=True)
class RuleMemory:
    """What one rule remembers since the subscription. All instants are of the boot clock.

    `heard_at_us` is the newest message on its topic, None: absent. `value` is what that message
    said, None: unreadable, and `unread` says why; `since_us` when this value was first seen, `live`
    whether it was ever received not retained, `changed` whether its coming broke the rule.
    `vouch_until_us` is the instant by which the heartbeat must have beaten, live, for the value
    still to be vouched for; None: nobody vouches until the value is received again (S5).
    Of a heartbeat: `beats` live, increasing beats in a row (no more than two are counted), the
    last said `beat_us` (its own time, wall clock) and came at `beat_at_us`; `last_beat` is what
    the newest message was worth, `ahead_us` how far its time stood before our clock (negative: behind).
    """

    heard_at_us: int | None = None
    quote: str = ""
    value: str | None = None
    unread: str = ""
    since_us: int = 0
    live: bool = False
    changed: bool = False
    vouch_until_us: int | None = None
    beats: int = 0
    beat_us: int | None = None
    beat_at_us: int = 0
    last_beat: BeatKind | Literal["retained"] | None = None
    ahead_us: int = 0
    holds_from_us: int | None = None
    holds_until_us: int | None = None

    def holds_at(self, at_us: int) -> bool:
        """Whether the rule holds at this instant, if no message comes before it."""
        if self.holds_from_us is None or at_us < self.holds_from_us:
            return False
        return self.holds_until_us is None or at_us < self.holds_until_us


@dataclass(frozen=True, slots=True)
class LaneMemory:
    """What is remembered of a lane, one entry a rule in the policy's order.

    `subscribed_at_us` is the boot-clock instant of the SUBACK; None: no session with the broker,
    and nothing is remembered.
    """

    subscribed_at_us: int | None
    rules: tuple[RuleMemory, ...]


def empty(lane: LanePolicy) -> LaneMemory:
    """The memory of a lane before any session with the broker."""
    return LaneMemory(None, (RuleMemory(),) * len(lane.rules))


def subscribed(lane: LanePolicy, memory: LaneMemory, now: Moment) -> LaneMemory:
    """The SUBACK came: whatever `memory` held is forgotten, and quiet time counts from here."""
    nothing = replace(empty(lane), subscribed_at_us=now.boottime_us)
    return _with_spans(lane, now.boottime_us, nothing.rules, nothing.rules, now.boottime_us)


def disconnected(lane: LanePolicy, memory: LaneMemory, now: Moment) -> LaneMemory:
    """The session with the broker is over: values, leases and quiet time are forgotten (FIELD 9)."""
    return empty(lane)


def heard(
    lane: LanePolicy, memory: LaneMemory, topic: str, payload: bytes, retained: bool, now: Moment
) -> LaneMemory:
    """One message folded in. Without a session it says nothing; another's topic changes nothing."""
    at_us = now.boottime_us
    if memory.subscribed_at_us is None or all(rule.topic != topic for rule in lane.rules):
        return memory
    entries = list(memory.rules)
    for index, rule in enumerate(lane.rules):
        if rule.topic == topic and rule.heartbeat:
            beat, epoch_us = _weigh(rule, entries[index], payload, now)
            entries[index] = _beaten(rule, entries[index], payload, retained, beat, epoch_us, now)
            if not retained:
                entries = _vouches(lane, entries, rule, beat, at_us)
    for index, rule in enumerate(lane.rules):
        if rule.topic == topic and not rule.heartbeat:
            entries[index] = _said(rule, entries[index], payload, retained, at_us)
            entries[index] = replace(entries[index], vouch_until_us=_vouch_begins(lane, entries, rule, at_us))
    return _with_spans(lane, memory.subscribed_at_us, entries, memory.rules, at_us)


def lease_until_us(rule: LaneRule, entry: RuleMemory) -> int | None:
    """When this heartbeat's lease ends if no beat comes; None while it is not proven."""
    return entry.beat_at_us + rule.max_age_us if entry.beats >= BEATS_TO_PROVE else None


def voucher(
    lane: LanePolicy, entries: Sequence[RuleMemory], rule: LaneRule
) -> tuple[LaneRule, RuleMemory] | None:
    """The heartbeat that vouches for this rule's value, and what is remembered of it."""
    for other, entry in zip(lane.rules, entries, strict=True):
        if other.id == rule.vouched_by and other.heartbeat:
            return other, entry
    return None


def _weigh(rule: LaneRule, entry: RuleMemory, payload: bytes, now: Moment) -> tuple[BeatKind, int | None]:
    epoch_us = read_epoch_us(payload)
    if epoch_us is None:
        return "unreadable", None
    if abs(epoch_us - now.wall_us) > rule.max_age_us:
        return "far", epoch_us
    if entry.beat_us is not None and epoch_us < entry.beat_us:
        return "smaller", epoch_us
    if epoch_us == entry.beat_us:
        return "nothing", epoch_us
    return "good", epoch_us


def _beaten(
    rule: LaneRule,
    entry: RuleMemory,
    payload: bytes,
    retained: bool,
    beat: BeatKind,
    epoch_us: int | None,
    now: Moment,
) -> RuleMemory:
    """A heartbeat's memory after a message. A retained one proves nothing about now, neither life nor
    death; a bad live one takes the proof away and does not count as the first of a new one."""
    at_us = now.boottime_us
    proof: tuple[int, int | None, int] = (entry.beats, entry.beat_us, entry.beat_at_us)
    if not retained and beat == "good":
        in_a_row = entry.beats > 0 and at_us - entry.beat_at_us < rule.max_age_us
        proof = (min(entry.beats + 1, BEATS_TO_PROVE) if in_a_row else 1, epoch_us, at_us)
    elif not retained and beat != "nothing":
        proof = (0, None, entry.beat_at_us)
    beats, beat_us, beat_at_us = proof
    return replace(
        entry,
        heard_at_us=at_us,
        quote=quoted(payload),
        beats=beats,
        beat_us=beat_us,
        beat_at_us=beat_at_us,
        last_beat="retained" if retained else beat,
        unread=why_unreadable(rule, payload) if epoch_us is None else "",
        ahead_us=0 if epoch_us is None else epoch_us - now.wall_us,
    )


def _vouches(
    lane: LanePolicy, entries: list[RuleMemory], heartbeat: LaneRule, beat: BeatKind, at_us: int
) -> list[RuleMemory]:
    """The entries after a live message of the heartbeat that vouches for some of them: a good one in
    time carries the vouching on, a bad one or a late one ends it until the value comes again."""
    if beat == "nothing":
        return entries
    renewed = list(entries)
    for index, rule in enumerate(lane.rules):
        until_us = entries[index].vouch_until_us
        if rule.vouched_by == heartbeat.id and until_us is not None:
            unbroken = beat == "good" and at_us < until_us
            renewed[index] = replace(
                entries[index], vouch_until_us=at_us + heartbeat.max_age_us if unbroken else None
            )
    return renewed


def _vouch_begins(lane: LanePolicy, entries: list[RuleMemory], rule: LaneRule, at_us: int) -> int | None:
    """By when the heartbeat must beat for a value received now: the end of the lease in force, else a
    lease's length from here (S5)."""
    found = voucher(lane, entries, rule)
    if found is None:
        return None
    heartbeat, entry = found
    lease_us = lease_until_us(heartbeat, entry)
    if lease_us is not None and at_us < lease_us:
        return lease_us
    return at_us + heartbeat.max_age_us


def _said(rule: LaneRule, entry: RuleMemory, payload: bytes, retained: bool, at_us: int) -> RuleMemory:
    """A value's memory after a message; a message that comes while the rule holds and ends that has
    broken it, even if the rule held only because nothing had been said."""
    value = read_value(rule, payload)
    same = value is not None and entry.heard_at_us is not None and value == entry.value
    replaced = entry.value is not None or entry.holds_at(at_us)
    return replace(
        entry,
        heard_at_us=at_us,
        quote=quoted(payload),
        value=value,
        unread="" if value is not None else why_unreadable(rule, payload),
        since_us=entry.since_us if same else at_us,
        live=not retained or (same and entry.live),
        changed=entry.changed if same else replaced,
    )


def _with_spans(
    lane: LanePolicy,
    subscribed_at_us: int,
    entries: Sequence[RuleMemory],
    before: Sequence[RuleMemory],
    at_us: int,
) -> LaneMemory:
    """The memory with each rule's span computed anew at `at_us`; a rule that held before and still
    holds has held since the old span began."""
    updated = []
    for rule, entry, old in zip(lane.rules, entries, before, strict=True):
        from_us, until_us = _span(lane, subscribed_at_us, entries, rule, entry, at_us) or (None, None)
        if old.holds_at(at_us) and from_us == at_us and (until_us is None or at_us < until_us):
            from_us = old.holds_from_us
        if (from_us, until_us) != (entry.holds_from_us, entry.holds_until_us):
            entry = replace(entry, holds_from_us=from_us, holds_until_us=until_us)
        updated.append(entry)
    return LaneMemory(subscribed_at_us, tuple(updated))


def _span(
    lane: LanePolicy,
    subscribed_at_us: int,
    entries: Sequence[RuleMemory],
    rule: LaneRule,
    entry: RuleMemory,
    at_us: int,
) -> tuple[int, int | None] | None:
    """From when until when the rule holds if no message comes after `at_us`; None: never."""
    if rule.heartbeat:
        lease_us = lease_until_us(rule, entry)
        return None if lease_us is None or lease_us <= at_us else (at_us, lease_us)
    if rule.quiet_for_us is not None:
        counted_from_us = subscribed_at_us if entry.heard_at_us is None else entry.heard_at_us
        return max(counted_from_us + rule.quiet_for_us, at_us), None
    if entry.heard_at_us is None:
        absent_us = subscribed_at_us + ABSENT_AFTER_US
        return (max(absent_us, at_us), None) if rule.when_absent == "pass" else None
    if entry.value is None or (rule.equals is not None and entry.value != rule.equals):
        return None
    from_us = max(entry.since_us + (rule.steady_for_us or 0), at_us)
    if rule.vouched_by is None:
        return (from_us, None) if entry.live or rule.when_absent == "pass" else None
    until_us = vouched_until_us(lane, entries, rule, entry, at_us)
    return None if until_us is None else (from_us, until_us)


def vouched_until_us(
    lane: LanePolicy, entries: Sequence[RuleMemory], rule: LaneRule, entry: RuleMemory, at_us: int
) -> int | None:
    """Until when the heartbeat in force at `at_us` vouches for the value if it beats no more; None:
    it does not. The vouching must be unbroken since the value was received, and the lease proven."""
    found = voucher(lane, entries, rule)
    if found is None or entry.vouch_until_us is None:
        return None
    lease_us = lease_until_us(*found)
    return lease_us if lease_us is not None and at_us < lease_us else None
