"""The VPN provider that the configuration names, with what it must guard."""

from __future__ import annotations

from collections.abc import Callable

from orchestrator.edges.vpn.boundary import Boundary
from orchestrator.edges.vpn.loopback import Loopback
from orchestrator.edges.vpn.serve_config import Guarded
from orchestrator.edges.vpn.tailscale import Tailscale, TailscaleOptions
from orchestrator.edges.vpn.wireguard import WireGuard
from orchestrator.settings import Settings

Alarm = Callable[[str, str], None]
"""Told the fault and a sentence the moment it is known that the boundary does not stand."""


def boundary_of(settings: Callable[[], Settings], alarm: Alarm | None = None) -> Boundary:
    """The provider of the settings in force; what it guards and knows of people is asked anew each time."""
    vpn = settings().vpn
    if vpn.provider == "wireguard":
        return WireGuard(vpn.interface, vpn.address, vpn.helper, alarm=alarm)
    if vpn.provider == "tailscale":
        options = TailscaleOptions(
            interface=vpn.interface,
            socket=vpn.socket,
            address=vpn.address,
            capability=vpn.capability,
            control_max_age_us=vpn.control_max_age_us,
        )
        return Tailscale(
            options,
            guarded=lambda: guarded_of(settings()),
            monitors=lambda: monitors_of(settings()),
            alarm=alarm,
        )
    return Loopback(vpn.address or "127.0.0.1")


def guarded_of(settings: Settings) -> Guarded:
    """What no other way in may lead to: our port, the cameras' sources, our files and socket."""
    sources = (camera.source for camera in settings.cameras.values())
    return Guarded(
        settings.vpn.port,
        frozenset((source.host, source.port) for source in sources if source.host and source.port),
        (str(settings.worker.segments), str(settings.local_socket)),
    )


def monitors_of(settings: Settings) -> frozenset[str]:
    """The nodes of those who may read metrics and nothing else: such a one may be tagged."""
    return frozenset(
        device.value
        for member in settings.members
        if member.roles == frozenset({"monitor"})
        for device in member.devices
        if device.kind == "node"
    )
