"""What the tables of a configuration must say of each other (CONTRACT 3)."""

from __future__ import annotations

import ipaddress
from collections.abc import Hashable, Iterable, Iterator

from orchestrator.settings import file
from orchestrator.settings.faults import Fault, shown
from orchestrator.settings.fields import ID, split_listener
from orchestrator.settings.tables import At, Lane, Tables

_KINDS = ("equals", "heartbeat", "quiet_for", "steady_for")
_DEVICE_KINDS = {"wireguard": "key", "tailscale": "node", "loopback": "address"}
_MAX_NAMED = 12
_LOOPBACK = ipaddress.ip_network("127.0.0.0/8")


def judge(tables: Tables) -> Iterator[Fault]:
    """Every fault between tables that are each valid by themselves."""
    yield from _vpn(tables)
    yield from _members(tables)
    yield from _mqtt(tables)
    for name, lane in tables.lanes.items():
        yield from _lane(f"lanes.{name}", lane)
    yield from _cameras(tables)
    yield from _topics(tables)
    yield from _purposes(tables)
    yield from _worker(tables)
    yield from _windows(tables)


def _vpn(tables: Tables) -> Iterator[Fault]:
    vpn = tables.vpn
    if vpn is None:
        return
    if vpn.helper is not None and vpn.provider != "wireguard":
        yield Fault("vpn.helper", f"a helper beside {vpn.provider}", "it beside wireguard alone")
    yield from _tailscale_alone(vpn)
    yield from _side_doors(vpn)
    if vpn.provider != "loopback":
        if vpn.interface is None and vpn.provider != "tailscale":
            yield Fault("vpn.interface", "nothing", 'the name of the VPN interface, such as "wg0"')
        if vpn.address is not None and not _is_one_host(vpn.address):
            yield Fault("vpn.address", shown(vpn.address), "an address of the VPN interface")
        return
    if vpn.address is not None and not _is_loopback(vpn.address):
        yield Fault("vpn.address", shown(vpn.address), "an address in 127.0.0.0/8 (provider loopback)")


def _tailscale_alone(vpn: file.VpnTable) -> Iterator[Fault]:
    keys = {"control_max_age": vpn.control_max_age, "capability": vpn.capability, "socket": vpn.socket}
    for key, value in keys.items():
        if value is not None and vpn.provider != "tailscale":
            yield Fault(f"vpn.{key}", f"{key} beside {vpn.provider}", "it beside tailscale alone")


def _side_doors(vpn: file.VpnTable) -> Iterator[Fault]:
    yield from _unique((door.listener for door in vpn.accepted_side_doors), "vpn.accepted_side_doors")
    for i, door in enumerate(vpn.accepted_side_doors):
        address, _ = split_listener(door.listener)
        if ipaddress.ip_address(address).is_loopback:
            path = f"vpn.accepted_side_doors[{i}].listener"
            yield Fault(path, shown(door.listener), "a listener beyond loopback: this one is no side door")


def _is_one_host(address: str) -> bool:
    """Whether others can reach one machine by it: not loopback, link-local, multicast or all addresses."""
    parsed = ipaddress.ip_address(address)
    return not (parsed.is_loopback or parsed.is_link_local or parsed.is_multicast or parsed.is_unspecified)


def _is_loopback(address: str) -> bool:
    return ipaddress.ip_address(address) in _LOOPBACK


def _repeated(
    items: Iterable[At[file.PurposeTable]] | Iterable[At[file.WindowTable]] | Iterable[At[file.MemberTable]],
) -> Iterator[Fault]:
    first: dict[str, str] = {}
    for item in items:
        name, path = item.table.name, item.path
        if name in first:
            yield Fault(f"{path}.name", f"the name of {first[name]} again", "a name of its own")
        first.setdefault(name, path)


def _unique(values: Iterable[Hashable], path: str) -> Iterator[Fault]:
    listed = list(values)
    if len(set(listed)) != len(listed):
        yield Fault(path, "the same twice", "each one once")


