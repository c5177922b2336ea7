"""What the headers of a request ask for: a version, one answer for a repeat, a kind of answer, a page."""

import pytest

from .conftest import Client
from .scripted_house import ScriptedHouse

PATH = "/api/v1/cameras/cam1/transitions"


@pytest.mark.parametrize(
    ("given", "versions"),
    [
        (None, None),
        ("*", None),
        ('"42"', {42}),
        ("42", {42}),
        ('"41", "42"', {41, 42}),
        ('"41",  42', {41, 42}),
        ('W/"42"', set()),
        ('"abc"', set()),
        ('""', set()),
        ('W/"41", "42"', {42}),
    ],
)
async def test_if_match_names_the_versions_a_change_is_meant_for(
    client: Client, house: ScriptedHouse, given: str | None, versions: set[int] | None
) -> None:
    headers = {} if given is None else {"If-Match": given}
    assert (await client.ask("POST", PATH, body={"trigger": "close"}, headers=headers)).status == 202
    assert house.wishes[-1][2].versions == versions


@pytest.mark.parametrize(
    ("header", "value"),
    [
        ("If-Match", ""),
        ("If-Match", "version"),
        ("If-Match", '"1'),
        ("If-Match", '*, "1"'),
        ("If-Match", "9" * 17),
        ("Idempotency-Key", ""),
        ("Idempotency-Key", "two words"),
        ("Idempotency-Key", "x" * 256),
    ],
)
async def test_a_header_that_cannot_be_read_is_refused_and_does_nothing(
    client: Client, house: ScriptedHouse, header: str, value: str
) -> None:
    reply = await client.ask("POST", PATH, body={"trigger": "close"}, headers={header: value})
    assert (reply.status, reply.code, reply.json["pointer"]) == (422, "invalid-query", f"/{header}")
    assert house.wishes == []


async def test_two_keys_are_none(client: Client, house: ScriptedHouse) -> None:
    wire = await client.wire()
    body = b'{"trigger":"close"}'
    wire.writer.write(
        f"POST {PATH} HTTP/1.1\r\nHost: {wire.host}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\nIdempotency-Key: a\r\nIdempotency-Key: b\r\n\r\n".encode()
        + body
    )
    assert (await wire.reply()).code == "invalid-query"
    assert house.wishes == []


async def test_the_body_is_judged_before_the_headers_that_tie_it(client: Client) -> None:
    """CONTRACT 8: the order of refusals."""
    reply = await client.ask("POST", PATH, body={}, headers={"If-Match": "?", "Idempotency-Key": ""})
    assert reply.code == "invalid-body"


async def test_a_camera_carries_its_version_as_its_tag(client: Client, house: ScriptedHouse) -> None:
    house.state["version"] = 41
    reply = await client.get("/api/v1/cameras/cam1")
    assert (reply.headers["etag"], reply.json["version"]) == ('"41"', 41)


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        (None, "application/json"),
        ("*/*", "application/json"),
        ("application/*", "application/json"),
        ("text/html", "application/json"),
        ("application/x-ndjson", "application/x-ndjson"),
        ("Application/X-NDJSON ; q=0.5", "application/x-ndjson"),
        ("application/x-ndjson, */*;q=0.1", "application/x-ndjson"),
        ("application/x-ndjson;q=0.4, application/json;q=0.5", "application/json"),
        ("application/x-ndjson;q=0", "application/json"),
        ("application/x-ndjson;q=nonsense", "application/json"),
        ("application/x-ndjson-not", "application/json"),
    ],
)
async def test_lines_are_sent_to_those_who_like_them_best(
    client: Client, accept: str | None, kind: str
) -> None:
    """RFC 9110 12.5.1; what nobody can serve gets JSON."""
    reply = await client.ask("GET", "/api/v1/events", headers={"Accept": accept})
    assert (reply.status, reply.headers["content-type"]) == (200, kind)


async def test_cameras_come_by_id_a_page_at_a_time(client: Client, house: ScriptedHouse) -> None:
    house.others = ["cam9", "cam2"]
    first = await client.get("/api/v1/cameras?limit=2")
    assert [camera["id"] for camera in first.json["items"]] == ["cam1", "cam2"]
    assert first.json["next"] == "cam2"
    last = await client.get("/api/v1/cameras?limit=2&after=cam2")
    assert ([camera["id"] for camera in last.json["items"]], last.json["next"]) == (["cam9"], None)
    # The cursor still leads on when that camera has gone meanwhile.
    house.others = ["cam9"]
    assert (await client.get("/api/v1/cameras?after=cam2")).json["items"][0]["id"] == "cam9"
    assert (await client.get("/api/v1/cameras?limit=0")).json["pointer"] == "/limit"
