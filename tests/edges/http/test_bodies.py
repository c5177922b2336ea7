"""Bodies and queries are taken exactly or not at all (CONTRACT 5, 8), and the fault is pointed at."""

from __future__ import annotations

import asyncio
import json
from collections import Counter, UserDict
from collections.abc import KeysView
from typing import Any

import pytest

from orchestrator.core.refusal import Refusal
from orchestrator.edges.http import bodies
from orchestrator.edges.http.ports import EventQuery, TransitionWish
from orchestrator.edges.slices import ROWS

from .conftest import Client
from .scripted_house import SESSION, WATCH, ScriptedHouse, member

PATH = "/api/v1/cameras/cam1/transitions"
ASK = '"trigger":"request","reason":"aim"'


@pytest.mark.parametrize(
    ("text", "pointer"),
    [
        ("", "/trigger"),
        ("{", ""),
        ("[]", ""),
        ("1", ""),
        ('"request"', ""),
        ("null", ""),
        ("\ufeff{}", ""),
        ("{} {}", ""),
        ("[" * 20_000, ""),
        ("{" + ASK + ',"wait_s":NaN}', ""),
        ("{" + ASK + ',"wait_s":' + "9" * 5000 + "}", ""),
        ("{}", "/trigger"),
        ('{"trigger":"open","reason":"aim"}', "/trigger"),
        ('{"trigger":["request"],"reason":"aim"}', "/trigger"),
        ('{"trigger":null}', "/trigger"),
        ('{"trigger":"request"}', "/reason"),
        ('{"trigger":"request","reason":"   "}', "/reason"),
        ('{"trigger":"request","reason":"' + "x" * 501 + '"}', "/reason"),
        ('{"trigger":"request","reason":7}', "/reason"),
        ('{"trigger":"extend","reason":"aim"}', "/duration_s"),
        ("{" + ASK + ',"reason":"aim"}', "/reason"),
        ("{" + ASK + ',"trigger":"close"}', "/trigger"),
        ("{" + ASK + ',"ticket":{"a":{"b":1,"b":1}}}', "/ticket/a/b"),
        ("{" + ASK + ',"extra":1}', "/extra"),
        ("{" + ASK + ',"a/b~c":1}', "/a~1b~0c"),
        ("{" + ASK + ',"duration_s":20.0}', "/duration_s"),
        ("{" + ASK + ',"duration_s":"20"}', "/duration_s"),
        ("{" + ASK + ',"duration_s":true}', "/duration_s"),
        ("{" + ASK + ',"duration_s":2e1}', "/duration_s"),
        ("{" + ASK + ',"duration_s":null}', "/duration_s"),
        ("{" + ASK + ',"duration_s":0}', "/duration_s"),
        ("{" + ASK + ',"duration_s":86401}', "/duration_s"),
        ("{" + ASK + ',"wait_s":-1}', "/wait_s"),
        ("{" + ASK + ',"wait_s":601}', "/wait_s"),
        ("{" + ASK + ',"wait_s":false}', "/wait_s"),
        ("{" + ASK + ',"purpose":""}', "/purpose"),
        ("{" + ASK + ',"ticket":[]}', "/ticket"),
        ("{" + ASK + ',"resume":5}', "/resume"),
        ('{"trigger":"request","reason":"a\\ud800b"}', "/reason"),
        ('{"trigger":"request","reason":"a\\u0000b"}', "/reason"),
        ('{"trigger":"request","reason":"a\\nb"}', "/reason"),
        ('{"trigger":"request","reason":"a\\u0085b"}', "/reason"),
        ("{" + ASK + ',"\\ud800":1}', ""),
        ("{" + ASK + ',"ticket":["fine","\\u007f"]}', "/ticket/1"),
    ],
)
async def test_a_body_that_is_not_exact_is_refused_with_a_pointer_and_does_nothing(
    client: Client, house: ScriptedHouse, text: str, pointer: str
) -> None:
    reply = await client.ask("POST", PATH, body=text.encode())
    assert (reply.status, reply.code) == (422, "invalid-body")
    assert reply.json["pointer"] == pointer
    assert house.wishes == []


async def test_bytes_that_are_not_utf_8_are_refused(client: Client, house: ScriptedHouse) -> None:
    reply = await client.ask("POST", PATH, body=b'{"trigger":"close","reason":"\xff"}')
    assert reply.code == "invalid-body"
    assert house.wishes == []


