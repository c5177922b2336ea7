"""The one read-write connection: appends, probes, and the fold of what is committed."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from sqlite3 import SQLITE_BUSY, SQLITE_CONSTRAINT, SQLITE_FULL, SQLITE_LOCKED, SQLITE_READONLY
from typing import Any, Generic, TypeVar

from sqlalchemy import Connection, bindparam, insert, select

from orchestrator.core.canonical import canonical
from orchestrator.core.chain import GENESIS, body, commitment, digest, record_of, shaped
from orchestrator.core.events import Record, Sealed
from orchestrator.runtime.event_store.errors import (
    DAMAGED,
    Fenced,
    LogError,
    LogTampered,
    LogUnavailable,
    NotAppended,
    OutcomeUnknown,
    Unwritable,
    code_of,
    sentence,
)
from orchestrator.runtime.event_store.files import LogFiles
from orchestrator.runtime.event_store.migrate import migrate
from orchestrator.runtime.event_store.rows import chained, columns_of, record_of_row
from orchestrator.runtime.event_store.schema import (
    compare_with_golden,
    details,
    driver_of,
    events,
    pseudonyms,
    reading_engine,
    statement,
    writing_engine,
)
from orchestrator.runtime.event_store.snapshot import Snapshot, SnapshotFile

F = TypeVar("F")
SALT_BYTES = 16
_CERTAIN = frozenset((SQLITE_BUSY, SQLITE_LOCKED, SQLITE_FULL, SQLITE_CONSTRAINT, SQLITE_READONLY))
"""Codes after which nothing was written and the connection is as good as before."""
PSEUDONYM_BYTES = 6
_BY_ID = statement(select(events).where(events.c.id == bindparam("wanted")))
_NEWEST = "SELECT seq, hash FROM events ORDER BY seq DESC LIMIT 1"
_INSERT_EVENT, _INSERT_DETAILS, _INSERT_PSEUDONYM = (
    statement(insert(table)) for table in (events, details, pseudonyms)
)
_PSEUDONYM = "SELECT id FROM pseudonyms WHERE kind = ? AND key = ?"


class LogWriter(Generic[F]):
    """Owns the log's file. Every method runs in one thread and raises LogError alone."""

    def __init__(
        self,
        path: Path,
        *,
        site: str,
        fold: Callable[[F, Record], F],
        empty: F,
        random: Callable[[int], bytes],
        committed: Callable[[], None],
        snapshots: SnapshotFile[F] | None = None,
    ) -> None:
        self.last: Record | None = None
        self.folded: tuple[Record, F] | None = None
        """The newest record and the state after it, as one."""
        self.begun: Snapshot[F] | None = None
        """What `open` took up instead of folding from nothing: nobody has checked what lies before it."""
        self._snapshots = snapshots
        self._path = path
        self._site = site
        self._fold = fold
        self._state = empty
        self._fold_fault: str | None = None
        self._random = random
        self._committed = committed
        self._files = LogFiles(path)
        self._connection: Connection | None = None
        self._data_version = 0
        self._suspect = False
        self._tampered: tuple[object, LogTampered] | None = None

    def open(self) -> None:
        """Make or migrate the database; check every row while folding it, from the first one or from a
        snapshot on (`begun`)."""
        try:
            self._files.create()
            self._files.hold()
            connection = writing_engine(self._path).connect()
            self._connection = connection
            with connection.begin():
                migrate(connection)
            with connection.begin():
                compare_with_golden(connection)
                self.begun = self._snapshots.taken(connection) if self._snapshots else None
                if self.begun is not None:
                    self.last, self._state = self.begun.record, self.begun.state
                    self.folded = self.begun.record, self.begun.state
                for record in chained(connection, self.last):
                    self._take(record)
            with connection.begin():
                self._data_version = self._read_data_version(connection)
            self._files.remember()
        except LogError:
            self.close()
            raise
        except Exception as error:
            self.close()
            if code_of(error) in DAMAGED:
                raise LogTampered(None, sentence(error, self._path)) from error
            raise LogUnavailable(sentence(error, self._path)) from error
        if self._fold_fault is not None:
            self.close()
            raise LogUnavailable(self._fold_fault)

    def append(self, sealed: Sequence[Sealed], fence: Callable[[], bool] | None) -> list[Record]:
        """One transaction for all of `sealed`; the record of each, those that were there already included.

        Raises NotAppended or Fenced when nothing of it is in the log, OutcomeUnknown when the disk failed in
        the commit itself: the next call then looks at what the file says.
        """
        connection = self._ready_to_write()
        with self._transaction(connection) as transaction:
            stored = self._stored(transaction.driver, sealed)
            fresh = self._insert(transaction.driver, sealed, stored)
            if fresh:
                if fence is not None and not fence():
                    raise Fenced("a closing came between: the append was taken back")
                transaction.keep()
        self._files.remember()
        for record in fresh:
            self._take(record)
        if fresh:
            self._committed()
        return [stored[item.id] for item in sealed]

    def probe(self) -> None:
        """Whether the next append would land, in the same file as the last (CONTRACT 7 "The log check")."""
        connection = self._ready()
        difference, touched = self._files.look()
        if difference is not None:
            raise LogTampered(None, difference)
        unwritable = self._files.unwritable()
        if unwritable is not None:
            raise Unwritable(unwritable)
        suspect = self._suspect or touched
        with self._transaction(connection) as transaction:
            version = self._read_data_version(connection)
            newest = transaction.driver.execute(_NEWEST).fetchone()
        if suspect or version != self._data_version or tuple(newest or ()) != self._newest():
            self._check_again((self._files.signature(), version))
            with self._transaction(connection):
                self._data_version = self._read_data_version(connection)
            self._files.remember()
            self._suspect = False

    def state(self) -> F:
        """The fold of everything committed, once the file has been asked what that is."""
        try:
            self._ready()
        except NotAppended as error:
            raise LogUnavailable(str(error)) from error
        if self._fold_fault is not None:
            raise LogUnavailable(self._fold_fault)
        return self._state

    def pseudonyms(self, kind: str, keys: Sequence[str]) -> dict[str, str]:
        """The random id of each key, made at first sight: `kind`, a dash and 12 hexadecimal digits."""
        connection = self._ready_to_write()
        with self._transaction(connection) as transaction:
            driver = transaction.driver
            found = {key: driver.execute(_PSEUDONYM, (kind, key)).fetchone() for key in keys}
            known: dict[str, str] = {key: row[0] for key, row in found.items() if row is not None}
            unknown = [key for key, row in found.items() if row is None]
            fresh = {key: f"{kind}-{self._random(PSEUDONYM_BYTES).hex()}" for key in unknown}
            if fresh:
                driver.executemany(_INSERT_PSEUDONYM, [(kind, key, value) for key, value in fresh.items()])
                transaction.keep()
        if fresh:
            self._files.remember()
        known.update(fresh)
        return {key: known[key] for key in keys}

    def close(self) -> None:
        """Close the file and give its lock back; nothing is raised."""
        self._drop()
        self._files.release()

    def _insert(
        self, driver: sqlite3.Connection, sealed: Sequence[Sealed], stored: dict[str, Record]
    ) -> list[Record]:
        """Insert what is not in `stored` yet, and add it there."""
        seq, prev = (0, GENESIS) if self.last is None else (self.last.seq, self.last.hash)
        fresh: list[Record] = []
        rows: list[tuple[Any, ...]] = []
        personal: list[tuple[str, bytes, bytes]] = []
        for item in sealed:
            if item.id in stored:
                continue
            salt, row, committed = b"", item.event.details, None
            if row is not None:
                salt = self._random(SALT_BYTES)
                committed = commitment(salt, row)
                personal.append((item.id, salt, canonical(row)))
            data = canonical(body(item, seq + 1, prev, self._site, committed))
            # The fold is fed what the bytes say, as every later reader will be.
            written = shaped(data)
            record = record_of(written, data, digest(data))
            rows.append(columns_of(written, data, record.hash))
            seq, prev = record.seq, record.hash
            stored[item.id] = record
            fresh.append(record)
        driver.executemany(_INSERT_EVENT, rows)
        if personal:
            driver.executemany(_INSERT_DETAILS, personal)
        return fresh

    def _stored(self, driver: sqlite3.Connection, sealed: Sequence[Sealed]) -> dict[str, Record]:
        found = (driver.execute(_BY_ID, (item.id,)).fetchone() for item in sealed)
        return {record.sealed.id: record for record in map(record_of_row, filter(None, found))}

    @contextmanager
    def _transaction(self, connection: Connection) -> Iterator[Transaction]:
        """A transaction that is rolled back unless its body says `keep`; errors come out as LogErrors.

        It is the driver's own: the wrapper's bookkeeping would cost as much as the database.
        """
        committing = False
        try:
            transaction = Transaction(driver_of(connection))
            transaction.driver.execute("BEGIN IMMEDIATE")
            yield transaction
            if transaction.kept:
                committing = True
                transaction.commit()
            else:
                transaction.driver.execute("ROLLBACK")
        except Exception as error:
            code = code_of(error)
            self._roll_back(connection, code)
            if isinstance(error, LogError):
                raise
            said = sentence(error, self._path)
            if committing and code not in _CERTAIN:
                # A failed fsync leaves whole frames in the write-ahead log: only reading it again tells.
                self._drop()
                raise OutcomeUnknown(f"{said}; the commit itself failed") from error
            if code in DAMAGED:
                raise LogTampered(None, said) from error
            raise NotAppended(said) from error

    def _roll_back(self, connection: Connection, code: int | None) -> None:
        try:
            driver_of(connection).rollback()
        except Exception:
            self._drop()
        if code is not None and code not in _CERTAIN:
            self._drop()

    def _ready(self) -> Connection:
        """The connection, opened again after an error that cost it; rows that landed meanwhile are folded."""
        if self._connection is not None:
            return self._connection
        difference, _ = self._files.look()
        if difference is not None:
            raise NotAppended(difference)
        try:
            connection = writing_engine(self._path).connect()
            self._connection = connection
            with connection.begin():
                self._check_newest(connection)
                before = self.last
                for record in chained(connection, before):
                    self._take(record)
                self._data_version = self._read_data_version(connection)
        except LogError:
            self._drop()
            raise
        except Exception as error:
            self._drop()
            raise NotAppended(sentence(error, self._path)) from error
        self._files.remember()
        self._suspect = True
        if self.last is not before:
            self._committed()
        return connection

    def _ready_to_write(self) -> Connection:
        connection = self._ready()
        # Our own commit changes what `touched` compares with, so it is asked before.
        difference, touched = self._files.look()
        if difference is not None:
            raise NotAppended(difference)
        self._suspect = self._suspect or touched
        return connection

    def _check_newest(self, connection: Connection) -> None:
        if self.last is not None:
            query = select(events.c.hash).where(events.c.seq == self.last.seq)
            if connection.execute(query).scalar() != self.last.hash:
                raise LogTampered(self.last.seq, "the newest event that was written is not there any more")

    def _check_again(self, signature: object) -> None:
        """Read everything anew, past our own page cache: somebody else has touched the files (F12).

        A log found tampered with is not read again until something about its files (`signature`) changes.
        """
        if self._tampered is not None and self._tampered[0] == signature:
            raise self._tampered[1]
        try:
            self._read_everything()
        except LogTampered as error:
            self._tampered = (signature, error)
            raise

    def _read_everything(self) -> None:
        newest: Record | None = None
        try:
            with reading_engine(self._path).connect() as connection:
                compare_with_golden(connection)
                for newest in chained(connection):  # noqa: B007 - the last one is what is wanted
                    pass
        except LogError:
            raise
        except Exception as error:
            if code_of(error) in DAMAGED:
                raise LogTampered(None, sentence(error, self._path)) from error
            raise NotAppended(sentence(error, self._path)) from error
        found = (newest.seq, newest.hash) if newest else ()
        if found != self._newest():
            ends, ours = (found or (0,))[0], (self._newest() or (0,))[0]
            why = f"the log ends at event {ends}, but we wrote up to event {ours}"
            raise LogTampered(min(ends, ours) + 1, why)

    def _take(self, record: Record) -> None:
        """`record` is committed: it is the newest, and part of the state."""
        self.last = record
        if self._fold_fault is None:
            try:
                self._state = self._fold(self._state, record)
                self.folded = record, self._state
            except Exception as error:
                text = " ".join(str(error).split())[:200]
                self._fold_fault = f"event {record.seq} cannot be folded: {type(error).__name__}: {text}"

    def _newest(self) -> tuple[int, str] | tuple[()]:
        return () if self.last is None else (self.last.seq, self.last.hash)

    def _read_data_version(self, connection: Connection) -> int:
        """A number that changes when any other connection commits."""
        return int(driver_of(connection).execute("PRAGMA data_version").fetchone()[0])

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is None:
            return
        try:
            connection.close()
        except Exception:
            # It was to be thrown away; the next one finds out what is wrong with the file.
            connection.invalidate()
        # The last connection to close takes the write-ahead log away with it.
        self._files.forget_write_ahead_log()


class Transaction:
    """The driver within a transaction, and what the body says of it."""

    def __init__(self, driver: sqlite3.Connection) -> None:
        self.driver = driver
        self.kept = False

    def keep(self) -> None:
        """Commit at the end."""
        self.kept = True

    def commit(self) -> None:
        """Durable when it returns."""
        self.driver.execute("COMMIT")
