"""Who comes in at all: Host, identity, Origin, in this order, before a word about what is inside."""

from __future__ import annotations

import asyncio
import socket

import pytest

from orchestrator.core.refusal import Refusal
from orchestrator.edges.http import door
from orchestrator.edges.http.console_files import FOLDER
from orchestrator.edges.http.problems import PROBLEMS
from orchestrator.edges.http.routes import routes
from orchestrator.edges.http.server import HttpEdge

from .conftest import Client
from .scripted_house import WATCH, ScriptedHouse, member

EVERY_ROUTE = [(route.method, route.path) for route in routes(ScriptedHouse())]


def concrete(path: str) -> str:
    """A path that the route's pattern matches."""
    path = path.replace("{camera}", "cam1").replace("{watch}", WATCH).replace("{number:[0-9]{1,9}}", "7")
    return path.replace("{file}", "console.js").replace("{session}", "s").replace("{window}", "w")


@pytest.mark.parametrize(("method", "path"), EVERY_ROUTE)
async def test_without_an_identity_every_path_says_403_and_the_house_is_asked_nothing_else(
    client: Client, house: ScriptedHouse, method: str, path: str
) -> None:
    house.member = None
    reply = await client.ask(method, concrete(path), body={} if method != "GET" else None)
    assert (reply.status, reply.code) == (403, "unknown-device")
    assert {asked for asked, _ in house.asked} == {"caller"}
    assert house.denials == [("127.0.0.1", "unknown-device")]


@pytest.mark.parametrize(("method", "path"), EVERY_ROUTE)
async def test_a_foreign_host_is_refused_before_anybody_is_looked_up(
    client: Client, house: ScriptedHouse, method: str, path: str
) -> None:
    reply = await client.ask(method, concrete(path), headers={"Host": "evil.example"})
    assert (reply.status, reply.code) == (421, "wrong-host")
    assert house.asked == []


@pytest.mark.parametrize(("method", "path"), EVERY_ROUTE)
async def test_another_sites_page_gets_nothing_from_any_path(client: Client, method: str, path: str) -> None:
    """F30."""
    reply = await client.ask(method, concrete(path), headers={"Origin": "http://evil.example"})
    assert (reply.status, reply.code) == (403, "cross-site")


@pytest.mark.parametrize("host", ["", "127.0.0.1.evil.example", "127.0.0.1:1", "localhost"])
async def test_host_must_name_the_listener(client: Client, host: str) -> None:
    assert (await client.ask("GET", "/api/v1/me", headers={"Host": host})).code == "wrong-host"


async def test_no_host_two_hosts_and_an_absolute_target_name_nobody(client: Client) -> None:
    ours = f"127.0.0.1:{client.port}"
    assert (await client.ask("GET", "/healthz", headers={"Host": None})).code == "bad-request"
    wire = await client.wire()
    wire.writer.write(f"GET /healthz HTTP/1.1\r\nHost: {ours}\r\nHost: {ours}\r\n\r\n".encode())
    assert (await wire.reply()).status in (400, 421)
    assert (await client.ask("GET", f"http://{ours}/healthz")).code == "wrong-host"


async def test_our_own_page_may_post_and_a_page_on_another_port_of_ours_may_not(
    client: Client, house: ScriptedHouse
) -> None:
    path, body = "/api/v1/cameras/cam1/transitions", {"trigger": "close"}
    ours = {"Origin": f"http://127.0.0.1:{client.port}"}
    assert (await client.ask("POST", path, body=body, headers=ours)).status == 202
    for origin in ("http://127.0.0.1", "null", f"http://127.0.0.1:{client.port}.evil.example", ""):
        assert (await client.ask("POST", path, body=body, headers={"Origin": origin})).code == "cross-site"
    assert len(house.wishes) == 1


async def test_an_embedding_is_refused_and_a_link_is_followed(client: Client) -> None:
    embedded = {"Sec-Fetch-Site": "same-site", "Sec-Fetch-Dest": "video", "Sec-Fetch-Mode": "no-cors"}
    assert (await client.ask("GET", f"/live/{WATCH}/stream.mp4", headers=embedded)).code == "cross-site"
    linked = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Dest": "document", "Sec-Fetch-Mode": "navigate"}
    assert (await client.ask("GET", "/", headers=linked)).status == 200


