"""What tailscaled's LocalAPI answers, read strictly: a shape that is not documented means no (FIELD 3)."""

from __future__ import annotations

import ipaddress
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from orchestrator.core.moment import parse_rfc3339
from orchestrator.edges.vpn.boundary import normalised

RUNNING = 6
"""`State` on the notification bus while the VPN runs; `BackendState` then says "Running"."""
TAGGED = "tagged-devices"
"""The login name of every tagged node: it stands for no person."""
_STABLE_ID = re.compile(r"[A-Za-z0-9]{1,64}", re.ASCII)
_NEVER = "0001-01-01T00:00:00"

IPInterface = ipaddress.IPv4Interface | ipaddress.IPv6Interface
Json = Mapping[str, object]


class UnknownShape(Exception):
    """An answer is not as documented; the sentence says where and what stood there."""


@dataclass(frozen=True, slots=True)
class Status:
    """`GET status`. `online`: tailscaled has an open poll to its control plane, which it breaks itself after
    120 s of silence. `key_expiry_us` is wall time, None: never."""

    backend_state: str
    tun: bool
    self_id: str
    addresses: tuple[str, ...]
    online: bool
    expired: bool
    key_expiry_us: int | None
    health: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class WhoIs:
    """`GET whois`. `routes` is what the node answers for beyond its own addresses; `confined` a node that
    may not connect to us at all; `capabilities` by name, each with the policy's values, unread."""

    stable_id: str
    name: str
    login_name: str
    tags: tuple[str, ...]
    shared: bool
    expired: bool
    key_expiry_us: int | None
    addresses: tuple[IPInterface, ...]
    routes: tuple[IPInterface, ...]
    confined: bool
    capabilities: Mapping[str, Sequence[object]]


def decode(body: bytes, what: str) -> object:
    """The JSON value of an answer. UnknownShape when it is none, or a table names a key twice."""
    try:
        return json.loads(body, object_pairs_hook=_once, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        raise UnknownShape(f"{what} answered something that is not JSON") from None


def read_status(value: object) -> Status:
    """`GET status`, without peers. UnknownShape."""
    table = as_table(value, "status")
    present = table.get("Self") is not None
    own = as_table(table["Self"], "status.Self") if present else {}
    return Status(
        backend_state=_text(table, "BackendState", "status"),
        tun=_flag(table, "TUN", "status", required=True),
        self_id=_text(own, "ID", "status.Self") if present else "",
        addresses=tuple(_address(each) for each in _texts(own, "TailscaleIPs", "status.Self")),
        online=_flag(own, "Online", "status.Self", required=present),
        expired=_flag(own, "Expired", "status.Self"),
        key_expiry_us=_time(own, "KeyExpiry", "status.Self"),
        health=_texts(table, "Health", "status"),
    )


def read_whois(value: object) -> WhoIs:
    """`GET whois`. UnknownShape."""
    table = as_table(value, "whois")
    node = as_table(table.get("Node"), "whois.Node")
    profile = as_table(table.get("UserProfile"), "whois.UserProfile")
    stable_id = _text(node, "StableID", "whois.Node")
    if _STABLE_ID.fullmatch(stable_id) is None:
        raise UnknownShape("whois.Node.StableID is no node id of letters and digits")
    addresses = _prefixes(node, "Addresses")
    if not addresses:
        raise UnknownShape("whois.Node.Addresses names no address")
    routed = (*_prefixes(node, "AllowedIPs"), *_prefixes(node, "PrimaryRoutes"))
    return WhoIs(
        stable_id=stable_id,
        name=_text(node, "Name", "whois.Node").removesuffix("."),
        login_name=_text(profile, "LoginName", "whois.UserProfile"),
        tags=_texts(node, "Tags", "whois.Node"),
        shared=_whole(node, "Sharer", "whois.Node") != 0,
        expired=_flag(node, "Expired", "whois.Node"),
        key_expiry_us=_time(node, "KeyExpiry", "whois.Node"),
        addresses=addresses,
        routes=tuple(route for route in routed if route not in addresses),
        confined=any(
            _flag(node, key, "whois.Node") for key in ("UnsignedPeerAPIOnly", "IsWireGuardOnly", "IsJailed")
        ),
        capabilities=_capabilities(table.get("CapMap")),
    )


def read_remote_config(value: object) -> bool:
    """Of `GET prefs`: whether the control plane may change serve-config without local consent."""
    return _flag(as_table(value, "prefs"), "RemoteConfig", "prefs")


def read_state(line: object) -> int | None:
    """Of one line of the notification bus: the state it says, None when it says none. UnknownShape."""
    state = as_table(line, "the notification bus").get("State")
    if state is not None and type(state) is not int:
        raise UnknownShape("State on the notification bus is no whole number")
    return state


def as_table(value: object, where: str) -> Json:
    """`value` as a JSON object. UnknownShape."""
    if not isinstance(value, dict):
        raise UnknownShape(f"{where} is {_kind(value)}, not a table")
    return value


def _once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    table = dict(pairs)
    if len(table) != len(pairs):
        raise ValueError("a key twice")
    return table


def _no_constant(name: str) -> object:
    raise ValueError(f"{name} is no JSON")


def _text(table: Json, key: str, where: str) -> str:
    value = table.get(key)
    if not isinstance(value, str):
        raise UnknownShape(f"{where}.{key} is {_kind(value)}, not text")
    return value


def _flag(table: Json, key: str, where: str, *, required: bool = False) -> bool:
    value = table.get(key)
    if value is None and not required:
        return False
    if not isinstance(value, bool):
        raise UnknownShape(f"{where}.{key} is {_kind(value)}, not true or false")
    return value


def _whole(table: Json, key: str, where: str) -> int:
    value = table.get(key, 0)
    if type(value) is not int:
        raise UnknownShape(f"{where}.{key} is {_kind(value)}, not a whole number")
    return value


def _texts(table: Json, key: str, where: str) -> tuple[str, ...]:
    values = table.get(key)
    if values is None:
        return ()
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        raise UnknownShape(f"{where}.{key} is no list of texts")
    return tuple(values)


def _time(table: Json, key: str, where: str) -> int | None:
    if table.get(key) is None:
        return None
    text = _text(table, key, where)
    if text.startswith(_NEVER):
        return None
    try:
        return parse_rfc3339(text)
    except ValueError:
        raise UnknownShape(f"{where}.{key} is no time") from None


def _address(text: str) -> str:
    try:
        return normalised(text)
    except ValueError:
        raise UnknownShape("status.Self.TailscaleIPs holds something that is no address") from None


def _prefixes(node: Json, key: str) -> tuple[IPInterface, ...]:
    texts = _texts(node, key, "whois.Node")
    try:
        # A bare address would be read as a host, and whoever wrote one may have meant a network.
        if not all("/" in text for text in texts):
            raise ValueError
        return tuple(ipaddress.ip_interface(text) for text in texts)
    except ValueError:
        raise UnknownShape(f"whois.Node.{key} holds something that is no prefix") from None


def _capabilities(value: object) -> Mapping[str, Sequence[object]]:
    if value is None:
        return {}
    found: dict[str, Sequence[object]] = {}
    for name, values in as_table(value, "whois.CapMap").items():
        if values is not None and not isinstance(values, list):
            raise UnknownShape("whois.CapMap holds a capability whose values are no list")
        found[name] = values or ()
    return found


def _kind(value: object) -> str:
    """What a JSON value is, without repeating it: answers name people (S19)."""
    names = {type(None): "nothing", bool: "true or false", int: "a number", float: "a number", str: "text"}
    return names.get(type(value), "a list" if isinstance(value, list) else "a table")
