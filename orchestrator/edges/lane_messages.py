"""What the lane bus and those who use it hand each other."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from orchestrator.settings.certificates import Certificates


@dataclass(frozen=True, slots=True)
class BusSettings:
    """Where the broker is and who we are to it; `certificates` turn TLS on. The will is published
    retained, QoS 1. Below `publish_prefix` alone is published; None: nothing ever is."""

    host: str
    port: int = 1883
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    certificates: Certificates | None = None
    keepalive_s: int = 5
    client_id: str = ""
    publish_prefix: str | None = None
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
    """One message to publish. `on_done` is called once, in the bus thread as a rule, with an empty text
    when the broker has acknowledged it (QoS 1), else with the reason why it is lost."""

    topic: str
    payload: bytes
    qos: int
    retain: bool
    on_done: Callable[[str], None] | None = None
