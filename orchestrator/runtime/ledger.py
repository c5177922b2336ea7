"""The log as the ordering lanes see it: openings wait for it, closings are kept for it (S13, L4)."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from orchestrator.core.camera_state import CameraState, evolve
from orchestrator.core.chain import uuid7
from orchestrator.core.events import Event, Record, Sealed
from orchestrator.core.moment import Moment
from orchestrator.core.rebase import rebased
from orchestrator.core.statechart import Chart
from orchestrator.core.window_book import Book
from orchestrator.core.window_book import evolve as evolve_windows
from orchestrator.runtime.blackbox import BlackBoxFull
from orchestrator.runtime.event_store.errors import Fenced, LogError, LogTampered, OutcomeUnknown

log = logging.getLogger(__name__)

CLOSING_PATIENCE_S = 0.5
"""How long a closing's event may take before it is put into the black box as well."""

CameraStates = Mapping[str, CameraState]


@dataclass(frozen=True, slots=True)
class SiteState:
    """What the log says of the whole site: the state of each camera, and the windows."""

    cameras: CameraStates = field(default_factory=dict)
    windows: Book = field(default_factory=dict)
    latest_wall_us: int = 0
    """The latest time that any event ever stood at: a clock before it has been set back (S25)."""
    latest_synchronised_us: int = 0
    """The same of those written under a clock that the kernel called synchronised."""

    def latest_us(self, synchronised_alone: bool) -> int:
        """What the clock is held against. Where the site wants a synchronised clock, what was written under
        another vouches for no time: a machine that booted a day late is not shut out once its clock is right.
        """
        return self.latest_synchronised_us if synchronised_alone else self.latest_wall_us


def fold(site: SiteState, record: Record) -> SiteState:
    """The site after `record`."""
    camera, at = record.event.camera, record.sealed.at
    latest_us = max(site.latest_wall_us, at.wall_us)
    synchronised_us = site.latest_synchronised_us
    if at.synchronised:
        synchronised_us = max(synchronised_us, at.wall_us)
    if camera is None:
        return SiteState(site.cameras, evolve_windows(site.windows, record), latest_us, synchronised_us)
    before = site.cameras.get(camera) or CameraState.new(camera)
    cameras = {**site.cameras, camera: evolve(before, record)}
    return SiteState(cameras, site.windows, latest_us, synchronised_us)


class Store(Protocol):
    """The event store, as far as the ledger uses it; what it raises is in event_store.errors."""

    async def append(
        self, sealed: Sequence[Sealed], *, fence: Callable[[], bool] | None = None, patience_s: float = 3.0
    ) -> list[Record]:
        """Durable when it returns."""

    async def state(self) -> SiteState:
        """The fold of all that is durable, asked behind every append before it."""

    @property
    def last(self) -> Record | None:
        """The newest record."""


class Box(Protocol):
    """The black box, as far as the ledger uses it. Synchronous; run in a thread of its own."""

    def write(self, sealed: Sequence[Sealed], last_durable: str) -> None:
        """On the disk when it returns."""

    def clear(self) -> None:
        """Everything is in the log."""


