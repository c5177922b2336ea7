"""What is asked twice under one key is carried out once, and what is meant for another version not at all."""

import os
import signal
import sqlite3
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import pytest

from tests.e2e.client import Answer
from tests.e2e.configuration import COLLEAGUE, MAINTAINER, MAINTAINER_PHONE
from tests.e2e.follower import name_of
from tests.e2e.gateway import Gateway

pytestmark = pytest.mark.slow

ASK = {"trigger": "request", "reason": "align the camera", "wait_s": 20}
CLOSE = {"trigger": "close", "reason": "done"}


def post(
    gateway: Gateway, body: dict[str, Any], key: str, *, camera: str = "cam1", source: str = MAINTAINER
) -> Answer:
    path = f"/api/v1/cameras/{camera}/transitions"
    return gateway.ask("POST", path, body, source=source, headers={"Idempotency-Key": key})


def asked(gateway: Gateway, after: int = 0) -> list[str]:
    """The sessions that were asked for since."""
    return [e["session"] for e in gateway.events() if e["seq"] > after and name_of(e) == "request"]


def personal_rows(gateway: Gateway, events: Iterable[str]) -> list[str]:
    with sqlite3.connect(f"file:{gateway.database}?mode=ro", uri=True) as log:
        return [
            log.execute("SELECT row FROM details WHERE id = ?", (event,)).fetchone()[0].decode()
            for event in events
        ]


def test_a_repeat_gets_the_first_answer_and_adds_nothing(gateway: Gateway) -> None:
    """CONTRACT 5, S15: whatever has happened since, on the person's other device too."""
    first = post(gateway, ASK, "key-1")
    assert first.status == 202
    gateway.wait("first_frame", first.body["session"])
    again = post(gateway, ASK, "key-1")
    assert (again.status, again.body) == (first.status, first.body)
    closed = post(gateway, CLOSE, "key-2")
    version = gateway.wait("closed", first.body["session"])["seq"]
    for source in (MAINTAINER, MAINTAINER_PHONE):
        assert post(gateway, ASK, "key-1", source=source).body == first.body
        assert post(gateway, CLOSE, "key-2", source=source).body == closed.body
    spaced = post(gateway, ASK | {"reason": "  align the camera "}, "key-1")
    assert spaced.body == first.body
    assert gateway.get("/api/v1/cameras/cam1")["version"] == version


def test_a_key_is_one_persons_for_one_camera_and_stands_in_the_details_alone(gateway: Gateway) -> None:
    """CONTRACT 8, S19."""
    first = post(gateway, ASK, "mine-alone")
    other_camera = post(gateway, ASK, "mine-alone", camera="cam2")
    assert other_camera.status == 202
    assert other_camera.body["session"] != first.body["session"]
    colleague = post(gateway, ASK, "mine-alone", source=COLLEAGUE)
    assert colleague.code == "not-permitted"
    chained = gateway.events(first.body["session"])
    assert "idempotency" not in str(chained)
    [row] = personal_rows(gateway, [first.body["events"][0]["id"]])
    assert '"idempotency"' in row
    assert "mine-alone" not in row


def test_another_body_under_a_key_is_refused_and_a_refusal_leaves_the_key_free(gateway: Gateway) -> None:
    refused = post(gateway, {"trigger": "extend", "reason": "more", "duration_s": 5}, "again")
    assert refused.code == "not-permitted"
    first = post(gateway, ASK, "again")
    assert first.status == 202
    for body in (ASK | {"reason": "something else"}, ASK | {"wait_s": 21}, CLOSE):
        mismatch = post(gateway, body, "again")
        assert (mismatch.status, mismatch.code) == (422, "idempotency-mismatch")
    assert asked(gateway, first.body["version"]) == []


@pytest.mark.parametrize("key", ["", "a b", "é", "k" * 256])
def test_what_is_no_key_is_refused(gateway: Gateway, key: str) -> None:
    refused = post(gateway, ASK, key)
    assert (refused.status, refused.code, refused.body["pointer"]) == (
        422,
        "invalid-query",
        "/Idempotency-Key",
    )


