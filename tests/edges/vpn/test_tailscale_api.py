"""The LocalAPI's client against a tailscaled that answers well, badly, late or not at all."""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path

import aiohttp
import pytest

from orchestrator.edges.vpn import tailscale_api
from orchestrator.edges.vpn.tailscale_api import LocalApi, LocalApiError
from orchestrator.edges.vpn.tailscale_shapes import UnknownShape, read_status

from .tailscaled import StandIn, whois

pytestmark = pytest.mark.slow


@pytest.fixture
async def daemon(tmp_path: Path) -> AsyncIterator[StandIn]:
    stand_in = StandIn(tmp_path / "tailscaled.sock")
    await stand_in.start()
    yield stand_in
    await stand_in.stop()


@pytest.fixture
async def api(daemon: StandIn) -> AsyncIterator[LocalApi]:
    client = LocalApi(daemon.socket)
    yield client
    await client.close()


async def test_every_question_is_one_that_tailscaled_takes(daemon: StandIn, api: LocalApi) -> None:
    daemon.nodes["100.64.0.7"] = whois("nLAPTOP", "100.64.0.7")
    daemon.nodes["fd7a:115c:a1e0::7"] = whois("nLAPTOP", "fd7a:115c:a1e0::7")
    assert read_status(await api.status()).backend_state == "Running"
    assert await api.whois("100.64.0.7", 40000) == daemon.nodes["100.64.0.7"]
    assert await api.whois("fd7a:115c:a1e0::7", 40000) == daemon.nodes["fd7a:115c:a1e0::7"]
    assert await api.serve_config() is None
    assert await api.prefs() == daemon.prefs
    for headers in daemon.headers:
        assert headers["Host"] == "local-tailscaled.sock"
        assert not {"Origin", "Referer", "Cookie"} & headers.keys()


@pytest.mark.parametrize(
    "foreign", [{"Origin": "http://x"}, {"Referer": "http://x"}, {"Host": "evil.example"}]
)
async def test_the_stand_in_refuses_what_tailscaled_refuses(daemon: StandIn, foreign: dict[str, str]) -> None:
    connector = aiohttp.UnixConnector(path=str(daemon.socket))
    async with aiohttp.ClientSession(connector=connector) as session:
        url = "http://local-tailscaled.sock/localapi/v0/status"
        async with session.get(url, headers=foreign) as response:
            assert response.status == 403


async def test_a_peer_that_the_tailnet_does_not_know_is_nobody(daemon: StandIn, api: LocalApi) -> None:
    assert await api.whois("100.64.0.99", 1) is None
    assert daemon.asked["whois"] == 1


async def test_no_daemon_at_all_says_what_to_do(tmp_path: Path) -> None:
    api = LocalApi(tmp_path / "none.sock")
    with pytest.raises(LocalApiError, match="systemctl status tailscaled"):
        await api.status()


async def test_a_socket_that_nobody_listens_on_says_what_to_do(daemon: StandIn, api: LocalApi) -> None:
    await api.status()
    await daemon.stop()
    daemon.socket.touch()
    with pytest.raises(LocalApiError, match="no tailscaled answers"):
        await api.status()


@pytest.mark.slow
async def test_a_socket_that_somebody_else_put_there_is_not_asked(daemon: StandIn, api: LocalApi) -> None:
    if os.geteuid() != 0:
        pytest.skip("giving a socket away needs root")
    os.chown(daemon.socket, 12345, 12345)
    with pytest.raises(LocalApiError, match="not to root"):
        await api.status()
    assert daemon.asked["status"] == 0


async def test_an_answer_that_does_not_come_is_given_up(
    daemon: StandIn, api: LocalApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tailscale_api, "ANSWER_LIMIT_S", 0.05)
    daemon.slow_s["status"] = 30
    with pytest.raises(LocalApiError, match="did not answer within"):
        await api.status()
    daemon.slow_s["watch-ipn-bus"] = 30
    with pytest.raises(LocalApiError, match="did not answer within"):
        async with aclosing(api.bus()) as lines:
            await anext(lines)


