"""The log's own fact: it has taken a probe a moment ago, or nothing stays open (CONTRACT 7)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace

from orchestrator.core.facts import Proof
from orchestrator.core.moment import SECOND_US, Moment
from orchestrator.runtime.board import Board, renewed
from orchestrator.runtime.event_store import EventStore
from orchestrator.runtime.event_store.errors import LogError, LogTampered, Unwritable
from orchestrator.runtime.ledger import SiteState
from orchestrator.runtime.site import Site

PROBE_EVERY_S = 1.0


class LogFacts:
    """Probes each second. A sight older than `log.patience` proves nothing, whoever is to blame."""

    def __init__(self, board: Board, store: EventStore[SiteState], *, now: Callable[[], Moment]) -> None:
        self._board, self._store, self._now = board, store, now
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
            await asyncio.sleep(min(PROBE_EVERY_S, patience_s / 3))
