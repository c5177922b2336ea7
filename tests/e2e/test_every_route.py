"""Every route of the running house, for everybody there is: the answer, and that it had no effect.

All who are wrong at a door try it while a camera is open and watched by its maintainer: the picture flows on,
and the log has no event by anybody else (S9, S18, CONTRACT 4, 5, 8).
"""

import http.client
import re
from dataclasses import dataclass
from typing import Any, NamedTuple

import pytest
from aiohttp.web import UrlDispatcher

from orchestrator.edges.http.routes import routes
from tests.e2e.client import connection_from, local_connection
from tests.e2e.configuration import ALWAYS, MAINTAINER
from tests.e2e.conftest import MakeGateway
from tests.e2e.follower import Follower, name_of, told
from tests.e2e.gateway import Flow, Gateway
from tests.e2e.incident import log_is_whole
from tests.edges.http.scripted_house import ScriptedHouse

pytestmark = pytest.mark.slow

OWNER, PHONE, CAM1, VIEWER = "127.0.0.4", "127.0.0.14", "127.0.0.5", "127.0.0.3"
REVIEWER = MAINTAINER
"""The kit asks and follows from this address."""
PEOPLE = {
    "monitor": "127.0.0.9", "viewer": VIEWER, "approver": "127.0.0.7", "reviewer": REVIEWER,
    "cam1": CAM1, "cam2": OWNER, "phone": PHONE, "socket": "",
}  # fmt: skip
"""The columns. `cam1` and `cam2` maintain that camera alone; `phone` is another device of `cam2`'s."""
ROLES = ("monitor", "viewer", "approver", "reviewer")
MEMBERS = f"""
[[members]]
name = "Olga Owner"
roles = ["maintainer"]
cameras = ["cam2"]
devices = [{{ label = "laptop", address = "{OWNER}" }}, {{ label = "phone", address = "{PHONE}" }}]
[[members]]
name = "Other maintainer"
roles = ["maintainer"]
cameras = ["cam1"]
devices = [{{ label = "laptop", address = "{CAM1}" }}]
"""
ALONE = """
[[members]]
name = "A {role}"
roles = ["{role}"]
devices = [{{ label = "a", address = "{address}" }}]
"""
MEMBERS += "".join(ALONE.format(role=role, address=PEOPLE[role]) for role in ROLES)

