"""From valid tables to Settings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from pathlib import Path
from typing import TypeVar

from orchestrator.core.canonical import canonical
from orchestrator.core.chain import digest
from orchestrator.core.policy import (
    Backoff,
    CameraPolicy,
    HostPolicy,
    LanePolicy,
    LaneRule,
    Policy,
    Purpose,
    RecurringWindow,
    WorkerPolicy,
)
from orchestrator.settings import file
from orchestrator.settings.fields import split_listener
from orchestrator.settings.secrets import Secrets
from orchestrator.settings.source import read_source
from orchestrator.settings.tables import Lane, Tables
from orchestrator.settings.values import (
    CONTROL_MAX_AGE_US,
    TAILSCALE_CAPABILITY,
    TAILSCALED,
    AcceptedSideDoor,
    CameraSettings,
    DeviceEntry,
    LogSettings,
    Mask,
    MemberEntry,
    MqttSettings,
    Settings,
    VpnSettings,
    WorkerSettings,
)

_T = TypeVar("_T")
_HEARTBEAT_MAX_AGE_US = 6_000_000
PLAIN_PORT, TLS_PORT = 1883, 8883
"""The ports that IANA has for MQTT."""


def build(path: Path, tables: Tables, secrets: Secrets, environ: Mapping[str, str]) -> Settings:
    """The settings of tables in which no fault was found; LookupError when a part is missing all the same."""
    mqtt, log = _there(tables.mqtt), _there(tables.log)
    worker = _there(tables.worker)
    settings = Settings(
        path=path,
        policy=_policy(tables),
        log=LogSettings(
            url=f"sqlite:///{log.url}",
            database=log.url,
            blackbox=log.blackbox or log.url.parent / "blackbox",
        ),
        vpn=_vpn(_there(tables.vpn)),
        mqtt=MqttSettings(
            host=mqtt.host,
            port=mqtt.port or (TLS_PORT if mqtt.ca_file else PLAIN_PORT),
            username=mqtt.username,
            password=secrets.mqtt_password,
            keepalive_s=mqtt.keepalive // 1_000_000,
            publish_prefix=mqtt.publish_prefix,
            trust=mqtt.trust,
            certificates=secrets.certificates,
        ),
        local_socket=_there(tables.local).socket or _default_socket(environ),
        worker=WorkerSettings(segments=worker.segments, nice=worker.nice),
        cameras={
            name: _camera(name, camera, secrets.sources.get(name)) for name, camera in tables.cameras.items()
        },
        members=tuple(_member(member.table) for member in tables.members),
    )
    config = digest(canonical(settings.public()))
    return replace(settings, policy=replace(settings.policy, digest=config))


def _there(part: _T | None) -> _T:
    if part is None:
        raise LookupError("a table with faults was built from")
    return part


def _default_socket(environ: Mapping[str, str]) -> Path:
    # systemd lists several run folders with colons between; the first is the unit's own.
    folder = environ.get("RUNTIME_DIRECTORY", "").split(":")[0] or "/run/volet"
    return Path(folder) / "volet.sock"


def _vpn(vpn: file.VpnTable) -> VpnSettings:
    loopback = vpn.provider == "loopback"
    return VpnSettings(
        provider=vpn.provider,
        interface=vpn.interface or ("lo" if loopback else "tailscale0"),
        port=vpn.port,
        address=vpn.address or ("127.0.0.1" if loopback else None),
        settle_us=vpn.settle,
        helper=vpn.helper,
        control_max_age_us=vpn.control_max_age or CONTROL_MAX_AGE_US,
        capability=vpn.capability or TAILSCALE_CAPABILITY,
        socket=vpn.socket or TAILSCALED,
        names=tuple(vpn.names),
        accepted_side_doors=tuple(_side_door(door) for door in vpn.accepted_side_doors),
    )


def _side_door(door: file.SideDoorTable) -> AcceptedSideDoor:
    address, port = split_listener(door.listener)
    return AcceptedSideDoor(door.listener, address, port, door.why, door.until)


def _policy(tables: Tables) -> Policy:
    site, policy, viewers = _there(tables.site), _there(tables.policy), _there(tables.viewers)
    worker, host = _there(tables.worker), _there(tables.host)
    return Policy(
        site=site.site,
        timezone=site.timezone,
        cameras={name: _camera_policy(name, camera) for name, camera in tables.cameras.items()},
        lanes={name: _lane(name, lane) for name, lane in tables.lanes.items()},
        purposes=tuple(_purpose(purpose.table) for purpose in tables.purposes) or (Purpose(),),
        windows=tuple(_window(window.table) for window in tables.windows),
        worker=WorkerPolicy(
            first_frame_us=worker.first_frame,
            stall_us=worker.stall,
            backoff=Backoff(worker.backoff.floor, worker.backoff.base, worker.backoff.max),
            healthy_after_us=worker.healthy_after,
            starts_per_second=worker.starts_per_second,
            max_failures=worker.max_failures,
            failure_window_us=worker.failure_window,
        ),
        host=HostPolicy(host.max_load_per_cpu, host.min_memory_available, host.max_temperature),
        boundary_settle_us=_there(tables.vpn).settle,
        log_patience_us=_there(tables.log).patience,
        require_clock_sync=policy.require_clock_sync,
        require_ticket=policy.require_ticket,
        two_people=policy.two_people,
        max_viewers_per_camera=viewers.max_per_camera,
        new_viewers_per_minute=viewers.new_per_minute,
        allow_swap=worker.allow_swap,
    )


def _lane(name: str, lane: Lane) -> LanePolicy:
    return LanePolicy(name, _there(lane.table).settle, tuple(_rule(rule.table) for rule in lane.rules))


def _rule(rule: file.RuleTable) -> LaneRule:
    heartbeat = rule.heartbeat is not None
    return LaneRule(
        id=rule.id,
        topic=rule.topic,
        phase=rule.phase,
        equals=rule.equals,
        heartbeat=heartbeat,
        quiet_for_us=rule.quiet_for,
        steady_for_us=rule.steady_for,
        max_age_us=(rule.max_age or _HEARTBEAT_MAX_AGE_US) if heartbeat else 0,
        vouched_by=rule.vouched_by,
        when_absent=rule.when_absent or "fail",
        pointer=rule.pointer,
        also=tuple(rule.also),
    )


def _camera_policy(name: str, camera: file.CameraTable) -> CameraPolicy:
    moves = camera.moves
    return CameraPolicy(
        id=name,
        lane=camera.lane,
        max_session_us=camera.max_session,
        expiry_notice_us=camera.expiry_notice,
        idle_close_us=camera.idle_close,
        moves_topic=moves.topic if moves else None,
        moves_prefix=(moves.prefix or "") if moves else "",
        masked=bool(camera.masks),
    )


def _camera(name: str, camera: file.CameraTable, secret: str | None) -> CameraSettings:
    return CameraSettings(
        id=name,
        source=read_source(camera.source),
        source_secret=secret,
        size=camera.size,
        fps=camera.fps,
        bitrate_bps=camera.bitrate,
        outputs=tuple(camera.outputs),
        masks=tuple(_mask(mask) for mask in camera.masks),
        watermark=camera.watermark,
    )


def _mask(mask: file.MaskTable) -> Mask:
    left, top = _milli(mask.x, ROUND_FLOOR), _milli(mask.y, ROUND_FLOOR)
    right, bottom = _milli(mask.x + mask.width, ROUND_CEILING), _milli(mask.y + mask.height, ROUND_CEILING)
    return Mask(left, top, right - left, bottom - top)


def _milli(fraction: Decimal, rounding: str) -> int:
    return int((fraction * 1000).to_integral_value(rounding))


def _purpose(purpose: file.PurposeTable) -> Purpose:
    return Purpose(
        name=purpose.name,
        masks=purpose.masks,
        waive=tuple(purpose.waive),
        require_ticket=purpose.require_ticket,
        max_session_us=purpose.max_session,
    )


def _window(window: file.WindowTable) -> RecurringWindow:
    return RecurringWindow(
        name=window.name,
        cameras=tuple(window.cameras),
        cron=window.cron,
        duration_us=window.duration,
        exceptions=tuple(window.except_),
    )


def _member(member: file.MemberTable) -> MemberEntry:
    return MemberEntry(
        name=member.name,
        roles=frozenset(member.roles),
        cameras=None if member.cameras is None else frozenset(member.cameras),
        devices=tuple(_device(device) for device in member.devices),
    )


def _device(device: file.DeviceTable) -> DeviceEntry:
    if device.key is not None:
        return DeviceEntry(device.label, "key", device.key)
    if device.node is not None:
        return DeviceEntry(device.label, "node", device.node)
    return DeviceEntry(device.label, "address", _there(device.address))