@pytest.mark.parametrize(
    ("body", "wish"),
    [
        ({"trigger": "close"}, TransitionWish("close")),
        ({"trigger": "close", "reason": " enough "}, TransitionWish("close", "enough")),
        ({"trigger": "request", "reason": "é" * 500}, TransitionWish("request", "é" * 500)),
        ({"trigger": "request", "resume": SESSION}, TransitionWish("request", resume=SESSION)),
        (
            {
                "trigger": "request",
                "reason": "aim",
                "duration_s": 86_400,
                "wait_s": 0,
                "purpose": "p",
                "ticket": "T-1",
            },
            TransitionWish("request", "aim", 86_400, 0, "p", "T-1"),
        ),
        ({"trigger": "extend", "reason": "more", "duration_s": 1}, TransitionWish("extend", "more", 1)),
    ],
)
async def test_a_good_body_reaches_the_house_as_it_is(
    client: Client, house: ScriptedHouse, body: dict[str, object], wish: TransitionWish
) -> None:
    reply = await client.pull(**body)
    assert reply.status == 202
    assert reply.json["session"] == SESSION
    [(camera, caller, got)] = house.wishes
    assert (camera, got) == ("cam1", wish)
    assert caller is not None
    assert caller.member is house.member


@pytest.mark.parametrize(
    "headers",
    [
        {"Content-Type": None},
        {"Content-Type": "text/plain"},
        {"Content-Type": "application/x-www-form-urlencoded"},
        {"Content-Type": "application/json; charset=latin-1"},
        {"Content-Encoding": "gzip"},
    ],
)
@pytest.mark.parametrize(
    ("method", "path"),
    [("POST", PATH), ("POST", "/api/v1/cameras/cam1/watches"), ("DELETE", f"/api/v1/watches/{WATCH}")],
)
async def test_what_changes_something_must_be_json(
    client: Client, house: ScriptedHouse, method: str, path: str, headers: dict[str, str | None]
) -> None:
    """F30: a form of another page can send no JSON."""
    reply = await client.ask(method, path, body=b'{"trigger":"close"}', headers=headers)
    assert (reply.status, reply.code) == (415, "not-json")
    assert house.wishes == []
    assert house.left == []


async def test_64_kib_are_taken_and_one_byte_more_is_not(client: Client) -> None:
    body = b'{"trigger":"close"}'.ljust(bodies.MAX_BODY_BYTES)
    assert (await client.ask("POST", PATH, body=body)).status == 202
    reply = await client.ask("POST", PATH, body=body + b" ")
    assert (reply.status, reply.code) == (413, "too-large")
    assert (await client.ask("POST", PATH, body=body * 20)).code == "too-large"


async def test_a_chunked_body_is_measured_too(client: Client) -> None:
    wire = await client.wire()
    wire.send("POST", PATH, {"Transfer-Encoding": "chunked", "Content-Length": None}, b"")
    wire.writer.write(b"11000\r\n" + b" " * 0x11000 + b"\r\n0\r\n\r\n")
    assert (await wire.reply()).code == "too-large"


async def test_a_body_that_does_not_come_is_given_up(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies, "BODY_TIME_LIMIT_S", 0.05)
    wire = await client.wire()
    wire.send("POST", PATH, {"Content-Length": "50"}, b"")
    reply = await wire.reply()
    assert (reply.status, reply.code) == (408, "too-slow")
    assert await wire.reader.read() == b""


async def test_the_body_is_asked_for_only_once_the_caller_may_send_it(
    client: Client, house: ScriptedHouse
) -> None:
    wire = await client.wire()
    wire.send("POST", PATH, {"Expect": "100-continue", "Content-Length": "19"}, b"")
    assert await wire.reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
    wire.writer.write(b'{"trigger":"close"}')
    assert (await wire.reply()).status == 202
    house.member = None
    wire.send("POST", PATH, {"Expect": "100-continue", "Content-Length": "19"}, b"")
    assert (await wire.reply()).status == 403


@pytest.mark.parametrize(
    ("path", "pointer"),
    [
        ("/api/v1/events?limit=0", "/limit"),
        ("/api/v1/events?limit=10001", "/limit"),
        ("/api/v1/events?limit=1e2", "/limit"),
        ("/api/v1/events?limit=", "/limit"),
        ("/api/v1/events?limit=%D9%A1", "/limit"),
        ("/api/v1/events?after=-1", "/after"),
        ("/api/v1/events?after=9007199254740992", "/after"),
        ("/api/v1/events?after=1&after=2", "/after"),
        ("/api/v1/events?camera=", "/camera"),
        ("/api/v1/events?session=%00", "/session"),
        ("/api/v1/events?details=1", "/details"),
        ("/api/v1/events?from=1", "/from"),
        ("/api/v1/cameras?x=1", "/x"),
        ("/api/v1/cameras/cam1?x=1", "/x"),
        ("/api/v1/cameras/cam1/checks?x=1", "/x"),
        ("/api/v1/cameras/cam1/transitions?limit=x", "/limit"),
        ("/api/v1/me?x=1", "/x"),
        ("/api/v1/sessions?limit=x", "/limit"),
        (f"/api/v1/sessions/{SESSION}?x=1", "/x"),
        ("/api/v1/events/stream?after=1", "/after"),
    ],
)
async def test_a_query_that_is_not_exact_is_refused_with_a_pointer(
    client: Client, path: str, pointer: str
) -> None:
    reply = await client.get(path)
    assert (reply.status, reply.code) == (422, "invalid-query")
    assert reply.json["pointer"] == pointer


