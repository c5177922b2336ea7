"""The Unix socket: health, metrics, camera states and `close`; never a picture, a name or a reason (S18)."""

from __future__ import annotations

import socket
import stat
from pathlib import Path

import pytest

from orchestrator.edges.http.ports import TransitionWish
from orchestrator.edges.http.routes import routes
from orchestrator.edges.http.server import HttpEdge

from .conftest import Client
from .scripted_house import ScriptedHouse
from .test_door import concrete

TABLE = routes(ScriptedHouse())
SERVED = {"/healthz", "/readyz", "/metrics", "/api/v1/cameras", "/api/v1/cameras/{camera}"}


@pytest.mark.parametrize(("method", "path"), [(route.method, route.path) for route in TABLE])
async def test_only_health_metrics_camera_states_and_close_are_served(
    local: Client, house: ScriptedHouse, method: str, path: str
) -> None:
    body = {"trigger": "close"} if method == "POST" else {} if method != "GET" else None
    reply = await local.ask(method, concrete(path), body=body, headers={"Host": "whatever"})
    if path in SERVED:
        assert reply.status == 200
    elif (method, path) == ("POST", "/api/v1/cameras/{camera}/transitions"):
        assert reply.status == 202
    else:
        assert (reply.status, reply.code) == (403, "vpn-only")
    assert "caller" not in [asked for asked, _ in house.asked]
    assert house.denials == []


@pytest.mark.parametrize("trigger", ["request", "extend", "acknowledge"])
async def test_nobody_opens_over_the_local_socket(local: Client, house: ScriptedHouse, trigger: str) -> None:
    """S18."""
    reply = await local.pull(trigger=trigger, reason="aim", duration_s=60)
    assert (reply.status, reply.code) == (403, "vpn-only")
    assert house.wishes == []


async def test_whoever_has_the_socket_may_close(local: Client, house: ScriptedHouse) -> None:
    assert (await local.pull(trigger="close")).status == 202
    assert house.wishes == [("cam1", None, TransitionWish("close"))]


async def test_its_file_is_for_the_owner_and_the_group_alone(local: Client) -> None:
    assert local.unix is not None
    assert stat.S_IMODE(local.unix.stat().st_mode) == 0o660


async def test_a_socket_nobody_answers_on_is_replaced(house: ScriptedHouse, tmp_path: Path) -> None:
    path = tmp_path / "volet.sock"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    edge = HttpEdge(house)
    await edge.start_unix(path)
    assert (await Client(0, path).get("/healthz")).status == 200
    assert edge.addresses == [f"unix:{path}"]
    await edge.stop()


async def test_a_socket_somebody_answers_on_is_left_to_them(
    local: Client, house: ScriptedHouse, tmp_path: Path
) -> None:
    assert local.unix is not None
    with pytest.raises(OSError, match="another process answers there already"):
        await HttpEdge(house).start_unix(local.unix)
    assert (await local.get("/healthz")).status == 200


async def test_what_is_no_socket_is_not_removed(house: ScriptedHouse, tmp_path: Path) -> None:
    path = tmp_path / "volet.sock"
    path.write_text("precious")
    with pytest.raises(FileExistsError, match="not a socket"):
        await HttpEdge(house).start_unix(path)
    assert path.read_text() == "precious"


async def test_stopping_does_not_remove_a_socket_that_is_no_longer_ours(
    house: ScriptedHouse, tmp_path: Path
) -> None:
    path = tmp_path / "volet.sock"
    edge = HttpEdge(house)
    await edge.start_unix(path)
    path.rename(tmp_path / "old.sock")
    path.touch()
    await edge.stop()
    assert path.exists()
