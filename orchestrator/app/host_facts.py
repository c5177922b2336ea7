"""The gateway's own facts: its load, its memory, its interface, and who listens on it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace

from orchestrator.app.side_doors import SideDoors, look_for_side_doors
from orchestrator.core.checks import MEMORY_WAITED_LIMIT_MILLI
from orchestrator.core.facts import HostSight
from orchestrator.core.moment import Moment
from orchestrator.core.policy import HostPolicy
from orchestrator.edges import host
from orchestrator.edges.host import HostReading
from orchestrator.edges.vpn.boundary import Boundary
from orchestrator.edges.vpn.processes import Orphans
from orchestrator.edges.vpn.sockets import Audit, Declared, audit
from orchestrator.edges.worker.segments import is_memory_backed
from orchestrator.runtime.board import Board, renewed
from orchestrator.runtime.site import Site
from orchestrator.settings import Settings

LOOK_OPEN_S = 1.0
LOOK_SHUT_S = 5.0
BETWEEN_LOOKS_S = 0.1
MAX_AGE_US = 12_000_000


class HostFacts:
    """Looks at the start, whenever a camera's state changes, every second while something is open and every
    five otherwise; a sight ages within twelve.

    The kernel tells nobody of a new listener (sock_diag(7) has a message for the end of a socket alone), so
    between two looks one can stand unseen for that long at most. `tree_of` are the processes whose listeners
    are ours, with all their descendants (None: this one).
    """

    def __init__(
        self,
        board: Board,
        *,
        now: Callable[[], Moment],
        settings: Callable[[], Settings],
        boundary: Callable[[], Boundary],
        declared: Callable[[], Sequence[Declared]],
        tree_of: Sequence[int] | None = None,
    ) -> None:
        self._board, self._now = board, now
        self._settings, self._boundary, self._declared = settings, boundary, declared
        self._tree_of = tree_of
        self.site: Site | None = None
        self.after: Callable[[], None] = lambda: None
        """What else must follow a look: the listener."""
        self.audited: Audit | None = None
        self.side_doors = SideDoors(())
        self._another_way = ""
        self._due = asyncio.Event()

    def look(self) -> None:
        """One look at everything, put on the board."""
        self._look_at_host()
        self.look_at_boundary()
        self._look_at_side_door()
        if self.site is not None:
            self.site.look()
        self.after()

    def look_around(self) -> None:
        """Only at who could get in, now: before somebody is told what may be opened or unlocked."""
        self.look_at_boundary()
        self._look_at_side_door()
        if self.site is not None:
            self.site.look()
        self.after()

    def be_due(self) -> None:
        """Something changed: look as soon as the loop gets to it."""
        self._due.set()

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
        over_us = (now_us if since_us is None else since_us) if beyond_limits(reading, limits) else None
        return HostSight(
            seen_at_us=now_us,
            load_per_cpu_milli=-1 if reading.load_per_cpu_milli is None else reading.load_per_cpu_milli,
            memory_available_bytes=reading.memory_available_bytes or 0,
            temperature_milli=reading.highest_temperature_milli,
            overloaded_since_us=over_us,
            cpu_waited_milli=reading.pressure.cpu_milli,
            memory_waited_milli=reading.pressure.memory_milli,
            io_waited_milli=reading.pressure.io_milli,
        )

    def look_at_boundary(self) -> None:
        """The interface and our own listeners, now."""
        now_us = self._now().boottime_us
        sight = self._boundary().look(now_us)
        self._board.interface = renewed(
            replace(self._board.interface, max_age_us=MAX_AGE_US),
            now_us,
            sight.good,
            fault=sight.fault or "vpn-down",
            detail=sight.detail,
            evidence=sight.evidence,
        )
        if sight.way_around != self._another_way:
            # Funnel or Serve is a way around the door, and the door itself may stand (CONTRACT 10).
            self._another_way = sight.way_around
            self._look_at_side_door()
        found = self.audited = audit(self._declared(), self._tree_of)
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
        found = look_for_side_doors(self._settings(), self._now().wall_us, self.side_doors.doors)
        self.side_doors = found
        if self._another_way:
            fault, detail = "vpn-not-private", self._another_way
        else:
            fault, detail = "side-door", found.detail
        self._board.side_door = renewed(
            replace(self._board.side_door, max_age_us=MAX_AGE_US),
            self._now().boottime_us,
            found.shut and not self._another_way,
            fault=fault,
            detail=detail,
            evidence={"exposed": found.open_count, "accepted": found.accepted or None},
        )

    async def keep_looking(self) -> None:
        """Until cancelled."""
        while True:
            self._due.clear()
            self.look()
            parts = self.site.cameras.values() if self.site else ()
            exposed = any(each.actor.shutter.exposed for each in parts)
            with suppress(TimeoutError):
                async with asyncio.timeout(LOOK_OPEN_S if exposed else LOOK_SHUT_S):
                    await self._due.wait()
                    await asyncio.sleep(BETWEEN_LOOKS_S)

    async def keep_adopting(self) -> None:
        """Until cancelled: the orphans of our children are ours, so that the audit finds what they do."""
        orphans = Orphans()
        while True:
            await asyncio.sleep(LOOK_OPEN_S)
            orphans.reap()


def beyond_limits(reading: HostReading, limits: HostPolicy) -> bool:
    """Whether load, memory, temperature or the time lost by waiting for memory stands beyond its limit; what
    a machine has no sensor for, and a kernel does not say, passes."""
    load, memory = reading.load_per_cpu_milli, reading.memory_available_bytes
    waited = reading.pressure.memory_milli
    hot = reading.highest_temperature_milli
    return (
        load is None
        or load > limits.max_load_per_cpu_milli
        or memory is None
        or memory < limits.min_memory_available_bytes
        or (hot is not None and hot > limits.max_temperature_milli)
        or (waited is not None and waited > MEMORY_WAITED_LIMIT_MILLI)
    )
