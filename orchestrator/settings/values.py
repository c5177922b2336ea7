"""A valid configuration as frozen values: what each part of the program is built from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal

from orchestrator.core.policy import Policy, Role
from orchestrator.settings.certificates import Certificates
from orchestrator.settings.source import CameraSource

DeviceKind = Literal["key", "node", "address"]
Output = Literal["hls", "mp4"]

CONTROL_MAX_AGE_US = 600_000_000
TAILSCALE_CAPABILITY = "volet.invalid/cap/camera"
TAILSCALED = Path("/var/run/tailscale/tailscaled.sock")


@dataclass(frozen=True, slots=True)
class LogSettings:
    """`[log]`: the SQLite file and the black box, both absolute; the patience is `Policy.log_patience_us`."""

    url: str
    database: Path
    blackbox: Path

    @property
    def bookmark(self) -> Path:
        """How far the log has been published, beside the database."""
        return self.database.with_name(self.database.name + ".published")


@dataclass(frozen=True, slots=True)
class AcceptedSideDoor:
    """`[[vpn.accepted_side_doors]]`: one listener of the source, tolerated through the day `until` (ISO 8601,
    in the site's zone). Funnel and Serve never are."""

    listener: str
    address: str
    port: int
    why: str = field(repr=False)
    until: str


@dataclass(frozen=True, slots=True)
class VpnSettings:
    """`[vpn]`. `address` None: the interface's own, one of each family. `helper`: where `volet peers` is."""

    provider: Literal["tailscale", "wireguard", "loopback"]
    interface: str
    port: int
    address: str | None
    settle_us: int
    helper: Path | None = None
    control_max_age_us: int = CONTROL_MAX_AGE_US
    capability: str = TAILSCALE_CAPABILITY
    socket: Path = TAILSCALED
    names: tuple[str, ...] = ()
    accepted_side_doors: tuple[AcceptedSideDoor, ...] = ()


@dataclass(frozen=True, slots=True)
class MqttSettings:
    """`[mqtt]`. Neither user name nor password shows in a repr. `certificates` None: no TLS."""

    host: str
    port: int
    username: str | None = field(repr=False)
    password: str | None = field(repr=False)
    keepalive_s: int
    publish_prefix: str
    trust: Literal["acl", "open"]
    certificates: Certificates | None = None


@dataclass(frozen=True, slots=True)
class Mask:
    """A blurred rectangle in thousandths of the picture, rounded outward; the edges are within 0 and 1000."""

    x_milli: int
    y_milli: int
    width_milli: int
    height_milli: int


@dataclass(frozen=True, slots=True)
class CameraSettings:
    """How one camera's picture is made; when it may be is `Policy.cameras`.

    `source_secret` is `user:password`. `size` None: the source's own.
    """

    id: str
    source: CameraSource
    source_secret: str | None = field(repr=False)
    size: tuple[int, int] | None
    fps: int
    bitrate_bps: int
    outputs: tuple[Output, ...]
    masks: tuple[Mask, ...]
    watermark: bool


@dataclass(frozen=True, slots=True)
class WorkerSettings:
    """Where and how workers run; when they count as failed stands in `Policy.worker`."""

    segments: Path
    nice: int


@dataclass(frozen=True, slots=True)
class DeviceEntry:
    """A device as the file names it: `value` is the WireGuard key, Tailscale node id or address."""

    label: str = field(repr=False)
    kind: DeviceKind
    value: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class MemberEntry:
    """A person as the file names them; random ids are given elsewhere (S19). `cameras` None: all."""

    name: str = field(repr=False)
    roles: frozenset[Role]
    cameras: frozenset[str] | None
    devices: tuple[DeviceEntry, ...]


@dataclass(frozen=True, slots=True)
class Settings:
    """The whole configuration. `policy.digest` is that of the canonical bytes of `public()`."""

    path: Path
    policy: Policy
    log: LogSettings
    vpn: VpnSettings
    mqtt: MqttSettings
    local_socket: Path
    worker: WorkerSettings
    cameras: Mapping[str, CameraSettings]
    members: tuple[MemberEntry, ...]

    def public(self) -> dict[str, object]:
        """The configuration as canonical values without secrets and persons, for the chain (CONTRACT 7).

        A member is there as roles, cameras and the kinds of the devices, in the file's order.
        """
        policy = self.policy
        return {
            "site": policy.site,
            "timezone": policy.timezone,
            "log": {
                "url": self.log.url,
                "blackbox": str(self.log.blackbox),
                "patience_us": policy.log_patience_us,
            },
            "vpn": self._public_vpn(),
            "mqtt": {
                "host": self.mqtt.host,
                "port": self.mqtt.port,
                "authenticated": self.mqtt.username is not None,
                "tls": self.mqtt.certificates is not None,
                "client_certificate": bool(self.mqtt.certificates and self.mqtt.certificates.cert_file),
                "keepalive_s": self.mqtt.keepalive_s,
                "publish_prefix": self.mqtt.publish_prefix,
                "trust": self.mqtt.trust,
            },
            "local": {"socket": str(self.local_socket)},
            "policy": {
                "require_clock_sync": policy.require_clock_sync,
                "two_people": policy.two_people,
                "require_ticket": policy.require_ticket,
            },
            "lanes": {name: _plain(asdict(lane)) for name, lane in policy.lanes.items()},
            "cameras": {name: self._public_camera(name) for name in self.cameras},
            "purposes": [_plain(asdict(purpose)) for purpose in policy.purposes],
            "windows": [_plain(asdict(window)) for window in policy.windows],
            "worker": {
                "segments": str(self.worker.segments),
                "nice": self.worker.nice,
                "allow_swap": policy.allow_swap,
                **asdict(policy.worker),
            },
            "host": asdict(policy.host),
            "viewers": {
                "max_per_camera": policy.max_viewers_per_camera,
                "new_per_minute": policy.new_viewers_per_minute,
            },
            "members": [
                {
                    "roles": sorted(member.roles),
                    "cameras": None if member.cameras is None else sorted(member.cameras),
                    "devices": [device.kind for device in member.devices],
                }
                for member in self.members
            ],
        }

    def _public_vpn(self) -> dict[str, object]:
        vpn = self.vpn
        return {
            **asdict(vpn),
            "helper": None if vpn.helper is None else str(vpn.helper),
            "socket": str(vpn.socket),
            "names": list(vpn.names),
            "accepted_side_doors": [
                {"listener": door.listener, "until": door.until} for door in vpn.accepted_side_doors
            ],
        }

    def _public_camera(self, name: str) -> dict[str, object]:
        camera = self.cameras[name]
        return {
            **asdict(self.policy.cameras[name]),
            "source": camera.source.text,
            "authenticated": camera.source_secret is not None,
            "size": None if camera.size is None else list(camera.size),
            "fps": camera.fps,
            "bitrate_bps": camera.bitrate_bps,
            "outputs": list(camera.outputs),
            "masks": [asdict(mask) for mask in camera.masks],
            "watermark": camera.watermark,
        }

    def personal(self) -> dict[str, object]:
        """What `public()` leaves out but secrets: names, labels, keys, addresses; for an event's details."""
        return {
            "members": [
                {"name": member.name, "devices": [asdict(device) for device in member.devices]}
                for member in self.members
            ],
            "mqtt_username": self.mqtt.username,
            "accepted_side_doors": [door.why for door in self.vpn.accepted_side_doors],
        }


def _plain(value: object) -> object:
    """`value` with its tuples as lists, as canonical JSON has them."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value
