"""The newest facts: each slot has one writer and is replaced whole, so any thread may read."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from orchestrator.core import lane as lane_rules
from orchestrator.core.events import Json
from orchestrator.core.facts import Facts, HostSight, Proof, unseen
from orchestrator.core.lane import LaneMemory
from orchestrator.core.moment import Moment
from orchestrator.core.policy import Member, Policy
from orchestrator.core.window import Span, in_window, next_boundary

WINDOW_KNOWN_US = 60_000_000


def renewed(
    before: Proof, now_us: int, good: bool, *, fault: str, detail: str, evidence: Json | None = None
) -> Proof:
    """The next sight of the same thing; `since_us` goes on while it stays good and was not stale."""
    keeps = good and before.good and not before.is_stale(now_us) and before.since_us is not None
    since_us = (before.since_us if keeps else now_us) if good else None
    return replace(
        before,
        good=good,
        fault=fault,
        detail=detail,
        seen_at_us=now_us,
        since_us=since_us,
        evidence=evidence or {},
    )


@dataclass(frozen=True, slots=True)
class _Known:
    """A window looked up once: good for wall times in `[start_us, end_us)` under that policy."""

    policy: Policy
    start_us: int
    end_us: int
    span: Span | None


@dataclass(slots=True)
class Board:
    """What is known now. `max_age_us` of a slot says how long a sight of it proves anything."""

    policy: Policy
    members: Mapping[str, Member] = field(default_factory=dict)
    lanes: dict[str, LaneMemory] = field(default_factory=dict)
    interface: Proof = unseen("vpn-down", "vpn", "the VPN interface")
    listener: Proof = unseen("vpn-down", "sockets", "the listener")
    side_door: Proof = unseen("side-door", "sockets", "the camera's own listener")
    config: Proof = unseen("config-invalid", "configuration", "the configuration")
    bus: Proof = unseen("broker-lost", "broker", "the broker")
    bus_trusted: Proof = unseen("", "broker", "whether an anonymous client could publish")
    host: HostSight | None = None
    memory: Proof = unseen("host-overloaded", "mounts", "the segment folder")
    log: Proof = unseen("log-unwritable", "log", "the log")
    last_event_wall_us: int = 0
    bus_alive_at_us: Callable[[], int] | None = None
    """When the bus's own thread last turned: how old its word is. Another slot than `bus`, which that
    thread writes."""

    _windows: dict[str, _Known] = field(default_factory=dict)

    def _window(self, camera: str, wall_us: int) -> Span | None:
        """The window that is open for this camera; looked up anew each minute and at each boundary."""
        known = self._windows.get(camera)
        if known is None or known.policy is not self.policy or not known.start_us <= wall_us < known.end_us:
            known = self._look_up(camera, wall_us)
            self._windows[camera] = known
        return known.span

    def _look_up(self, camera: str, wall_us: int) -> _Known:
        policy = self.policy
        span = in_window(policy.windows, policy.timezone, camera, wall_us)
        until_us = wall_us + WINDOW_KNOWN_US
        if span is not None:
            until_us = min(until_us, span.end_us)
        else:
            boundary_us = next_boundary(policy.windows, policy.timezone, wall_us)
            until_us = until_us if boundary_us is None else min(until_us, boundary_us)
        return _Known(policy, wall_us, until_us, span)

    def lane(self, name: str) -> LaneMemory:
        """The memory of a lane's rules; of one never heard of, an empty one."""
        memory = self.lanes.get(name)
        return lane_rules.empty(self.policy.lanes[name]) if memory is None else memory

    def bus_now(self) -> Proof:
        """The bus as it was last heard, which is later than when its session began."""
        bus = self.bus
        if bus.good and self.bus_alive_at_us is not None:
            return replace(bus, seen_at_us=self.bus_alive_at_us())
        return bus

    def facts(self, camera: str, clock: Callable[[], Moment]) -> Facts:
        """One camera's facts of now, as one value.

        The clock is read after the slots: a sight that another thread puts there meanwhile would
        otherwise be one from the future, which proves nothing (S5).
        """
        return Facts(
            members=self.members,
            interface=self.interface,
            listener=self.listener,
            side_door=self.side_door,
            config=self.config,
            bus=self.bus_now(),
            bus_trusted=self.bus_trusted,
            lane=self.lane(self.policy.cameras[camera].lane),
            host=self.host,
            memory=self.memory,
            log=self.log,
            last_event_wall_us=self.last_event_wall_us,
            now=(now := clock()),
            window=self._window(camera, now.wall_us),
        )
