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
from orchestrator.core.window import Span
from orchestrator.core.window_book import Book
from orchestrator.core.window_plan import approvers, boundary_after, in_force, span_at

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
    """A window looked up once: good for wall times in `[start_us, end_us)` under that policy and that book.

    `span` is everybody's but the members' in `span_of`.
    """

    policy: Policy
    book: Book
    start_us: int
    end_us: int
    span: Span | None
    span_of: Mapping[str, Span | None]
    over_us: int | None = None
    """A window would be open but for having been over already at this time (S17)."""


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
    windows: Book = field(default_factory=dict)
    """What is in force of the windows that the log knows, narrowed already by what it has yet to take."""
    windows_waiting: frozenset[str] = frozenset()
    """The cameras of which a window was narrowed and the log has not taken it yet."""
    last_event_wall_us: int = 0
    bus_alive_at_us: Callable[[], int] | None = None
    """When the bus's own thread last turned: how old its word is. Another slot than `bus`, which that
    thread writes."""

    _windows_known: dict[str, _Known] = field(default_factory=dict)
    _windows_over: dict[str, Span] = field(default_factory=dict)
    """The last window of each camera that was seen open and then seen to be over."""

    def _window(self, camera: str, wall_us: int) -> _Known:
        """The window that is open for this camera; looked up anew each minute and at each boundary."""
        known = self._windows_known.get(camera)
        if (
            known is None
            or known.policy is not self.policy
            or known.book is not self.windows
            or not known.start_us <= wall_us < known.end_us
        ):
            self._remember_what_is_over(camera, known, wall_us)
            known = self._look_up(camera, wall_us)
            self._windows_known[camera] = known
        return known

    def _remember_what_is_over(self, camera: str, known: _Known | None, wall_us: int) -> None:
        """A window that was open and whose end has passed does not open again if the clock is set back."""
        span = known.span if known is not None else None
        if known is None or span is None or wall_us < span.end_us:
            return
        plan = in_force(known.policy, known.book, None, span.end_us)
        if span_at(known.policy, plan, camera, span.end_us) is None:
            self._windows_over[camera] = span

    def _look_up(self, camera: str, wall_us: int) -> _Known:
        policy, book = self.policy, self.windows

        def span_of(member: str | None) -> Span | None:
            return span_at(policy, in_force(policy, book, member, wall_us), camera, wall_us)

        span = span_of(None)
        own = {member: span_of(member) for member in approvers(policy, book)}
        until_us = wall_us + WINDOW_KNOWN_US
        if span is not None and not own:
            until_us = min(until_us, span.end_us)
        else:
            boundary_us = boundary_after(policy, book, wall_us)
            until_us = until_us if boundary_us is None else min(until_us, boundary_us)
        over = self._windows_over.get(camera)
        again = over is not None and span is not None and not set(span.names).isdisjoint(over.names)
        if over is not None and again and wall_us < over.end_us:
            return _Known(policy, book, wall_us, min(until_us, over.end_us), None, {}, over.end_us)
        return _Known(policy, book, wall_us, until_us, span, own)

    def window_for(self, camera: str, member: str, wall_us: int) -> Span | None:
        """The window that is open for this camera and this person at that time."""
        known = self._window(camera, wall_us)
        return known.span_of.get(member, known.span)

    def next_window_boundary(self, wall_us: int) -> int | None:
        """The next start or end of a window after that time."""
        return boundary_after(self.policy, self.windows, wall_us)

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
            window=(known := self._window(camera, now.wall_us)).span,
            window_of=known.span_of,
            window_over_us=known.over_us,
            window_waits=camera in self.windows_waiting,
        )
