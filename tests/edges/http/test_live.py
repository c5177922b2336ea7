"""The picture's way out: nothing flows but under the gate, for this person, at this moment (S1, S9)."""

from __future__ import annotations

import asyncio

import pytest

from orchestrator.core.refusal import Refusal
from orchestrator.edges.http import door, live

from .conftest import Client, Wire
from .scripted_house import WATCH, ScriptedHouse, member

MP4, HLS, TS = (f"/live/{WATCH}/{name}" for name in ("stream.mp4", "index.m3u8", "7.ts"))


@pytest.fixture
async def viewer(client: Client, house: ScriptedHouse) -> Wire:
    """A connection that streams and has seen its first fragment."""
    wire = await client.wire()
    wire.send("GET", MP4, {"Range": "bytes=0-1"}, b"")
    house.the_watch.pieces.put_nowait(b"header")
    status, headers = await wire.head()
    assert status == 200
    assert headers["content-type"] == 'video/mp4; codecs="avc1.42C016"'
    assert headers["transfer-encoding"] == "chunked"
    assert headers["connection"] == "close"
    assert await wire.chunk() == b"header"
    return wire


async def cut(wire: Wire) -> bool:
    """Whether the connection ended without the body's proper end and without another byte."""
    try:
        return await asyncio.wait_for(wire.reader.read(), 10) == b""
    except ConnectionError:
        return True


async def test_fragments_flow_one_chunk_each_and_are_counted(viewer: Wire, house: ScriptedHouse) -> None:
    for fragment in (b"one", b"two"):
        house.the_watch.pieces.put_nowait(fragment)
        assert await viewer.chunk() == fragment
    assert house.the_watch.sizes[:2] == [6, 3]


async def test_the_response_ends_properly_when_the_worker_is_replaced(
    viewer: Wire, house: ScriptedHouse
) -> None:
    house.the_watch.pieces.put_nowait(None)
    assert await viewer.chunk() == b""
    assert await viewer.reader.read() == b""


async def test_a_fragment_that_may_not_flow_any_more_is_never_sent(
    viewer: Wire, house: ScriptedHouse
) -> None:
    house.the_watch.flows = False
    house.the_watch.pieces.put_nowait(b"secret")
    assert await cut(viewer)
    assert house.the_watch.sizes == [6]
    await asyncio.wait_for(house.the_watch.ended.wait(), 10)


async def test_a_member_who_lost_the_right_is_cut_in_the_middle_of_a_response(
    viewer: Wire, house: ScriptedHouse
) -> None:
    house.member = member("viewer")
    house.the_watch.pieces.put_nowait(b"secret")
    assert await cut(viewer)


async def test_a_stream_that_ends_because_the_gate_shut_does_not_look_complete(
    viewer: Wire, house: ScriptedHouse
) -> None:
    house.the_watch.flows = False
    house.the_watch.pieces.put_nowait(None)
    assert await cut(viewer)


async def test_a_player_that_comes_back_again_and_again_takes_its_own_oldest_place(
    viewer: Wire, client: Client, house: ScriptedHouse
) -> None:
    """F18: one watch is one viewer's, whatever comes of it."""
    later = [await client.wire() for _ in range(live.MAX_STREAMS_A_WATCH)]
    for wire in later:
        wire.send("GET", MP4, {}, b"")
        assert (await wire.head())[0] == 200
    assert await cut(viewer)
    for wire in later:
        house.the_watch.pieces.put_nowait(b"fragment")
        assert await wire.chunk() == b"fragment"


async def test_a_large_fragment_is_cut_in_its_middle(viewer: Wire, house: ScriptedHouse) -> None:
    watch = house.the_watch
    watch.sent = lambda size_bytes: setattr(watch, "flows", False)  # type: ignore[method-assign]
    watch.pieces.put_nowait(b"x" * 1_000_000)
    try:
        got = await asyncio.wait_for(viewer.reader.read(), 10)
    except ConnectionError:
        got = b""
    assert len(got) < 100_000


@pytest.mark.parametrize("path", [MP4, HLS, TS])
async def test_nothing_is_sent_when_the_gate_takes_the_connection_no_more(
    client: Client, house: ScriptedHouse, path: str
) -> None:
    house.the_watch.attachable = False
    house.the_watch.pieces.put_nowait(b"secret")
    reply = await client.get(path)
    assert (reply.status, reply.code) == (404, "shut")
    assert house.the_watch.sizes in ([], [0])


@pytest.mark.parametrize("path", [MP4, HLS, TS])
async def test_a_watch_that_may_not_flow_is_shut_and_not_even_attached(
    client: Client, house: ScriptedHouse, path: str
) -> None:
    house.the_watch.flows = False
    assert (await client.get(path)).code == "shut"
    assert house.the_watch.attached == []


@pytest.mark.parametrize("path", [MP4, HLS, TS])
async def test_somebody_elses_watch_is_no_watch(client: Client, house: ScriptedHouse, path: str) -> None:
    assert (await client.get(path.replace(WATCH, "w-other"))).code == "unknown-watch"
    house.refusals["watch"] = Refusal("shut", "It is shut.")
    assert (await client.get(path)).code == "shut"


