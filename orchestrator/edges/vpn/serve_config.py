"""Whether Tailscale's Funnel or Serve leads to our port or to the camera's source (F4): pure."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from urllib.parse import urlsplit

from orchestrator.edges.vpn.boundary import normalised
from orchestrator.edges.vpn.tailscale_shapes import Json, UnknownShape, as_table

_LEVEL_KEYS = frozenset({"TCP", "Web", "Services", "AllowFunnel", "Foreground"})
_SERVICE_KEYS = frozenset({"TCP", "Web", "Tun"})
_TCP_KEYS = frozenset({"HTTPS", "HTTP", "TCPForward", "TerminateTLS", "ProxyProtocol"})
_HANDLER_KEYS = frozenset({"Path", "Proxy", "Text", "AcceptAppCaps", "Redirect"})
_DEFAULT_PORTS = {"http": 80, "https": 443, "https+insecure": 443}


@dataclass(frozen=True, slots=True)
class Guarded:
    """What nothing may lead to: our port, the cameras' sources (host and port), files and sockets of ours.
    `own` are the machine's addresses."""

    port: int
    sources: frozenset[tuple[str, int]] = frozenset()
    paths: tuple[str, ...] = ()
    own: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Way:
    """One way in. `public`: through Funnel, so from the whole internet; else from the tailnet, through Serve.
    `port` is where tailscaled takes connections, `target` where it leads them. `flags` are those of
    `tailscale serve` that name it; empty in a foreground session, which ends with its terminal."""

    port: int
    target: str
    what: str
    public: bool
    flags: str = ""

    def __str__(self) -> str:
        name = "funnel" if self.public else "serve"
        one = f"`tailscale {name} {self.flags} off` shuts it" if self.flags else "end it in its terminal"
        return (
            f"Tailscale {name.capitalize()} on port {self.port} leads to {self.target}, {self.what}: "
            f"{one}, `tailscale {name} reset` every one in the background"
        )


def ways_in(config: object, guarded: Guarded) -> tuple[Way, ...]:
    """Every way of a serve-config (None: unset) to what is guarded. UnknownShape when it cannot be followed.

    A service in TUN mode is packets and no relay; the listener's own address and device hold those off.
    """
    if config is None:
        return ()
    top = _known(config, _LEVEL_KEYS, "serve-config")
    inner = _values(top, "Foreground", "serve-config")
    foreground = [_known(level, _LEVEL_KEYS, "serve-config.Foreground") for level in inner]
    levels = [top, *foreground]
    if any(level.get("Foreground") for level in levels[1:]):
        raise UnknownShape("serve-config.Foreground holds another Foreground")
    funnelled = frozenset(port for level in levels for port in _funnelled(level))
    found: list[Way] = []
    for level in levels:
        ways = [*_in_front(level, guarded, funnelled), *_leading_here(level, guarded, funnelled)]
        found.extend(ways if level is top else (replace(way, flags="") for way in ways))
    return tuple(dict.fromkeys(found))


def _leading_here(level: Json, guarded: Guarded, funnelled: frozenset[int]) -> Iterator[Way]:
    parts = [("", level)]
    for name, service in _items(level, "Services", "serve-config"):
        if service is not None:
            parts.append((f"--service={name} ", _known(service, _SERVICE_KEYS, "serve-config.Services")))
    for of_service, part in parts:
        for port, target, flags in _targets(part):
            what = _reached(target, guarded)
            if what:
                yield Way(port, target, what, port in funnelled, of_service + flags)


def _funnelled(level: Json) -> Iterator[int]:
    for place, allowed in _items(level, "AllowFunnel", "serve-config"):
        if not isinstance(allowed, bool):
            raise UnknownShape("serve-config.AllowFunnel holds something that is not true or false")
        if allowed:
            yield _port(place.rpartition(":")[2])


def _in_front(level: Json, guarded: Guarded, funnelled: frozenset[int]) -> Iterator[Way]:
    """tailscaled takes the connections to our very port, so members would reach it and not us."""
    for text, handler in _items(level, "TCP", "serve-config"):
        if handler is not None and _port(text) == guarded.port:
            public = guarded.port in funnelled
            kind = _kind(_known(handler, _TCP_KEYS, "serve-config.TCP"))
            flags = f"--{kind}={guarded.port}"
            yield Way(guarded.port, "its own handler", "in place of our listener", public, flags)


def _kind(handler: Json) -> str:
    """The flag of `tailscale serve` that makes such a handler."""
    if handler.get("TCPForward"):
        return "tls-terminated-tcp" if handler.get("TerminateTLS") else "tcp"
    return "http" if handler.get("HTTP") is True else "https"


