"""A gateway whose boundary is a tailnet, in a network namespace; its people on nodes of that tailnet."""

from tests.e2e.configuration import put, text_of
from tests.e2e.overlay_gateway import OverlayGateway
from tests.e2e.tailnet import Tailnet

CONTROL_MAX_AGE = "10s"
"""The shortest that the configuration takes."""


class TailnetGateway(OverlayGateway[Tailnet]):
    """It listens on both of the node's addresses. Its log is read from the file."""

    def write_configuration(self, **settings: str) -> None:
        """As ever, but for the provider."""
        self.values |= settings
        text = text_of(self.values, self.camera_port, self.cameras)
        text = text.replace('provider = "loopback"', 'provider = "tailscale"')
        text = text.replace('interface = "lo"', f'interface = "{self.lab.interface}"')
        more = f'socket = "{self.lab.socket}"\ncontrol_max_age = "{CONTROL_MAX_AGE}"\n'
        put(self.config, text.replace(f'address = "{self.address}"\n', more))

    def follow(self) -> None:
        """Until the log says that the configuration is in force."""
        self.in_the_log(None, lambda event: event.get("name") == "config_loaded")


def members(*people: tuple[str, str, tuple[str, ...]]) -> str:
    """The file's people: name, roles as TOML, and the stable ids of their devices."""
    return "\n".join(_member(*person) for person in people)


def _member(name: str, roles: str, nodes: tuple[str, ...]) -> str:
    devices = ", ".join(f'{{ label = "{node}", node = "{node}" }}' for node in nodes)
    return f'[[members]]\nname = "{name}"\nroles = {roles}\ndevices = [{devices}]'
