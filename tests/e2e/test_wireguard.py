"""Only through the tunnel, by people we know: WireGuard in network namespaces, the whole program (S7–S9)."""

import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.e2e.parts import segment_root
from tests.e2e.tunnel_gateway import LAPTOP, TABLET, TunnelGateway
from tests.e2e.viewer import Viewer
from tests.edges.vpn.lab import Lab, lab

pytestmark = pytest.mark.slow

Cut = tuple[Callable[[Lab], object], str]


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[TunnelGateway]:
    folder = tmp_path / "gateway"
    folder.mkdir(mode=0o700)
    with lab(("laptop", "tablet", "stranger")) as found:
        gateway = TunnelGateway(folder, segment_root(), found)
        try:
            gateway.start()
            yield gateway
        finally:
            gateway.stop()


def _watching(gateway: TunnelGateway) -> tuple[str, Viewer]:
    session = gateway.as_peer("laptop", lambda: gateway.open(source=LAPTOP))
    viewer = gateway.as_peer("laptop", lambda: gateway.watch(source=LAPTOP))
    viewer.wait_flow()
    return session, viewer


def test_a_member_watches_through_the_tunnel_and_nobody_else_gets_a_byte(gateway: TunnelGateway) -> None:
    """F5, F29: a stranger behind the tunnel is refused, a host on the LAN is not even answered."""
    _, viewer = _watching(gateway)
    refused = gateway.as_peer("stranger", lambda: gateway.ask("GET", "/api/v1/me", source="10.77.0.4"))
    assert (refused.status, refused.body["type"].rsplit("/", 1)[1]) == (403, "unknown-device")
    for family, address in (
        (socket.AF_INET, gateway.address),
        (socket.AF_INET6, gateway.lab.gateway.address6),
    ):

        def knock(family: int = family, address: str = address) -> int:
            with socket.socket(family, socket.SOCK_STREAM) as sock:
                sock.settimeout(1)
                return sock.connect_ex((address, gateway.port))

        assert gateway.lab.lan.inside(knock) != 0
    opening = gateway.as_peer("tablet", lambda: gateway.transition("request", source=TABLET, reason="to see"))
    assert (opening.status, opening.body["type"].rsplit("/", 1)[1]) == (403, "role-required")
    assert not viewer.ending


CUTS: dict[str, Cut] = {
    "link down": (lambda found: found.gateway.place.ip("link", "set", found.interface, "down"), "vpn-down"),
    "address removed": (
        lambda found: found.gateway.place.ip(
            "address", "del", f"{found.gateway.address}/24", "dev", found.interface
        ),
        "vpn-address-changed",
    ),
    "wireguard-go killed": (lambda found: found.gateway.kill(), "vpn-down"),
    "peer removed": (lambda found: found.forget("laptop"), "identity-revoked"),
}


@pytest.mark.parametrize("cut", CUTS)
def test_what_takes_the_boundary_or_the_person_away_shuts_the_picture(
    gateway: TunnelGateway, cut: str
) -> None:
    """F1–F3: in the middle of `stream.mp4`."""
    session, viewer = _watching(gateway)
    worker = gateway.worker(session)
    injure, fault = CUTS[cut]
    injure(gateway.lab)
    worker.wait(5)
    ended = gateway.wait_in_the_log(session)
    assert (ended["trigger"], ended["data"]["fault"]) == ("fault", fault)
    state = gateway.ask_locally("GET", "/api/v1/cameras/cam1").body
    assert state["state"] == "disabled"
    assert viewer.size_bytes > 0


def test_a_link_that_comes_up_again_does_not_resume_but_can_be_asked_anew(gateway: TunnelGateway) -> None:
    """F25, L3."""
    session, _ = _watching(gateway)
    place, interface = gateway.lab.gateway.place, gateway.lab.interface
    place.ip("link", "set", interface, "down")
    assert gateway.wait_in_the_log(session)["data"]["fault"] == "vpn-down"
    place.ip("link", "set", interface, "up")
    place.ip("address", "add", f"{gateway.lab.gateway.address6}/64", "dev", interface, "nodad")
    gateway.daemon.wait_line(lambda line: "listening on" in line)
    gateway.lab.shake("laptop")
    anew = gateway.as_peer("laptop", lambda: gateway.request(source=LAPTOP))
    opened = gateway.in_the_log(anew, lambda event: event.get("to") in ("streaming", "disabled"))
    assert opened["trigger"] == "first_frame"
