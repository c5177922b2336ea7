"""Each check that fails has the right id, fault and phase; which one speaks first; what a purpose waives.

CONTRACT 4 and 10; S3–S5, S9, S25.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from orchestrator.core.camera_state import CameraState
from orchestrator.core.canonical import canonical
from orchestrator.core.checks import (
    HOST_PATIENCE_US,
    Check,
    Stage,
    case_of,
    failing,
    first_fault,
    judge,
    ready_in_ms,
)
from orchestrator.core.events import LOCKED
from orchestrator.core.facts import Facts, HostSight, Proof, unseen
from orchestrator.core.moment import SECOND_US
from orchestrator.core.policy import Member, Policy
from tests.core.scene import (
    CLOSE,
    MAINTAINER,
    NO_VEHICLE,
    POLICY,
    SENSOR_OK,
    START,
    Story,
    good_facts,
    rule_broken,
    rule_held,
    spoilt,
    with_lane,
)

Spoil = Callable[[Facts], Facts]
ORDER = (
    "window",
    "identity",
    "vpn-interface",
    "vpn-listener",
    "vpn-side-door",
    "config",
    "bus-connected",
    "bus-trusted",
    "lane-no-vehicle",
    "lane-sensor-ok",
    "camera",
    "host",
    "memory-only",
    "clock",
    "log",
)
OVERLOADED = HostSight(START.boottime_us, 1_400, 900 << 20, None, START.boottime_us - SECOND_US)


def _with(facts: Facts, name: str, proof: Proof) -> Facts:
    slot: dict[str, Any] = {name: proof}
    return replace(facts, **slot)


def _requested() -> CameraState:
    story = Story()
    story.request()
    return story.state


def _judged(facts: Facts, state: CameraState | None = None, policy: Policy = POLICY) -> dict[str, Check]:
    return {check.id: check for check in judge(case_of(policy, state or _requested(), facts))}


def _failed(facts: Facts, stage: Stage, state: CameraState | None = None) -> list[str]:
    return [check.id for check in failing(_judged(facts, state).values(), stage)]


def test_on_good_facts_every_check_passes_in_the_order_of_the_contract() -> None:
    checks = _judged(good_facts())
    assert tuple(checks) == ORDER
    assert all(check.passes(stage) for check in checks.values() for stage in Stage)
    assert ready_in_ms(checks.values()) == 0


SPOILS: dict[str, tuple[Spoil, str, str | None, str]] = {
    "no window": (lambda f: replace(f, window=None), "window", "window-closed", "hold"),
    "requester gone": (lambda f: replace(f, members={}), "identity", "identity-revoked", "hold"),
    "interface down": (lambda f: spoilt(f, "interface", "vpn-down"), "vpn-interface", "vpn-down", "hold"),
    "address changed": (
        lambda f: spoilt(f, "interface", "vpn-address-changed"),
        "vpn-interface",
        "vpn-address-changed",
        "hold",
    ),
    "listener": (
        lambda f: spoilt(f, "listener", "listener-exposed"),
        "vpn-listener",
        "listener-exposed",
        "hold",
    ),
    "side door": (lambda f: spoilt(f, "side_door", "side-door"), "vpn-side-door", "side-door", "hold"),
    "funnel": (
        lambda f: spoilt(f, "side_door", "vpn-not-private"),
        "vpn-side-door",
        "vpn-not-private",
        "hold",
    ),
    "configuration": (lambda f: spoilt(f, "config", "config-invalid"), "config", "config-invalid", "hold"),
    "broker": (lambda f: spoilt(f, "bus", "broker-lost"), "bus-connected", "broker-lost", "hold"),
    "anonymous bus": (lambda f: spoilt(f, "bus_trusted", ""), "bus-trusted", None, "open"),
    "vehicle": (
        lambda f: with_lane(f, no_vehicle=rule_broken("1")),
        "lane-no-vehicle",
        "lane-unsafe",
        "open",
    ),
    "sensor error": (
        lambda f: with_lane(f, sensor_ok=rule_broken("EIO")),
        "lane-sensor-ok",
        "lane-unsafe",
        "hold",
    ),
    "overload": (lambda f: replace(f, host=OVERLOADED), "host", "host-overloaded", "hold"),
    "host unseen": (lambda f: replace(f, host=None), "host", "host-overloaded", "hold"),
    "swap": (
        lambda f: spoilt(f, "memory", "memory-not-private"),
        "memory-only",
        "memory-not-private",
        "hold",
    ),
    "clock": (
        lambda f: replace(f, now=replace(f.now, synchronised=False)),
        "clock",
        "clock-jumped",
        "hold",
    ),
    "log": (lambda f: spoilt(f, "log", "log-unwritable"), "log", "log-unwritable", "hold"),
    "tampered log": (lambda f: spoilt(f, "log", "log-tampered"), "log", "log-tampered", "hold"),
}


@pytest.mark.parametrize("what", SPOILS)
def test_each_thing_gone_wrong_fails_its_own_check_alone_with_its_fault_and_phase(what: str) -> None:
    spoil, identifier, fault, phase = SPOILS[what]
    facts = spoil(good_facts())
    assert _failed(facts, Stage.OPENING) == [identifier]
    check = _judged(facts)[identifier]
    assert (check.fault, check.phase) == (fault, phase)
    assert first_fault([check]) == fault
    chained = check.chained(Stage.OPENING)
    assert chained["passed"] is False
    canonical(chained)


@pytest.mark.parametrize(
    "name", ["interface", "listener", "side_door", "config", "bus", "bus_trusted", "memory", "log"]
)
def test_a_sight_that_is_too_old_or_from_the_future_or_never_had_proves_nothing(name: str) -> None:
    """S5."""
    facts = good_facts()
    proof = getattr(facts, name)
    old = replace(proof, max_age_us=3 * SECOND_US, seen_at_us=START.boottime_us - 3 * SECOND_US - 1)
    future = replace(proof, seen_at_us=START.boottime_us + 1)
    for bad in (old, future, unseen("vpn-down", "x", "it")):
        assert len(_failed(_with(facts, name, bad), Stage.OPEN)) == (name != "bus_trusted")
        assert len(_failed(_with(facts, name, bad), Stage.STARTING)) == 1
    fresh = replace(proof, max_age_us=3 * SECOND_US, seen_at_us=START.boottime_us - 3 * SECOND_US)
    assert _failed(_with(facts, name, fresh), Stage.OPENING) == []


def test_a_stale_sight_of_a_locking_kind_is_the_fault_that_does_not_lock() -> None:
    facts = good_facts()
    listener = replace(
        facts.listener, max_age_us=SECOND_US, stale_fault="vpn-down", seen_at_us=START.boottime_us - 9_000_000
    )
    assert _judged(replace(facts, listener=listener))["vpn-listener"].fault == "vpn-down"


def test_lane_rules_without_a_session_with_the_broker_are_unknown() -> None:
    facts = good_facts()
    facts = replace(facts, lane=replace(facts.lane, subscribed_at_us=None))
    assert {_judged(facts)[name].fault for name in ("lane-no-vehicle", "lane-sensor-ok")} == {"lane-unknown"}


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (lambda m: replace(m, roles=frozenset({"viewer", "approver"})), "not a maintainer"),
        (lambda m: replace(m, cameras=frozenset({"cam2"})), "not one of theirs"),
        (lambda m: replace(m, devices={"key-2": "d-phone"}), "device"),
    ],
)
def test_the_requesters_right_is_lost_with_the_role_the_camera_or_the_device_that_asked(
    spoil: Callable[[Member], Member], why: str
) -> None:
    """CONTRACT 4: another device of theirs does not carry the session on. F3."""
    facts = replace(good_facts(), members={"m-1": spoil(MAINTAINER)})
    check = _judged(facts)["identity"]
    assert not check.holds
    assert why in check.detail
    assert check.fault == "identity-revoked"


def test_opening_asks_that_all_holds_and_is_settled_the_first_frame_that_all_holds_open_the_hold_rules() -> (
    None
):
    """CONTRACT 10."""
    facts = good_facts()
    unsettled = with_lane(facts, no_vehicle=rule_held(NO_VEHICLE, START.boottime_us - 7_999_999))
    assert _failed(unsettled, Stage.OPENING) == ["lane-no-vehicle"]
    assert _failed(unsettled, Stage.STARTING) == []
    broken = with_lane(facts, no_vehicle=rule_broken("1"))
    assert _failed(broken, Stage.STARTING) == ["lane-no-vehicle"]
    assert _failed(broken, Stage.OPEN) == []
    held = with_lane(facts, sensor_ok=rule_broken("EIO"))
    assert all(_failed(held, stage) == ["lane-sensor-ok"] for stage in Stage)


def test_a_rule_is_settled_once_it_has_held_for_the_lanes_settle_time() -> None:
    for held_us, ready in ((7_999_000, 1), (8_000_000, 0), (0, 8_000)):
        facts = with_lane(good_facts(), sensor_ok=rule_held(SENSOR_OK, START.boottime_us - held_us))
        assert _judged(facts)["lane-sensor-ok"].ready_in_ms == ready
        assert ready_in_ms(_judged(facts).values()) == ready


def test_the_boundary_must_have_held_for_its_settle_time_to_open_but_not_to_stay_open() -> None:
    """F25."""
    facts = good_facts()
    for held_us, ready in ((2_999_000, 1), (3_000_000, 0), (1_000_000, 2_000)):
        interface = replace(facts.interface, since_us=START.boottime_us - held_us)
        check = _judged(replace(facts, interface=interface))["vpn-interface"]
        assert check.holds
        assert check.settled == (ready == 0)
        assert check.ready_in_ms == ready


def test_how_long_until_ready_is_unknown_when_something_must_happen_first() -> None:
    facts = with_lane(good_facts(), sensor_ok=rule_held(SENSOR_OK, START.boottime_us))
    assert ready_in_ms(_judged(facts).values()) == 8_000
    assert ready_in_ms(_judged(spoilt(facts, "bus", "broker-lost")).values()) is None


PRECEDENCE = (
    ("tampered log", "log-tampered"),
    ("configuration", "config-invalid"),
    ("interface down", "vpn-down"),
    ("broker", "broker-lost"),
    ("vehicle", "lane-unsafe"),
    ("overload", "host-overloaded"),
    ("no window", "window-closed"),
)


def test_of_several_faults_the_event_names_the_first_by_the_contracts_order() -> None:
    """log, config, vpn, bus, lane-unsafe, lane-unknown, host, window."""
    facts = good_facts()
    for what, fault in reversed(PRECEDENCE):
        facts = SPOILS[what][0](facts)
        failed = failing(_judged(facts).values(), Stage.OPENING)
        assert first_fault(failed) == fault


def test_of_the_lanes_faults_unsafe_goes_before_unknown() -> None:
    unknown = replace(rule_broken("1"), value=None)
    facts = with_lane(good_facts(), no_vehicle=unknown, sensor_ok=rule_broken("EIO"))
    assert [check.fault for check in failing(_judged(facts).values(), Stage.OPENING)] == [
        "lane-unknown",
        "lane-unsafe",
    ]
    assert first_fault(failing(_judged(facts).values(), Stage.OPENING)) == "lane-unsafe"


def test_a_purpose_waives_its_rules_alone_and_the_waiver_stands_in_the_evidence() -> None:
    """S3."""
    story = Story(facts=with_lane(good_facts(), no_vehicle=rule_broken("1"), sensor_ok=rule_broken("EIO")))
    story.request(purpose="vision-debug")
    assert _failed(story.facts, Stage.OPENING, story.state) == ["lane-sensor-ok"]
    waived = _judged(story.facts, story.state)["lane-no-vehicle"].chained(Stage.OPENING)
    assert (waived["passed"], waived["waived"]) == (True, True)
    assert _judged(good_facts(), story.state)["lane-sensor-ok"].waived is False


def test_an_overloaded_host_refuses_at_once_and_shuts_after_thirty_seconds() -> None:
    """CONTRACT 10, F16."""
    story = Story().opened()
    for over_us, holds in ((HOST_PATIENCE_US - 1, True), (HOST_PATIENCE_US, False)):
        sight = replace(OVERLOADED, overloaded_since_us=START.boottime_us - over_us)
        facts = replace(good_facts(), host=sight)
        assert _judged(facts, story.state)["host"].holds is holds
        assert not _judged(facts)["host"].holds


def test_a_host_that_nobody_has_looked_at_for_fifteen_seconds_is_not_proven() -> None:
    sight = HostSight(START.boottime_us - 15 * SECOND_US - 1, 100, 900 << 20, None, None)
    assert not _judged(replace(good_facts(), host=sight))["host"].holds


@pytest.mark.parametrize(("step_s", "holds"), [(2, True), (-2, True), (2.1, False), (-2.1, False)])
def test_a_step_of_the_wall_clock_of_more_than_two_seconds_since_the_request_fails(
    step_s: float, holds: bool
) -> None:
    story = Story().opened()
    story.wait(10, wall_step_s=step_s)
    assert _judged(story.facts, story.state)["clock"].holds is holds


def test_an_unsynchronised_clock_refuses_to_open_and_lets_stay_open_unless_the_site_does_without() -> None:
    """S25."""
    facts = replace(good_facts(), now=replace(START, synchronised=False))
    assert _failed(facts, Stage.OPENING) == ["clock"]
    assert _failed(facts, Stage.OPEN, Story().opened().state) == []
    relaxed = replace(POLICY, require_clock_sync=False)
    check = _judged(facts, policy=relaxed)["clock"]
    assert check.passes(Stage.OPENING)
    assert check.evidence["synchronised"] is False
    assert check.evidence["required"] is False


def test_a_clock_that_stands_before_the_last_event_opens_nothing() -> None:
    """S25, F26."""
    facts = replace(good_facts(), last_event_wall_us=START.wall_us + 2 * SECOND_US + 1)
    assert _failed(facts, Stage.OPENING) == ["clock"]
    assert _judged(facts)["clock"].fault == "clock-jumped"
    assert _failed(replace(facts, last_event_wall_us=START.wall_us + SECOND_US), Stage.OPENING) == []


def test_the_camera_check_says_what_is_left_of_the_last_session() -> None:
    story = Story().opened()
    assert _judged(story.facts, story.state)["camera"].holds
    story.shut(CLOSE)
    assert "still being closed" in _judged(story.facts, story.state)["camera"].detail
    locked = replace(story.state, place=LOCKED, locks=frozenset({"log-tampered"}), fault="log-tampered")
    assert _judged(story.facts, locked)["camera"].fault == "log-tampered"
    cooling = replace(
        CameraState.new("cam1"),
        cool_down_until_us=START.boottime_us + 7_500_000,
        cool_down_boot=START.boot,
    )
    check = _judged(good_facts(), cooling)["camera"]
    assert (check.holds, check.fault, check.ready_in_ms) == (False, "worker-storm", 7_501)


def test_a_cool_down_of_another_boot_says_nothing() -> None:
    cooling = replace(
        CameraState.new("cam1"), cool_down_until_us=START.boottime_us + 1, cool_down_boot="boot-0"
    )
    assert _judged(good_facts(), cooling)["camera"].holds


def test_the_evidence_names_source_age_limit_and_verdict() -> None:
    """S3."""
    facts = good_facts()
    log = replace(facts.log, max_age_us=3 * SECOND_US, seen_at_us=START.boottime_us - 250_000)
    chained = _judged(replace(facts, log=log))["log"].chained(Stage.OPENING)
    assert chained == {
        "id": "log",
        "phase": "hold",
        "passed": True,
        "waived": False,
        "fault": None,
        "age_ms": 250,
        "evidence": {"source": "log", "limit_ms": 3000},
    }


def test_no_name_and_no_payload_stands_in_the_chained_form() -> None:
    """S19, CONTRACT 7."""
    facts = with_lane(good_facts(), no_vehicle=rule_broken("Ève, plate AB-123-CD"))
    text = canonical([check.chained(Stage.OPENING) for check in _judged(facts).values()]).decode()
    assert "AB-123-CD" not in text
    assert MAINTAINER.name not in text
    assert "AB-123-CD" in _judged(facts)["lane-no-vehicle"].shown(Stage.OPENING)["detail"]
