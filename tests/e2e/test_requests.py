"""Who may open, when, for how long, and what is answered to the others, over the running daemon."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest

from tests.e2e.client import Answer
from tests.e2e.configuration import COLLEAGUE, MAINTAINER, NOBODY, OTHER_MAINTAINER, VIEWER
from tests.e2e.follower import name_of
from tests.e2e.gateway import Gateway
from tests.e2e.incident import at_us, log_is_whole

pytestmark = pytest.mark.slow


def test_a_vehicle_is_waited_for_and_named_when_the_wait_is_over(gateway: Gateway) -> None:
    """L1, CONTRACT 4: `checks_failed` holds the checks that still fail, and no other."""
    gateway.wait_lane_free()
    gateway.lane.say("present 1")
    gateway.wait_check("lane-no-vehicle", passes=False)
    failed = gateway.wait("checks_failed", gateway.request(wait_s=2))
    assert failed["data"]["fault"] == "lane-unsafe"
    assert [check["id"] for check in failed["data"]["checks"]] == ["lane-no-vehicle"]

    session = gateway.request(wait_s=30)
    assert gateway.state() == "requested"
    gateway.lane.say("present 0")
    opened = gateway.wait("first_frame", session)
    assert all(check["passed"] for check in opened["data"]["checks"])
    gateway.shut(session)


def test_an_open_rule_is_not_asked_any_more_once_the_picture_flows(gateway: Gateway) -> None:
    """CONTRACT 3: `open` must hold until the first byte, `hold` as long as the camera is open."""
    flow = gateway.flow()
    gateway.lane.say("present 1")
    changed = gateway.follower_wait(
        lambda e: name_of(e) == "lane_changed" and e["data"]["rules"].get("no-vehicle") is False, flow.session
    )
    flow.viewer.wait_flow()
    assert gateway.state() == "streaming.live"
    assert changed["session"] == flow.session
    gateway.lane.say("present 0")
    gateway.shut(flow.session)


def test_a_purpose_waives_a_rule_and_the_evidence_says_so(gateway: Gateway) -> None:
    """S3, CONTRACT 3."""
    gateway.lane.say("present 1")
    gateway.wait_check("lane-no-vehicle", passes=False)
    session = gateway.open(purpose="vision-debug")
    passed = gateway.wait("checks_passed", session)["data"]["checks"]
    waived = {check["id"]: check["passed"] for check in passed if check["waived"]}
    assert waived == {"lane-no-vehicle": True}
    gateway.lane.say("present 0")
    gateway.shut(session)


def test_only_a_maintainer_of_the_camera_may_open_it(gateway: Gateway) -> None:
    """CONTRACT 4, 5, 8: the role, the camera, the device."""
    viewer = gateway.transition("request", source=VIEWER, reason="look")
    assert (viewer.status, viewer.code, viewer.body["roles"]) == (403, "role-required", ["maintainer"])
    other = gateway.transition("request", source=OTHER_MAINTAINER, reason="look")
    assert (other.status, other.code) == (404, "unknown-camera")
    nobody = gateway.transition("request", source=NOBODY, reason="look")
    assert (nobody.status, nobody.code) == (403, "unknown-device")
    assert gateway.state() == "disabled.ready"
    session = gateway.open("cam2", source=OTHER_MAINTAINER)
    gateway.shut(session, "cam2")


def test_of_two_at_once_one_wins_and_the_other_is_told(gateway: Gateway) -> None:
    """S15."""
    together = Barrier(2)

    def ask(source: str) -> Answer:
        together.wait()
        return gateway.transition("request", source=source, reason="align", wait_s=20)

    after = gateway.last_seq()
    with ThreadPoolExecutor(2) as both:
        answers = sorted(both.map(ask, (MAINTAINER, COLLEAGUE)), key=lambda answer: answer.status)
    assert [(answer.status, answer.code) for answer in answers] == [(202, ""), (409, "not-permitted")]
    assert "close" in answers[1].body["permitted"]
    session = answers[0].body["session"]
    gateway.wait("first_frame", session)
    asked = [e["session"] for e in gateway.events() if e["seq"] > after and name_of(e) == "request"]
    assert asked == [session]
    gateway.shut(session)


def test_an_extension_is_granted_within_the_limits_and_refused_past_them(gateway: Gateway) -> None:
    """CONTRACT 4: never partly granted, and the latest possible end is told."""
    session = gateway.open(duration_s=20)
    ends_us = at_us({"at": gateway.wait("first_frame", session)["data"]["ends_at"]})
    granted = gateway.transition("extend", reason="one more screw", duration_s=30)
    assert granted.status == 202
    assert at_us({"at": granted.body["events"][0]["data"]["ends_at"]}) == ends_us + 30_000_000
    refused = gateway.transition("extend", reason="one more screw", duration_s=11)
    assert (refused.status, refused.code) == (409, "not-permitted")
    assert at_us({"at": refused.body["latest_end"]}) == ends_us + 40_000_000
    assert at_us({"at": gateway.get("/api/v1/cameras/cam1")["deadline"]}) == ends_us + 30_000_000
    gateway.shut(session)


def test_the_expiry_notice_comes_before_the_end_and_the_picture_still_flows(gateway: Gateway) -> None:
    """CONTRACT 3, 4: at most a quarter of the time; an extension takes it back."""
    flow = gateway.flow(duration_s=16)
    ends_us = at_us({"at": gateway.wait("first_frame", flow.session)["data"]["ends_at"]})
    notice = gateway.wait("expiry_notice", flow.session)
    assert (notice["to"], notice["to_substate"]) == ("expiring", "live")
    assert at_us(notice) >= ends_us - 4_000_000
    flow.viewer.wait_flow()
    assert gateway.transition("extend", reason="nearly done", duration_s=20).status == 202
    assert gateway.state() == "streaming.live"
    flow.viewer.wait_flow()
    gateway.shut(flow.session)


def test_a_session_that_nobody_watches_ends(gateway: Gateway) -> None:
    """CONTRACT 3 `idle_close`."""
    with gateway.configured(idle_close="2s"):
        session = gateway.open()
        assert gateway.wait_end(session)["data"]["limit"] == "idle"
        gateway.wait("closed", session)


def test_a_camera_has_no_more_viewers_than_it_may(gateway: Gateway) -> None:
    """CONTRACT 3 `[viewers]`."""
    with gateway.configured(max_per_camera="2"):
        flow = gateway.flow()
        second = gateway.watch(source=VIEWER)
        second.wait_flow()
        third = gateway.ask("POST", "/api/v1/cameras/cam1/watches", {}, source=COLLEAGUE)
        assert (third.status, third.code) == (429, "too-many-viewers")
        assert int(third.headers["retry-after"]) > 0
        flow.viewer.wait_flow()
        gateway.shut(flow.session)


def test_one_person_does_not_join_too_often(gateway: Gateway) -> None:
    """CONTRACT 3 `new_per_minute`."""
    with gateway.configured(new_per_minute="1"):
        session = gateway.open("cam2")
        gateway.join("cam2", source=OTHER_MAINTAINER)
        refused = gateway.ask("POST", "/api/v1/cameras/cam2/watches", {}, source=OTHER_MAINTAINER)
        assert (refused.status, refused.code) == (429, "slow-down")
        assert 0 < int(refused.headers["retry-after"]) <= 61
        gateway.shut(session, "cam2")


def test_the_log_of_all_that_is_whole(gateway: Gateway) -> None:
    """S12."""
    gateway.wait_no_workers(1.0)
    log_is_whole(gateway)


def test_names_are_shown_to_a_reviewer_who_asks_for_them_and_the_look_is_an_event(gateway: Gateway) -> None:
    """S19, CONTRACT 7 `revealed`."""
    session = gateway.open(source=COLLEAGUE)
    gateway.shut(session)
    path = f"/api/v1/sessions/{session}"
    assert "names" not in gateway.get(path)
    after = gateway.last_seq()
    shown, me = gateway.get(f"{path}?names=true"), gateway.get("/api/v1/me")["member"]
    assert shown["names"] == {shown["requester"]: "Colleague", me: "Maintainer A"}
    looked = gateway.wait("revealed", after=after)
    first, last = gateway.events(session)[0]["seq"], gateway.events(session)[-1]["seq"]
    assert looked["actor"] == {"kind": "member", "id": me}
    assert (looked["data"]["first_seq"], looked["data"]["last_seq"]) == (first, last)
    denied = gateway.ask("GET", f"{path}?names=true", source=COLLEAGUE)
    assert (denied.status, denied.code, denied.body["roles"]) == (403, "role-required", ["reviewer"])
    log_is_whole(gateway)