def _members(tables: Tables) -> Iterator[Fault]:
    yield from _repeated(tables.members)
    owner: dict[str, str] = {}
    for member in tables.members:
        yield from _unique(member.table.roles, f"{member.path}.roles")
        yield from _known_cameras(tables, member.table.cameras or (), f"{member.path}.cameras")
        yield from _unique((device.label for device in member.table.devices), f"{member.path}.devices")
        for i, device in enumerate(member.table.devices):
            path = f"{member.path}.devices[{i}]"
            yield from _device(tables.vpn, device, path)
            for value in filter(None, (device.key, device.node, device.address)):
                if value in owner:
                    yield Fault(path, f"the device of {owner[value]} again", "a device of one person, once")
                owner.setdefault(value, path)


def _device(vpn: file.VpnTable | None, device: file.DeviceTable, path: str) -> Iterator[Fault]:
    given = [kind for kind in ("key", "node", "address") if getattr(device, kind) is not None]
    if len(given) != 1:
        yield Fault(path, " and ".join(given) or "none of them", "one of key, node and address")
    elif vpn is not None and given[0] != _DEVICE_KINDS[vpn.provider]:
        yield Fault(
            f"{path}.{given[0]}",
            f"a device by its {given[0]}",
            f"its {_DEVICE_KINDS[vpn.provider]} ({vpn.provider})",
        )
    elif vpn is not None and device.address is not None:
        if not _is_loopback(device.address):
            yield Fault(f"{path}.address", "another address", "an address in 127.0.0.0/8 (provider loopback)")
        elif device.address == vpn.address:
            yield Fault(f"{path}.address", "vpn.address", "another: the listener's own address is nobody")


def _mqtt(tables: Tables) -> Iterator[Fault]:
    mqtt = tables.mqtt
    if mqtt is None:
        return
    if mqtt.password_file is not None and mqtt.username is None:
        yield Fault("mqtt.password_file", "a password without a user name", "mqtt.username beside it")
    if mqtt.keepalive % 1_000_000:
        yield Fault("mqtt.keepalive", f"{mqtt.keepalive // 1000}ms", "whole seconds")
    if (mqtt.cert_file is None) is not (mqtt.key_file is None):
        alone, other = ("cert_file", "key_file") if mqtt.key_file is None else ("key_file", "cert_file")
        yield Fault(f"mqtt.{alone}", f"no {other}", f"mqtt.{other} beside it")
    elif mqtt.cert_file is not None and mqtt.ca_file is None:
        yield Fault("mqtt.cert_file", "a certificate of ours without TLS", "mqtt.ca_file, which turns TLS on")


def _lane(path: str, lane: Lane) -> Iterator[Fault]:
    first: dict[str, str] = {}
    for rule in lane.rules:
        if rule.table.id in first:
            yield Fault(f"{rule.path}.id", f"the id of {first[rule.table.id]} again", "an id of its own")
        first.setdefault(rule.table.id, rule.path)
        yield from _rule(rule, lane)
    if lane.complete and not any(rule.table.heartbeat for rule in lane.rules):
        yield Fault(
            f"{path}.rules", "no heartbeat rule", "at least one: without it nothing proves the sensor lives"
        )


