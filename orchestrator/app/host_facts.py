"""The gateway's own facts: its load, its memory, its interface, and who listens on it."""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from zoneinfo import ZoneInfo

from orchestrator.core.facts import HostSight
from orchestrator.core.moment import SECOND_US, Moment
from orchestrator.core.policy import HostPolicy
from orchestrator.edges import host
from orchestrator.edges.host import HostReading
from orchestrator.edges.vpn.boundary import Boundary
from orchestrator.edges.vpn.sockets import Declared, audit, source_exposed
from orchestrator.edges.worker.segments import is_memory_backed
from orchestrator.runtime.board import Board, renewed
from orchestrator.runtime.site import Site
from orchestrator.settings import Settings

LOOK_OPEN_S = 1.0
LOOK_SHUT_S = 5.0
MAX_AGE_US = 12_000_000


class HostFacts:
    """Looks every second while something is open, every five otherwise; a sight ages within twelve."""

    def __init__(
        self,
        board: Board,
        *,
        now: Callable[[], Moment],
        settings: Callable[[], Settings],
        boundary: Callable[[], Boundary],
        declared: Callable[[], Sequence[Declared]],
    ) -> None:
        self._board, self._now = board, now
        self._settings, self._boundary, self._declared = settings, boundary, declared
        self.site: Site | None = None
        self.after: Callable[[], None] = lambda: None
        """What else must follow a look: the listener."""
        self._another_way = ""

    def look(self) -> None:
        """One look at everything, put on the board."""
        self._look_at_host()
        self.look_at_boundary()
        self._look_at_side_door()
        if self.site is not None:
            self.site.look()
        self.after()

    def _look_at_host(self) -> None:
        reading = host.look()
        self._board.host = self._sight(reading)
        settings = self._settings()
        in_memory, kind = is_memory_backed(settings.worker.segments)
        swap_ok = reading.swap.private or settings.policy.allow_swap
        segments = settings.worker.segments
        if not in_memory:
            detail = f"{segments} is {kind}, not tmpfs: mount one there, or set worker.segments"
        elif not swap_ok:
            detail = "our memory could be swapped to a disk: swapoff -a, zram alone, or MemorySwapMax=0"
        else:
            detail = f"{segments} is {kind} and our memory stays out of any swap on a disk"
            if not reading.swap.private:
                detail = f"{segments} is {kind}; swap is on, and the configuration allows it"
        self._board.memory = renewed(
            replace(self._board.memory, max_age_us=MAX_AGE_US),
            self._now().boottime_us,
            in_memory and swap_ok,
            fault="memory-not-private",
            detail=detail,
            evidence={
                "in_memory": in_memory,
                "swap_private": reading.swap.private,
                "swap_allowed": settings.policy.allow_swap,
                "swap_bytes": reading.swap.active_bytes,
            },
        )

    def _sight(self, reading: HostReading) -> HostSight:
        now_us, limits, before = self._now().boottime_us, self._board.policy.host, self._board.host
        since_us = before.overloaded_since_us if before else None
        over_us = (since_us or now_us) if _over(reading, limits) else None
        return HostSight(
            seen_at_us=now_us,
            load_per_cpu_milli=-1 if reading.load_per_cpu_milli is None else reading.load_per_cpu_milli,
            memory_available_bytes=reading.memory_available_bytes or 0,
            temperature_milli=reading.highest_temperature_milli,
            overloaded_since_us=over_us,
        )

    def look_at_boundary(self) -> None:
        """The interface and our own listeners, now."""
        now_us = self._now().boottime_us
        sight = self._boundary().look(now_us)
        # Funnel or Serve is a way around the door, and the door itself may stand (CONTRACT 10).
        self._another_way = sight.detail if sight.fault == "vpn-not-private" else ""
        self._board.interface = renewed(
            replace(self._board.interface, max_age_us=MAX_AGE_US),
            now_us,
            sight.good or bool(self._another_way),
            fault=sight.fault or "vpn-down",
            detail=sight.detail,
            evidence=sight.evidence,
        )
        found = audit(self._declared())
        declared = bool(self._declared())
        self._board.listener = renewed(
            replace(self._board.listener, max_age_us=MAX_AGE_US),
            now_us,
            found.good and declared,
            fault="listener-exposed" if found.strays else "vpn-down",
            detail=found.detail if declared else "not listening yet",
            evidence={
                "strays": len(found.strays),
                "missing": len(found.missing),
                "unread": len(found.unread),
                "answered": not found.failure,
            },
        )

    def _look_at_side_door(self) -> None:
        exposed: list[str] = []
        accepted: list[str] = []
        failure = ""
        for host_name, port in _local_sources(self._settings()):
            try:
                listener = source_exposed(host_name, port)
            except OSError as problem:
                failure = f"who listens on the camera's port could not be read: {problem}"
                continue
            if listener is not None:
                where = f"{listener.address}:{listener.port}"
                until = self._accepted_until(listener.address, listener.port)
                if until is None:
                    exposed.append(where)
                else:
                    accepted.append(f"{where} until {until}")
        if self._another_way:
            fault, detail = "vpn-not-private", self._another_way
        elif exposed:
            fault = "side-door"
            named = ", ".join(dict.fromkeys(exposed))
            detail = f"the camera's source listens on {named}, beyond this machine: ops/side-door.md"
        else:
            fault, detail = "side-door", failure or "no source of ours listens beyond this machine"
            if accepted:
                detail = f"accepted in writing until its date: {', '.join(accepted)}"
        self._board.side_door = renewed(
            replace(self._board.side_door, max_age_us=MAX_AGE_US),
            self._now().boottime_us,
            not (self._another_way or exposed or failure),
            fault=fault,
            detail=detail,
            evidence={"exposed": len(exposed), "accepted": ", ".join(accepted) or None},
        )

    def _accepted_until(self, address: str, port: int) -> str | None:
        """The last day on which the site accepts that one listener, or None (CONTRACT 3)."""
        settings = self._settings()
        zone = ZoneInfo(settings.policy.timezone)
        today = datetime.fromtimestamp(self._now().wall_us // SECOND_US, zone).date().isoformat()
        for door in settings.vpn.accepted_side_doors:
            if (door.address, door.port) == (address, port) and today <= door.until:
                return door.until
        return None

    async def keep_looking(self) -> None:
        """Until cancelled."""
        while True:
            self.look()
            parts = self.site.cameras.values() if self.site else ()
            exposed = any(each.actor.shutter.exposed for each in parts)
            await asyncio.sleep(LOOK_OPEN_S if exposed else LOOK_SHUT_S)


def _over(reading: HostReading, limits: HostPolicy) -> bool:
    """Whether load, memory or temperature stands beyond its limit; an absent sensor passes."""
    load, memory = reading.load_per_cpu_milli, reading.memory_available_bytes
    hot = reading.highest_temperature_milli
    return (
        load is None
        or load > limits.max_load_per_cpu_milli
        or memory is None
        or memory < limits.min_memory_available_bytes
        or (hot is not None and hot > limits.max_temperature_milli)
    )


def _local_sources(settings: Settings) -> frozenset[tuple[str, int]]:
    """Host and port of each source that this machine serves."""
    sources = (camera.source for camera in settings.cameras.values())
    return frozenset((s.host, s.port) for s in sources if s.host and s.port and _is_here(s.host))


def _is_here(name: str) -> bool:
    """Whether a source's host is this machine; another machine's listener is its own affair."""
    if name == "localhost":
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False
