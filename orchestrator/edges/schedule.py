"""Wakes the site at the next start or end of a window. It proposes only: no end depends on it (FIELD 8)."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from apscheduler.schedulers.asyncio import AsyncIOScheduler

_JOB = "boundary"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Schedule:
    """Calls `on_boundary` in the loop at each boundary that `next_boundary(wall_us)` names.

    `wall_us` says the wall time in microseconds. APScheduler gets UTC instants alone, one at a time; a late
    one is late and not lost (no misfire grace). An `on_boundary` that raises is logged by APScheduler, and
    the next boundary is scheduled all the same.
    """

    def __init__(
        self,
        on_boundary: Callable[[], None],
        next_boundary: Callable[[int], int | None],
        wall_us: Callable[[], int],
    ) -> None:
        self._on_boundary = on_boundary
        self._next_boundary = next_boundary
        self._wall_us = wall_us
        self._scheduler = AsyncIOScheduler(timezone=UTC)

    def start(self) -> None:
        """Begin, within a running loop."""
        self._scheduler.start()
        self.refresh()

    def refresh(self) -> None:
        """Look anew for the next boundary: after a reload, or when a window was made or changed."""
        if not self._scheduler.running:
            return
        following_us = self._next_boundary(self._wall_us())
        if following_us is None:
            if self._scheduler.get_job(_JOB) is not None:
                self._scheduler.remove_job(_JOB)
            return
        self._scheduler.add_job(
            self._wake,
            "date",
            run_date=_EPOCH + timedelta(microseconds=following_us),
            id=_JOB,
            replace_existing=True,
            misfire_grace_time=None,
            coalesce=True,
        )

    def stop(self) -> None:
        """End at once, waiting for nothing; a second call does nothing."""
        if self._scheduler.running:
            self._scheduler.remove_all_jobs()
            self._scheduler.shutdown(wait=False)

    # A coroutine, because APScheduler runs a plain function in a thread.
    async def _wake(self) -> None:
        try:
            self._on_boundary()
        finally:
            self.refresh()