NIGHTS = '[[windows]]\nname = "nights"\ncameras = ["cam2"]\ncron = "0 3 * * *"\nduration = "1h"\n'
CODES = {
    "window": (404, "unknown-window"), "invalid": (422, "invalid-body"),
    "cam": (404, "unknown-camera"), "watch": (404, "unknown-watch"), "session": (404, "unknown-session"),
    "shut": (404, "shut"), "path": (404, "not-found"), "method": (405, "method-not-allowed"),
    "role": (403, "role-required"), "vpn": (403, "vpn-only"), "state": (409, "not-permitted"),
}  # fmt: skip
# What each is answered about cam2, which its maintainer has opened and watches: a status, or a problem.
# In brackets: allowed and with an effect, so it is not done among the others, but by itself further below.
# A path without a leading slash lies below /api/v1/.
EITHER = """
monitor viewer  approver reviewer cam1    cam2    phone   socket
200     200     200      200      200     200     200     vpn    GET /
200     200     200      200      200     200     200     vpn    GET /console/{file}
200     200     200      200      200     200     200     200    GET /healthz
200     200     200      200      200     200     200     200    GET /readyz
200     200     200      200      200     200     200     200    GET /metrics
role    200     200      200      200     200     200     vpn    GET me
role    200     200      200      200     200     200     200    GET cameras
role    200     200      200      cam     200     200     200    GET cameras/{camera}
role    200     200      200      cam     200     200     vpn    GET cameras/{camera}/checks
role    200     200      200      cam     200     200     vpn    GET cameras/{camera}/transitions
role    role    state    role     cam     role    role    vpn    POST cameras/{camera}/transitions acknowledge
role    role    role     200      200     200     200     vpn    GET sessions
session session session  200      session 200     200     vpn    GET sessions/{session}
role    role    role     200      200     200     200     vpn    GET events
role    role    role     200      200     200     200     vpn    GET events/stream
role    200     200      200      200     200     200     vpn    GET windows
role    role    invalid  role     invalid invalid invalid vpn    POST windows
role    role    invalid  role     window  invalid invalid vpn    PATCH windows/{window}
role    role    200      role     window  200     200     vpn    DELETE windows/{window}
role    role    state    role     window  role    role    vpn    POST windows/{window}/approve
role    200     200      200      200     200     200     vpn    GET openapi.json
path    path    path     path     path    path    path    path   GET /nowhere
path    path    path     path     path    path    path    path   POST camera/{camera}
method  method  method   method   method  method  method  method PUT cameras/{camera}/transitions
method  method  method   method   method  method  method  method OPTIONS /live/{watch}/stream.mp4
"""
OPEN = """
monitor viewer  approver reviewer cam1    cam2    phone   socket
role    role    role     role     cam     state   state   vpn    POST cameras/{camera}/transitions request
role    role    role     role     cam     (202)   (202)   vpn    POST cameras/{camera}/transitions extend
role    (202)   (202)    (202)    cam     (202)   (202)   (202)  POST cameras/{camera}/transitions close
role    (201)   role     role     cam     (201)   (201)   vpn    POST cameras/{camera}/watches
watch   watch   watch    watch    watch   (204)   watch   vpn    DELETE watches/{watch}
watch   watch   watch    watch    watch   200     watch   vpn    GET /live/{watch}/stream.mp4
watch   watch   watch    watch    watch   200     watch   vpn    GET /live/{watch}/index.m3u8
watch   watch   watch    watch    watch   200     watch   vpn    GET /live/{watch}/{number}.ts
"""
SHUT = """
monitor viewer  approver reviewer cam1    cam2    phone   socket
role    role    role     role     cam     (202)   (202)   vpn    POST cameras/{camera}/transitions request
role    role    role     role     cam     state   state   vpn    POST cameras/{camera}/transitions extend
role    200     200      200      cam     200     200     200    POST cameras/{camera}/transitions close
shut    shut    shut     shut     cam     shut    shut    vpn    POST cameras/{camera}/watches
watch   watch   watch    watch    watch   watch   watch   vpn    DELETE watches/{watch}
watch   watch   watch    watch    watch   watch   watch   vpn    GET /live/{watch}/stream.mp4
watch   watch   watch    watch    watch   watch   watch   vpn    GET /live/{watch}/index.m3u8
watch   watch   watch    watch    watch   watch   watch   vpn    GET /live/{watch}/{number}.ts
"""
TRIGGERS: dict[str, dict[str, object]] = {
    "request": {"trigger": "request", "reason": "look", "wait_s": 0},
    "extend": {"trigger": "extend", "reason": "longer", "duration_s": 1},
    "close": {"trigger": "close"},
    "acknowledge": {"trigger": "acknowledge", "reason": "mended"},
}
PIECE_BYTES = 64 * 1024


class Row(NamedTuple):
    """One line of a table."""

    method: str
    path: str
    trigger: str
    cells: dict[str, str]

    @property
    def route(self) -> tuple[str, str]:
        return self.method, self.path

    @property
    def harmless(self) -> dict[str, tuple[int, str]]:
        """Status and problem for each whose call changes nothing."""
        return {who: CODES.get(cell) or (int(cell), "") for who, cell in self.cells.items() if cell[0] != "("}

    def __str__(self) -> str:
        return f"{self.method} {self.path} {self.trigger}".strip()


class Said(NamedTuple):
    """What was answered; of an answer without an end its beginning."""

    status: int
    code: str
    kind: str
    text: str


