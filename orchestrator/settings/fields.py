"""The kinds of single values a configuration file holds, each with what it expects said in words."""

from __future__ import annotations

import base64
import binascii
import ipaddress
import re
from collections.abc import Callable
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo, available_timezones

from pydantic import BeforeValidator
from pydantic_core import PydanticCustomError

from orchestrator.core.cron import parse_cron
from orchestrator.settings.source import read_source
from orchestrator.settings.units import (
    duration_text,
    parse_bits_per_second,
    parse_duration_us,
    parse_size_bytes,
)

_MAX_PATH_BYTES = 4095
ID = re.compile(r"[a-z0-9][a-z0-9_-]{0,31}", re.ASCII)
_ID_EXPECTED = "1 to 32 of a-z, 0-9, - and _, beginning with a letter or a digit"
_SITE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", re.ASCII)
_INTERFACE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,14}", re.ASCII)
_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?", re.ASCII)
_NODE = re.compile(r"[A-Za-z0-9]{1,64}", re.ASCII)
_CAPABILITY = re.compile(r"(?=.{3,200}$)[a-z0-9-]+(\.[a-z0-9-]+)+(/[A-Za-z0-9._-]+)+", re.ASCII)
_POINTER = re.compile(r"(/([^~/]|~[01])*)+")
_FRAME_SIZE = re.compile(r"([1-9]\d{1,3})x([1-9]\d{1,3})", re.ASCII)


def expecting(expected: str) -> PydanticCustomError:
    """The error whose fault says `expected`."""
    return PydanticCustomError("expected", "{expected}", {"expected": expected})


def reads(parse: Callable[[Any], Any], expected: str = "") -> BeforeValidator:
    """A field read by `parse`; what is not of that kind (ValueError, TypeError) becomes a fault.

    The fault says `expected`, or the error's own words when that is empty.
    """

    def read(value: Any) -> Any:
        try:
            return parse(value)
        except (ValueError, TypeError, ArithmeticError) as error:
            raise expecting(expected or str(error)) from None

    return BeforeValidator(read)


