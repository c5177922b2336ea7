"""A gateway whose boundary is a real WireGuard tunnel, in a network namespace; its people behind tunnels."""

from pathlib import Path

from tests.e2e.configuration import put, text_of
from tests.e2e.follower import Follower
from tests.e2e.overlay_gateway import OverlayGateway
from tests.edges.vpn.lab import Lab

LAPTOP = "10.77.0.2"
TABLET = "10.77.0.3"

MEMBERS = """
[[members]]
name = "Maintainer A"
roles = ["maintainer", "approver", "reviewer"]
devices = [{{ label = "laptop", key = "{laptop}" }}]
[[members]]
name = "Viewer"
roles = ["viewer"]
devices = [{{ label = "tablet", key = "{tablet}" }}]
"""


class TunnelGateway(OverlayGateway[Lab]):
    """The laptop's person may do everything, the tablet's may only watch."""

    def __init__(self, folder: Path, segments: Path, lab: Lab, **settings: str) -> None:
        super().__init__(folder, segments, lab, **settings)
        keys = {name: tunnel.key for name, tunnel in lab.peers.items()}
        self.values["members"] = MEMBERS.format(laptop=keys["laptop"], tablet=keys["tablet"])

    def write_configuration(self, **settings: str) -> None:
        """As ever, but for the provider and its interface."""
        self.values |= settings
        text = text_of(self.values, self.camera_port, self.cameras)
        text = text.replace('provider = "loopback"', 'provider = "wireguard"')
        put(self.config, text.replace('interface = "lo"', f'interface = "{self.lab.interface}"'))

    def follow(self) -> None:
        """Follow the log from the laptop."""
        self.follower = self.as_peer("laptop", lambda: Follower((self.address, self.port), LAPTOP))
        self.wait("config_loaded")
