"""Outsiders get nothing: the LAN, a relay on the gateway, a forger and a whole subnet (S8, S9, F5, F29)."""

import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import GATEWAYS
from tests.e2e.follower import name_of
from tests.e2e.outsiders import (
    ANSWER_S,
    Scene,
    WholeTunnelGateway,
    given,
    lan_gets_nothing,
    lan_gets_nothing_while_the_interface_is_down,
    relay,
    request,
    verdict,
)
from tests.e2e.parts import segment_root
from tests.e2e.tunnel_gateway import LAPTOP, TABLET
from tests.edges.vpn.lab import lab

pytestmark = pytest.mark.slow

REBINDING = (str(Path(__file__).with_name("rebinding_daemon.py")), "--device", "lan0")
STRANGER = "10.77.0.4"
SUBNET, BEHIND = "10.99.0.0/24", "10.99.0.7"


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[Scene]:
    """One for the module: the session goes on from test to test, and is asked for anew when it was shut."""
    folder = tmp_path_factory.mktemp("outsiders") / "gateway"
    folder.mkdir(mode=0o700)
    with lab(("laptop", "tablet", "stranger")) as found:
        gateway = WholeTunnelGateway(folder, segment_root(), found, max_session="10m", idle_close="10m")
        request.node.stash[GATEWAYS] = [gateway]
        try:
            gateway.start(REBINDING)
            yield Scene(gateway)
        finally:
            gateway.stop()


def asked_for(scene: Scene) -> list[tuple[str, str, bytes]]:
    """Method, path and body of what an outsider would most like to have."""
    watch = scene.watches[-1]["watch"]
    return [
        ("GET", scene.picture(), b""),
        ("GET", f"/live/{watch}/index.m3u8", b""),
        ("DELETE", f"/api/v1/watches/{watch}", b""),
        ("GET", "/", b""),
        ("GET", "/healthz", b""),
        ("GET", "/metrics", b""),
        ("GET", "/api/v1/cameras", b""),
        ("GET", "/api/v1/events/stream", b""),
        ("POST", "/api/v1/cameras/cam1/watches", b"{}"),
        ("POST", "/api/v1/cameras/cam1/transitions", b'{"trigger": "close"}'),
        ("GET", "/nothing/here", b""),
    ]


def test_a_lan_host_gets_no_byte_of_ours_while_a_member_watches(scene: Scene) -> None:
    """F5."""
    with scene.watched():
        lan_gets_nothing(scene)


@pytest.mark.parametrize("family", [4, 6])
@pytest.mark.parametrize("source", ["any", "vpn", "lan", "loopback"])
def test_a_relay_on_the_gateway_gives_the_lan_its_refusal_and_nothing_else(
    scene: Scene, source: str, family: int
) -> None:
    """F5: it comes from an address of the gateway's own. One of another device's is not even let in."""
    gateway, found = scene.gateway, scene.gateway.lab
    address = scene.addresses()[family == 6]
    listen = found.gateway.lan if family == 4 else "fd1a::1"
    loopback = "127.0.0.1" if family == 4 else "::1"
    origin = {"vpn": address, "lan": listen, "loopback": loopback}.get(source, "")
    with scene.watched(), relay(scene, listen, address, origin) as port:
        before = scene.denied_total()
        let_in = source in ("any", "vpn")
        for method, path, body in asked_for(scene)[: None if let_in else 1]:
            sent = request(address, gateway.port, path, method, body)
            answer = given(found.lan, listen, port, sent, wait_s=ANSWER_S)
            if answer or let_in:
                assert verdict(answer) == (403, "own-address"), path
                before += 1
        assert scene.denied_total() == before


def test_a_forged_source_in_the_tunnel_is_not_answered_and_nobody_is_taken_for_that_member(
    scene: Scene,
) -> None:
    """WireGuard lets a peer send from its own allowed IPs alone; from those the stranger is heard."""
    found = scene.gateway.lab
    stranger = found.peers["stranger"]
    with scene.watched():
        before = scene.denied_total()
        for victim in ("laptop", "tablet"):
            member = found.peers[victim]
            stranger.place.ip("address", "add", f"{member.address}/32", "dev", stranger.interface)
            stranger.place.ip("address", "add", f"{member.address6}/128", "dev", stranger.interface, "nodad")
            forged = zip(scene.addresses(), (member.address, member.address6), strict=True)
            knocks = [(to, path, who) for to, who in forged for path in ("/api/v1/me", scene.picture())]
            assert set(scene.knock(stranger.place, *knocks)) == {b""}
        assert scene.denied_total() == before
        own = zip(scene.addresses(), (stranger.address, stranger.address6), strict=True)
        for answer in scene.knock(
            stranger.place, *((to, "/api/v1/me", who) for to, who in own), wait_s=ANSWER_S
        ):
            assert verdict(answer) == (403, "unknown-device")
        assert scene.denied_total() == before + 2
    tablet = found.peers["tablet"]
    addresses = {str(item["details"].get("address")) for item in scene.log() if item["details"]}
    assert not addresses & {tablet.address, tablet.address6}


