"""What a command leads to: who is refused, what shuts, what is written in which order, what is desired.

CONTRACT 4 and 7; S2–S4, S13, S15, S16, L1, L2.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from orchestrator.core.camera import decide
from orchestrator.core.commands import Extend, Look, Reported
from orchestrator.core.desired import Desired, desired
from orchestrator.core.events import Actor
from orchestrator.core.faults import LOCKING
from orchestrator.core.moment import SECOND_US
from orchestrator.core.refusal import Refusal
from orchestrator.core.worker import FirstFrame, WorkerStarted
from tests.core.scene import (
    CHART,
    CLOSE,
    GONE,
    OPEN,
    PLACES,
    POLICY,
    SHUT,
    START,
    Story,
    good_facts,
    rule_broken,
    spoilt,
    story_in,
    with_lane,
)

RUNNING = ("safety_checked", *OPEN)


def _want(story: Story) -> Desired:
    return desired(CHART, story.policy, story.state, story.facts)


def _refused(decision: object, code: str) -> Refusal:
    assert isinstance(decision, Refusal)
    assert decision.code == code
    return decision


def test_a_session_goes_from_request_through_the_checks_to_the_picture_and_back() -> None:
    """S2, S3."""
    story = Story().opened(duration_s=120)
    assert story.events() == ["request", "checks_passed", "worker_started", "first_frame"]
    passed, first = story.last("checks_passed"), story.last("first_frame")
    for event in (passed, first):
        assert event.data["checks"][0]["id"] == "window"
        assert len(event.data["checks"]) == 15
        assert all(check["passed"] for check in event.data["checks"])
    story.ended()
    assert story.events()[4:] == ["close", "closed"]
    assert (story.place, story.state.session, story.state.locks) == ("disabled.ready", None, frozenset())


def test_a_request_says_what_for_and_keeps_the_person_out_of_the_chain() -> None:
    """S19."""
    story = Story()
    story.request(duration_s=300, wait_s=20, resume="s-0")
    event = story.last("request")
    assert event.actor == Actor("member", "m-1")
    assert event.data == {
        "purpose": "alignment",
        "duration_s": 300,
        "wait_s": 20,
        "device": "d-laptop",
        "resume": "s-0",
    }
    assert event.details == {"reason": "aim the camera"}


@pytest.mark.parametrize("place", [place for place in PLACES if place != "disabled.ready"])
def test_a_second_request_is_refused_wherever_the_first_has_come_to(place: str) -> None:
    """S15."""
    story = story_in(place)
    before = story.state
    refusal = story.request()
    code = {"disabled.closing": "closing", "disabled.locked": "locked"}.get(place, "not-permitted")
    said = _refused(refusal, code)
    assert story.state == before
    if code == "closing":
        assert said.retry_after_s == 1
    if code == "locked":
        assert said.members["locks"] == ["listener-exposed"]
        assert said.members["who"] == "approver"
    if code == "not-permitted":
        assert set(said.members["permitted"]) == set(CHART.permitted(story.state.place))


def test_requested_waits_for_the_moment_at_which_all_checks_pass() -> None:
    story = Story(facts=with_lane(good_facts(), no_vehicle=rule_broken("1")))
    story.request(wait_s=60)
    story.wait(59.9)
    assert story.look() == ()
    story.facts = replace(story.facts, lane=good_facts().lane)
    assert [event.name for event in story.look()] == ["checks_passed"]


def test_when_wait_is_over_the_failing_checks_alone_stand_in_checks_failed() -> None:
    """L1."""
    facts = spoilt(with_lane(good_facts(), no_vehicle=rule_broken("1")), "bus", "broker-lost")
    story = Story(facts=facts)
    story.request(wait_s=60)
    story.wait(60)
    story.look()
    event = story.last("checks_failed")
    assert event.data["fault"] == "broker-lost"
    assert [check["id"] for check in event.data["checks"]] == ["bus-connected", "lane-no-vehicle"]
    assert story.place == "disabled.ready"
    assert story.state.session is None
    assert story.state.fault == "broker-lost"


def test_a_wait_of_nothing_is_judged_once() -> None:
    story = Story(facts=replace(good_facts(), window=None))
    story.request(wait_s=0)
    story.look()
    assert story.place == "disabled.ready"


def test_while_requested_a_failing_check_is_waited_for_and_a_locking_one_is_not() -> None:
    for name, fault in (("config", "config-invalid"), ("log", "log-unwritable"), ("bus", "broker-lost")):
        story = story_in("requested")
        story.facts = spoilt(story.facts, name, fault)
        assert story.look() == ()
        assert story.place == "requested"
    story = story_in("requested")
    story.facts = spoilt(story.facts, "listener", "listener-exposed", found=1)
    story.look()
    assert story.place == "disabled.locked"
    assert story.state.session is None


FACTS_GONE_BAD = [
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
]


@pytest.mark.parametrize(("name", "fault"), FACTS_GONE_BAD)
def test_a_fact_that_goes_bad_shuts_a_running_camera_and_locks_where_the_contract_says(
    name: str, fault: str
) -> None:
    """S4; CONTRACT 4 "Locking"."""
    for place in RUNNING:
        _goes_bad(story_in(place), name, fault)


def _goes_bad(story: Story, name: str, fault: str) -> None:
    story.facts = spoilt(story.facts, name, fault)
    story.look()
    event = story.last("fault")
    assert event.data["fault"] == fault
    assert [check["fault"] for check in event.data["checks"]] == [fault]
    assert story.place == "disabled.closing"
    assert story.state.locks == (frozenset({fault}) & LOCKING)
    story.done(GONE)
    assert story.place == ("disabled.locked" if fault in LOCKING else "disabled.ready")


@pytest.mark.parametrize("place", SHUT)
@pytest.mark.parametrize(("name", "fault"), FACTS_GONE_BAD)
def test_while_shut_only_a_locking_fault_is_an_event(place: str, name: str, fault: str) -> None:
    story = story_in(place)
    before = story.state
    story.facts = spoilt(story.facts, name, fault)
    story.look()
    if fault in LOCKING - before.locks:
        assert story.state.locks == before.locks | {fault}
        assert story.place == ("disabled.closing" if place == "disabled.closing" else "disabled.locked")
    else:
        assert story.state == before


def test_an_open_rule_shuts_before_the_first_frame_and_not_after_it() -> None:
    """S3, F6."""
    for place in RUNNING:
        story = story_in(place)
        story.facts = with_lane(story.facts, no_vehicle=rule_broken("1"))
        story.look()
        assert story.state.is_shut == (place == "safety_checked")
    story = story_in("safety_checked")
    story.facts = with_lane(story.facts, no_vehicle=rule_broken("1"))
    story.done(Reported(FirstFrame(1)))
    assert story.last("fault").data["fault"] == "lane-unsafe"
    assert "first_frame" not in story.events()


def test_a_waived_rule_opens_and_its_waiver_stands_in_both_events() -> None:
    story = Story(facts=with_lane(good_facts(), no_vehicle=rule_broken("1")))
    story.opened(purpose="vision-debug")
    for name in ("checks_passed", "first_frame"):
        waived = [check["id"] for check in story.last(name).data["checks"] if check["waived"]]
        assert waived == ["lane-no-vehicle"]


def test_the_first_frame_is_decided_on_the_facts_of_its_moment() -> None:
    """S3: even when no look came between."""
    story = story_in("safety_checked")
    bad = spoilt(story.facts, "side_door", "side-door")
    assert decide(CHART, POLICY, story.state, Reported(FirstFrame(1)), bad) == ()
    late = replace(story.facts, window=None)
    assert decide(CHART, POLICY, story.state, Reported(FirstFrame(1)), late) == ()


def test_without_a_first_frame_or_a_word_of_the_worker_the_start_has_failed_in_time() -> None:
    """L1: `first_frame` + 2 s at the latest, whatever became of the worker."""
    story = story_in("safety_checked")
    assert _want(story).wake_at_us == START.boottime_us + 9 * SECOND_US
    story.wait(8.999)
    assert story.look() == ()
    story.wait(0.001)
    story.look()
    assert story.last("start_failed").data == {"failure": "stalled"}
    assert story.place == "disabled.closing"


@pytest.mark.parametrize("place", [place for place in PLACES if place not in OPEN])
def test_only_an_open_camera_is_extended_or_watched(place: str) -> None:
    story = story_in(place)
    before = story.state
    extended = story.do(Extend("m-1", 60, {}))
    code = {"disabled.closing": "closing", "disabled.locked": "locked"}.get(place, "not-permitted")
    _refused(extended, code)
    _refused(story.join(), "shut")
    assert story.state == before


def test_no_more_watch_than_the_site_allows() -> None:
    story = Story().opened()
    for number in range(4):
        assert not isinstance(story.join(f"w-{number}"), Refusal)
    assert _refused(story.join("w-5"), "too-many-viewers").retry_after_s == 10
    story.leave("w-2")
    assert not isinstance(story.join("w-5"), Refusal)
    assert story.state.session is not None
    assert list(story.state.session.viewers) == ["w-0", "w-1", "w-3", "w-5"]


def test_a_viewer_that_is_not_there_leaves_nothing() -> None:
    story = Story().opened()
    assert story.leave("w-unknown") == ()


@pytest.mark.parametrize("place", PLACES)
def test_the_gate_is_wanted_open_in_streaming_and_expiring_alone_and_a_worker_only_while_not_shut(
    place: str,
) -> None:
    """S1, S10."""
    want = _want(story_in(place))
    assert want.gate_open == (place in OPEN)
    running = place in ("safety_checked", "streaming.live", "expiring.live")
    assert want.worker_run == (1 if running else None)
    assert not want.start_now


def test_the_worker_is_wanted_at_once_when_the_checks_have_passed_and_once() -> None:
    story = Story()
    story.request()
    story.look()
    assert (_want(story).worker_run, _want(story).start_now) == (1, True)
    story.done(Reported(WorkerStarted(1, 4711, {})))
    assert (_want(story).worker_run, _want(story).start_now) == (1, False)


def test_while_requested_the_next_look_is_when_something_settles_or_the_wait_is_over() -> None:
    story = Story()
    story.request(wait_s=60)
    assert _want(story).wake_at_us == START.boottime_us + 60 * SECOND_US
    interface = replace(story.facts.interface, since_us=START.boottime_us - SECOND_US)
    story.facts = replace(story.facts, interface=interface)
    assert _want(story).wake_at_us == START.boottime_us + 2 * SECOND_US


def test_what_changes_in_the_lane_during_a_session_is_written_rule_by_rule_and_once_a_second_at_most() -> (
    None
):
    """CONTRACT 7: `lane_changed` between `requested` and `closed` only."""
    story = Story()
    assert story.done(Look()) == ()
    story.request()
    story.done(Look())
    assert story.last("lane_changed").data == {"rules": {"no-vehicle": True, "sensor-ok": True}}
    story.done(Reported(WorkerStarted(1, 4711, {})))
    story.done(Reported(FirstFrame(1)))
    story.facts = with_lane(story.facts, no_vehicle=rule_broken("1"))
    story.wait(0.999)
    assert story.done(Look()) == ()
    story.wait(0.001)
    story.done(Look())
    assert story.last("lane_changed").data == {"rules": {"no-vehicle": False}}
    story.wait(5)
    assert story.done(Look()) == ()
    story.shut(CLOSE)
    story.facts = replace(story.facts, lane=good_facts().lane)
    assert story.done(Look()) == ()
