"""The real log with a hand on it: an append that hangs, a file that somebody locks."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from orchestrator.core.events import Record
from orchestrator.runtime.event_store import EventStore
from orchestrator.runtime.ledger import SiteState

LIMIT_S = 20


class Hang:
    """Makes the log's thread stand still in the next append, between INSERT and COMMIT."""

    def __init__(self) -> None:
        self.reached = threading.Event()
        self.go_on = threading.Event()

    async def begun(self) -> None:
        """Wait until the log's thread stands there."""
        assert await asyncio.to_thread(self.reached.wait, LIMIT_S)


class StoppableStore:
    """The real store; its next append can be made to hang, and to land whatever its fence says."""

    def __init__(self, store: EventStore[SiteState]) -> None:
        self._store = store
        self.hang: Hang | None = None
        self.lands_anyway = False

    async def append(
        self, sealed: Sequence[Any], *, fence: Callable[[], bool] | None = None, patience_s: float = 3.0
    ) -> list[Record]:
        hang, self.hang = self.hang, None
        if hang is None:
            return await self._store.append(sealed, fence=fence, patience_s=patience_s)
        anyway = self.lands_anyway
        patience_s = 0.05 if anyway else patience_s

        def stop_here() -> bool:
            hang.reached.set()
            assert hang.go_on.wait(LIMIT_S)
            return True if fence is None or anyway else fence()

        return await self._store.append(sealed, fence=stop_here, patience_s=patience_s)

    async def state(self) -> SiteState:
        return await self._store.state()

    @property
    def last(self) -> Record | None:
        return self._store.last


@contextmanager
def locked(path: Path) -> Iterator[sqlite3.Connection]:
    """Somebody else holds an exclusive lock on the database."""
    connection = sqlite3.connect(path, isolation_level=None)
    try:
        connection.execute("BEGIN EXCLUSIVE")
        yield connection
    finally:
        connection.close()