def _string(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError("text in quotes")
    return value


def _matching(pattern: re.Pattern[str]) -> Callable[[Any], str]:
    def parse(value: Any) -> str:
        if pattern.fullmatch(_string(value)) is None:
            raise ValueError
        return str(value)

    return parse


def whole(lowest: int, highest: int) -> BeforeValidator:
    """A whole number from `lowest` to `highest`; true, false, text and fractions are none."""

    def parse(value: Any) -> int:
        if type(value) is not int or not lowest <= value <= highest:
            raise ValueError
        return value

    return reads(parse, f"a whole number from {lowest} to {highest}")


def span(shortest: str, longest: str) -> BeforeValidator:
    """A duration from `shortest` to `longest`, as microseconds."""
    lowest_us, highest_us = parse_duration_us(shortest), parse_duration_us(longest)

    def parse(value: Any) -> int:
        us = parse_duration_us(_string(value))
        if not lowest_us <= us <= highest_us:
            raise ValueError
        return us

    example = duration_text(max(lowest_us, min(highest_us, 10_000_000)))
    return reads(parse, f'a duration in quotes from {shortest} to {longest}, such as "{example}"')


def milli(lowest: str, highest: str) -> BeforeValidator:
    """A decimal number from `lowest` to `highest`, as thousandths."""

    def parse(value: Any) -> int:
        number = Decimal(value) if type(value) is int else value
        if not isinstance(number, Decimal) or not Decimal(lowest) <= number <= Decimal(highest):
            raise ValueError
        return int(number * 1000)

    return reads(parse, f"a number from {lowest} to {highest}")


def fraction(lowest: str) -> BeforeValidator:
    """A decimal number from `lowest` to 1."""

    def parse(value: Any) -> Decimal:
        number = Decimal(value) if type(value) is int else value
        if not isinstance(number, Decimal) or not Decimal(lowest) <= number <= 1:
            raise ValueError
        return number

    return reads(parse, f"a fraction of the picture, from {lowest} to 1")


def text(longest: int, what: str) -> BeforeValidator:
    """Printable text of 1 to `longest` characters without white space at its ends."""

    def parse(value: Any) -> str:
        if not 1 <= len(_string(value)) <= longest or value != value.strip() or not value.isprintable():
            raise ValueError
        return str(value)

    return reads(parse, f"{what}: 1 to {longest} printable characters, no white space at the ends")


def choice(*words: str) -> BeforeValidator:
    """One of `words`."""

    def parse(value: Any) -> str:
        if value not in words:
            raise ValueError
        return str(value)

    return reads(parse, " or ".join(f'"{word}"' for word in words))


def _absolute(value: Any) -> Path:
    path = Path(_string(value))
    if not path.is_absolute() or not value.isprintable() or len(bytes(path)) > _MAX_PATH_BYTES:
        raise ValueError
    return path


def _socket(value: Any) -> Path:
    path = _absolute(value)
    if len(bytes(path)) > 107:
        raise ValueError
    return path


def _database(value: Any) -> Path:
    scheme, _, path = _string(value).partition(":///")
    if scheme != "sqlite" or "?" in path or path.endswith("/"):
        raise ValueError
    return _absolute(path)


def _zone(value: Any) -> str:
    try:
        ZoneInfo(_string(value))
    except Exception as error:
        if not available_timezones():
            raise ValueError(
                "a time zone of this machine, which has none: install the package tzdata"
            ) from error
        raise ValueError('a name of the time zone database, such as "Europe/Paris"') from error
    return str(value)


def _topic(value: Any) -> str:
    if not 1 <= len(_string(value).encode()) <= 256 or not value.isprintable():
        raise ValueError
    if "+" in value or "#" in value:
        raise ValueError
    return str(value)


def _prefix(value: Any) -> str:
    if _topic(value).strip("/") != value or value.startswith("$"):
        raise ValueError
    return str(value)


def _expression(value: Any) -> str:
    if len(_string(value)) > 200:
        raise ValueError
    try:
        re.compile(value)
    except (re.error, RecursionError) as error:
        raise ValueError from error
    return str(value)


def _cron(value: Any) -> str:
    parse_cron(value if isinstance(value, str) else "")
    return str(value)


def _date(value: Any) -> str:
    day = value if type(value) is date else date.fromisoformat(_string(value))
    return day.isoformat()


def _key(value: Any) -> str:
    try:
        raw = base64.b64decode(_string(value), validate=True)
    except binascii.Error as error:
        raise ValueError from error
    if len(raw) != 32 or base64.b64encode(raw).decode() != value:
        raise ValueError
    return str(value)


def _address(value: Any) -> str:
    return str(ipaddress.ip_address(_string(value)))


def _host_value(value: Any) -> str:
    """Browsers send a name in lower case and without the root's dot."""
    return _matching(_HOST)(value).lower()


def split_listener(text: str) -> tuple[str, int]:
    """Address and port of `0.0.0.0:8000` or `[::]:8000`. ValueError."""
    host, _, port = text.rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    address = ipaddress.ip_address(host[1:-1] if bracketed else host)
    if bracketed is not (address.version == 6) or not re.fullmatch(r"[1-9]\d{0,4}", port, re.ASCII):
        raise ValueError
    if int(port) > 65535:
        raise ValueError
    return str(address), int(port)


def _listener(value: Any) -> str:
    address, port = split_listener(_string(value))
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def _frame_size(value: Any) -> tuple[int, int] | None:
    if value == "source":
        return None
    found = _FRAME_SIZE.fullmatch(_string(value))
    if found is None:
        raise ValueError
    width, height = int(found[1]), int(found[2])
    if not (16 <= width <= 3840 and 16 <= height <= 2160) or width % 2 or height % 2:
        raise ValueError
    return width, height


def _bitrate(value: Any) -> int:
    rate = parse_bits_per_second(_string(value))
    if not 50_000 <= rate <= 20_000_000:
        raise ValueError
    return rate


def _lane_text(value: Any) -> str:
    if not 1 <= len(_string(value).encode()) <= 4096 or value != value.strip(" \t\r\n\v\f"):
        raise ValueError
    return str(value)


Id = Annotated[str, reads(_matching(ID), _ID_EXPECTED)]
Site = Annotated[str, reads(_matching(_SITE), "1 to 64 of A-Z, a-z, 0-9, ., - and _")]
Zone = Annotated[str, reads(_zone)]
AbsolutePath = Annotated[Path, reads(_absolute, 'an absolute path, such as "/run/volet"')]
SocketPath = Annotated[Path, reads(_socket, "an absolute path of at most 107 bytes")]
DatabaseUrl = Annotated[
    Path, reads(_database, 'a SQLite file with its absolute path: "sqlite:////var/lib/volet/events.db"')
]
Interface = Annotated[str, reads(_matching(_INTERFACE), 'the name of a network interface, such as "wg0"')]
Host = Annotated[str, reads(_matching(_HOST), 'a host name or an IPv4 address, such as "127.0.0.1"')]
Address = Annotated[str, reads(_address, 'an IP address, such as "127.0.0.77"')]
Topic = Annotated[
    str, reads(_topic, "one MQTT topic: 1 to 256 bytes, printable, without the wildcards + and #")
]
TopicPrefix = Annotated[
    str, reads(_prefix, 'an MQTT topic prefix without wildcards or / at its ends: "parking/stream"')
]
Expression = Annotated[str, reads(_expression, "a regular expression of at most 200 characters")]
CronFields = Annotated[str, reads(_cron)]
Date = Annotated[str, reads(_date, 'a date, such as "2026-12-25"')]
WireguardKey = Annotated[str, reads(_key, "a WireGuard public key: 44 characters of base64")]
TailscaleNode = Annotated[str, reads(_matching(_NODE), "a Tailscale stable node id: letters and digits")]
Capability = Annotated[
    str,
    reads(_matching(_CAPABILITY), 'a capability of the tailnet policy, such as "volet.invalid/cap/camera"'),
]
HostValue = Annotated[str, reads(_host_value, 'a host name, such as "edge-gw.tail0000.ts.net"')]
Listener = Annotated[
    str, reads(_listener, 'the listener\'s address and port, such as "0.0.0.0:8000" or "[::]:8000"')
]
FrameSize = Annotated[
    tuple[int, int] | None, reads(_frame_size, '"source", or an even width and height such as "640x360"')
]
Bitrate = Annotated[int, reads(_bitrate, 'a bit rate from 50k to 20M, such as "600k"')]
SizeBytes = Annotated[int, reads(lambda value: parse_size_bytes(_string(value)))]
Source = Annotated[str, reads(lambda value: read_source(_string(value)).text)]
Pointer = Annotated[str, reads(_matching(_POINTER), 'a JSON pointer (RFC 6901), such as "/current"')]
LaneText = Annotated[
    str, reads(_lane_text, "text of 1 to 4096 bytes without white space at its ends (payloads are trimmed)")
]
Output = Annotated[Literal["hls", "mp4"], choice("hls", "mp4")]
Role = Annotated[
    Literal["viewer", "maintainer", "approver", "reviewer", "monitor"],
    choice("viewer", "maintainer", "approver", "reviewer", "monitor"),
]