@dataclass(slots=True)
class Ledger:
    """Seals events, appends them, and keeps what the log could not take, in order of happening."""

    store: Store
    box: Box
    chart: Chart
    config: Callable[[], str]
    random: Callable[[int], bytes]
    patience_s: Callable[[], float]
    trouble: Callable[[str, str], None]
    """Told at once when an append fails: the code and a sentence."""
    _waiting: list[tuple[str, Sealed]] = field(default_factory=list)
    """What the log has not taken, with the lane it belongs to, in order of happening across all of them."""
    _unsure: set[str] = field(default_factory=set)
    """The lanes that must hear where the log stands before anything of theirs opens."""
    _boxed: bool = False
    _boxing: asyncio.Lock = field(default_factory=asyncio.Lock)

    def seal(self, events: Iterable[Event], at: Moment) -> list[Sealed]:
        """Each event with its id, its moment and what was in force."""
        return [
            Sealed(event, uuid7(at.wall_us // 1000, self.random(10)), at, self.chart.digest, self.config())
            for event in events
        ]

    async def append(
        self, camera: str, sealed: Sequence[Sealed], fence: Callable[[], bool] | None = None
    ) -> list[Record]:
        """Durable when it returns. Raises Fenced when a closing came in between, else a LogError; after
        an unknown outcome nothing of this camera is written before the log has said where it stands (S21).
        """
        try:
            return await self.store.append(sealed, fence=fence, patience_s=self.patience_s())
        except Fenced:
            raise
        except LogError as problem:
            if isinstance(problem, OutcomeUnknown):
                self._unsure.add(camera)
            self._complain(problem)
            raise

    def _complain(self, problem: LogError) -> None:
        code = "log-tampered" if isinstance(problem, LogTampered) else "log-unwritable"
        self.trouble(code, str(problem))

    def is_pending(self, camera: str) -> bool:
        """Whether something of this camera is not in the log yet; until then nothing of it opens."""
        return camera in self._unsure or self._waits(camera)

    @property
    def anything_pending(self) -> bool:
        """Whether something of any camera waits for the log, or to hear where the log stands."""
        return bool(self._waiting or self._unsure)

    def _waits(self, camera: str) -> bool:
        return any(owner == camera for owner, _ in self._waiting)

    async def append_closing(self, camera: str, sealed: Sequence[Sealed]) -> list[Record] | None:
        """Durable now (the records), or kept in memory and in the black box (None)."""
        if not self.is_pending(camera):
            try:
                return await self.store.append(sealed, patience_s=CLOSING_PATIENCE_S)
            except LogError as problem:
                self._complain(problem)
        for one in sealed:
            self._line_up(camera, one)
        await self._put_into_box(sealed)
        return None

    async def _put_into_box(self, sealed: Sequence[Sealed]) -> None:
        last = self.store.last
        async with self._boxing:
            self._boxed = True
            try:
                await asyncio.to_thread(self.box.write, sealed, last.hash if last else "")
            except (OSError, ValueError, BlackBoxFull) as problem:
                log.warning("the black box did not take a closing: %s; it is kept in memory alone", problem)

    async def drain(self, camera: str) -> CameraState | None:
        """Write what waits, from where the log really stands, and what happened before it to others; the
        state of this camera then. None: it still waits.

        What landed late is found by its id and not written twice (CONTRACT 7).
        """
        # Until the log has said where it stands behind the last of it: it may fall silent in between.
        self._unsure.add(camera)
        try:
            while self._waits(camera):
                await self._write_first()
            state = await self._where_the_log_stands(camera)
        except LogError as problem:
            self._complain(problem)
            return None
        await self._clear_box()
        # At the very end, so that who asks next finds the state that the caller is about to take.
        self._unsure.discard(camera)
        return state

    async def _write_first(self) -> None:
        """The log takes what happened first of all that waits. Two lanes may be at the same line: the log
        knows its id."""
        owner, sealed = self._waiting[0]
        self._unsure.add(owner)
        moved = rebased(self.chart, await self._where_the_log_stands(owner), sealed)
        await self.store.append([moved], patience_s=CLOSING_PATIENCE_S)
        self._waiting = [line for line in self._waiting if line[1].id != sealed.id]

    async def _where_the_log_stands(self, camera: str) -> CameraState:
        try:
            # Not `wait_for`: before Python 3.12 it can swallow the cancelling of the lane that waits.
            async with asyncio.timeout(CLOSING_PATIENCE_S):
                site = await self.store.state()
        except TimeoutError:
            raise OutcomeUnknown("the log does not answer") from None
        return site.cameras.get(camera) or CameraState.new(camera)

    async def _clear_box(self) -> None:
        async with self._boxing:
            if self._boxed and not self._waiting:
                self._boxed = False
                try:
                    await asyncio.to_thread(self.box.clear)
                except OSError as problem:
                    log.warning("the black box could not be cleared: %s", problem)

    def keep(self, camera: str, sealed: Sealed) -> None:
        """A line found in the black box at start: it goes into the log before anything else (L4)."""
        self._boxed = True
        self._line_up(camera, sealed)

    def _line_up(self, camera: str, sealed: Sealed) -> None:
        """Put it behind all that happened no later in the same boot; clocks of two boots do not compare."""
        at, place = sealed.at, len(self._waiting)
        while place:
            owner, before = self._waiting[place - 1]
            if owner == camera or before.at.boot != at.boot or before.at.boottime_us <= at.boottime_us:
                break
            place -= 1
        self._waiting.insert(place, (camera, sealed))
