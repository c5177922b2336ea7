"""A day of a car park's lane, replayed in virtual time: no false fault, and none missed (S3–S5, FIELD 1).

The generator knows what happened; the oracle makes, from that alone, the spans in which each rule holds. The
rules see messages and their own wake-ups, as the daemon does; the spans they find must be the same ones.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import pairwise
from random import Random

import pytest

from orchestrator.core import lane as lane_rules
from orchestrator.core.lane import LaneMemory
from orchestrator.core.moment import Moment
from orchestrator.core.policy import LanePolicy
from tests.core.lane_story import (
    ALIVE,
    BARRIER,
    BARRIER_STILL,
    BEAT,
    ERROR,
    LIFT,
    LIFT_STILL,
    NO_VEHICLE,
    PRESENT,
    SENSOR_OK,
)

LANE = LanePolicy("day", 8_000_000, (NO_VEHICLE, ALIVE, SENSOR_OK, BARRIER_STILL, LIFT_STILL))
BEGIN_S = 1_790_000_000
DAY_MS = 24 * 3_600_000
SETTLE, LEASE, QUIET, STEADY, ABSENT = 8_000, 6_000, 15_000, 10_000, 200

Span = tuple[int, int]
"""Milliseconds since the day began: from, until."""
Message = tuple[int, str, bytes, bool]


@dataclass
class Day:
    """What happened, in milliseconds since midnight."""

    vehicles: list[Span] = field(default_factory=list)
    barrier: list[int] = field(default_factory=list)
    lift: list[tuple[int, int]] = field(default_factory=list)
    failures: list[Span] = field(default_factory=list)
    """The sensor says so itself: an error, and `present` forced to 1."""
    silences: list[Span] = field(default_factory=list)
    """The sensor's program is dead or hangs: no beat, and what it said stands there."""
    reconnects: list[Span] = field(default_factory=list)
    beats: list[int] = field(default_factory=list)


def a_day(random: Random) -> Day:
    """Some hundred vehicles, mostly by day; a few troubles, none of them while a vehicle stands there."""
    day, now = Day(), 60_000
    troubles = ["failure", "silence", "reconnect"] * 4
    random.shuffle(troubles)
    level = 0
    while True:
        busy = 7 <= now // 3_600_000 < 20
        now += int(random.expovariate(1 / (120_000 if busy else 1_500_000))) + 30_000
        if now > DAY_MS - 120_000:
            break
        if troubles and random.random() < 0.04:
            lasts = random.choice([2_500, 9_000, 45_000])
            span = (now, now + lasts)
            getattr(day, f"{troubles.pop()}s").append(span)
            now += lasts + 60_000
            continue
        stays = random.randrange(3_000, 40_000)
        day.vehicles.append((now, now + stays))
        day.barrier += [now + random.randrange(500, 2_500), now + stays + random.randrange(100, 4_000)]
        level = 1 - level
        day.lift.append((now + stays + 9_000 + random.randrange(4_000), level))
        now += stays + 20_000
    at = 0
    while (at := at + 2_000 + random.randrange(-200, 200)) < DAY_MS - 1_000:
        if not any(begin <= at < end for begin, end in day.silences):
            day.beats.append(at)
    return day


def present_said(day: Day) -> list[tuple[int, bytes]]:
    """What the sensor says of vehicles: on change alone, and 1 while it fails."""
    spans = sorted(day.vehicles + day.failures)
    return [(0, b"0"), *((at, said) for span in spans for at, said in zip(span, (b"1", b"0"), strict=True))]


def error_said(day: Day) -> list[tuple[int, bytes]]:
    return [(at, said) for span in day.failures for at, said in zip(span, (b"no echo", b"OK"), strict=True)]