@dataclass(slots=True)
class House:
    """A gateway whose cam2 its maintainer has opened and watches."""

    gateway: Gateway
    flow: Flow
    deadline: str
    window: str = ""
    """A coming for cam2 alone, which its maintainer has cancelled: to cancel it again changes nothing."""

    @property
    def watch(self) -> str:
        return self.flow.path.split("/")[2]

    def reopen(self) -> None:
        """Open again, and watch, unless nothing has shut it."""
        if self.gateway.state("cam2") != "streaming.live" or self.flow.viewer.ending:
            self.gateway.transition("close", "cam2", source=OWNER)
            self.gateway.wait_disabled(substate="ready", camera="cam2")
            self.flow = self.gateway.flow("cam2", source=OWNER, duration_s=200)

    def newest_segment(self, row: Row) -> str:
        """One that is there at this moment; any number while there is none, or when it is not asked for."""
        served = "{number}" in row.path and self.gateway.state("cam2") == "streaming.live"
        if not served:
            return "0"
        playlist = self.flow.path.replace("stream.mp4", "index.m3u8")
        return segments_in(self.gateway.wait_served(playlist, source=OWNER))[-1]

    def say(self, who: str, row: Row, *, head: bool = False, camera: str = "cam2") -> Said:
        """That request of that row by that person."""
        path = row.path.format(
            camera=camera, watch=self.watch, session=self.flow.session, number=self.newest_segment(row),
            file="console.js", window=self.window,
        )  # fmt: skip
        sources = {"nobody": "127.0.0.99", "gateway": self.gateway.address} | PEOPLE
        if who == "socket":
            connection: http.client.HTTPConnection = local_connection(self.gateway.socket)
        else:
            connection = connection_from(sources[who], (self.gateway.address, self.gateway.port))
        return _said(connection, "HEAD" if head else row.method, path, TRIGGERS.get(row.trigger))


def segments_in(playlist: str) -> list[str]:
    """The numbers of the segments that a playlist names."""
    return re.findall(r"^(\d+)\.ts$", playlist, re.MULTILINE)


def _said(connection: http.client.HTTPConnection, method: str, path: str, body: Any) -> Said:
    text = None if method in ("GET", "HEAD") else str(body or {}).replace("'", '"')
    try:
        connection.request(method, path, text, {} if text is None else {"Content-Type": "application/json"})
        answer = connection.getresponse()
        data = answer.read1(PIECE_BYTES) if answer.length is None else answer.read()
        kind = answer.headers.get("Content-Type", "")
        found = re.search(rb'"type":"https://volet.invalid/problems/([a-z-]+)"', data)
        code = found[1].decode() if found and kind == "application/problem+json" else ""
        return Said(answer.status, code, kind, data.decode("utf-8", "replace"))
    finally:
        connection.close()


def _rows(table: str) -> list[Row]:
    names, *lines = table.strip().splitlines()
    rows = []
    for line in lines:
        *cells, method, path, trigger = (
            line if re.search(r"transitions \w+$", line) else line + " -"
        ).split()
        full = path if path.startswith("/") else f"/api/v1/{path}"
        rows.append(Row(method, full, trigger.strip("-"), dict(zip(names.split(), cells, strict=True))))
    return rows


WHILE_OPEN, WHILE_SHUT = _rows(EITHER + OPEN.split("\n", 2)[2]), _rows(EITHER + SHUT.split("\n", 2)[2])
ALLOWED = [
    pytest.param(who, row, int(cell.strip("()")), id=f"{who}-{row}")
    for row in WHILE_OPEN
    for who, cell in row.cells.items()
    if cell.startswith("(")
]


def _every_route() -> set[tuple[str, str]]:
    router = UrlDispatcher()
    return {(route.method, router.add_resource(route.path).canonical) for route in routes(ScriptedHouse())}


