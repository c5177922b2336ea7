"""Every problem code that the contract names, brought about on a running gateway and told as described."""

import os
import signal
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from orchestrator.edges.http.problems import PROBLEMS
from tests.e2e.client import Answer
from tests.e2e.configuration import COLLEAGUE, NOBODY, OTHER_MAINTAINER, VIEWER, put
from tests.e2e.conftest import MakeGateway
from tests.e2e.description import Description
from tests.e2e.gateway import Gateway
from tests.runtime.log_parts import unguarded

pytestmark = pytest.mark.slow

CONTRACT = """
421 wrong-host · 403 unknown-device, own-address · 403 cross-site · 404 not-found, 405 method-not-allowed
404 unknown-camera, unknown-session, unknown-window, unknown-watch, shut · 403 role-required, vpn-only
413 too-large · 415 not-json · 422 invalid-body, invalid-query · 412 version
409 not-permitted, config-invalid, closing, cooling-down, locked, closed-meanwhile · 422 idempotency-mismatch
429 too-many-viewers, slow-down · 503 log-unwritable, no-frame-yet
"""
"""The codes of CONTRACT 8, each after its status."""
MOVES, WATCHES = "/api/v1/cameras/cam1/transitions", "/api/v1/cameras/cam1/watches"
TRIES = 5
"""What lasts for a third of a second is met sooner or later."""
ASK = {"trigger": "request", "reason": "align the camera"}
KEY = {"Idempotency-Key": "one"}


def codes_of_the_contract() -> dict[str, int]:
    found, status = {}, 0
    for word in CONTRACT.replace("·", " ").replace(",", " ").split():
        if word.isdigit():
            status = int(word)
        else:
            found[word] = status
    return found


def test_the_table_of_problems_is_the_contracts() -> None:
    """CONTRACT 8; besides it a log that cannot be read, and HTTP's own."""
    told = {code: problem.status for code, problem in PROBLEMS.items()}
    for code in ("log-unreadable", "bad-request", "too-slow", "internal"):
        del told[code]
    assert told == codes_of_the_contract()


AT_THE_DOOR: dict[str, Callable[[Gateway], Answer]] = {
    "wrong-host": lambda g: g.ask("GET", "/", headers={"Host": "gateway.example"}),
    "unknown-device": lambda g: g.ask("GET", "/", source=NOBODY),
    "own-address": lambda g: g.ask("GET", "/", source=g.address),
    "cross-site": lambda g: g.ask("GET", "/", headers={"Origin": "http://elsewhere.example"}),
    "not-found": lambda g: g.ask("GET", "/api/v2"),
    "method-not-allowed": lambda g: g.ask("PUT", MOVES, {}),
    "unknown-camera": lambda g: g.ask("GET", "/api/v1/cameras/cam1", source=OTHER_MAINTAINER),
    "unknown-session": lambda g: g.ask("GET", "/api/v1/sessions/nobodys"),
    "unknown-window": lambda g: g.ask("DELETE", "/api/v1/windows/nobodys", {}),
    "unknown-watch": lambda g: g.ask("DELETE", "/api/v1/watches/nobodys", {}),
    "shut": lambda g: g.ask("POST", WATCHES, {}),
    "role-required": lambda g: g.ask("POST", MOVES, ASK, source=VIEWER),
    "vpn-only": lambda g: g.ask_locally("POST", MOVES, ASK),
    "too-large": lambda g: g.ask("POST", MOVES, ASK | {"ticket": "x" * 70_000}),
    "not-json": lambda g: g.ask("POST", MOVES, ASK, headers={"Content-Type": "text/plain"}),
    "invalid-body": lambda g: g.ask("POST", MOVES, ASK | {"wait_s": "20"}),
    "invalid-query": lambda g: g.ask("GET", "/api/v1/events?limit=0"),
    "version": lambda g: g.ask("POST", MOVES, ASK, headers={"If-Match": '"999999"'}),
    "not-permitted": lambda g: g.ask("POST", MOVES, {"trigger": "extend", "reason": "more", "duration_s": 1}),
}
"""What a gateway that stands there shut says."""


def test_what_a_shut_gateway_refuses_is_told_by_its_code(gateway: Gateway) -> None:
    description = Description(gateway.get("/api/v1/openapi.json"))
    for code, ask in AT_THE_DOOR.items():
        told(description, ask(gateway), code)


def told(description: Description, answer: Answer, code: str) -> None:
    """AssertionError unless that is the problem document of this code: status, members and headers."""
    problem = PROBLEMS[code]
    assert (answer.status, answer.code) == (problem.status, code), answer
    assert answer.headers["content-type"] == "application/problem+json"
    description.fits({"$ref": f"#/components/schemas/Problem.{code}"}, answer.body)
    if problem.retry_after_s is not None:
        assert int(answer.headers["retry-after"]) >= 1
    if code == "method-not-allowed":
        assert answer.headers["allow"] == "GET, HEAD, POST"


def idempotency_mismatch(gateway: Gateway, folder: Path) -> Iterator[Answer]:
    assert gateway.ask("POST", MOVES, ASK, headers=KEY).status == 202
    yield gateway.ask("POST", MOVES, ASK | {"reason": "another"}, headers=KEY)


def config_invalid(gateway: Gateway, folder: Path) -> Iterator[Answer]:
    put(gateway.config, "no configuration")
    gateway.wait_check("config", passes=False)
    yield gateway.ask("POST", MOVES, ASK)


def closing(gateway: Gateway, folder: Path) -> Iterator[Answer]:
    yield _met(_asked_while_it_closes, gateway)