def messages(day: Day) -> list[Message]:
    """All that the bus carries, in the site's own shapes; after a reconnection first what it stored."""
    told: list[Message] = [(at, PRESENT, said, False) for at, said in present_said(day)]
    told += [(at, ERROR, said, False) for at, said in error_said(day)]
    told += [(at, BARRIER, b"100" if i % 2 == 0 else b"000", False) for i, at in enumerate(day.barrier)]
    told += [(at, LIFT, json.dumps({"current": n, "ts": at}).encode(), False) for at, n in day.lift]
    told += [(at, BEAT, str(BEGIN_S + at // 1000).encode(), False) for at in day.beats]
    told.sort(key=lambda one: one[0])
    stored: dict[str, bytes] = {}
    heard: list[Message] = []
    again = iter([*day.reconnects, (DAY_MS, DAY_MS)])
    down, up = next(again)
    for at, topic, payload, retained in told:
        if at >= up:
            heard += [(up, name, last, True) for name, last in stored.items()]
            down, up = next(again)
        if topic != BARRIER:
            stored[topic] = payload
        if at < down:
            heard.append((at, topic, payload, retained))
    return heard


def minus(spans: Iterable[Span], holes: Iterable[Span]) -> list[Span]:
    """What is left of these spans."""
    left = list(spans)
    for begin, end in holes:
        left = [
            piece
            for one, two in left
            for piece in ((one, min(two, begin)), (max(one, end), two))
            if piece[0] < piece[1]
        ]
    return sorted(set(left))


def sessions(day: Day) -> list[Span]:
    edges = [0, *(edge for span in day.reconnects for edge in span), DAY_MS]
    return list(zip(edges[::2], edges[1::2], strict=True))


def alive(day: Day, session: Span) -> list[Span]:
    """From the second beat on, but for what lies further than a lease behind the last one."""
    beats = [at for at in day.beats if session[0] <= at < session[1]]
    holes = [(session[0], beats[1] if len(beats) > 1 else session[1])]
    for last, first in pairwise([*beats, session[1]]):
        if first - last >= LEASE and last + LEASE < session[1]:
            proven = next((at for at in beats if at > first), session[1])
            holes.append((last + LEASE, proven))
    return minus([session], holes)


def free(day: Day, session: Span) -> list[Span]:
    """No vehicle, said by a sensor that has lived ever since."""
    found: list[Span] = []
    said = present_said(day)
    stored = [(session[0], value) for at, value in said if at < session[0]][-1:]
    news = [(at, value) for at, value in said if session[0] <= at < session[1]]
    living = alive(day, session)
    beats = [at for at in day.beats if session[0] <= at < session[1]]
    gaps = [(last, first) for last, first in pairwise([*beats, DAY_MS * 2]) if first - last >= LEASE]
    for (at, value), (end, _) in pairwise([*stored, *news, (session[1], b"")]):
        if value == b"0":
            lapses = (
                max(last, at if last + LEASE <= at else last) + LEASE for last, first in gaps if first > at
            )
            until = min(end, *lapses)
            found += [
                (max(one, at), min(two, until)) for one, two in living if max(one, at) < min(two, until)
            ]
    return found


def truth(day: Day) -> dict[str, list[Span]]:
    """Per rule, the spans in which it holds."""
    spans: dict[str, list[Span]] = {rule.id: [] for rule in LANE.rules}
    for session in sessions(day):
        begin, end = session
        moves = [(at, at + QUIET) for at in day.barrier if begin <= at < end]
        spans["barrier-still"] += minus([session], [(begin, begin + QUIET), *moves])
        known = any(at < begin for at, _ in day.lift)
        first = [(begin, begin + (STEADY if known else ABSENT))]
        rides = [(at, at + STEADY) for at, _ in day.lift if begin <= at < end]
        spans["lift-still"] += minus([session], [*first, *rides])
        seen_before = any(at < begin for at, _ in error_said(day))
        unknown = [] if seen_before else [(begin, begin + ABSENT)]
        spans["sensor-ok"] += minus([session], [*unknown, *day.failures])
        spans["sensor-alive"] += alive(day, session)
        spans["no-vehicle"] += free(day, session)
    return spans


class Found:
    """What the rules said, at each message and at each instant at which they asked to be looked at."""

    def __init__(self) -> None:
        self.holds: dict[str, list[Span]] = {rule.id: [] for rule in LANE.rules}
        self.could_open: list[Span] = []
        self._since: dict[str, int] = {}

    def look(self, memory: LaneMemory, at: int) -> None:
        settled = True
        for rule in LANE.rules:
            verdict = lane_rules.judge(rule, LANE, memory, moment(at))
            settled = settled and verdict.settled
            self._note(rule.id, self.holds[rule.id], verdict.holds, at)
        self._note("", self.could_open, settled, at)

    def _note(self, name: str, spans: list[Span], good: bool, at: int) -> None:
        if good and name not in self._since:
            self._since[name] = at
        elif not good and name in self._since:
            begin = self._since.pop(name)
            if begin < at:
                spans.append((begin, at))


def moment(at: int) -> Moment:
    return Moment((BEGIN_S * 1000 + at) * 1000, at * 1000)


def replay(day: Day) -> Found:
    """The day, through the rules."""
    found, memory, at = Found(), lane_rules.subscribed(LANE, lane_rules.empty(LANE), moment(0)), 0
    steps: list[tuple[int, int, Message | str]] = [(one[0], 2, one) for one in messages(day)]
    for down, up in day.reconnects:
        steps += [(down, 0, "down"), (up, 1, "up")]
    steps.append((DAY_MS, 0, "down"))
    for when, _, step in sorted(steps, key=lambda step: step[:2]):
        while (wake_us := lane_rules.next_change(LANE, memory, moment(at))) is not None:
            if wake_us // 1000 > when:
                break
            at = wake_us // 1000
            found.look(memory, at)
        at = when
        if step == "down":
            memory = lane_rules.disconnected(LANE, memory, moment(at))
        elif step == "up":
            memory = lane_rules.subscribed(LANE, memory, moment(at))
        elif not isinstance(step, str):
            memory = lane_rules.heard(LANE, memory, step[1], step[2], step[3], moment(at))
            if step[1] == BEAT and memory.rules[1].holds_from_us not in (None, at * 1000):
                continue  # the sensor goes on living: nothing begins or ends with this beat
        found.look(memory, at)
    return found


def settled(spans: dict[str, list[Span]]) -> list[Span]:
    """When all rules have held for the settle time."""
    common: list[Span] = [(0, DAY_MS)]
    for each in spans.values():
        late = [(begin + SETTLE, end) for begin, end in each if begin + SETTLE < end]
        common = minus(common, minus([(0, DAY_MS)], late))
    return common


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2])
def test_over_a_whole_day_each_rule_holds_exactly_when_what_happened_says_so(seed: int) -> None:
    day = a_day(Random(seed))
    assert len(day.vehicles) > 150
    assert min(len(day.failures), len(day.silences), len(day.reconnects)) >= 2
    assert len(day.beats) > 43_000
    found, expected = replay(day), truth(day)
    for rule in LANE.rules:
        assert found.holds[rule.id] == expected[rule.id], rule.id
    assert found.could_open == settled(expected)
    openable = sum(end - begin for begin, end in found.could_open)
    assert DAY_MS // 4 < openable < DAY_MS
    for begin, end in day.vehicles:
        assert not any(one < end and begin < two for one, two in found.could_open)
