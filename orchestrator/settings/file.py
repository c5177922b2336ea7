"""The configuration file as it is written: one model a table, with CONTRACT 3's defaults."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from orchestrator.core.moment import SECOND_US
from orchestrator.settings import fields as f

MINUTE_US = 60 * SECOND_US


class Table(BaseModel):
    """A table of the file: a key that is not here is a fault."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, populate_by_name=False)


class SiteTable(Table):
    """What stands above the first table."""

    site: f.Site
    timezone: f.Zone


class LogTable(Table):
    """`[log]`."""

    url: f.DatabaseUrl = Path("/var/lib/volet/events.db")
    blackbox: f.AbsolutePath | None = None
    patience: Annotated[int, f.span("500ms", "30s")] = 3 * SECOND_US


class SideDoorTable(Table):
    """`[[vpn.accepted_side_doors]]`."""

    listener: f.Listener
    why: Annotated[str, f.text(500, "why it is tolerated")]
    until: f.Date


class VpnTable(Table):
    """`[vpn]`."""

    provider: Annotated[
        Literal["tailscale", "wireguard", "loopback"], f.choice("tailscale", "wireguard", "loopback")
    ]
    interface: f.Interface | None = None
    port: Annotated[int, f.whole(1, 65535)] = 8080
    address: f.Address | None = None
    helper: f.SocketPath | None = None
    settle: Annotated[int, f.span("0s", "10m")] = 3 * SECOND_US
    control_max_age: Annotated[int, f.span("10s", "24h")] | None = None
    capability: f.Capability | None = None
    socket: f.SocketPath | None = None
    names: Annotated[list[f.HostValue], Field(max_length=16)] = []
    accepted_side_doors: Annotated[list[SideDoorTable], Field(max_length=16)] = []


class LocalTable(Table):
    """`[local]`."""

    socket: f.SocketPath | None = None


class PolicyTable(Table):
    """`[policy]`."""

    two_people: bool = False
    require_ticket: f.Expression = ""
    require_clock_sync: bool = True


class PrivacyTable(Table):
    """`[privacy]`."""


class DeviceTable(Table):
    """One of a member's `devices`: a label and one of `key`, `node`, `address`."""

    label: Annotated[str, f.text(100, "the device's label")]
    key: f.WireguardKey | None = None
    node: f.TailscaleNode | None = None
    address: f.Address | None = None


class MemberTable(Table):
    """`[[members]]`."""

    name: Annotated[str, f.text(100, "the person's name")]
    roles: Annotated[list[f.Role], Field(min_length=1)]
    cameras: Annotated[list[f.Id], Field(min_length=1)] | None = None
    devices: list[DeviceTable] = []


class MqttTable(Table):
    """`[mqtt]`."""

    host: f.Host = "127.0.0.1"
    port: Annotated[int, f.whole(1, 65535)] | None = None
    ca_file: f.AbsolutePath | None = None
    cert_file: f.AbsolutePath | None = None
    key_file: f.AbsolutePath | None = None
    username: Annotated[str, f.text(200, "the user name at the broker")] | None = None
    password_file: f.AbsolutePath | None = None
    keepalive: Annotated[int, f.span("1s", "60s")] = 5 * SECOND_US
    publish_prefix: f.TopicPrefix = "parking/stream"
    trust: Annotated[Literal["acl", "open"], f.choice("acl", "open")] = "acl"


class RuleTable(Table):
    """`[[lanes.<lane>.rules]]`."""

    id: f.Id
    topic: f.Topic
    phase: Annotated[Literal["open", "hold"], f.choice("open", "hold")]
    equals: f.LaneText | None = None
    heartbeat: Annotated[Literal["epoch"], f.choice("epoch")] | None = None
    quiet_for: Annotated[int, f.span("100ms", "1h")] | None = None
    steady_for: Annotated[int, f.span("100ms", "1h")] | None = None
    max_age: Annotated[int, f.span("500ms", "10m")] | None = None
    vouched_by: f.Id | None = None
    when_absent: Annotated[Literal["fail", "pass"], f.choice("fail", "pass")] | None = None
    pointer: f.Pointer | None = None
    also: list[f.LaneText] = []


