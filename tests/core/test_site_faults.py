"""Site-wide faults while shut: seen and gone, at most one of a code a minute, with a count (CONTRACT 4)."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.core.faults import SITE_WIDE
from orchestrator.core.moment import SECOND_US
from orchestrator.core.site_faults import MINUTE_US, FaultsSeen, noticed, present
from tests.core.scene import START, good_facts, rule_broken, spoilt, with_lane

Said = tuple[str, str, int]


class Watch:
    """What the site writes as faults come and go."""

    def __init__(self) -> None:
        self.memory = FaultsSeen()
        self.now_us = START.boottime_us

    def sees(self, *codes: str, after_s: float = 1) -> list[Said]:
        self.now_us += int(after_s * SECOND_US)
        self.memory, events = noticed(self.memory, codes, self.now_us)
        assert all(event.type == "observation" and event.camera is None for event in events)
        return [(event.name, event.data["fault"], event.data["count"]) for event in events]


def test_a_fault_is_written_when_it_comes_and_when_it_goes_and_not_in_between() -> None:
    watch = Watch()
    assert watch.sees("vpn-down") == [("fault_seen", "vpn-down", 1)]
    for _ in range(100):
        assert watch.sees("vpn-down") == []
    assert watch.sees() == [("fault_gone", "vpn-down", 0)]
    assert watch.sees() == []


def test_a_fault_that_flaps_is_written_once_a_minute_with_how_often_it_came() -> None:
    watch = Watch()
    said = [watch.sees(*(["broker-lost"] if second % 2 == 0 else [])) for second in range(61)]
    seen = [line for lines in said for line in lines if line[0] == "fault_seen"]
    assert seen == [("fault_seen", "broker-lost", 1), ("fault_seen", "broker-lost", 30)]


def test_codes_are_written_each_for_itself() -> None:
    watch = Watch()
    assert watch.sees("vpn-down", "broker-lost") == [
        ("fault_seen", "broker-lost", 1),
        ("fault_seen", "vpn-down", 1),
    ]
    assert watch.sees("vpn-down") == [("fault_gone", "broker-lost", 0)]


CODES = st.sets(st.sampled_from(["vpn-down", "broker-lost"]))


@settings(max_examples=50)
@given(st.lists(st.tuples(CODES, st.floats(0.1, 40)), max_size=60))
def test_no_code_is_seen_twice_in_a_minute_and_seen_and_gone_take_turns(
    story: list[tuple[set[str], float]],
) -> None:
    watch = Watch()
    last_seen_us: dict[str, int] = {}
    standing: set[str] = set()
    for codes, after_s in story:
        for name, code, _ in watch.sees(*codes, after_s=after_s):
            assert (name == "fault_seen") == (code not in standing)
            standing ^= {code}
            if name == "fault_seen":
                assert watch.now_us - last_seen_us.get(code, -MINUTE_US) >= MINUTE_US
                last_seen_us[code] = watch.now_us
        assert standing <= codes


def test_only_what_concerns_every_camera_is_told() -> None:
    facts = with_lane(replace(good_facts(), window=None, members={}), sensor_ok=rule_broken("EIO"))
    assert present(facts) == frozenset()
    assert present(replace(facts, host=None)) == frozenset()
    assert present(spoilt(facts, "bus_trusted", "")) == frozenset()


def test_each_proof_gone_bad_is_a_site_wide_fault_and_a_stale_one_too() -> None:
    for name, fault in (
        ("interface", "vpn-down"),
        ("interface", "vpn-address-changed"),
        ("listener", "listener-exposed"),
        ("side_door", "side-door"),
        ("side_door", "vpn-not-private"),
        ("config", "config-invalid"),
        ("bus", "broker-lost"),
        ("memory", "memory-not-private"),
        ("log", "log-unwritable"),
        ("log", "log-tampered"),
    ):
        assert present(spoilt(good_facts(), name, fault)) == {fault}
        assert fault in SITE_WIDE
    log = replace(good_facts().log, max_age_us=SECOND_US, seen_at_us=START.boottime_us - 2 * SECOND_US)
    assert present(replace(good_facts(), log=log)) == {"log-unwritable"}