async def test_a_page_is_asked_for_as_it_was_named_and_100_long_by_default(
    client: Client, house: ScriptedHouse
) -> None:
    await client.get("/api/v1/events?after=5&limit=10000&camera=cam1&session=s&details=true&names=true")
    await client.get("/api/v1/events")
    wanted = EventQuery(5, 10_000, camera="cam1", session="s", details=True, names=True)
    pages = [asked["wanted"] for method, asked in house.asked if method == "events"]
    assert pages == [wanted, EventQuery(0, 100)]
    await client.get("/api/v1/cameras/cam1/transitions")
    assert house.asked[-1] == ("transitions", {"after": 0, "limit": 100})
    for query, names in (("", False), ("?names=true", True), ("?names=false", False)):
        await client.get(f"/api/v1/sessions{query}")
        assert house.asked[-1] == ("sessions", {"after": 0, "limit": 100, "names": names})
        await client.get(f"/api/v1/sessions/{SESSION}{query}")
        assert house.asked[-1] == ("session", {"names": names})
    assert (await client.get(f"/api/v1/sessions/{SESSION}?names=yes")).json["pointer"] == "/names"
    assert (await client.get("/api/v1/sessions/other?names=yes")).code == "unknown-session"


async def test_an_unknown_camera_or_a_missing_role_comes_before_the_query(
    client: Client, house: ScriptedHouse
) -> None:
    assert (await client.get("/api/v1/cameras/cam9/transitions?limit=x")).code == "unknown-camera"
    house.member = member("viewer")
    assert (await client.get("/api/v1/events?limit=x")).code == "role-required"


async def test_events_come_as_lines_when_asked_for(client: Client, house: ScriptedHouse) -> None:
    await house.happen(trigger="request")
    await house.happen(trigger="close")
    reply = await client.get("/api/v1/events", Accept="application/x-ndjson")
    assert reply.headers["content-type"] == "application/x-ndjson"
    assert [line.partition(b",")[0] for line in reply.body.splitlines()] == [b'{"seq":1', b'{"seq":2']


@pytest.mark.parametrize("kind", ["application/json", "application/x-ndjson"])
async def test_the_loop_turns_while_a_long_list_is_written_down(
    client: Client, house: ScriptedHouse, kind: str
) -> None:
    """S13: ten thousand rows in one piece would keep a closing waiting."""
    loop, turns, asked = asyncio.get_running_loop(), 0, True

    def turn() -> None:
        nonlocal turns
        turns += 1
        if asked:
            loop.call_soon(turn)

    class Row(UserDict[str, Any]):
        """An item that knows in which turn of the loop it was written down."""

        def keys(self) -> KeysView[str]:
            self["turn"] = turns
            return super().keys()

    house.log = [Row(seq=number) for number in range(3 * ROWS)]
    turn()
    reply = await client.get("/api/v1/events?limit=1000", Accept=kind)
    asked = False
    rows = reply.json["items"] if kind == "application/json" else map(json.loads, reply.body.splitlines())
    in_turn = Counter(row["turn"] for row in rows)
    assert set(in_turn.values()) == {ROWS}


async def test_a_reader_of_a_long_page_who_stops_reading_is_cut(
    client: Client, house: ScriptedHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    """K3: nobody fills our memory by asking and not reading."""
    monkeypatch.setattr("orchestrator.edges.http.answers.PAGE_SLICE_LIMIT_S", 0.1)
    monkeypatch.setattr("orchestrator.edges.http.door.USER_TIMEOUT_MS", 60_000)
    house.log = [{"seq": 1, "type": "transition", "text": "x" * 2_000_000}]
    wire = await client.wire(receive_bytes=4096)
    wire.send("GET", "/api/v1/events", {}, b"")
    await wire.head()
    await asyncio.wait_for(house.lost.get(), 10)


async def test_too_many_pages_at_once_are_told_to_slow_down(
    client: Client, house: ScriptedHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("orchestrator.edges.http.answers.PAGES_WAITING", -4)
    reply = await client.get("/api/v1/events")
    assert (reply.status, reply.code) == (429, "slow-down")
    assert reply.headers["retry-after"] == "1"


async def test_a_watch_is_given_back_with_or_without_a_body_and_even_when_the_camera_is_shut(
    client: Client, house: ScriptedHouse
) -> None:
    path = f"/api/v1/watches/{WATCH}"
    assert (await client.ask("DELETE", path)).status == 204
    assert (await client.ask("DELETE", path, body={})).status == 204
    assert (await client.ask("DELETE", path, body={"x": 1})).code == "invalid-body"
    assert (await client.ask("DELETE", "/api/v1/watches/other", body={"x": 1})).code == "unknown-watch"
    house.refusals["watch"] = Refusal("shut", "It is shut.")
    assert (await client.ask("DELETE", path)).status == 204
    assert house.left == [WATCH] * 3
