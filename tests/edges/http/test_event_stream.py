"""The log as it grows: resumable, bounded, and only for who may read it at that moment."""

from __future__ import annotations

import asyncio
import json

import pytest

from orchestrator.edges.http import door, event_stream

from .conftest import Client, Wire
from .scripted_house import ScriptedHouse, member

PATH = "/api/v1/events/stream"


@pytest.fixture
async def reader(client: Client, house: ScriptedHouse) -> Wire:
    wire = await client.wire()
    wire.send("GET", PATH, {"Last-Event-ID": "1"}, b"")
    status, headers = await wire.head()
    assert (status, headers["content-type"], headers["connection"]) == (200, "text/event-stream", "close")
    assert await wire.chunk() == b"retry: 2000\n\n"
    return wire


async def test_events_carry_their_number_type_and_whole_body(reader: Wire, house: ScriptedHouse) -> None:
    await house.happen(trigger="request")
    await house.happen(trigger="checks_passed")
    await house.happen(type="observation", name="viewer_joined", text="one\ntwo é")
    first, second = (await reader.chunk()).decode(), (await reader.chunk()).decode()
    assert first.startswith("id: 2\nevent: transition\ndata: ")
    assert second.startswith("id: 3\nevent: observation\ndata: ")
    assert first.endswith("\n\n")
    assert json.loads(second.splitlines()[2].removeprefix("data: ")) == house.log[2]


async def test_a_reader_resumes_after_the_last_it_saw_or_starts_from_now(
    client: Client, house: ScriptedHouse
) -> None:
    for headers, after in (({"Last-Event-ID": "41"}, 41), ({"Last-Event-ID": "0"}, 0), ({}, None)):
        wire = await client.wire()
        wire.send("GET", PATH, dict(headers), b"")
        await wire.head()
        await wire.chunk()
        assert await asyncio.wait_for(house.followed.get(), 10) == after
    assert (await client.get(PATH, Last_Event_ID="x")).code == "invalid-query"


async def test_a_comment_keeps_a_quiet_stream_alive(
    client: Client, house: ScriptedHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_stream, "KEEP_ALIVE_S", 0.01)
    wire = await client.wire()
    wire.send("GET", PATH, {}, b"")
    await wire.head()
    await wire.chunk()
    assert await wire.chunk() == b": still here\n\n"
    assert await wire.chunk() == b": still here\n\n"
    await house.happen(trigger="close")
    while (chunk := await wire.chunk()) == b": still here\n\n":
        pass
    assert chunk.startswith(b"id: 1\n")


@pytest.mark.parametrize("roles", [None, ("viewer",)])
async def test_who_may_no_longer_read_gets_no_further_event(
    reader: Wire, house: ScriptedHouse, roles: tuple[str, ...] | None
) -> None:
    """S9: looked at for each event, not once at connect."""
    house.member = None if roles is None else member("viewer")
    await house.happen(trigger="request")
    await house.happen(trigger="close")
    try:
        assert await asyncio.wait_for(reader.reader.read(), 10) == b""
    except ConnectionError:
        pass  # the cut shows as a reset


async def test_a_reader_who_leaves_is_noticed_and_makes_room(
    client: Client, reader: Wire, house: ScriptedHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_stream, "MAX_STREAMS_A_MEMBER", 1)
    reply = await client.get(PATH)
    assert (reply.status, reply.code, reply.headers["retry-after"]) == (429, "slow-down", "5")
    reader.close()
    await asyncio.wait_for(house.lost.get(), 10)
    await asyncio.wait_for(house.lost.get(), 10)
    wire = await client.wire()
    wire.send("GET", PATH, {}, b"")
    assert (await wire.head())[0] == 200


async def test_a_reader_who_stops_reading_is_cut(
    client: Client, house: ScriptedHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    """K3."""
    monkeypatch.setattr(event_stream, "READER_LIMIT_S", 0.1)
    monkeypatch.setattr(door, "USER_TIMEOUT_MS", 60_000)
    reader = await client.wire(receive_bytes=4096)
    reader.send("GET", PATH, {"Last-Event-ID": "1"}, b"")
    await house.happen(trigger="request")
    await house.happen(trigger="close", text="x" * 2_000_000)
    await asyncio.wait_for(house.lost.get(), 10)


async def test_head_opens_no_stream(client: Client, house: ScriptedHouse) -> None:
    reply = await client.ask("HEAD", PATH)
    assert reply.status == 200
    assert "follow" not in [method for method, _ in house.asked]