async def test_a_page_that_says_where_it_is_cannot_embed_a_picture_though_it_may_link_here(
    client: Client,
) -> None:
    """Over plain HTTP `Referer` is all that a browser says of an embedding (FIELD 12)."""
    path, ours = f"/live/{WATCH}/index.m3u8", f"http://127.0.0.1:{client.port}"
    for foreign in ("http://evil.example/", "http://evil.example/page", f"{ours}.evil.example/", ours, ""):
        reply = await client.ask("GET", path, headers={"Referer": foreign})
        assert (reply.status, reply.code) == (403, "cross-site"), foreign
        assert (await client.ask("GET", "/", headers={"Referer": foreign})).status == 200
    assert (await client.ask("GET", path, headers={"Referer": f"{ours}/"})).status == 200


async def test_the_gateway_itself_is_refused_as_nobody(client: Client, house: ScriptedHouse) -> None:
    house.refusals["caller"] = Refusal("own-address", "A relay on the gateway is not a member.")
    assert (await client.get("/api/v1/me")).code == "own-address"


async def test_the_order_of_refusals_is_the_contracts(client: Client, house: ScriptedHouse) -> None:
    """CONTRACT 8: wrong in every way, it is refused for the first; each mended, the next shows."""
    house.member = None
    house.refusals["transition"] = Refusal("not-permitted", "Not now.", members={"permitted": []})
    path = "/api/v1/cameras/cam9/transitions"
    headers: dict[str, str | None] = {
        "Host": "evil.example", "Origin": "http://evil.example", "Content-Type": "text/plain",
    }  # fmt: skip
    body = b"x" * 70_000
    seen = []

    async def refused() -> None:
        seen.append((await client.ask("POST", path, body=body, headers=headers)).code)

    await refused()
    headers.pop("Host")
    await refused()
    house.member = member("monitor")
    await refused()
    headers.pop("Origin")
    await refused()
    path = path.replace("cam9", "cam1")
    await refused()
    house.member = member("viewer")
    await refused()
    body = b"nonsense"
    await refused()
    headers.pop("Content-Type")
    await refused()
    body = b'{"trigger": "request", "wait_s": "20"}'
    await refused()
    house.member = member("maintainer")
    await refused()
    body = b'{"trigger": "request", "reason": "aim"}'
    await refused()
    assert seen == [
        "wrong-host", "unknown-device", "cross-site", "unknown-camera", "role-required", "too-large",
        "not-json", "invalid-body", "role-required", "invalid-body", "not-permitted",
    ]  # fmt: skip
    assert house.denials[-1] == ("127.0.0.1", "role-required")


async def test_unknown_paths_and_methods_are_problems_after_the_door(
    client: Client, house: ScriptedHouse
) -> None:
    assert (await client.get("/api/v2/me")).code == "not-found"
    assert (await client.get("/console/../server.py")).code == "not-found"
    reply = await client.ask("PUT", "/api/v1/cameras/cam1/transitions")
    assert (reply.status, reply.code) == (405, "method-not-allowed")
    assert reply.headers["allow"] == "GET, HEAD, POST"
    house.member = None
    assert (await client.get("/api/v2/me")).code == "unknown-device"


@pytest.mark.parametrize("code", sorted(PROBLEMS))
async def test_each_problem_code_is_told_with_its_status_members_and_retry(
    client: Client, house: ScriptedHouse, code: str
) -> None:
    house.refusals["transition"] = Refusal(
        code, "A sentence.", members={"permitted": ["close"]}, retry_after_s=7
    )
    reply = await client.pull(trigger="close")
    assert (reply.status, reply.code) == (PROBLEMS[code].status, code)
    assert reply.json["detail"] == "A sentence."
    assert reply.json["permitted"] == ["close"]
    assert reply.headers["retry-after"] == "7"


async def test_a_failure_says_500_without_a_word_of_its_inside(
    client: Client, house: ScriptedHouse, caplog: pytest.LogCaptureFixture
) -> None:
    house.refusals["camera"] = RuntimeError("secret of the house")
    reply = await client.get("/api/v1/cameras/cam1")
    assert (reply.status, reply.code) == (500, "internal")
    assert b"secret" not in reply.body
    assert "secret of the house" in caplog.text
    assert "/api/v1/cameras/{camera}" in caplog.text


async def test_a_code_nobody_knows_is_our_own_failure(client: Client, house: ScriptedHouse) -> None:
    house.refusals["camera"] = Refusal("no-such-code", "Private.")
    assert (await client.get("/api/v1/cameras/cam1")).code == "internal"