@pytest.mark.parametrize(
    ("path", "kind", "body"),
    [(HLS, "application/vnd.apple.mpegurl", b"#EXTM3U\n7.ts\n"), (TS, "video/mp2t", b"seven" * 20_000)],
)
async def test_playlist_and_segments_come_whole_on_a_connection_of_their_own(
    client: Client, house: ScriptedHouse, path: str, kind: str, body: bytes
) -> None:
    wire = await client.wire()
    wire.send("GET", path, {"Range": "bytes=0-1"}, b"")
    reply = await wire.reply()
    assert (reply.status, reply.headers["content-type"], reply.body) == (200, kind, body)
    assert reply.headers["connection"] == "close"
    assert await wire.reader.read() == b""
    assert len(house.the_watch.attached) == 1
    assert sum(house.the_watch.sizes) == (len(body) if path is TS else 0)


async def test_what_is_not_there_yet_or_no_more_is_told_apart(client: Client, house: ScriptedHouse) -> None:
    house.the_watch.list = None
    assert (await client.get(HLS)).code == "no-frame-yet"
    assert (await client.get(f"/live/{WATCH}/8.ts")).code == "not-found"
    assert (await client.get(f"/live/{WATCH}/-8.ts")).code == "not-found"


@pytest.mark.parametrize("path", [MP4, HLS, TS])
async def test_head_tells_the_type_and_touches_no_picture(
    client: Client, house: ScriptedHouse, path: str
) -> None:
    wire = await client.wire()
    wire.send("HEAD", path, {}, b"")
    status, headers = await wire.head()
    assert (status, headers["connection"]) == (200, "close")
    assert await wire.reader.read() == b""
    assert house.the_watch.attached == []


async def test_a_viewer_who_leaves_is_noticed_before_the_next_fragment(
    viewer: Wire, house: ScriptedHouse
) -> None:
    viewer.close()
    await asyncio.wait_for(house.the_watch.ended.wait(), 10)
    await asyncio.wait_for(house.lost.get(), 10)


async def test_a_viewer_who_stalls_is_dropped_and_the_others_go_on(
    client: Client, house: ScriptedHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    """F18."""
    monkeypatch.setattr(live, "STALL_LIMIT_S", 0.1)
    monkeypatch.setattr(door, "USER_TIMEOUT_MS", 60_000)
    house.the_watch.pieces.put_nowait(b"x" * 2_000_000)
    wire = await client.wire(receive_bytes=4096)
    wire.send("GET", MP4, {}, b"")
    await asyncio.wait_for(house.lost.get(), 10)
    assert (await client.get("/api/v1/cameras")).status == 200
    await asyncio.wait_for(house.the_watch.ended.wait(), 10)


async def test_what_a_cut_viewer_has_not_read_is_not_delivered_afterwards(
    client: Client, house: ScriptedHouse
) -> None:
    """S1, F18: aborting a connection alone would deliver what the kernel still holds."""
    wire = await client.wire(receive_bytes=4096)
    viewer = wire.writer.transport
    assert isinstance(viewer, asyncio.Transport)
    viewer.pause_reading()
    wire.send("GET", MP4, {}, b"")
    house.the_watch.pieces.put_nowait(b"x" * 30_000)
    house.the_watch.pieces.put_nowait(b"never")
    watch, sent = house.the_watch, house.the_watch.sent

    def shut_once_the_kernel_has_it(size_bytes: int) -> None:
        sent(size_bytes)
        watch.flows = False

    watch.sent = shut_once_the_kernel_has_it  # type: ignore[method-assign]
    await asyncio.wait_for(house.lost.get(), 10)
    assert watch.sizes == [30_000]
    viewer.resume_reading()
    try:
        got = await asyncio.wait_for(wire.reader.read(), 10)
    except ConnectionError:
        got = b""
    assert len(got) < 20_000


async def test_a_failure_in_the_stream_cuts_it(
    viewer: Wire, house: ScriptedHouse, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(size_bytes: int) -> None:
        raise RuntimeError("broken")

    house.the_watch.sent = broken  # type: ignore[method-assign]
    house.the_watch.pieces.put_nowait(b"one")
    assert await viewer.chunk() == b"one"
    assert await cut(viewer)
    assert "A viewer's stream failed" in caplog.text


async def test_joining_answers_what_the_house_says(client: Client, house: ScriptedHouse) -> None:
    path = "/api/v1/cameras/cam1/watches"
    nothing: tuple[dict[str, str] | None, ...] = (None, {})
    for body in nothing:
        reply = await client.ask("POST", path, body=body)
        assert reply.status == 201
        assert reply.json == {"watch": WATCH, "mp4": MP4, "hls": HLS, "codecs": "avc1.42C016"}
    assert (await client.ask("POST", path, body={"camera": "cam1"})).code == "invalid-body"
    house.refusals["join"] = Refusal("too-many-viewers", "Four watch already.", retry_after_s=5)
    reply = await client.ask("POST", path, body={})
    assert (reply.status, reply.code, reply.headers["retry-after"]) == (429, "too-many-viewers", "5")
    house.member = member("approver")
    assert (await client.ask("POST", path, body={})).code == "role-required"