def _rule(rule: At[file.RuleTable], lane: Lane) -> Iterator[Fault]:
    table, path = rule.table, rule.path
    given = [kind for kind in _KINDS if getattr(table, kind) is not None]
    if len(given) != 1:
        yield Fault(path, " and ".join(given) or "none of them", f"exactly one of {', '.join(_KINDS)}")
        return
    (kind,) = given
    valued = kind in {"equals", "steady_for"}
    only_valued = {
        "vouched_by": table.vouched_by,
        "when_absent": table.when_absent,
        "pointer": table.pointer,
    }
    for key, value in only_valued.items():
        if value is not None and not valued:
            yield Fault(f"{path}.{key}", f"{key} beside {kind}", "it beside equals or steady_for alone")
    if table.max_age is not None and kind != "heartbeat":
        yield Fault(f"{path}.max_age", f"max_age beside {kind}", "it beside heartbeat alone")
    if table.also and table.pointer is None:
        yield Fault(f"{path}.also", "also without pointer", "it beside pointer alone")
    if table.vouched_by is not None and valued:
        heartbeats = {other.table.id for other in lane.rules if other.table.heartbeat}
        if table.vouched_by not in heartbeats and (lane.complete or table.vouched_by not in lane.named):
            expected = f"a heartbeat rule of this lane: {_among(heartbeats)}"
            yield Fault(f"{path}.vouched_by", shown(table.vouched_by), expected)


def _known_cameras(tables: Tables, names: Iterable[str], path: str) -> Iterator[Fault]:
    unknown = [name for name in names if name not in tables.camera_names]
    among = _among(tables.camera_names) if unknown else ""
    yield from (Fault(path, shown(name), f"a camera of this file: {among}") for name in unknown)
    yield from _unique(names, path)


def _among(names: Iterable[str]) -> str:
    known = sorted(name for name in names if ID.fullmatch(name))
    return ", ".join(known[:_MAX_NAMED]) + ", …" * (len(known) > _MAX_NAMED) or "there is none"


def _cameras(tables: Tables) -> Iterator[Fault]:
    if not tables.camera_names:
        yield Fault("cameras", "none", "at least one [cameras.<name>]")
    lanes = _among(tables.lanes)
    for name, camera in tables.cameras.items():
        path = f"cameras.{name}"
        if camera.lane not in tables.lanes:
            yield Fault(f"{path}.lane", shown(camera.lane), f"a lane of this file: {lanes}")
        if camera.source_secret_file is not None and not camera.source.startswith(("http", "rtsp")):
            yield Fault(f"{path}.source_secret_file", "a secret for a local source", "it beside a URL alone")
        yield from _unique(camera.outputs, f"{path}.outputs")
        for i, mask in enumerate(camera.masks):
            if mask.x + mask.width > 1 or mask.y + mask.height > 1:
                yield Fault(
                    f"{path}.masks[{i}]", "a mask beyond the edge", "x + width and y + height of at most 1"
                )


def _topics(tables: Tables) -> Iterator[Fault]:
    if tables.mqtt is None:
        return
    prefix = tables.mqtt.publish_prefix
    subscribed = [
        (f"{rule.path}.topic", rule.table.topic) for lane in tables.lanes.values() for rule in lane.rules
    ]
    subscribed += [
        (f"cameras.{name}.moves.topic", camera.moves.topic)
        for name, camera in tables.cameras.items()
        if camera.moves is not None
    ]
    for path, topic in subscribed:
        if topic == prefix or topic.startswith(f"{prefix}/"):
            yield Fault(path, shown(topic), f"a topic outside mqtt.publish_prefix {prefix!r}")


def _purposes(tables: Tables) -> Iterator[Fault]:
    yield from _repeated(tables.purposes)
    named = frozenset[str]().union(*(lane.named for lane in tables.lanes.values()))
    rules = _among(named)
    for purpose in tables.purposes:
        yield from _unique(purpose.table.waive, f"{purpose.path}.waive")
        for rule in purpose.table.waive:
            if rule not in named:
                yield Fault(f"{purpose.path}.waive", shown(rule), f"lane rules of this file: {rules}")


def _worker(tables: Tables) -> Iterator[Fault]:
    if tables.worker is None:
        return
    backoff = tables.worker.backoff
    if not backoff.floor <= backoff.base <= backoff.max:
        yield Fault("worker.backoff", "another order", "floor, base and max that ascend")


def _windows(tables: Tables) -> Iterator[Fault]:
    yield from _repeated(tables.windows)
    for window in tables.windows:
        yield from _known_cameras(tables, window.table.cameras, f"{window.path}.cameras")
