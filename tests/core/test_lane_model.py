"""The folded memory against a plain reading of CONTRACT 9 that keeps every message and looks at
every tenth of a second (S3–S5): at any instant both must say the same."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.core import lane as lane_rules
from orchestrator.core.lane import LaneMemory
from orchestrator.core.lane_values import MAX_PAYLOAD_BYTES
from orchestrator.core.moment import Moment
from orchestrator.core.policy import LanePolicy, LaneRule

TICK = 100_000
SECOND = 1_000_000
MAX_AGE = 600_000
WALL = 1_790_000_000 * SECOND

ALIVE = LaneRule(id="alive", topic="beat", phase="hold", heartbeat=True, max_age_us=MAX_AGE)
RULES = (
    ALIVE,
    LaneRule(id="vouched", topic="present", phase="open", equals="0", vouched_by="alive"),
    LaneRule(id="plain", topic="present", phase="open", equals="0"),
    LaneRule(id="lenient", topic="error", phase="hold", equals="0", when_absent="pass"),
    LaneRule(id="quiet", topic="cmd", phase="hold", quiet_for_us=500_000),
    LaneRule(id="steady", topic="lift", phase="open", steady_for_us=400_000),
    LaneRule(id="steady-lenient", topic="lift", phase="open", steady_for_us=400_000, when_absent="pass"),
    LaneRule(id="steady-vouched", topic="lift", phase="open", steady_for_us=400_000, vouched_by="alive"),
)
LANE = LanePolicy("model", 300_000, RULES)


@dataclass(frozen=True)
class Message:
    topic: str
    payload: bytes
    retained: bool


@dataclass(frozen=True)
class Step:
    """So many ticks pass, then this is said; None: the session is taken down and up again."""

    ticks: int
    message: Message | None


beats = st.builds(
    lambda tenths, retained: (tenths, retained),
    st.sampled_from([0, 0, 0, 0, 1, -1, -2, 7, None]),
    st.sampled_from([False, False, False, True]),
)
values = st.builds(
    Message,
    st.sampled_from(["present", "error", "cmd", "lift", "elsewhere"]),
    st.sampled_from([b"0", b"0", b"1", b"\xff"]),
    st.booleans(),
)


@st.composite
def stories(draw: st.DrawFn) -> list[Step]:
    steps: list[Step] = []
    now = 0
    for _ in range(draw(st.integers(1, 25))):
        ticks = draw(st.sampled_from([0, 0, 1, 1, 2, 2, 3, 5, 6, 9]))
        now += ticks
        kind = draw(st.sampled_from(["beat"] * 9 + ["value"] * 10 + ["reconnect"]))
        if kind == "reconnect":
            steps.append(Step(ticks, None))
        elif kind == "value":
            steps.append(Step(ticks, draw(values)))
        else:
            tenths, retained = draw(beats)
            wall_ms = (WALL + (now + (tenths or 0)) * TICK) // 1000
            payload = b"garbage" if tenths is None else str(wall_ms).encode()
            steps.append(Step(ticks, Message("beat", payload, retained)))
    return steps


@dataclass
class Reference:
    """Keeps every message of the session, and reads the contract's sentences off the list."""

    began: int = 0
    said: list[tuple[int, Message]] = field(default_factory=list)

    def on(self, rule: LaneRule) -> list[tuple[int, Message]]:
        return [(at, message) for at, message in self.said if message.topic == rule.topic]

    def beats(self) -> list[tuple[int, str, int]]:
        """(place in the story, good | bad, instant) of each live beat that means something."""
        told: list[tuple[int, str, int]] = []
        largest: int | None = None
        for place, (at, message) in enumerate(self.said):
            if message.topic != "beat" or message.retained:
                continue
            epoch = int(message.payload) * 1000 if message.payload.isdigit() else None
            bad = epoch is None or abs(epoch - WALL - at) > MAX_AGE
            bad = bad or (epoch is not None and largest is not None and epoch < largest)
            if bad:
                largest = None
                told.append((place, "bad", at))
            elif epoch != largest:
                largest = epoch
                told.append((place, "good", at))
        return told

    def alive(self, now: int, told: list[tuple[int, str, int]]) -> bool:
        last_two = [(kind, at) for _, kind, at in told][-2:]
        if len(last_two) < 2 or any(kind == "bad" for kind, _ in last_two):
            return False
        return last_two[1][1] - last_two[0][1] < MAX_AGE and now - last_two[1][1] < MAX_AGE

    def vouched(self, rule: LaneRule, now: int) -> bool:
        received = max(place for place, (_, said) in enumerate(self.said) if said.topic == rule.topic)
        at = self.said[received][0]
        told = self.beats()
        before = [beat for beat in told if beat[0] < received]
        after = [beat for beat in told if beat[0] > received]
        if any(kind == "bad" for _, kind, _ in after) or not self.alive(now, told):
            return False
        counted_from = before[-1][2] if self.alive(at, before) else at
        instants = [counted_from, *(instant for _, _, instant in after), now]
        return all(later - earlier < MAX_AGE for earlier, later in pairwise(instants))

    def holds(self, rule: LaneRule, now: int) -> bool:
        said = self.on(rule)
        if rule.heartbeat:
            return self.alive(now, self.beats())
        if rule.quiet_for_us is not None:
            return now - (said[-1][0] if said else self.began) >= rule.quiet_for_us
        if not said:
            return rule.when_absent == "pass" and now - self.began >= 200_000
        value = said[-1][1].payload
        if value == b"\xff" or (rule.equals is not None and value != rule.equals.encode()):
            return False
        same = len(said)
        while same and said[same - 1][1].payload == value:
            same -= 1
        if now - said[same][0] < (rule.steady_for_us or 0):
            return False
        if rule.vouched_by is not None:
            return self.vouched(rule, now)
        return rule.when_absent == "pass" or any(not message.retained for _, message in said[same:])


