"""The durable log as the daemon uses it: awaitable, bounded, one hop to the thread that writes."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any, Generic, TypeVar

from orchestrator.core.events import Record, Sealed
from orchestrator.runtime.event_store.checking import WholeCheck
from orchestrator.runtime.event_store.errors import LogTampered, LogUnavailable, NotAppended, OutcomeUnknown
from orchestrator.runtime.event_store.reader import LogReader, details_of, holds, marked, stream
from orchestrator.runtime.event_store.schema import database_path, reading_engine
from orchestrator.runtime.event_store.snapshot import Folding, SnapshotFile
from orchestrator.runtime.event_store.thread import LogThread, NeverStarted, StillRunning
from orchestrator.runtime.event_store.writer import LogWriter

log = logging.getLogger(__name__)
F = TypeVar("F")
T = TypeVar("T")

PATIENCE_S = 3.0
CLOSE_PATIENCE_S = 2.0
SNAPSHOT_PATIENCE_S = 0.5
SNAPSHOT_EVERY_EVENTS = 2000
"""A start folds at most about so many events; a shorter log has no snapshot at all."""


class EventStore(Generic[F]):
    """The site's log in one SQLite file, and the fold of everything committed to it.

    `fold(state, record)` runs in the log's thread after each commit: it must be pure and its states values;
    `empty` is the state before the first event. All methods belong to the loop that `open` ran in.
    """

    def __init__(
        self,
        url: str,
        *,
        site: str,
        fold: Callable[[F, Record], F],
        empty: F,
        random: Callable[[int], bytes] = os.urandom,
        folding: Folding[F] | None = None,
    ) -> None:
        """`folding`: how the fold is kept in snapshots; without it every start folds from nothing."""
        self._path = database_path(url)
        self._folding = folding
        self._snapshots = None if folding is None else SnapshotFile(self._path, folding)
        self._writer: LogWriter[F] = LogWriter(
            self._path,
            site=site,
            fold=fold,
            empty=empty,
            random=random,
            committed=self._announce,
            snapshots=self._snapshots,
        )
        self._check: WholeCheck | None = None
        self._checked = asyncio.Event()
        self._keeping = LogThread("volet-log-snapshots")
        self._keeper: asyncio.Task[None] | None = None
        self._kept_seq = 0
        self._writing = LogThread("volet-log")
        self._reading = LogThread("volet-log-reader")
        self._reader: LogReader | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._news = asyncio.Event()
        self._closed = False

    @property
    def last(self) -> Record | None:
        """The newest committed event."""
        return self._writer.last

    async def open(self) -> None:
        """Make or migrate the file and check all of it; where there is a snapshot, what comes after it, and
        the whole of it behind the start (`probe`).

        Raises LogUnavailable (one sentence) when it cannot be opened, LogTampered when somebody changed it.
        """
        self._loop = asyncio.get_running_loop()
        self._writing.start()
        self._reading.start()
        try:
            await self._asked(self._writing, self._writer.open)
            self._reader = await self._asked(
                self._reading, lambda: LogReader(self._path, reading_engine(self._path))
            )
            if self._snapshots is not None and self._folding is not None:
                self._begin_keeping(self._snapshots, self._folding.check)
            else:
                self._checked.set()
        except BaseException:
            await self.close()
            raise

    def _begin_keeping(self, snapshots: SnapshotFile[F], check: str) -> None:
        """Snapshots from now on; and the check of the whole, where the start took one up."""
        begun, last = self._writer.begun, self.last
        if begun is None or last is None:
            self._checked.set()
        else:
            self._kept_seq = begun.record.seq
            self._check = WholeCheck(self._path, check, begun, last.seq, self._check_ended)
            self._check.start()
        self._keeping.start()
        self._keeper = asyncio.create_task(self._keep(snapshots), name="log-snapshots")

    async def append(
        self,
        sealed: Sequence[Sealed],
        *,
        fence: Callable[[], bool] | None = None,
        patience_s: float = PATIENCE_S,
    ) -> list[Record]:
        """Commit all of `sealed` or nothing, durably; answers the record of each.

        An id that is there already is a success: its stored record is answered and nothing added.

        `fence` is asked in the log's thread between INSERT and COMMIT; False rolls back and raises Fenced.
        Raises NotAppended when certainly nothing of it is in the log, OutcomeUnknown when its row may still
        land: ask `state` before believing either (S21).
        """
        try:
            return await self._writing.run(
                lambda: self._writer.append(sealed, fence), patience_s=patience_s, survives_cancel=True
            )
        except NeverStarted:
            raise NotAppended(self._busy(patience_s)) from None
        except StillRunning:
            raise OutcomeUnknown(f"the log {self._path} has not answered within {patience_s:g} s") from None
        except LogTampered as error:
            raise NotAppended(str(error)) from error

    async def state(self) -> F:
        """The fold of everything committed; when it answers, every earlier append has landed or failed."""
        return await self._asked(self._writing, self._writer.state)

    async def probe(self, patience_s: float = PATIENCE_S) -> None:
        """Whether the next append would land, in the same file as the last.

        Raises NotAppended or OutcomeUnknown when not, LogTampered when the file is missing, replaced, shorter
        or not what was written, NotChecked while the check behind the start has not come to its end.
        """
        try:
            await self._writing.run(self._writer.probe, patience_s=patience_s)
        except NeverStarted:
            raise NotAppended(self._busy(patience_s)) from None
        except StillRunning:
            raise OutcomeUnknown(f"the log {self._path} has not answered within {patience_s:g} s") from None
        if self._check is not None:
            self._check.demand()

    async def checked(self) -> None:
        """Return once the check behind the start, if there is one, has ended; `probe` says what it found."""
        await self._checked.wait()

    def read(
        self,
        *,
        after: int = 0,
        limit: int = 100,
        camera: str | None = None,
        session: str | None = None,
        requests_only: bool = False,
    ) -> Awaitable[list[Record]]:
        """At most `limit` records with a greater sequence number than `after`, oldest first."""

        def work() -> list[Record]:
            found = stream(
                self._open_reader(),
                after=after,
                limit=limit,
                camera=camera,
                session=session,
                requests_only=requests_only,
            )
            return list(found)

        return self._asked(self._reading, work)

    def holds(self, hashes: Sequence[str]) -> Awaitable[bool]:
        """Whether an event with each of these hashes is in the log; reads all of it."""
        return self._asked(self._reading, lambda: holds(self._open_reader(), hashes))

    def details(self, ids: Sequence[str]) -> Awaitable[dict[str, Any]]:
        """The personal rows of these events by event id; an erased one is absent."""
        return self._asked(self._reading, lambda: details_of(self._open_reader(), ids))

    def marked(self, member: str, since_us: int) -> Awaitable[list[tuple[Record, Any]]]:
        """Transitions since then whose personal row has that member, and its value; newest first."""
        return self._asked(self._reading, lambda: marked(self._open_reader(), member, since_us))

    def pseudonyms(self, kind: str, keys: Sequence[str]) -> Awaitable[dict[str, str]]:
        """The random, stable id of each key, `m-` and 12 hex digits for the kind `m`; made at first sight."""
        return self._asked(self._writing, lambda: self._writer.pseudonyms(kind, keys), PATIENCE_S)

    async def wait_for(self, seq: int) -> None:
        """Return once a record newer than `seq` is committed; LogUnavailable when the log is closed first."""
        while self.last is None or self.last.seq <= seq:
            if self._closed:
                raise LogUnavailable(f"the log {self._path} is closed")
            await self._news.wait()

    async def close(self) -> None:
        """Work off what is queued and close; within 2 s, even when the disk hangs."""
        self._closed = True
        self._wake()
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.wait({self._keeper})
        await asyncio.gather(
            self._writing.stop(self._writer.close, patience_s=CLOSE_PATIENCE_S),
            self._reading.stop(self._close_reader, patience_s=CLOSE_PATIENCE_S),
        )
        if self._keeper is not None:
            await self._keeping.stop(self._keep_last, patience_s=SNAPSHOT_PATIENCE_S)

    async def _keep(self, snapshots: SnapshotFile[F]) -> None:
        """A snapshot now and then, in a thread of its own: no append ever waits for it."""
        while True:
            await self._checked.wait()
            if self._check is not None and self._check.tampered is not None:
                await self._keeping.run(snapshots.put_aside)
                return
            news, folded = self._news, self._writer.folded
            if folded is not None and folded[0].seq - self._kept_seq >= SNAPSHOT_EVERY_EVENTS:
                await self._keeping.run(partial(self._write_snapshot, snapshots, *folded))
            await news.wait()

    def _write_snapshot(self, snapshots: SnapshotFile[F], record: Record, state: F) -> None:
        # The next try comes with the next events, whether this one succeeds or not.
        self._kept_seq = record.seq
        try:
            snapshots.write(record, state)
        except (OSError, ValueError, TypeError) as error:
            log.warning("no snapshot of the log was kept, the next start may take longer: %s", error)

    def _keep_last(self) -> None:
        """At a stop: the next start finds nothing to fold."""
        folded, check = self._writer.folded, self._check
        if self._snapshots is None or folded is None:
            return
        if check is not None:
            check.stop()
            if check.tampered is not None:
                self._snapshots.put_aside()
            if not check.passed:
                return
        if folded[0].seq >= SNAPSHOT_EVERY_EVENTS and folded[0].seq > self._kept_seq:
            self._write_snapshot(self._snapshots, *folded)

    def _check_ended(self) -> None:
        """In the check's own thread."""
        if self._loop is not None:
            try:
                self._loop.call_soon_threadsafe(self._checked.set)
            except RuntimeError:
                # The loop has closed meanwhile: nobody is left to be told.
                pass

    async def _asked(self, thread: LogThread, work: Callable[[], T], patience_s: float | None = None) -> T:
        try:
            return await thread.run(work, patience_s=patience_s)
        except (NeverStarted, StillRunning):
            raise LogUnavailable(self._busy(patience_s)) from None

    def _busy(self, patience_s: float | None) -> str:
        if self._closed:
            return f"the log {self._path} is closed"
        within = "" if patience_s is None else f" within {patience_s:g} s"
        return f"the log {self._path} did not get to it{within}: an earlier write hangs or too many wait"

    def _open_reader(self) -> LogReader:
        if self._reader is None:
            raise LogUnavailable(f"the log {self._path} is not open")
        return self._reader

    def _close_reader(self) -> None:
        if self._reader is not None:
            self._reader.close()

    def _announce(self) -> None:
        """Called in the log's thread after each commit."""
        if self._loop is None:
            return
        try:
            self._loop.call_soon_threadsafe(self._wake)
        except RuntimeError:
            # The loop has closed meanwhile: nobody is left to follow.
            pass

    def _wake(self) -> None:
        self._news, waiting = asyncio.Event(), self._news
        waiting.set()
