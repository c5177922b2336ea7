"""A request waits in the open: what does not hold yet and since when; and a session is taken up again."""

import pytest

from tests.e2e.configuration import COLLEAGUE
from tests.e2e.gateway import Gateway

pytestmark = pytest.mark.slow

SETTLE_MS = 1_000
"""The lane's settle time in these tests."""
SOON_MS = 5_000
"""What the lane's own wake-up may be late on a busy machine."""


def test_a_request_shows_what_it_waits_for_and_opens_at_the_first_moment_that_all_hold(
    gateway: Gateway,
) -> None:
    """CONTRACT 4 `wait`, L1: the vehicle goes, `settle` passes, and it opens."""
    gateway.shut(gateway.open())
    gateway.lane.say("present 1")
    gateway.wait_check("lane-no-vehicle", passes=False)
    session = gateway.request(wait_s=30)
    waiting = gateway.get("/api/v1/cameras/cam1/checks")
    lacking = {check["id"]: check for check in waiting["checks"] if not check["passed"]}
    assert (list(lacking), waiting["could_open"], waiting["ready_in_ms"]) == (
        ["lane-no-vehicle"],
        False,
        None,
    )
    assert "“1” has stood there for" in lacking["lane-no-vehicle"]["detail"]
    assert lacking["lane-no-vehicle"]["age_ms"] >= 0

    gateway.lane.say("present 0")
    changed = gateway.follower_wait(
        lambda e: e.get("name") == "lane_changed" and e["data"]["rules"].get("no-vehicle") is True, session
    )
    settling = gateway.get("/api/v1/cameras/cam1/checks")
    assert settling["ready_in_ms"] is None or settling["ready_in_ms"] <= SETTLE_MS
    passed = gateway.wait("checks_passed", session)
    (free,) = [check for check in passed["data"]["checks"] if check["id"] == "lane-no-vehicle"]
    assert SETTLE_MS <= free["evidence"]["holding_ms"] < SETTLE_MS + SOON_MS
    assert passed["seq"] > changed["seq"]
    gateway.wait("first_frame", session)
    gateway.shut(session)


def test_a_session_that_was_cut_is_taken_up_again_without_being_explained_again(gateway: Gateway) -> None:
    """CONTRACT 5 `resume`: purpose, reason and ticket of one's own session that has just ended."""
    first = gateway.transition(
        "request", reason="the second screw", ticket="T-7", purpose="vision-debug", wait_s=20
    ).body["session"]
    gateway.wait("first_frame", first)
    running = gateway.transition("request", "cam2", resume=first, wait_s=0)
    assert (running.status, running.code, running.body["pointer"]) == (422, "invalid-body", "/resume")
    gateway.shut(first)

    stranger = gateway.transition("request", source=COLLEAGUE, resume=first, wait_s=0)
    assert (stranger.status, stranger.body["pointer"]) == (422, "/resume")
    unknown = gateway.transition("request", resume="0190a0b0-0000-7000-8000-000000000000", wait_s=0)
    assert (unknown.status, unknown.body["pointer"]) == (422, "/resume")

    answer = gateway.transition("request", resume=first, wait_s=20)
    assert answer.status == 202
    again = answer.body["session"]
    assert again != first
    gateway.wait("first_frame", again)
    taken = gateway.get(f"/api/v1/sessions/{again}")
    assert [taken[key] for key in ("reason", "ticket", "purpose")] == [
        "the second screw",
        "T-7",
        "vision-debug",
    ]
    asked = gateway.wait("request", again)["data"]
    assert (asked["resume"], asked["purpose"]) == (first, "vision-debug")
    gateway.shut(again)
