"""What the lane bus and those who use it hand each other."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class BusSettings:
    """Where the broker is and who we are to it. The will is published retained, QoS 1."""

    host: str
    port: int = 1883
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    keepalive_s: int = 5
    client_id: str = ""
    will_topic: str | None = None
    will_payload: bytes = b""


@dataclass(frozen=True, slots=True)
class Heard:
    """One message as it came; a payload over 4 KiB is cut to 4097 bytes, which no rule can read.
    `retained`: the broker had kept it, so it may be of any age."""

    topic: str
    payload: bytes
    retained: bool
    at_boottime_us: int


@dataclass(frozen=True, slots=True)
class Link:
    """Whether we hear the lanes: connected, and every subscription granted. `why` is for a person."""

    connected: bool
    why: str
    at_boottime_us: int


@dataclass(frozen=True, slots=True)
class Outgoing:
    """One message to publish."""

    topic: str
    payload: bytes
    qos: int
    retain: bool
