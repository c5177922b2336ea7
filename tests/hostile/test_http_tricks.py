"""Paths, methods, headers and bodies as tricks: each is refused, and the house goes on."""

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import pytest

from tests.e2e.configuration import MAINTAINER, NOBODY, VIEWER
from tests.e2e.conftest import MakeGateway
from tests.e2e.gateway import Flow, Gateway
from tests.e2e.incident import log_is_whole
from tests.hostile import http_tricks as tricks
from tests.hostile.raw_client import Said, answers_on, connected, connected_locally, filled, still_flows

pytestmark = pytest.mark.slow

MAX_ANSWER_BYTES = 12_000
KINDS: Mapping[str, Mapping[str, tricks.Trick]] = {
    "paths": tricks.PATHS,
    "targets": tricks.TARGETS,
    "methods": tricks.METHODS,
    "heads": tricks.HEADS,
    "bodies": tricks.BODIES,
    "in a row": tricks.IN_A_ROW,
}


@dataclass(frozen=True, slots=True)
class House:
    """A gateway whose cam1 a member has opened, and watches."""

    gateway: Gateway
    flow: Flow

    def said(self, trick: tricks.Trick, source: str = MAINTAINER) -> list[Said]:
        with connected(self.gateway, source) as sock:
            sock.sendall(filled(self.gateway, trick.said, MAINTAINER))
            return answers_on(sock, only=1 if trick.stays else 0)

    def goes_on(self) -> None:
        """Open, watched, answering, and without a word of trouble."""
        still_flows(self.gateway, self.flow)
        assert self.gateway.get("/healthz") == {"status": "ok"}
        assert [line for line in self.gateway.daemon.lines if "ERROR" in line or "Traceback" in line] == []


@pytest.fixture(scope="module")
def house(make_shared_gateway: MakeGateway) -> Iterator[House]:
    gateway = make_shared_gateway(max_session="10m", idle_close="10m", max_age="10s")
    gateway.start()
    flow = gateway.flow()
    yield House(gateway, flow)
    gateway.shut(flow.session)
    log_is_whole(gateway)


def _is_a_proper_answer(answer: Said) -> None:
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "access-control-allow-origin" not in answer.headers
    assert len(answer.body) <= MAX_ANSWER_BYTES
    assert tricks.SCRIPT.decode() not in str(answer.headers)
    if answer.status >= 400:
        # What is quoted of the request stands in a JSON string, which no browser runs.
        assert answer.problem


def _fault_of(house: House, trick: tricks.Trick) -> str:
    answers = house.said(trick)
    for answer in answers:
        _is_a_proper_answer(answer)
    statuses = [answer.status for answer in answers]
    if statuses and set(statuses) <= trick.statuses:
        return ""
    return f"{statuses} and not {sorted(trick.statuses)}"


@pytest.mark.parametrize("kind", KINDS)
def test_each_trick_is_refused_and_nothing_is_the_matter_afterwards(house: House, kind: str) -> None:
    faults = {name: fault for name, trick in KINDS[kind].items() if (fault := _fault_of(house, trick))}
    assert faults == {}
    house.goes_on()


def test_one_that_is_refused_leaves_those_before_and_behind_it_their_answers(house: House) -> None:
    said = house.said(tricks.Trick(tricks.REFUSED_BETWEEN_GOOD_ONES, frozenset()))
    assert [answer.status for answer in said] == [200, 421, 200]


def test_a_thousand_in_a_row_are_answered_in_their_order(house: House) -> None:
    get, post = tricks.GET + tricks.OURS + b"\r\n", tricks.POST + tricks.OURS + b"Content-Length: 2\r\n\r\n{}"
    last = tricks.GET + tricks.OURS + tricks.CLOSE + b"\r\n"
    said = house.said(tricks.Trick((get + post) * 500 + last, frozenset()))
    assert [answer.status for answer in said] == [200, 422] * 500 + [200]
    house.goes_on()


