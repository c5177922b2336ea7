"""Maintenance windows over the running daemon: who makes them, who ends them, what that does to a session."""

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.e2e.client import Answer
from tests.e2e.configuration import (
    COLLEAGUE,
    MAINTAINER,
    MAINTAINER_PHONE,
    MEMBERS,
    OTHER_MAINTAINER,
    VIEWER,
)
from tests.e2e.conftest import Begin, MakeGateway
from tests.e2e.follower import name_of
from tests.e2e.gateway import Gateway
from tests.e2e.incident import at_us, log_is_whole, now_us, volet

pytestmark = pytest.mark.slow

PATH = "/api/v1/windows"
SHUT_WITHIN_US = 500_000
SECOND_US = 1_000_000
SECOND_APPROVER = MEMBERS.replace(
    'name = "Colleague"\nroles = ["maintainer"]', 'name = "Colleague"\nroles = ["approver"]'
)


def _time(us: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(us // SECOND_US)) + f".{us % SECOND_US:06d}Z"


def _add(gateway: Gateway, *, source: str = MAINTAINER, lasts_s: int = 600, **more: Any) -> Answer:
    start_us = now_us()
    body = {
        "cameras": ["cam1"],
        "start": _time(start_us),
        "end": _time(start_us + lasts_s * SECOND_US),
        "reason": "aim after the storm",
    }
    return gateway.ask("POST", PATH, body | more, source=source)


def _added(gateway: Gateway, **more: Any) -> str:
    answer = _add(gateway, **more)
    assert answer.status == 201, answer
    window: str = answer.body["id"]
    return window


def _state(gateway: Gateway, window: str, *, source: str = MAINTAINER) -> str:
    items = gateway.get(PATH, source=source)["items"]
    return str({item["id"]: item["state"] for item in items}[window])


def _refused(gateway: Gateway, **more: Any) -> dict[str, Any]:
    """The check of the window, which keeps a request from opening."""
    failed = gateway.wait("checks_failed", gateway.request(wait_s=0, **more))
    checks: dict[str, dict[str, Any]] = {check["id"]: check for check in failed["data"]["checks"]}
    return checks["window"]


@pytest.fixture
def without(gateway: Gateway) -> Iterator[Gateway]:
    """A gateway without a window in its configuration; the one-offs that a test added are cancelled after."""
    gateway.reconfigure(windows="", max_session="10m", idle_close="10m")
    gateway.wait_windows()
    yield gateway
    gateway.transition("close")
    for item in gateway.get(PATH)["items"]:
        if item["state"] in ("approved", "proposed") and not item["recurring"]:
            assert gateway.ask("DELETE", f"{PATH}/{item['id']}").status in (200, 202)


def test_cancelling_the_window_shuts_the_camera_at_once(without: Gateway, incident_of: Begin) -> None:
    """F19, S13."""
    window = _added(without)
    incident = incident_of(without, "window cancelled")
    incident.inject(lambda: without.ask("DELETE", f"{PATH}/{window}"))
    closing = incident.shuts("fault", "window-closed")
    assert [check["id"] for check in closing["data"]["checks"]] == ["window"]
    incident.is_proven()
    assert incident.closed["data"]["shut_us"] <= SHUT_WITHIN_US
    cancelled = without.wait(
        "window_cancelled", after=without.wait("first_frame", incident.flow.session)["seq"]
    )
    assert (cancelled["data"]["window"], cancelled["actor"]["kind"]) == (window, "member")
    assert _state(without, window) == "cancelled"
    _refused(without)
    _added(without)
    incident.leaves_no_trace_and_opens_again()


def test_shortening_the_window_to_now_shuts_the_camera_at_once(without: Gateway, incident_of: Begin) -> None:
    """F19, over the command line."""
    window, url = _added(without), f"http://{without.address}:{without.port}"
    incident = incident_of(without, "window shortened")
    said: list[tuple[int, str]] = []
    incident.inject(lambda: said.append(volet("windows", "shorten", window, "--end", "now", "--url", url)))
    incident.shuts("fault", "window-closed")
    incident.is_proven()
    assert incident.closed["data"]["shut_us"] <= SHUT_WITHIN_US
    status, text = said[0]
    assert (status, text.startswith(f"{window} is over: cam1"), "(Europe/Paris)" in text) == (0, True, True)
    _added(without)
    incident.leaves_no_trace_and_opens_again()


def test_a_shorter_end_is_taken_over_and_past_it_nothing_is_extended(without: Gateway) -> None:
    """CONTRACT 3, 4: the deadline that is shown is the earlier one, and the session ends by it."""
    window = _added(without)
    session = without.open()
    opened = without.wait("first_frame", session)["data"]
    end_us = now_us() + 4 * SECOND_US
    assert at_us({"at": opened["ends_at"]}) > end_us
    answer = without.ask("PATCH", f"{PATH}/{window}", {"end": _time(end_us)})
    assert (answer.status, at_us({"at": answer.body["end"]})) == (200, end_us)
    moved = without.wait("deadline_shortened", session)["data"]
    assert (at_us({"at": moved["ends_at"]}), moved["limit"]) == (end_us, "window")
    assert at_us({"at": without.get("/api/v1/cameras/cam1")["deadline"]}) == end_us
    refused = without.transition("extend", reason="one more screw", duration_s=1)
    assert (refused.status, refused.code, refused.body["limit"]) == (409, "not-permitted", "window")
    assert at_us({"at": refused.body["latest_end"]}) == end_us
    ended = without.wait_end(session)
    assert (name_of(ended), ended["data"]["limit"]) == ("expire", "window")
    without.wait("closed", session)
    told = without.get(f"/api/v1/sessions/{session}")
    assert (at_us({"at": told["deadline"]}), told["reason"]) == (end_us, "align the camera")


def test_a_maintainers_window_opens_nothing_before_an_approver_says_so(without: Gateway) -> None:
    """CONTRACT 5."""
    answer = _add(without, source=COLLEAGUE, ticket="T-7", name="storm")
    assert (answer.status, answer.body["state"], answer.body["approved_by"]) == (201, "proposed", [])
    window = answer.body["id"]
    _refused(without)
    for source in (COLLEAGUE, VIEWER):
        no = without.ask("POST", f"{PATH}/{window}/approve", {}, source=source)
        assert (no.status, no.code, no.body["roles"]) == (403, "role-required", ["approver"])
    yes = without.ask("POST", f"{PATH}/{window}/approve", {})
    assert (yes.status, yes.body["state"], yes.body["reason"]) == (200, "approved", "aim after the storm")
    assert (yes.body["name"], yes.body["ticket"], len(yes.body["approved_by"])) == ("storm", "T-7", 1)
    without.shut(without.open())
    chained = json.dumps(without.events())
    assert "aim after the storm" not in chained
    assert "T-7" not in chained


def test_a_window_of_another_camera_is_neither_seen_nor_touched(without: Gateway) -> None:
    """CONTRACT 5, 8."""
    alone, both = _added(without), _added(without, cameras=["cam1", "cam2"])
    seen = without.get(PATH, source=OTHER_MAINTAINER)["items"]
    assert [(item["id"], item["cameras"]) for item in seen] == [(both, ["cam2"])]
    for window, expected in ((alone, (404, "unknown-window")), (both, (403, "role-required"))):
        no = without.ask("DELETE", f"{PATH}/{window}", source=OTHER_MAINTAINER)
        assert (no.status, no.code) == expected
    end = {"end": _time(now_us())}
    assert without.ask("PATCH", f"{PATH}/{alone}", end, source=OTHER_MAINTAINER).code == "unknown-window"
    assert _add(without, source=OTHER_MAINTAINER).code == "unknown-camera"
    assert _add(without, source=VIEWER).code == "role-required"
    words = without.get(PATH, source=VIEWER)["items"]
    assert {item["reason"] for item in words} == {None}
    assert without.ask_locally("GET", PATH).code == "vpn-only"
    assert without.ask_locally("DELETE", f"{PATH}/{alone}").code == "vpn-only"


def test_with_two_people_one_person_on_two_devices_is_one_person(without: Gateway) -> None:
    """CONTRACT 3: their own approval does not count for them, from whichever device."""
    without.reconfigure(two_people="true", members=SECOND_APPROVER)
    without.wait_roles(COLLEAGUE, "approver")
    window = _added(without)
    again = without.ask("POST", f"{PATH}/{window}/approve", {}, source=MAINTAINER_PHONE)
    assert (again.status, len(again.body["approved_by"])) == (200, 1)
    for source in (MAINTAINER, MAINTAINER_PHONE):
        assert _refused(without, source=source)["evidence"] == {"open": False, "approved_by_self": True}
    other = without.ask("POST", f"{PATH}/{window}/approve", {}, source=COLLEAGUE)
    assert (other.status, len(other.body["approved_by"])) == (200, 2)
    without.shut(without.open(source=MAINTAINER_PHONE))

    daily = '[[windows]]\nname = "needs two"\ncameras = ["cam1"]\ncron = "0 0 * * *"\nduration = "24h"\n'
    without.ask("DELETE", f"{PATH}/{window}")
    without.reconfigure(windows=daily)
    without.wait_windows("needs two")
    _refused(without)
    (running, *_) = [item for item in without.get(PATH)["items"] if item["recurring"]]
    assert running["state"] == "proposed"
    approved = without.ask("POST", f"{PATH}/{running['id']}/approve", {}, source=COLLEAGUE)
    assert (approved.status, approved.body["state"]) == (200, "approved")
    without.shut(without.open())


def test_one_coming_of_a_recurring_window_is_cancelled_over_the_command_line(without: Gateway) -> None:
    """CONTRACT 2, 5: an id of its own, and only that one is gone."""
    url = f"http://{without.address}:{without.port}"
    daily = '[[windows]]\nname = "daily"\ncameras = ["cam1"]\ncron = "0 0 * * *"\nduration = "24h"\n'
    without.reconfigure(windows=daily)
    without.wait_windows("daily")
    running, following, *_ = [item for item in without.get(PATH)["items"] if item["recurring"]]
    status, said = volet("windows", "cancel", running["id"], "--url", url)
    assert (status, said.startswith(f"{running['id']} is cancelled: cam1")) == (0, True), said
    assert (_state(without, running["id"]), _state(without, following["id"])) == ("cancelled", "approved")
    _refused(without)
    status, said = volet("windows", "list", "--next", "2", "--url", url, "--json")
    first, second = json.loads(said)["items"]
    assert (first["state"], first["start"]) == ("cancelled", running["start"])
    assert (second["state"], second["start"]) == ("approved", following["start"])
    status, said = volet(
        "windows", "add", "cam1", "--start", "now", "--for", "10m", "--reason", "aim", "--url", url, "--json"
    )
    assert (status, json.loads(said)["state"]) == (0, "approved"), said
    without.shut(without.open())
    assert volet("windows", "cancel", json.loads(said)["id"], "--url", url)[0] == 0
    log_is_whole(without)


def test_windows_outlive_a_killed_daemon(make_gateway: MakeGateway) -> None:
    """F17, S12."""
    gateway = make_gateway(windows="")
    gateway.start()
    _added(gateway)
    _add(gateway, source=COLLEAGUE)
    assert gateway.ask("DELETE", f"{PATH}/{_added(gateway, cameras=['cam1', 'cam2'])}").status == 200
    before = gateway.get(PATH)["items"]
    assert sorted(item["state"] for item in before) == ["approved", "cancelled", "proposed"]
    gateway.daemon.kill()
    gateway.daemon.wait()
    gateway.start_daemon()
    assert gateway.get(PATH)["items"] == before
    gateway.shut(gateway.open())
    assert _refused(gateway, camera="cam2")
    _, said = volet("doctor", "--config", str(gateway.config), "--wait", "1s", "--json")
    passed = {
        camera["camera"]: check["passed"]
        for camera in json.loads(said)["cameras"]
        for check in camera["checks"]
        if check["id"] == "window"
    }
    assert passed == {"cam1": True, "cam2": False}
    log_is_whole(gateway)