@pytest.fixture(scope="module")
def house(make_shared_gateway: MakeGateway) -> House:
    settings = {"members": MEMBERS, "max_session": "30m", "max_per_camera": "16", "windows": ALWAYS + NIGHTS}
    gateway = make_shared_gateway(**settings)
    gateway.start()
    # Before anything is open: ten thousand rows are a load.
    comings = gateway.get("/api/v1/windows?limit=10000", source=OWNER)["items"]
    night = next(each["id"] for each in reversed(comings) if each["name"] == "nights")
    assert gateway.ask("DELETE", f"/api/v1/windows/{night}", source=OWNER).status == 200
    flow = gateway.flow("cam2", source=OWNER, duration_s=1500)
    deadline = gateway.get("/api/v1/cameras/cam2")["deadline"]
    house = House(gateway, flow, deadline)
    playlist = gateway.wait_served(flow.path.replace("stream.mp4", "index.m3u8"), source=OWNER)
    house.window = night
    assert segments_in(playlist)
    return house


@pytest.fixture(scope="module")
def shut_house(house: House) -> House:
    if house.gateway.state("cam2") != "disabled.ready":
        house.gateway.transition("close", "cam2", source=OWNER)
        house.gateway.wait_disabled(substate="ready", camera="cam2")
    return house


def test_each_route_has_its_line_in_both_states() -> None:
    lines_open, lines_shut = ({row.route for row in rows} for rows in (WHILE_OPEN, WHILE_SHUT))
    assert _every_route() - lines_open == set()
    assert _every_route() - lines_shut == set()
    beside = {row.route for row in WHILE_OPEN if {"path", "method"} & set(row.cells.values())}
    assert lines_open - beside == lines_shut - beside == _every_route()


@pytest.mark.parametrize("row", WHILE_OPEN, ids=str)
def test_while_it_is_open_each_is_answered_what_the_table_says(house: House, row: Row) -> None:
    _as_the_table_says(house, row)
    house.flow.viewer.wait_flow(1)


@pytest.mark.parametrize("row", WHILE_OPEN, ids=str)
def test_a_stranger_and_the_gateway_itself_are_refused_at_the_door(house: House, row: Row) -> None:
    """CONTRACT 8: before the path, the method, the camera, the watch and the body are looked at."""
    for who, code in (("nobody", "unknown-device"), ("gateway", "own-address")):
        assert house.say(who, row)[:2] == (403, code)
        assert house.say(who, row, head=True).status == 403


@pytest.mark.parametrize("row", [row for row in WHILE_OPEN if "{camera}" in row.path], ids=str)
def test_a_camera_one_may_not_see_is_as_if_there_were_none(house: House, row: Row) -> None:
    """CONTRACT 8: `unknown-camera`, in the very words that a camera gets that is not there."""
    missing, hidden = house.say("cam1", row, camera="cam9"), house.say("cam1", row)
    assert missing == hidden._replace(text=hidden.text.replace("cam2", "cam9"))


def test_what_others_may_list_of_a_camera_that_is_not_theirs_is_nothing(house: House) -> None:
    """CONTRACT 8 "Who may read": asked in every way there is to ask."""
    gateway, session = house.gateway, house.flow.session
    assert {"request", "first_frame", "viewer_joined"} <= {name_of(e) for e in gateway.events(session)}
    for query in ("", "?camera=cam2", f"?session={session}", "?details=true&limit=10000"):
        assert gateway.get(f"/api/v1/events{query}", source=CAM1) == {"items": [], "next": None}
    assert gateway.get("/api/v1/sessions", source=CAM1) == {"items": [], "next": None}
    assert [camera["id"] for camera in gateway.get("/api/v1/cameras", source=CAM1)["items"]] == ["cam1"]
    assert gateway.get("/api/v1/me", source=CAM1)["cameras"] == ["cam1"]
    owners = gateway.get("/api/v1/events?limit=10000", source=OWNER)["items"]
    assert {event["session"] for event in owners} == {session}
    assert [item["id"] for item in gateway.get("/api/v1/sessions", source=PHONE)["items"]] == [session]


