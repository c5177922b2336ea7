"""From what `whois` says to a device, or the reason why it is none (S9): pure."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import get_args

from orchestrator.core.policy import Role
from orchestrator.edges.vpn.boundary import Grant, NotADevice, Peer
from orchestrator.edges.vpn.tailscale_shapes import TAGGED, WhoIs

_CAMERA = re.compile(r"[a-z0-9][a-z0-9_-]{0,31}", re.ASCII)
_ROLES: frozenset[str] = frozenset(get_args(Role))
_MONITOR: frozenset[Role] = frozenset({"monitor"})
_VALUES_READ = 64


@dataclass(frozen=True, slots=True)
class Rules:
    """What a verdict depends on besides the answer: our own node's id, the app capability that grants roles,
    the nodes whose members' entry gives `monitor` alone, and the wall clock for keys that expire."""

    self_id: str
    capability: str
    monitors: Collection[str]
    wall_us: int


def device_behind(who: WhoIs, address: str, rules: Rules) -> Peer:
    """The device at `address`, a normalised one. NotADevice for ourselves first, then for shared, expired and
    confined nodes, routers, and tagged nodes that are more than a monitor."""
    if who.stable_id == rules.self_id:
        raise NotADevice("own-address", "tailscaled calls this the gateway itself: a relay here looks so.")
    for wrong, sentence in _doubts(who, address, rules):
        if wrong:
            raise NotADevice("unknown-device", sentence)
    roles_and_cameras = granted(who.capabilities.get(rules.capability, ()))
    if who.tags or who.login_name == TAGGED:
        return _monitor(who, roles_and_cameras, rules)
    if roles_and_cameras is None or not who.login_name:
        return Peer(who.stable_id)
    return Peer(who.stable_id, Grant(who.login_name, *roles_and_cameras))


def _doubts(who: WhoIs, address: str, rules: Rules) -> Iterable[tuple[bool, str]]:
    asked = ipaddress.ip_interface(address)
    yield who.shared, "This node is shared from another tailnet; members use nodes of this one."
    expired = who.key_expiry_us is not None and who.key_expiry_us <= rules.wall_us
    yield who.expired or expired, "This node's key has expired: log in again on that device."
    yield who.confined, "The tailnet does not let this node connect to others."
    # Prefixes of hosts alone: an address inside a network is not the device that routes it.
    yield asked not in who.addresses, "This address is one that the node routes, not its own."
    wide = bool(who.routes)
    yield wide, "This node routes addresses beyond its own, so it stands for a network and not for a device."


def _monitor(
    who: WhoIs, roles_and_cameras: tuple[frozenset[Role], frozenset[str] | None] | None, rules: Rules
) -> Peer:
    """A tagged node, which belongs to no person and may do no more than read metrics."""
    if roles_and_cameras is not None:
        if roles_and_cameras[0] == _MONITOR:
            return Peer(who.stable_id, Grant(who.name or who.stable_id, *roles_and_cameras))
    elif who.stable_id in rules.monitors:
        return Peer(who.stable_id)
    raise NotADevice(
        "unknown-device", "This node is tagged, so it is no person's: it may have the role monitor alone."
    )


def granted(values: Iterable[object]) -> tuple[frozenset[Role], frozenset[str] | None] | None:
    """The roles and cameras (None: all) that the capability's values give together; None: nothing.

    A value with another key, an unknown role or a camera that is no name counts for nothing. What one grant
    cannot say without giving more than the values do (viewer on cam1, maintainer on cam2) is nothing too.
    """
    read = [value for value in map(_value, list(values)[:_VALUES_READ]) if value is not None]
    while len(read) > 1:
        joined = _join(read)
        if joined is None:
            return None
        read = joined
    return read[0] if read else None


_Given = tuple[frozenset[Role], frozenset[str] | None]


def _value(value: object) -> _Given | None:
    if not isinstance(value, dict) or not {"roles"} <= value.keys() <= {"roles", "cameras"}:
        return None
    roles = _names(value["roles"])
    if roles is None or not roles <= _ROLES:
        return None
    given: frozenset[Role] = frozenset(role for role in get_args(Role) if role in roles)
    if "cameras" not in value:
        return given, None
    cameras = _names(value["cameras"])
    if cameras is None or not all(_CAMERA.fullmatch(camera) for camera in cameras):
        return None
    return given, cameras


def _names(value: object) -> frozenset[str] | None:
    """A list of at least one text; None otherwise."""
    if not isinstance(value, list) or not value or not all(isinstance(each, str) for each in value):
        return None
    return frozenset(value)


def _join(values: list[_Given]) -> list[_Given] | None:
    """The values with two of them made one, or None when no two can be without giving more."""
    for i, (roles, cameras) in enumerate(values):
        for j, (more_roles, more_cameras) in enumerate(values):
            if i == j:
                continue
            rest = [value for k, value in enumerate(values) if k not in (i, j)]
            if cameras == more_cameras or (more_roles <= roles and _within(more_cameras, cameras)):
                return [*rest, (roles | more_roles if cameras == more_cameras else roles, cameras)]
            if roles == more_roles:
                return [*rest, (roles, _both(cameras, more_cameras))]
    return None


def _within(cameras: frozenset[str] | None, others: frozenset[str] | None) -> bool:
    return others is None or (cameras is not None and cameras <= others)


def _both(cameras: frozenset[str] | None, others: frozenset[str] | None) -> frozenset[str] | None:
    return None if cameras is None or others is None else cameras | others