def test_a_peer_that_stands_for_a_whole_subnet_is_nobodys_device(scene: Scene) -> None:
    """F29: though a member's key is behind it, and its own address has a host route."""
    gateway, found = scene.gateway, scene.gateway.lab
    tablet = found.peers["tablet"]
    with scene.watched():
        scene.until("/api/v1/me", lambda me: me.get("name") == "Viewer", "tablet")
        found.gateway.place.ip("route", "add", SUBNET, "dev", found.interface)
        tablet.place.ip("address", "add", f"{BEHIND}/32", "dev", tablet.interface)
        found.allow("tablet", f"{TABLET}/32", SUBNET)
        try:
            scene.until("/api/v1/me", lambda me: me.get("status") == 403, "tablet")
            for source in (TABLET, BEHIND):
                for method, path, body in asked_for(scene):
                    sent = request(gateway.address, gateway.port, path, method, body)
                    answer = given(tablet.place, gateway.address, gateway.port, sent, source, ANSWER_S)
                    assert verdict(answer) == (403, "unknown-device"), path
        finally:
            found.allow("tablet")


def test_a_listener_that_lost_its_device_still_gives_the_lan_nothing_and_locks(scene: Scene) -> None:
    """S8: as root the daemon can undo the binding; each connection is read back, so that the LAN host which
    the kernel now lets in is cut unread."""
    gateway, found = scene.gateway, scene.gateway.lab
    with scene.watched():
        lan_gets_nothing(scene)
    gateway.daemon.kill(signal.SIGUSR1)
    assert gateway.daemon.wait_json("tried") == 4
    knocks = [(address, "/healthz", None) for address in scene.addresses()]
    assert scene.knock(found.lan, *knocks) == [b"", b""]
    ended = gateway.wait_in_the_log(scene.session)
    assert (ended["trigger"], ended["data"]["fault"]) == ("fault", "listener-exposed")
    scene.forget()
    gateway.daemon.wait_line(lambda line: "listening on" in line)
    gateway.follow()
    path = "/api/v1/cameras/cam1"
    gateway.wait("closed", scene.session)
    state = gateway.as_peer("laptop", lambda: gateway.get(path, source=LAPTOP))
    assert (state["state"], state["locks"]) == ("disabled", ["listener-exposed"])
    scene.until(f"{path}/checks", lambda body: _passed(body, "vpn-listener"))
    for camera in gateway.cameras:
        answer = gateway.as_peer(
            "laptop",
            lambda camera=camera: gateway.transition(  # type: ignore[misc]
                "acknowledge", camera, source=LAPTOP, reason="the test undid the binding"
            ),
        )
        assert answer.status == 202, answer
    with scene.watched():
        lan_gets_nothing(scene)


def _passed(body: Any, check: str) -> bool:
    return bool({one["id"]: one["passed"] for one in body["checks"]}[check])


def test_nor_does_the_lan_get_a_byte_while_the_interface_is_down_or_up_again(scene: Scene) -> None:
    """F25: then nothing listens at all."""
    with scene.watched():
        pass
    lan_gets_nothing_while_the_interface_is_down(scene)
    with scene.watched():
        lan_gets_nothing(scene)


def test_the_log_knows_who_was_refused_and_of_no_viewer_but_the_member(scene: Scene) -> None:
    """What the tests above left, or what this one does when it runs alone."""
    found = scene.gateway.lab
    with scene.watched():
        to = scene.gateway.address
        scene.knock(found.peers["stranger"].place, (to, "/healthz", STRANGER), wait_s=ANSWER_S)
        scene.knock(found.gateway.place, (to, "/healthz", None), wait_s=ANSWER_S)
        log = scene.log()
    denied = {
        item["event"]["data"]["code"]: item["details"]["address"]
        for item in log
        if name_of(item["event"]) == "denied"
    }
    assert set(denied) == {"unknown-device", "own-address"}
    assert denied["unknown-device"] in (STRANGER, found.peers["stranger"].address6, TABLET, BEHIND)
    assert denied["own-address"] not in {tunnel.address for tunnel in found.peers.values()}
    joined = [item for item in log if name_of(item["event"]) == "viewer_joined"]
    assert [item["event"]["data"]["watch"] for item in joined] == [one["watch"] for one in scene.watches]
    for item in joined:
        assert item["details"] == {"address": LAPTOP, "device": "laptop", "name": "Maintainer A"}
