"""The log's own fact: it has taken a probe a moment ago, or nothing stays open (CONTRACT 7)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace

from orchestrator.core.facts import Proof
from orchestrator.core.moment import SECOND_US, Moment
from orchestrator.edges import systemd
from orchestrator.runtime.board import Board, renewed
from orchestrator.runtime.event_store import EventStore
from orchestrator.runtime.event_store.errors import LogError, LogTampered, NotChecked, Unwritable
from orchestrator.runtime.ledger import SiteState
from orchestrator.runtime.site import Site

PROBE_EVERY_S = 1.0
TELL_EVERY_S = 5.0
START_PATIENCE_US = 60_000_000
"""How much longer the service manager is asked to wait each time, while a start folds a long log."""


async def opened(store: EventStore[SiteState]) -> None:
    """Open it as EventStore does, and keep the service manager patient meanwhile: without a snapshot, as
    after an update, a start folds all of it."""
    telling = asyncio.create_task(_keep_telling(store))
    try:
        await store.open()
    finally:
        telling.cancel()
        await asyncio.wait({telling})


async def _keep_telling(store: EventStore[SiteState]) -> None:
    while True:
        await asyncio.sleep(TELL_EVERY_S)
        done = store.last.seq if store.last else 0
        systemd.notify(f"EXTEND_TIMEOUT_USEC={START_PATIENCE_US}\nSTATUS=folding the log: event {done:,}")


class LogFacts:
    """Probes each second. A sight older than `log.patience` proves nothing, whoever is to blame."""

    def __init__(self, board: Board, store: EventStore[SiteState], *, now: Callable[[], Moment]) -> None:
        self._board, self._store, self._now = board, store, now
        self._is_checked = False
        self.site: Site | None = None

    def trouble(self, code: str, detail: str) -> None:
        """An append failed: the log is not good until a probe says otherwise."""
        self._put(False, code, detail)

    def _put(self, good: bool, fault: str, detail: str) -> None:
        before: Proof = replace(self._board.log, max_age_us=self._board.policy.log_patience_us)
        now_us = self._now().boottime_us
        self._board.log = renewed(before, now_us, good, fault=fault, detail=detail)
        if not good and self.site is not None:
            self.site.look()

    async def probe(self) -> None:
        """One probe, and what it says on the board."""
        patience_s = self._board.policy.log_patience_us / SECOND_US
        try:
            await self._store.probe(patience_s)
        except LogTampered as problem:
            self._put(False, "log-tampered", str(problem))
        except Unwritable as problem:
            self._put(False, "log-unwritable", str(problem))
        except NotChecked as problem:
            # No fault: a request waits for it as for any other check.
            self._put(False, "", str(problem))
            await self._remember_latest()
        except LogError as problem:
            self._after_a_miss(str(problem))
        else:
            self._put(True, "log-unwritable", "the log takes events")
            await self._remember_latest()

    async def _remember_latest(self) -> None:
        """How late it has ever been by the log: a clock that stands before that opens nothing (S25)."""
        try:
            site = await self._store.state()
        except LogError:
            return
        board = self._board
        board.last_event_wall_us = site.latest_us(board.policy.require_clock_sync)

    def _after_a_miss(self, detail: str) -> None:
        """A short lock is no fault: the last good sight counts until it is older than the patience."""
        log = self._board.log
        age_us = self._now().boottime_us - log.seen_at_us
        if not log.good or age_us > self._board.policy.log_patience_us:
            self._put(False, "log-unwritable", detail)

    async def keep_probing(self) -> None:
        """Until cancelled."""
        while True:
            await self.probe()
            patience_s = self._board.policy.log_patience_us / SECOND_US
            await self._pause(min(PROBE_EVERY_S, patience_s / 3))

    async def _pause(self, seconds: float) -> None:
        """That long, or until the check behind the start has come to its end."""
        if self._is_checked:
            await asyncio.sleep(seconds)
            return
        try:
            async with asyncio.timeout(seconds):
                await self._store.checked()
        except TimeoutError:
            return
        self._is_checked = True