@pytest.mark.parametrize(
    "said",
    [b"\x16\x03\x01\x02\x00 hello\r\n\r\n", b"GET\r\n\r\n", b"GET / HTTP/9.9.9\r\n\r\n",
     b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"y" * 20_000 + b"\r\n\r\n"],
)  # fmt: skip
async def test_what_is_not_http_is_a_problem_too(client: Client, said: bytes) -> None:
    wire = await client.wire()
    wire.writer.write(said)
    reply = await wire.reply()
    assert (reply.status, reply.code) == (400, "bad-request")
    assert reply.headers["content-security-policy"].startswith("default-src 'none'")
    assert await wire.reader.read() == b""


async def test_every_answer_carries_the_headers_that_keep_it_ours(
    client: Client, house: ScriptedHouse
) -> None:
    house.the_watch.pieces.put_nowait(None)
    for path in (
        "/",
        "/console/console.js",
        "/api/v1/me",
        "/nowhere",
        f"/live/{WATCH}/stream.mp4",
        "/metrics",
    ):
        reply = await client.get(path)
        assert reply.headers["content-security-policy"] == (
            "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
            "media-src 'self' blob:; connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; "
            "form-action 'none'"
        )
        assert reply.headers["x-content-type-options"] == "nosniff"
        assert reply.headers["referrer-policy"] == "no-referrer"
        assert reply.headers["cross-origin-resource-policy"] == "same-origin"
        assert reply.headers["cross-origin-opener-policy"] == "same-origin"
        assert reply.headers["cache-control"] == "no-store"
        assert "access-control-allow-origin" not in reply.headers
        assert "aiohttp" not in reply.headers["server"]


@pytest.mark.parametrize("file", [None, *sorted(file.name for file in FOLDER.iterdir())])
async def test_each_file_of_the_console_is_served_to_any_member(
    client: Client, house: ScriptedHouse, file: str | None
) -> None:
    house.member = member("monitor")
    reply = await client.get(f"/console/{file}" if file else "/")
    assert reply.status == 200
    assert reply.body == (FOLDER / (file or "index.html")).read_bytes()
    assert b"http://" not in reply.body.replace(b"http://www.w3.org/2000/svg", b"")
    if file is None:
        assert b"<script>" not in reply.body
        assert b"style=" not in reply.body


async def test_the_gate_hears_of_each_connections_end(client: Client, house: ScriptedHouse) -> None:
    """DESIGN: the gate attaches the transport, so it must learn when that is gone."""
    wire = await client.wire()
    wire.send("GET", "/healthz", {}, b"")
    assert (await wire.reply()).status == 200
    wire.close()
    transport = await asyncio.wait_for(house.lost.get(), 10)
    assert transport.get_extra_info("peername")[0] == "127.0.0.1"


async def test_the_transport_that_was_attached_is_the_one_that_is_lost(
    client: Client, house: ScriptedHouse
) -> None:
    assert (await client.get(f"/live/{WATCH}/7.ts")).status == 200
    assert await asyncio.wait_for(house.lost.get(), 10) is house.the_watch.attached[0]


async def test_each_connection_has_a_small_send_buffer_and_a_short_patience(
    client: Client, house: ScriptedHouse
) -> None:
    """S1, FIELD 2: what a stalled viewer's kernel queue may hold, and how long it may stay."""
    wire = await client.wire()
    wire.send("GET", f"/live/{WATCH}/stream.mp4", {}, b"")
    await wire.head()
    assert house.the_watch.attached[0].get_write_buffer_limits() == (0, 0)
    sock = house.the_watch.attached[0].get_extra_info("socket")
    assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF) <= 2 * door.SEND_BUFFER_BYTES
    assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 3000
    assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) == 1
    house.the_watch.pieces.put_nowait(None)


