"""Windows at the HTTP edge: bodies and queries read strictly, refusals in their order (CONTRACT 5, 8)."""

from __future__ import annotations

from typing import Any

import pytest

from orchestrator.core.moment import parse_rfc3339
from orchestrator.core.refusal import Refusal
from orchestrator.edges.http.ports import WindowWish

from .conftest import Client
from .scripted_house import WINDOW, ScriptedHouse, member

PATH = "/api/v1/windows"
BODY: dict[str, Any] = {
    "cameras": ["cam1"],
    "start": "2026-11-22T14:00:00+01:00",
    "end": "2026-11-22T14:00:00Z",
    "reason": " aim after the storm ",
}


async def test_a_window_is_added_with_its_times_as_instants(client: Client, house: ScriptedHouse) -> None:
    reply = await client.ask("POST", PATH, body=BODY | {"ticket": "T-1", "name": "storm"})
    assert (reply.status, reply.json) == (201, {"id": WINDOW})
    wish = WindowWish(
        ("cam1",),
        parse_rfc3339("2026-11-22T13:00:00Z"),
        parse_rfc3339("2026-11-22T14:00:00Z"),
        "aim after the storm",
        "T-1",
        "storm",
    )
    assert house.window_calls == [("add", wish)]


@pytest.mark.parametrize(
    ("wrong", "pointer"),
    [
        ({"start": "2026-11-22T14:00:00"}, "/start"),
        ({"start": "20261122T140000Z"}, "/start"),
        ({"start": "2026-11-22"}, "/start"),
        ({"start": 1_795_341_600}, "/start"),
        ({"end": "2026-13-22T14:00:00Z"}, "/end"),
        ({"end": "tomorrow"}, "/end"),
        ({"cameras": []}, "/cameras"),
        ({"cameras": ["cam1"] * 65}, "/cameras"),
        ({"cameras": "cam1"}, "/cameras"),
        ({"cameras": [1]}, "/cameras/0"),
        ({"reason": "   "}, "/reason"),
        ({"reason": "x" * 501}, "/reason"),
        ({"ticket": ""}, "/ticket"),
        ({"name": "x" * 81}, "/name"),
        ({"name": None}, "/name"),
        ({"recurring": True}, "/recurring"),
    ],
)
async def test_what_is_not_exact_is_refused_with_its_pointer(
    client: Client, house: ScriptedHouse, wrong: dict[str, Any], pointer: str
) -> None:
    reply = await client.ask("POST", PATH, body=BODY | wrong)
    assert (reply.status, reply.code, reply.json["pointer"]) == (422, "invalid-body", pointer)
    assert house.window_calls == []


@pytest.mark.parametrize("absent", ["cameras", "start", "end", "reason"])
async def test_what_a_window_needs_is_asked_for(client: Client, absent: str) -> None:
    reply = await client.ask("POST", PATH, body={name: BODY[name] for name in BODY if name != absent})
    assert (reply.code, reply.json["pointer"]) == ("invalid-body", f"/{absent}")


async def test_a_window_is_shortened_cancelled_and_approved(client: Client, house: ScriptedHouse) -> None:
    house.member = member("approver")
    end = "2026-11-22T13:30:00Z"
    assert (await client.ask("PATCH", f"{PATH}/{WINDOW}", body={"end": end})).json == {"id": WINDOW}
    assert (await client.ask("POST", f"{PATH}/{WINDOW}/approve", body={})).status == 200
    cancelled = await client.ask("DELETE", f"{PATH}/{WINDOW}")
    assert (cancelled.status, cancelled.json["pending"]) == (202, True)
    assert house.window_calls == [("shorten", parse_rfc3339(end)), ("approve", WINDOW), ("cancel", WINDOW)]


@pytest.mark.parametrize("body", [{}, {"start": BODY["start"]}, {"end": "soon"}, {"end": None}])
async def test_the_end_alone_can_be_changed(client: Client, body: dict[str, Any]) -> None:
    assert (await client.ask("PATCH", f"{PATH}/{WINDOW}", body=body)).code == "invalid-body"


@pytest.mark.parametrize(
    ("method", "path"),
    [("PATCH", f"{PATH}/other"), ("DELETE", f"{PATH}/other"), ("POST", f"{PATH}/other/approve")],
)
async def test_an_unknown_window_comes_before_the_role_and_the_body(
    client: Client, house: ScriptedHouse, method: str, path: str
) -> None:
    house.member = member("viewer")
    assert (await client.ask(method, path, body={"nonsense": 1})).code == "unknown-window"
    reply = await client.ask(method, path.replace("other", WINDOW), body={"nonsense": 1})
    assert reply.code == "role-required"


async def test_a_viewer_adds_none_whatever_the_body(client: Client, house: ScriptedHouse) -> None:
    house.member = member("viewer")
    reply = await client.ask("POST", PATH, body={"nonsense": 1})
    assert (reply.code, reply.json["roles"]) == ("role-required", ["approver", "maintainer"])


async def test_the_list_is_paged_and_next_says_what_will_happen(client: Client, house: ScriptedHouse) -> None:
    first = await client.get(f"{PATH}?limit=1")
    again = await client.get(f"{PATH}?limit=1&after={first.json['next']}")
    assert again.status == 200
    assert (await client.get(f"{PATH}?next=10")).json == {"items": [], "next": None}
    asked = [(name, values) for name, values in house.asked if name in ("windows", "coming_windows")]
    assert asked == [
        ("windows", {"after": None, "limit": 1}),
        ("windows", {"after": (1_795_341_600_000_000, WINDOW), "limit": 1}),
        ("coming_windows", {"count": 10}),
    ]


@pytest.mark.parametrize("query", ["next=0", "next=101", "next=x", "next=1&limit=1", "after=7", "when=now"])
async def test_a_query_that_is_not_exact_is_refused(client: Client, query: str) -> None:
    assert (await client.get(f"{PATH}?{query}")).code == "invalid-query"


@pytest.mark.parametrize(
    ("method", "path"), [("GET", PATH), ("POST", PATH), ("PATCH", f"{PATH}/{WINDOW}"),
                         ("DELETE", f"{PATH}/{WINDOW}"), ("POST", f"{PATH}/{WINDOW}/approve")],
)  # fmt: skip
async def test_the_local_socket_has_no_windows(local: Client, method: str, path: str) -> None:
    """S18: nothing of them is seen, added, approved or cancelled there."""
    assert (await local.ask(method, path, body={} if method != "GET" else None)).code == "vpn-only"


async def test_a_log_that_takes_nothing_is_said(client: Client, house: ScriptedHouse) -> None:
    house.refusals["add_window"] = Refusal("log-unwritable", "The disk is full.", retry_after_s=1)
    reply = await client.ask("POST", PATH, body=BODY)
    assert (reply.status, reply.headers["retry-after"]) == (503, "1")