async def test_garbage_is_an_unknown_shape(daemon: StandIn, api: LocalApi) -> None:
    daemon.garbage["status"] = b"<html>"
    with pytest.raises(UnknownShape):
        await api.status()


async def test_an_endless_answer_is_given_up(
    daemon: StandIn, api: LocalApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tailscale_api, "_ANSWER_BYTES", 1000)
    daemon.garbage["status"] = b" " * 2000
    with pytest.raises(LocalApiError, match="more than 1000 bytes"):
        await api.status()


async def test_what_is_no_http_is_given_up(tmp_path: Path) -> None:
    async def nonsense(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        writer.write(b"\x00\x01 this is not HTTP\r\n\r\n")
        writer.close()

    server = await asyncio.start_unix_server(nonsense, tmp_path / "s.sock")
    api = LocalApi(tmp_path / "s.sock")
    with pytest.raises(LocalApiError, match="no tailscaled answers"):
        await api.status()
    await api.close()
    server.close()
    await server.wait_closed()


async def test_a_redirect_is_not_followed(tmp_path: Path) -> None:
    async def elsewhere(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 302 Found\r\nLocation: http://192.0.2.1/\r\nContent-Length: 0\r\n\r\n")
        writer.close()

    server = await asyncio.start_unix_server(elsewhere, tmp_path / "s.sock")
    api = LocalApi(tmp_path / "s.sock")
    with pytest.raises(LocalApiError, match="answered 302"):
        await api.status()
    await api.close()
    server.close()
    await server.wait_closed()


async def test_the_bus_gives_the_state_first_then_each_line_and_ends_with_tailscaled(
    daemon: StandIn, api: LocalApi
) -> None:
    async with aclosing(api.bus()) as lines:
        first = await anext(lines)
        assert isinstance(first, dict)
        assert first["State"] == 6
        daemon.notify_raw(b'{"State": 4}\n{"State"')
        daemon.notify_raw(b': 6, "NetMap": "' + b"x" * 300_000 + b'"}\n')
        assert await anext(lines) == {"State": 4}
        last = await anext(lines)
        assert isinstance(last, dict)
        assert last["State"] == 6
        daemon.end_bus()
        with pytest.raises(StopAsyncIteration):
            await anext(lines)


async def test_a_bus_that_says_nothing_is_given_up(
    daemon: StandIn, api: LocalApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tailscale_api, "FIRST_LINE_LIMIT_S", 0.05)
    monkeypatch.setattr(StandIn, "_bus", _silent)
    with pytest.raises(LocalApiError, match="did not answer"):
        async with aclosing(api.bus()) as lines:
            await anext(lines)


async def _silent(stand_in: StandIn, request: aiohttp.web.Request) -> aiohttp.web.StreamResponse:
    response = aiohttp.web.StreamResponse()
    await response.prepare(request)
    await asyncio.sleep(30)
    return response


async def test_the_stand_in_runs_as_a_process_of_its_own(tmp_path: Path) -> None:
    socket = tmp_path / "t.sock"
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.edges.vpn.tailscaled", str(socket),
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
        cwd=Path(__file__).parents[3],
    )  # fmt: skip
    assert process.stdin is not None
    assert process.stdout is not None
    api = LocalApi(socket)
    try:
        assert await process.stdout.readline() == b"ready\n"
        async with aclosing(api.bus()) as lines:
            await anext(lines)
            process.stdin.write(json.dumps({"self": {"Online": False}, "state": "Stopped"}).encode() + b"\n")
            assert await process.stdout.readline() == b"ok\n"
            assert await anext(lines) == {"State": 4}
        seen = read_status(await api.status())
        assert (seen.backend_state, seen.online) == ("Stopped", False)
    finally:
        await api.close()
        process.stdin.close()
        await process.wait()
    assert process.returncode == 0