def test_after_all_that_the_session_is_as_its_maintainer_left_it(house: House) -> None:
    """S18: nobody's forbidden call had an effect, and the log has no event by anybody else."""
    gateway, viewer = house.gateway, house.flow.viewer
    camera = gateway.get("/api/v1/cameras/cam2")
    assert (camera["state"], camera["substate"]) == ("streaming", "live")
    assert (camera["session"], camera["deadline"]) == (house.flow.session, house.deadline)
    assert camera["viewers"] == 1
    viewer.wait_flow()
    assert viewer.ending == ""
    owner = gateway.get("/api/v1/me", source=OWNER)["member"]
    by_people = [e for e in gateway.events() if e["actor"]["kind"] in ("member", "local", "bus")]
    assert [(name_of(e), e["camera"], e["actor"]["id"]) for e in by_people] == [
        ("window_cancelled", None, owner),
        ("request", "cam2", owner),
        ("viewer_joined", "cam2", owner),
    ], told(by_people)
    denied = {e["data"]["code"] for e in gateway.events() if name_of(e) == "denied"}
    assert denied == {"unknown-device", "own-address", "role-required"}


def test_an_event_stream_brings_ones_own_sessions_and_no_others(house: House) -> None:
    """Followed from the log's beginning; one's own event at its end says that what came before is all."""
    gateway = house.gateway
    asked = gateway.transition("request", "cam1", source=CAM1, reason="look", wait_s=5)
    assert gateway.transition("close", "cam1", source=CAM1).status == 202
    follower = Follower((gateway.address, gateway.port), CAM1)
    try:
        follower.wait(lambda event: name_of(event) == "close", "one's own closing")
    finally:
        follower.stop()
    assert {event["session"] for event in follower.events} == {asked.body["session"]}
    gateway.wait_disabled(substate="ready", camera="cam1")


@pytest.mark.parametrize(("who", "row", "status"), ALLOWED)
def test_who_may_does(house: House, who: str, row: Row, status: int) -> None:
    """CONTRACT 4: what stands in brackets, so that the refusals above are not a house that refuses all."""
    house.reopen()
    after = house.gateway.last_seq()
    assert house.say(who, row)[:2] == (status, "")
    actor = house.gateway.get("/api/v1/me", source=PEOPLE[who])["member"] if who != "socket" else "socket"
    name = {"extend": "extend", "close": "close"}.get(row.trigger)
    name = name or ("viewer_joined" if row.method == "POST" else "viewer_left")
    done = house.gateway.wait(name, house.flow.session, after=after)
    assert done["actor"]["id"] == actor


@pytest.mark.parametrize("row", WHILE_SHUT, ids=str)
def test_while_it_is_shut_each_is_answered_what_the_table_says(shut_house: House, row: Row) -> None:
    """The watch is the one that was read before the closing: it is worth nothing, to its owner neither."""
    _as_the_table_says(shut_house, row)
    for who, code in (("nobody", "unknown-device"), ("gateway", "own-address")):
        assert shut_house.say(who, row)[:2] == (403, code)


def test_nothing_was_opened_meanwhile_and_the_log_is_whole(shut_house: House) -> None:
    """S12."""
    gateway = shut_house.gateway
    assert [gateway.state(camera) for camera in ("cam1", "cam2")] == ["disabled.ready"] * 2
    gateway.wait_no_workers(1.0)
    log_is_whole(gateway)


def _as_the_table_says(house: House, row: Row) -> None:
    said = {who: house.say(who, row) for who in row.harmless}
    assert {who: one[:2] for who, one in said.items()} == row.harmless
    secrets = {"{session}": house.flow.session, "{watch}": house.watch, "{camera}": "cam2", "owner": "Olga"}
    untold = [secret for asked, secret in secrets.items() if asked not in row.path]
    blind = {"cam1", "monitor"} if row.path != "/metrics" else set()
    assert [who for who in blind & said.keys() for secret in untold if secret in said[who].text] == []
    if row.method == "GET":
        heads = {who: house.say(who, row, head=True) for who in row.harmless}
        expected = {who: (one.status, one.kind, "") for who, one in said.items()}
        assert {who: (one.status, one.kind, one.text) for who, one in heads.items()} == expected