def test_of_two_at_once_under_one_key_one_is_carried_out_and_both_are_told_the_same(gateway: Gateway) -> None:
    """S15."""
    after = gateway.events()[-1]["seq"]
    together = Barrier(6)

    def ask(_: int) -> Answer:
        together.wait()
        return post(gateway, ASK, "at-once")

    with ThreadPoolExecutor(6) as callers:
        answers = list(callers.map(ask, range(6)))
    assert [answer.status for answer in answers] == [202] * 6
    assert all(answer.body == answers[0].body for answer in answers)
    assert asked(gateway, after) == [answers[0].body["session"]]


def test_a_key_outlives_the_daemon_however_it_ends(gateway: Gateway) -> None:
    """CONTRACT 8; with its row erased the repeat is a new request, and nothing else is lost."""
    first, colleagues = post(gateway, ASK, "kept"), post(gateway, ASK, "kept-2", camera="cam2")
    gateway.wait("first_frame", first.body["session"])
    gateway.wait_effect()
    gateway.join()
    closed = post(gateway, CLOSE, "kept-3")
    os.kill(gateway.daemon.pid, signal.SIGKILL)
    gateway.daemon.wait()
    with sqlite3.connect(gateway.database) as log:
        log.execute("DELETE FROM details WHERE id = ?", (colleagues.body["events"][0]["id"],))
    gateway.start_daemon()
    gateway.wait_disabled(substate="ready", pending=False, camera="cam2")
    after = gateway.events()[-1]["seq"]
    assert post(gateway, ASK, "kept").body == first.body
    again = post(gateway, CLOSE, "kept-3")
    assert again.body == closed.body
    assert [name_of(event) for event in again.body["events"]] == ["close", "viewer_left"]
    assert post(gateway, CLOSE, "kept").code == "idempotency-mismatch"
    assert asked(gateway, after) == []
    anew = post(gateway, ASK, "kept-2", camera="cam2")
    assert anew.status == 202
    assert anew.body["session"] != colleagues.body["session"]


def test_a_change_is_tied_to_the_version_that_was_seen(gateway: Gateway) -> None:
    """CONTRACT 5 `If-Match`, RFC 9110 13.1.1."""
    path = "/api/v1/cameras/cam1"

    def change(body: dict[str, Any], tag: str) -> Answer:
        return gateway.ask("POST", f"{path}/transitions", body, headers={"If-Match": tag})

    before = gateway.ask("GET", path)
    tag, version = before.headers["etag"], before.body["version"]
    assert tag == f'"{version}"'
    for wrong in ('"999999"', f'W/"{version}"', '"nothing"', '"999998", "999999"', "999999"):
        refused = change(ASK, wrong)
        assert (refused.status, refused.code, refused.body["version"]) == (412, "version", version), wrong
    for malformed in ("version 5", '"1', "5x", '*, "1"'):
        assert change(ASK, malformed).body["pointer"] == "/If-Match"
    taken = change(ASK, f'"999999", {tag}')
    assert taken.status == 202
    # 412 comes before what the state would say (CONTRACT 8).
    assert change(ASK, tag).code == "version"
    gateway.wait("first_frame", taken.body["session"])
    gateway.wait_effect()
    assert change(CLOSE, tag).code == "version"
    assert gateway.state() == "streaming.live"
    now = gateway.get(path)["version"]
    assert change(CLOSE, str(now)).status == 202
    gateway.wait("closed", taken.body["session"])
    assert change(CLOSE, "*").status == 200


def test_a_repeat_is_answered_though_its_version_has_passed(gateway: Gateway) -> None:
    """Whoever lost the first answer sends the same again, `If-Match` and all."""
    headers = {
        "Idempotency-Key": "lost",
        "If-Match": gateway.ask("GET", "/api/v1/cameras/cam1").headers["etag"],
    }
    path = "/api/v1/cameras/cam1/transitions"
    first = gateway.ask("POST", path, ASK, headers=headers)
    assert first.status == 202
    assert gateway.ask("POST", path, ASK, headers=headers).body == first.body


def test_the_local_socket_closes_under_a_key_too(gateway: Gateway) -> None:
    session = gateway.open()
    answers = [
        gateway.ask_locally(
            "POST", "/api/v1/cameras/cam1/transitions", {"trigger": "close"}, headers={"Idempotency-Key": "k"}
        )
        for _ in range(2)
    ]
    gateway.wait("closed", session)
    assert [answer.status for answer in answers] == [202, 202]
    assert answers[0].body == answers[1].body