async def test_connections_beyond_the_bound_are_refused_and_those_inside_go_on(
    client: Client, house: ScriptedHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    """K3, F18."""
    monkeypatch.setattr(door, "MAX_CONNECTIONS", 2)
    inside = [await client.wire() for _ in range(2)]
    for wire in inside:
        wire.send("GET", "/api/v1/events/stream", {}, b"")
        assert (await wire.head())[0] == 200
    beyond = await client.wire()
    with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
        await beyond.head()
    assert await inside[0].chunk() == b"retry: 2000\n\n"
    inside[1].close()
    await asyncio.wait_for(house.lost.get(), 10)
    assert (await client.get("/healthz")).status == 200


async def test_at_the_bound_the_oldest_that_asks_for_nothing_makes_room(
    client: Client, house: ScriptedHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    """F18: nobody keeps others out by connections alone."""
    monkeypatch.setattr(door, "MAX_CONNECTIONS", 3)
    busy, silent, done = [await client.wire() for _ in range(3)]
    busy.send("GET", "/api/v1/events/stream", {}, b"")
    assert (await busy.head())[0] == 200
    done.send("GET", "/healthz", {}, b"")
    assert (await done.reply()).status == 200
    for wire in (silent, done):
        assert (await client.get("/healthz")).status == 200
        held = await client.wire()
        held.send("GET", "/api/v1/events/stream", {}, b"")
        assert (await held.head())[0] == 200
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            await wire.head()
    assert await busy.chunk() == b"retry: 2000\n\n"


async def test_a_reader_on_the_local_socket_who_takes_nothing_is_cut(
    local: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """F18: a Unix socket would wait for ever."""
    monkeypatch.setattr(door, "WRITE_LIMIT_S", 0.1)
    loop = asyncio.get_running_loop()
    with socket.socket(socket.AF_UNIX) as sock:
        sock.setblocking(False)
        await loop.sock_connect(sock, str(local.unix))
        with pytest.raises(ConnectionError):
            await _ask_for_ever(sock)


async def test_another_version_of_http_is_refused(client: Client) -> None:
    wire = await client.wire()
    wire.writer.write(f"GET /healthz HTTP/2.0\r\nHost: 127.0.0.1:{client.port}\r\n\r\n".encode())
    reply = await wire.reply()
    assert (reply.status, reply.code) == (400, "bad-request")
    assert await wire.reader.read() == b""


async def test_who_hangs_up_in_the_middle_of_a_body_is_no_failure_of_ours(
    client: Client, house: ScriptedHouse, caplog: pytest.LogCaptureFixture
) -> None:
    wire = await client.wire()
    headers = {"Content-Length": "10", "Expect": "100-continue"}
    wire.send("POST", "/api/v1/cameras/cam1/transitions", headers, b"{")
    assert (await wire.reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 100 ")
    wire.close()
    await asyncio.wait_for(house.lost.get(), 10)
    assert (await client.get("/healthz")).status == 200
    assert caplog.text == ""


async def test_closing_tcp_cuts_every_connection_at_once_and_the_local_socket_stays(
    edge: HttpEdge, client: Client, local: Client, house: ScriptedHouse
) -> None:
    """F1, F25."""
    wire = await client.wire()
    wire.send("GET", f"/live/{WATCH}/stream.mp4", {}, b"")
    await wire.head()
    edge.close_tcp()
    with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
        await wire.reader.readexactly(1)
    with pytest.raises(OSError, match="Connect call failed"):
        await client.wire()
    assert (await local.get("/healthz")).status == 200
    assert [address.partition(":")[0] for address in edge.addresses] == ["unix"]
    await asyncio.wait_for(house.the_watch.ended.wait(), 10)


async def test_stopping_ends_streams_listeners_and_the_socket_file_and_can_be_repeated(
    edge: HttpEdge, client: Client, local: Client, house: ScriptedHouse
) -> None:
    picture, events = await client.wire(), await client.wire()
    picture.send("GET", f"/live/{WATCH}/stream.mp4", {}, b"")
    events.send("GET", "/api/v1/events/stream", {}, b"")
    await picture.head()
    await events.head()
    async with asyncio.timeout(5):
        await edge.stop()
        await edge.stop()
    assert edge.addresses == []
    assert local.unix is not None
    assert not local.unix.exists()
    assert house.the_watch.ended.is_set()


async def test_aiohttp_is_told_to_write_no_access_log(
    client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    """S19: a line for each request would name addresses and watches."""
    caplog.set_level("DEBUG")
    await client.get(f"/live/{WATCH}/7.ts")
    assert WATCH not in caplog.text


async def _ask_for_ever(sock: socket.socket) -> None:
    while True:
        asking = asyncio.get_running_loop().sock_sendall(
            sock, b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n" * 100
        )
        await asyncio.wait_for(asking, 20)
