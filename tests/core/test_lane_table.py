"""Every kind of lane rule × everything that can come: the verdict and the words, read from `lane_table.txt`.

The table is complete by construction: a rule or an input without its cell fails. Each story ends at the same
instant: we have listened for 90 s and, but for the stale ones, the heartbeat has beaten every 2 s (S5, F7,
CONTRACT 9).
"""

from __future__ import annotations

from itertools import product
from pathlib import Path

import pytest

from orchestrator.core import lane as lane_rules
from orchestrator.core.lane import RuleVerdict
from orchestrator.core.lane_values import read_value
from orchestrator.core.moment import Moment
from orchestrator.core.policy import LanePolicy, LaneRule

TABLE = Path(__file__).with_name("lane_table.txt")
SECOND = 1_000_000
NOW = Moment(wall_us=1_790_000_000 * SECOND, boottime_us=500 * SECOND)
LISTENS_S = 90

Message = tuple[float, bytes, bool]
"""Seconds before now, payload, retained."""

BEAT = LaneRule(id="alive", topic="beat", phase="hold", heartbeat=True, max_age_us=6 * SECOND)


def _rule(name: str) -> LaneRule:
    """`steady_for /current also pass vouched`, read as one says it."""
    words = name.split()
    if words[0] == "heartbeat":
        return BEAT
    return LaneRule(
        id="rule",
        topic="t",
        phase="open",
        equals=("1" if "/current" in words else "0") if words[0] == "equals" else None,
        quiet_for_us=15 * SECOND if words[0] == "quiet_for" else None,
        steady_for_us=10 * SECOND if words[0] == "steady_for" else None,
        pointer="/current" if "/current" in words else None,
        also=("1", "RDC", "ETAGE1") if "/current" in words else (),
        when_absent="pass" if "pass" in words else "fail",
        vouched_by="alive" if "vouched" in words else None,
    )


# `when_absent` beside a heartbeat or a quiet time is refused by the configuration.
RULES = [
    "heartbeat",
    "quiet_for",
    *(
        " ".join(filter(None, parts))
        for parts in product(("equals", "steady_for"), ("", "/current"), ("", "vouched"), ("", "pass"))
    ),
]
INPUTS = [
    "missing",
    "retained only",
    "fresh",
    "stale",
    "repeated",
    "going backwards",
    "from the future",
    "garbage",
    "empty",
    "1 MB",
    "not UTF-8",
    "NaN",
    "wrong type",
]


