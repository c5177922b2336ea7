"""What the site allows: the settings that decisions read, as plain values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Phase = Literal["open", "hold"]
Role = Literal["viewer", "maintainer", "approver", "reviewer", "monitor"]


@dataclass(frozen=True, slots=True)
class LaneRule:
    """One rule on one MQTT topic (CONTRACT 3, 9). Exactly one of the four kinds is set.

    `equals` is the text that must stand there; `heartbeat` says the payload is an epoch;
    `quiet_for_us` and `steady_for_us` are spans. `max_age_us` belongs to a heartbeat.
    """

    id: str
    topic: str
    phase: Phase
    equals: str | None = None
    heartbeat: bool = False
    quiet_for_us: int | None = None
    steady_for_us: int | None = None
    max_age_us: int = 0
    vouched_by: str | None = None
    when_absent: Literal["fail", "pass"] = "fail"
    pointer: str | None = None
    also: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class LanePolicy:
    """The rules of one lane and how long all must have held before opening."""

    name: str
    settle_us: int
    rules: tuple[LaneRule, ...]


@dataclass(frozen=True, slots=True)
class Purpose:
    """What a session is for (CONTRACT 3 `[[purposes]]`)."""

    name: str = "alignment"
    masks: bool = True
    waive: tuple[str, ...] = ()
    require_ticket: str = ""
    max_session_us: int | None = None


@dataclass(frozen=True, slots=True)
class CameraPolicy:
    """What decisions need to know of a camera; how to make its picture is the worker's business."""

    id: str
    lane: str
    max_session_us: int
    expiry_notice_us: int
    idle_close_us: int
    moves_topic: str | None = None
    moves_prefix: str = ""
    masked: bool = False


@dataclass(frozen=True, slots=True)
class RecurringWindow:
    """A maintenance window that opens by cron fields in the site's zone (CONTRACT 3)."""

    name: str
    cameras: tuple[str, ...]
    cron: str
    duration_us: int
    exceptions: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Backoff:
    """Exponential back-off with full jitter (FIELD 10)."""

    floor_us: int = 500_000
    base_us: int = 1_000_000
    max_us: int = 30_000_000


@dataclass(frozen=True, slots=True)
class WorkerPolicy:
    """When a worker counts as failed and how often it is tried again (S23)."""

    first_frame_us: int = 8_000_000
    stall_us: int = 3_000_000
    backoff: Backoff = field(default_factory=Backoff)
    healthy_after_us: int = 60_000_000
    starts_per_second: int = 4
    max_failures: int = 5
    failure_window_us: int = 120_000_000


@dataclass(frozen=True, slots=True)
class HostPolicy:
    """Above these the gateway belongs to the parking, not to the picture (K2)."""

    max_load_per_cpu_milli: int = 900
    min_memory_available_bytes: int = 200 * 1024 * 1024
    max_temperature_milli: int = 85_000


@dataclass(frozen=True, slots=True)
class Member:
    """A person. `id` is random and stable (S19); `devices` maps a device's key, as the VPN provider
    tells it, to that device's random id."""

    id: str
    name: str
    roles: frozenset[Role]
    cameras: frozenset[str] | None
    devices: Mapping[str, str]
    labels: Mapping[str, str] = field(default_factory=dict)

    def may_see(self, camera: str) -> bool:
        """Whether this camera is one of theirs (None: all are)."""
        return self.cameras is None or camera in self.cameras


@dataclass(frozen=True, slots=True)
class Policy:
    """Everything that decisions read of a configuration. `digest` names it in each event."""

    site: str
    timezone: str
    cameras: Mapping[str, CameraPolicy]
    lanes: Mapping[str, LanePolicy]
    purposes: tuple[Purpose, ...]
    windows: tuple[RecurringWindow, ...]
    worker: WorkerPolicy = field(default_factory=WorkerPolicy)
    host: HostPolicy = field(default_factory=HostPolicy)
    boundary_settle_us: int = 3_000_000
    log_patience_us: int = 3_000_000
    require_clock_sync: bool = True
    require_ticket: str = ""
    two_people: bool = False
    max_viewers_per_camera: int = 4
    new_viewers_per_minute: int = 12
    allow_swap: bool = False
    digest: str = ""

    def purpose(self, name: str | None) -> Purpose | None:
        """The purpose called `name` (None: the first, which is the default), or None."""
        if name is None:
            return self.purposes[0]
        return next((purpose for purpose in self.purposes if purpose.name == name), None)