def _met(ask: Callable[[Gateway], Answer | None], gateway: Gateway) -> Answer:
    """What is answered in a moment that is soon over: asked until it was met."""
    for _ in range(TRIES):
        if (answer := ask(gateway)) is not None:
            return answer
    raise AssertionError(f"the moment was missed {TRIES} times")


def _asked_while_it_closes(gateway: Gateway) -> Answer | None:
    """None when it had closed already."""
    session = gateway.open()
    # A worker that is stopped does not obey: the camera is closing until it is killed, 300 ms later.
    os.kill(gateway.worker(session).pid, signal.SIGSTOP)
    gateway.transition("close")
    answer = gateway.ask("POST", MOVES, ASK)
    if answer.status != 202:
        return answer
    gateway.shut(answer.body["session"])
    return None


def locked(gateway: Gateway, folder: Path) -> Iterator[Answer]:
    disk = folder / "on a disk"
    disk.mkdir(mode=0o700)
    segments = gateway.values["segments"]
    gateway.reconfigure(segments=str(disk))
    gateway.wait_disabled(substate="locked")
    yield gateway.ask("POST", MOVES, ASK)
    gateway.reconfigure(segments=segments)
    gateway.wait_check("memory-only", passes=True)
    for camera in gateway.cameras:
        gateway.wait_disabled(substate="locked", camera=camera)
        assert gateway.transition("acknowledge", camera, reason="mended").status == 202


def too_many_viewers(gateway: Gateway, folder: Path) -> Iterator[Answer]:
    with gateway.configured(max_per_camera="1"):
        gateway.flow()
        yield gateway.ask("POST", WATCHES, {}, source=VIEWER)


def slow_down(gateway: Gateway, folder: Path) -> Iterator[Answer]:
    with gateway.configured(new_per_minute="1"):
        gateway.open()
        gateway.join(source=COLLEAGUE)
        yield gateway.ask("POST", WATCHES, {}, source=COLLEAGUE)


def no_frame_yet(gateway: Gateway, folder: Path) -> Iterator[Answer]:
    session = gateway.open()
    gateway.fail_camera("hang")
    try:
        gateway.wait("frames_lost", session)
        yield gateway.ask("POST", WATCHES, {})
    finally:
        gateway.fail_camera("ok")


def log_unwritable(gateway: Gateway, folder: Path) -> Iterator[Answer]:
    with _held(gateway.database):
        yield gateway.ask("POST", MOVES, ASK)


@contextmanager
def _held(database: Path) -> Iterator[None]:
    log = sqlite3.connect(database, isolation_level=None)
    try:
        log.execute("BEGIN IMMEDIATE")
        yield
    finally:
        log.close()


BROUGHT_ABOUT: dict[str, Callable[[Gateway, Path], Iterator[Answer]]] = {
    "idempotency-mismatch": idempotency_mismatch,
    "config-invalid": config_invalid,
    "closing": closing,
    "locked": locked,
    "too-many-viewers": too_many_viewers,
    "slow-down": slow_down,
    "no-frame-yet": no_frame_yet,
    "log-unwritable": log_unwritable,
}
"""What must be done first; what was done is undone after the answer."""


@pytest.mark.parametrize("code", BROUGHT_ABOUT)
def test_each_problem_that_must_be_brought_about_is_told_by_its_code(
    gateway: Gateway, code: str, tmp_path: Path
) -> None:
    description = Description(gateway.get("/api/v1/openapi.json"))
    for answer in BROUGHT_ABOUT[code](gateway, tmp_path):
        told(description, answer, code)


def test_the_problems_of_an_end_are_told_by_their_code(gateway: Gateway) -> None:
    """`cooling-down` after a storm, `closed-meanwhile` while the service stops."""
    description = Description(gateway.get("/api/v1/openapi.json"))
    session, after = gateway.open(), 0
    for _ in range(5):
        started = gateway.wait("worker_started", session, after=after)
        after = started["seq"]
        os.kill(started["data"]["pid"], signal.SIGKILL)
    gateway.wait("closed", session)
    told(description, gateway.ask("POST", MOVES, ASK), "cooling-down")
    told(description, _met(_asked_while_it_stops, gateway), "closed-meanwhile")


def _asked_while_it_stops(gateway: Gateway) -> Answer | None:
    """None when it had stopped already."""
    session = gateway.open("cam2")
    # A worker that is stopped does not obey: the service waits for it to be killed, and answers meanwhile.
    os.kill(gateway.worker(session).pid, signal.SIGSTOP)
    gateway.daemon.kill(signal.SIGTERM)
    try:
        gateway.wait("close", session)
        return gateway.ask("POST", MOVES.replace("cam1", "cam2"), ASK)
    except OSError:
        return None
    finally:
        gateway.daemon.wait()
        gateway.start_daemon()


def test_every_code_of_the_contract_has_a_row() -> None:
    rows = {*AT_THE_DOOR, *BROUGHT_ABOUT, "cooling-down", "closed-meanwhile"}
    assert rows == set(codes_of_the_contract())


def test_a_log_that_was_changed_is_told_as_that_and_not_as_our_failure(make_gateway: MakeGateway) -> None:
    gateway = make_gateway()
    gateway.start()
    description = Description(gateway.get("/api/v1/openapi.json"))
    with unguarded(gateway.database) as outside:
        outside.execute("UPDATE events SET canonical = CAST(canonical || ' ' AS BLOB) WHERE seq = 1")
    answer = gateway.ask("GET", "/api/v1/events")
    told(description, answer, "log-unreadable")
    assert answer.body["detail"].startswith("event 1: ")