def _beat(before_s: float, off_s: int = 0) -> bytes:
    return str(NOW.wall_us // SECOND - int(before_s) + off_s).encode()


def _payloads(rule: LaneRule) -> dict[str, bytes]:
    """What these inputs look like on a topic of that kind."""
    if rule.heartbeat:
        future, wrong = _beat(1, 3600), b'{"ts": 1790000000}'
    elif rule.pointer is not None:
        future, wrong = b'{"current": 1, "ts": 1790003600000}', b'{"current": "1"}'
    else:
        future, wrong = _beat(1, 3600), b"[0]"
    return {
        "from the future": future,
        "garbage": b"@@ ~",
        "empty": b"",
        "1 MB": b"0" * 1_000_000,
        "not UTF-8": b"\xff\xfe",
        "NaN": b'{"current": NaN}' if rule.pointer is not None else b"NaN",
        "wrong type": wrong,
    }


def _beats(rule: LaneRule, what: str) -> list[Message]:
    """The heartbeat's messages: its own story where it is judged itself, else a sensor that lives."""
    every_two = [(float(at), _beat(at), False) for at in range(LISTENS_S, -1, -2)]
    if not rule.heartbeat:
        return [beat for beat in every_two if not (what == "stale" and 20 < beat[0] < 40)]
    proven = [beat for beat in every_two if beat[0] >= 8]
    match what:
        case "missing":
            return []
        case "retained only":
            return [(89.0, _beat(7200), True)]
        case "fresh":
            return every_two
        case "stale":
            return [beat for beat in every_two if beat[0] > 60]
        case "repeated":
            return [*proven, *((at, _beat(8), False) for at in (6.0, 4.0, 2.0, 0.0))]
        case "going backwards":
            return [*proven, (4.0, _beat(9), False)]
    return [*proven, (1.0, _payloads(rule)[what], False)]


def _says(rule: LaneRule, what: str) -> list[Message]:
    """The messages on the topic of a rule that is no heartbeat."""
    good = b'{"current": 1}' if rule.pointer is not None else b"0"
    bad = b'{"current": 2}' if rule.pointer is not None else b"1"
    match what:
        case "missing":
            return []
        case "retained only":
            return [(89.0, good, True)]
        case "fresh":
            return [(1.0, good, False)]
        case "stale":
            return [(60.0, good, False)]
        case "repeated":
            return [(at, good, False) for at in (60.0, 20.0, 1.0)]
        case "going backwards":
            return [(60.0, good, False), (5.0, bad, False), (1.0, good, False)]
    return [(1.0, _payloads(rule)[what], False)]


def verdict(name: str, what: str) -> RuleVerdict:
    """What the rule says at the end of that story."""
    rule = _rule(name)
    lane = LanePolicy("table", 8 * SECOND, (BEAT,) if rule.heartbeat else (BEAT, rule))
    told = [(at, BEAT.topic, payload, retained) for at, payload, retained in _beats(rule, what)]
    if not rule.heartbeat:
        told += [(at, rule.topic, payload, retained) for at, payload, retained in _says(rule, what)]
    memory = lane_rules.subscribed(lane, lane_rules.empty(lane), NOW.after(-LISTENS_S * SECOND))
    for before_s, topic, payload, retained in sorted(told, key=lambda message: -message[0]):
        then = NOW.after(-round(before_s * SECOND))
        memory = lane_rules.heard(lane, memory, topic, payload, retained, then)
    return lane_rules.judge(rule, lane, memory, NOW)


def cells() -> dict[tuple[str, str], tuple[str, str]]:
    """(rule, input) → (verdict, words), from the table."""
    found: dict[tuple[str, str], tuple[str, str]] = {}
    rule = ""
    for line in TABLE.read_text().splitlines():
        if line.startswith("[") and line.endswith("]"):
            rule = line[1:-1]
        elif line and not line.startswith("#"):
            what, says, words = (part.strip() for part in line.split("|", 2))
            assert (rule, what) not in found, f"{rule}, {what}: twice"
            found[rule, what] = (says, words)
    return found


CELLS = cells()


def test_the_table_has_a_cell_for_every_rule_and_every_input_and_no_other() -> None:
    assert set(CELLS) == set(product(RULES, INPUTS))


@pytest.mark.parametrize("rule", RULES)
def test_the_rule_says_what_the_table_says_whatever_comes(rule: str) -> None:
    said = {what: verdict(rule, what) for what in INPUTS}
    assert {what: ("holds" if one.holds else one.fault, one.detail) for what, one in said.items()} == {
        what: CELLS.get((rule, what)) for what in INPUTS
    }


@pytest.mark.parametrize("rule", RULES)
def test_what_nobody_can_read_and_what_is_missing_never_holds_but_where_missing_may_pass(rule: str) -> None:
    """F7, read off the table itself: so that the table cannot be wrong in this."""
    unreadable = ["empty", "1 MB", "not UTF-8"] + (["NaN", "garbage"] if "/current" in rule else [])
    for what in unreadable:
        expected = "lane-unsafe" if rule == "quiet_for" else "lane-unknown"
        assert CELLS[rule, what][0] == expected, what
    may_be_missing = "pass" in rule or rule == "quiet_for"
    assert (CELLS[rule, "missing"][0] == "holds") is may_be_missing
    needs_word = not may_be_missing and "vouched" not in rule
    assert (CELLS[rule, "retained only"][0] == "holds") is not needs_word
    if "vouched" in rule or rule == "heartbeat":
        assert CELLS[rule, "stale"][0] == "lane-unknown"


LIFT = _rule("steady_for /current pass")


@pytest.mark.parametrize(
    ("payload", "value"),
    [(b'{"current": 1}', "1"), (b"1", "1"), (b"ETAGE1", "ETAGE1"), (b"RDC", "RDC")],
)
def test_what_the_site_really_sends_counts_because_it_is_listed(payload: bytes, value: str) -> None:
    assert read_value(LIFT, payload) == value


@pytest.mark.parametrize(
    "payload",
    [
        *(b"0", b"2", b"-1", b"1.0", b"01", b"ETAGE2", b"etage1", b"ETAGE 1", b"RDC RDC", b"rdc", b'"RDC"'),
        *(b'"ETAGE1"', b'{"level": 1}', b'{"Current": 1}', b'{"current": 1', b"{current: 1}", b"[1]", b"{}"),
        *(b"null", b"true", b"ETAGE1\x00", "\uff32DC".encode(), b"'RDC'", b'{"state": {"current": 1}}'),
    ],
)
def test_everything_else_on_the_lift_is_unknown(payload: bytes) -> None:
    assert read_value(LIFT, payload) is None