class LaneTable(Table):
    """`[lanes.<lane>]` without its rules, which are read one by one."""

    settle: Annotated[int, f.span("0s", "10m")] = 8 * SECOND_US


class MovesTable(Table):
    """A camera's `moves`."""

    topic: f.Topic
    prefix: Annotated[str, f.text(64, "how a command for this camera begins")] | None = None


class MaskTable(Table):
    """One of a camera's `masks`: a rectangle in fractions of the picture."""

    x: Annotated[Decimal, f.fraction("0")]
    y: Annotated[Decimal, f.fraction("0")]
    width: Annotated[Decimal, f.fraction("0.001")]
    height: Annotated[Decimal, f.fraction("0.001")]


class CameraTable(Table):
    """`[cameras.<camera>]`."""

    lane: f.Id
    source: f.Source
    source_secret_file: f.AbsolutePath | None = None
    size: f.FrameSize = None
    fps: Annotated[int, f.whole(1, 60)] = 12
    bitrate: f.Bitrate = 600_000
    max_session: Annotated[int, f.span("1s", "60m")] = 15 * MINUTE_US
    expiry_notice: Annotated[int, f.span("1s", "60m")] = 60 * SECOND_US
    idle_close: Annotated[int, f.span("1s", "60m")] = 2 * MINUTE_US
    moves: MovesTable | None = None
    outputs: Annotated[list[f.Output], Field(min_length=1)] = ["hls", "mp4"]
    masks: Annotated[list[MaskTable], Field(max_length=16)] = []
    watermark: bool = True


class PurposeTable(Table):
    """`[[purposes]]`."""

    name: f.Id
    masks: bool = True
    waive: list[f.Id] = []
    require_ticket: f.Expression = ""
    max_session: Annotated[int, f.span("1s", "60m")] | None = None


class BackoffTable(Table):
    """`[worker] backoff`."""

    floor: Annotated[int, f.span("100ms", "10m")] = 500_000
    base: Annotated[int, f.span("100ms", "10m")] = 1 * SECOND_US
    max: Annotated[int, f.span("100ms", "10m")] = 30 * SECOND_US


class WorkerTable(Table):
    """`[worker]`."""

    segments: f.AbsolutePath = Path("/run/volet")
    allow_swap: bool = False
    nice: Annotated[int, f.whole(0, 19)] = 19
    first_frame: Annotated[int, f.span("500ms", "60s")] = 8 * SECOND_US
    stall: Annotated[int, f.span("500ms", "60s")] = 3 * SECOND_US
    backoff: BackoffTable = BackoffTable()
    healthy_after: Annotated[int, f.span("1s", "1h")] = 60 * SECOND_US
    starts_per_second: Annotated[int, f.whole(1, 100)] = 4
    max_failures: Annotated[int, f.whole(1, 100)] = 5
    failure_window: Annotated[int, f.span("1s", "1h")] = 2 * MINUTE_US


class HostTable(Table):
    """`[host]`."""

    max_load_per_cpu: Annotated[int, f.milli("0.01", "1000")] = 900
    min_memory_available: f.SizeBytes = 200 * 1024 * 1024
    max_temperature: Annotated[int, f.milli("1", "1000")] = 85_000


class ViewersTable(Table):
    """`[viewers]`."""

    max_per_camera: Annotated[int, f.whole(1, 200)] = 4
    new_per_minute: Annotated[int, f.whole(1, 1000)] = 12


class WindowTable(Table):
    """`[[windows]]`."""

    name: Annotated[str, f.text(80, "the window's name")]
    cameras: Annotated[list[f.Id], Field(min_length=1)]
    cron: f.CronFields
    duration: Annotated[int, f.span("1m", "31d")]
    except_: Annotated[list[f.Date], Field(alias="except", max_length=400)] = []
