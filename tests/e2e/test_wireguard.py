"""Only through the tunnel, by people we know: WireGuard in network namespaces, the whole program (S7–S9)."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.parts import segment_root
from tests.e2e.tunnel_gateway import TABLET, TunnelGateway
from tests.edges.vpn.lab import lab

pytestmark = pytest.mark.slow


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


def test_a_member_watches_through_the_tunnel_and_nobody_else_gets_a_byte(gateway: TunnelGateway) -> None:
    """F5, F29: a stranger behind the tunnel is refused, a host on the LAN is not even answered."""
    gateway.open_from("laptop")
    _, viewer = gateway.watch_from("laptop")
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