def at(now: int) -> Moment:
    return Moment(WALL + now, now)


def told(memory: LaneMemory, now: int) -> list[tuple[bool, bool]]:
    verdicts = [lane_rules.judge(rule, LANE, memory, at(now)) for rule in RULES]
    return [(verdict.holds, verdict.settled) for verdict in verdicts]


def play(steps: list[Step]) -> list[tuple[LaneMemory, int, list[tuple[bool, bool]]]]:
    """Every tick and every message of the story: the memory, the instant, and what the reference says."""
    reference = Reference()
    memory = lane_rules.subscribed(LANE, lane_rules.empty(LANE), at(0))
    since: dict[str, int | None] = dict.fromkeys((rule.id for rule in RULES), None)
    seen = []
    now = 0

    def look() -> None:
        expected = []
        for rule in RULES:
            holds = reference.holds(rule, now)
            begun = since[rule.id]
            if not holds or begun is None:
                begun = now if holds else None
                since[rule.id] = begun
            expected.append((holds, begun is not None and now - begun >= LANE.settle_us))
        seen.append((memory, now, expected))

    look()
    for step in [*steps, Step(12, Message("elsewhere", b"", False))]:
        for _ in range(step.ticks):
            now += TICK
            look()
        if step.message is None:
            memory = lane_rules.disconnected(LANE, memory, at(now))
            memory = lane_rules.subscribed(LANE, memory, at(now))
            reference = Reference(began=now)
            since = dict.fromkeys(since, None)
        else:
            message = step.message
            reference.said.append((now, message))
            memory = lane_rules.heard(LANE, memory, message.topic, message.payload, message.retained, at(now))
        look()
    return seen


@settings(max_examples=75)
@given(stories())
def test_at_any_instant_the_memory_says_what_the_whole_history_says(steps: list[Step]) -> None:
    for memory, now, expected in play(steps):
        assert told(memory, now) == expected


@settings(max_examples=40)
@given(stories())
def test_next_change_is_never_late(steps: list[Step]) -> None:
    seen = play(steps)
    for (memory, now, expected), (later_memory, later, later_expected) in pairwise(seen):
        if later_memory is not memory or later_expected == expected:
            continue
        instant = lane_rules.next_change(LANE, memory, at(now))
        assert instant is not None
        assert now < instant <= later


@settings(max_examples=25)
@given(stories(), st.lists(st.integers(0, 20_000_000), max_size=10))
def test_looking_and_hearing_another_topic_at_any_instant_changes_no_verdict(
    steps: list[Step], ticks: list[int]
) -> None:
    memory, now, _ = play(steps)[-1]
    ticked = memory
    for tick in sorted(ticks):
        ticked = lane_rules.heard(LANE, ticked, "elsewhere", b"1", False, at(now + tick))
        assert told(ticked, now + tick) == told(memory, now + tick)


@settings(max_examples=25)
@given(stories(), st.binary(max_size=9000), st.booleans())
def test_the_memory_of_a_rule_is_bounded_whatever_is_said(
    steps: list[Step], payload: bytes, retained: bool
) -> None:
    memory, now, _ = play(steps)[-1]
    for rule in RULES:
        memory = lane_rules.heard(LANE, memory, rule.topic, payload, retained, at(now))
    assert len(memory.rules) == len(RULES)
    for entry in memory.rules:
        texts = [value for slot in fields(entry) if isinstance(value := getattr(entry, slot.name), str)]
        assert sum(map(len, texts)) <= MAX_PAYLOAD_BYTES + 100