def _targets(part: Json) -> Iterator[tuple[int, str, str]]:
    """(port, target, flags) of each handler that leads somewhere."""
    kinds: dict[int, str] = {}
    for text, value in _items(part, "TCP", "serve-config"):
        if value is not None:
            handler = _known(value, _TCP_KEYS, "serve-config.TCP")
            port = _port(text)
            kinds[port] = _kind(handler)
            for target in _texts(handler, "TCPForward"):
                yield port, target, f"--{kinds[port]}={port}"
    for place, site in _items(part, "Web", "serve-config"):
        if site is None:
            continue
        handlers = _known(site, frozenset({"Handlers"}), "serve-config.Web")
        for mount, value in _items(handlers, "Handlers", "serve-config.Web"):
            if value is None:
                continue
            handler = _known(value, _HANDLER_KEYS, "serve-config.Web.Handlers")
            port = _port(place.rpartition(":")[2])
            flags = f"--{kinds.get(port, 'https')}={port}" + (f" --set-path={mount}" if mount != "/" else "")
            for target in _texts(handler, "Proxy"):
                yield port, target, flags
            for path in _texts(handler, "Path"):
                yield port, f"file:{path}", flags


def _reached(target: str, guarded: Guarded) -> str:
    """What of ours a target is, in words; empty: nothing. UnknownShape when it names no place."""
    kind, _, path = target.partition(":")
    if kind in ("file", "unix"):
        ours = any(_same_tree(path, each) for each in guarded.paths)
        return "where our picture or our socket lies" if ours else ""
    host, port = _place(target)
    if port == guarded.port and _may_be_here(host, guarded.own):
        return "our own port"
    for source_host, source_port in guarded.sources:
        if port == source_port and _may_be_same(host, source_host, guarded.own):
            return "a camera's source"
    return ""


def _place(target: str) -> tuple[str, int]:
    """Host and port of `http://localhost:3000/`, `localhost:3030` or `3030`."""
    if target.isascii() and target.isdigit():
        return "localhost", _port(target)
    scheme, separator, rest = target.rpartition("://")
    try:
        parts = urlsplit(f"//{rest}")
        host, port = parts.hostname or "localhost", parts.port
    except ValueError:
        raise UnknownShape("serve-config leads to something that is no host and port") from None
    port = port or (_DEFAULT_PORTS.get(scheme) if separator else None)
    if port is None:
        raise UnknownShape("serve-config leads to a host without a port")
    return host.rstrip("."), port


def _may_be_here(host: str, own: frozenset[str]) -> bool:
    """Whether a host may be this machine. A name may be anybody's, so it may be ours."""
    address = _address(host)
    return address is None or address in own or _is_local(address)


def _may_be_same(host: str, other: str, own: frozenset[str]) -> bool:
    one, two = _address(host), _address(other)
    if one is None or two is None:
        return True
    return one == two or (_may_be_here(one, own) and _may_be_here(two, own))


def _address(host: str) -> str | None:
    """A host as an address; None when it is a name."""
    if host == "localhost":
        return "127.0.0.1"
    try:
        return normalised(host.strip("[]"))
    except ValueError:
        return None


def _is_local(address: str) -> bool:
    parsed = ipaddress.ip_address(address)
    return parsed.is_loopback or parsed.is_unspecified


def _same_tree(path: str, ours: str) -> bool:
    """Whether a served file or folder holds, or lies in, one of ours."""
    one, two = PurePosixPath(path), PurePosixPath(ours)
    if not one.is_absolute() or ".." in one.parts:
        return True
    return one == two or one in two.parents or two in one.parents


def _known(value: object, keys: frozenset[str], where: str) -> Json:
    """A table that holds no other keys: what we do not know may be a way in."""
    table = as_table(value, where)
    unknown = sorted(key for key in table.keys() - keys if table[key] is not None)
    if unknown:
        raise UnknownShape(f"{where} holds the key {unknown[0][:40]!r}, which is not known here")
    return table


def _items(table: Json, key: str, where: str) -> Iterable[tuple[str, object]]:
    value = table.get(key)
    return () if value is None else as_table(value, f"{where}.{key}").items()


def _values(table: Json, key: str, where: str) -> list[object]:
    return [value for _, value in _items(table, key, where) if value is not None]


def _texts(handler: Json, key: str) -> Iterator[str]:
    value = handler.get(key)
    if value is not None and not isinstance(value, str):
        raise UnknownShape(f"serve-config: {key} is no text")
    if value:
        yield value


def _port(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 5 and 0 < int(text) < 65536):
        raise UnknownShape("serve-config names a port that is none")
    return int(text)