def test_what_one_says_to_be_is_never_who_one_is(house: House) -> None:
    """CONTRACT 5: no header is an identity, for a stranger and for a member."""
    for disguise, source in itertools.product(tricks.DISGUISES, (NOBODY, VIEWER)):
        said = b"GET /api/v1/me HTTP/1.1\r\n" + tricks.OURS + disguise + b"\r\n" + tricks.CLOSE + b"\r\n"
        (answer,) = house.said(tricks.Trick(said, frozenset()), source)
        if source == NOBODY:
            code = answer.problem["type"].rpartition("/")[2]
            assert (answer.status, code) == (403, "unknown-device"), disguise
        else:
            assert (answer.status, b'"name":"Viewer"' in answer.body) == (200, True), disguise
    house.goes_on()


def test_no_header_makes_a_get_anything_else(house: House) -> None:
    for override in tricks.OVERRIDES:
        target = b"GET /api/v1/cameras/cam1/transitions?limit=1 HTTP/1.1\r\n"
        said = target + tricks.OURS + override + b"\r\n" + tricks.CLOSE + b"\r\n"
        (answer,) = house.said(tricks.Trick(said, frozenset()))
        assert (answer.status, b'"items"' in answer.body) == (200, True)
    house.goes_on()


def test_a_range_of_the_picture_is_the_whole_of_it_or_nothing(house: House) -> None:
    """No 206: no byte of picture is stored to be asked for again."""
    playlist = house.flow.path.replace("stream.mp4", "index.m3u8").encode()
    for wanted, target in itertools.product(tricks.RANGES, (playlist, b"/console/console.js", b"/api/v1/me")):
        head = b"GET " + target + b" HTTP/1.1\r\n" + tricks.OURS
        said = head + b"Range: " + wanted + b"\r\n" + tricks.CLOSE + b"\r\n"
        (answer,) = house.said(tricks.Trick(said, frozenset()))
        while answer.status == 503:
            # There is no playlist before the worker's first picture, nor while it is being replaced.
            house.gateway.wait_served(target.decode())
            (answer,) = house.said(tricks.Trick(said, frozenset()))
        assert answer.status == 200, (wanted, target)
        assert "content-range" not in answer.headers
    house.goes_on()


def test_who_waits_to_be_asked_for_the_body_is_asked_only_when_let_in(house: House) -> None:
    wanted = b"Expect: 100-continue\r\nContent-Length: 2\r\n"
    said = tricks.POST + tricks.OURS + wanted + tricks.CLOSE + b"\r\n"
    with connected(house.gateway, NOBODY) as stranger:
        stranger.sendall(filled(house.gateway, said))
        assert stranger.recv(100).startswith(b"HTTP/1.1 403 ")
    with connected(house.gateway, MAINTAINER) as member:
        member.sendall(filled(house.gateway, said))
        assert member.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        member.sendall(b"{}")
        assert [answer.status for answer in answers_on(member)] == [422]
    house.goes_on()


def test_on_the_local_socket_too_nothing_of_it_works(house: House) -> None:
    """CONTRACT 5: it serves health, metrics, states and `close`; whoever it is, never a picture or a name."""
    # It has no name: whatever the host, it serves what it serves to everybody.
    any_host = {"a host and another"}
    for kind in ("paths", "heads", "bodies"):
        for name, trick in KINDS[kind].items():
            with connected_locally(house.gateway) as sock:
                sock.sendall(filled(house.gateway, trick.said))
                statuses = [answer.status for answer in answers_on(sock, only=1)]
            allowed = trick.statuses | {403} | ({200} if name in any_host else set())
            assert statuses, name
            assert set(statuses) <= allowed, (name, statuses)
    for target in (house.flow.path, "/api/v1/me", "/api/v1/events", "/", "/console/console.js"):
        assert house.gateway.ask_locally("GET", target).code == "vpn-only", target
    house.goes_on()
