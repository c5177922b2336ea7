"""The one read-write connection: appends, probes, and the fold of what is committed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from sqlite3 import SQLITE_BUSY, SQLITE_CONSTRAINT, SQLITE_FULL, SQLITE_LOCKED, SQLITE_READONLY
from typing import Any, Generic, TypeVar

from sqlalchemy import Connection, bindparam, insert, select
from sqlalchemy.dialects import sqlite

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
    writing_engine,
)

F = TypeVar("F")
SALT_BYTES = 16
_CERTAIN = frozenset((SQLITE_BUSY, SQLITE_LOCKED, SQLITE_FULL, SQLITE_CONSTRAINT, SQLITE_READONLY))
"""Codes after which nothing was written and the connection is as good as before."""
PSEUDONYM_BYTES = 6
_BY_ID = select(events).where(events.c.id == bindparam("wanted"))
_NEWEST = select(events.c.seq, events.c.hash).order_by(events.c.seq.desc()).limit(1)
# The three statements of every append, compiled once and given to the driver: each would cost more on its way
# through the expression language than in the database.
_DIALECT = sqlite.dialect(paramstyle="qmark")
_INSERT_EVENT, _INSERT_DETAILS = (str(insert(table).compile(dialect=_DIALECT)) for table in (events, details))
_HAS_ID = str(select(events.c.seq).where(events.c.id == bindparam("wanted")).compile(dialect=_DIALECT))


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
    ) -> None:
        self.last: Record | None = None
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
        """Make or migrate the database, check every row while folding it."""
        try:
            self._files.create()
            self._files.hold()
            connection = writing_engine(self._path).connect()
            self._connection = connection
            with connection.begin():
                migrate(connection)
            with connection.begin():
                compare_with_golden(connection)
                for record in chained(connection):
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
            stored = self._stored(connection, sealed)
            fresh = self._insert(connection, sealed, stored)
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
        difference = self._files.difference()
        if difference is not None:
            raise LogTampered(None, difference)
        unwritable = self._files.unwritable()
        if unwritable is not None:
            raise Unwritable(unwritable)
        suspect = self._suspect or self._files.touched()
        with self._transaction(connection):
            version = self._read_data_version(connection)
            newest = connection.execute(_NEWEST).first()
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
            query = select(pseudonyms).where(pseudonyms.c.kind == kind, pseudonyms.c.key.in_(keys))
            known = {row.key: row.id for row in connection.execute(query)}
            unknown = dict.fromkeys(key for key in keys if key not in known)
            fresh = {key: f"{kind}-{self._random(PSEUDONYM_BYTES).hex()}" for key in unknown}
            if fresh:
                rows_of_fresh = [{"kind": kind, "key": key, "id": value} for key, value in fresh.items()]
                connection.execute(insert(pseudonyms), rows_of_fresh)
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
        self, connection: Connection, sealed: Sequence[Sealed], stored: dict[str, Record]
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
        driver = driver_of(connection)
        driver.executemany(_INSERT_EVENT, rows)
        driver.executemany(_INSERT_DETAILS, personal)
        return fresh

    def _stored(self, connection: Connection, sealed: Sequence[Sealed]) -> dict[str, Record]:
        driver = driver_of(connection)
        there = [item.id for item in sealed if driver.execute(_HAS_ID, (item.id,)).fetchone()]
        found = (connection.execute(_BY_ID, {"wanted": each}).one() for each in there)
        return {row.id: record_of_row(row) for row in found}

    @contextmanager
    def _transaction(self, connection: Connection) -> Iterator[_Transaction]:
        """A transaction that is rolled back unless its body says `keep`; errors come out as LogErrors."""
        transaction = _Transaction()
        committing = False
        try:
            begun = connection.begin()
            yield transaction
            if transaction.kept:
                committing = True
                begun.commit()
            else:
                begun.rollback()
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
            begun = connection.get_transaction()
            if begun is not None:
                begun.rollback()
            # After a failed COMMIT the wrapper believes that the transaction is over.
            connection.connection.rollback()
        except Exception:
            self._drop()
        if code is not None and code not in _CERTAIN:
            self._drop()

    def _ready(self) -> Connection:
        """The connection, opened again after an error that cost it; rows that landed meanwhile are folded."""
        if self._connection is not None:
            return self._connection
        difference = self._files.difference()
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
        difference = self._files.difference()
        if difference is not None:
            raise NotAppended(difference)
        # Our own commit changes what `touched` compares with, so it is asked before.
        self._suspect = self._suspect or self._files.touched()
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
            except Exception as error:
                text = " ".join(str(error).split())[:200]
                self._fold_fault = f"event {record.seq} cannot be folded: {type(error).__name__}: {text}"

    def _newest(self) -> tuple[int, str] | tuple[()]:
        return () if self.last is None else (self.last.seq, self.last.hash)

    def _read_data_version(self, connection: Connection) -> int:
        """A number that changes when any other connection commits."""
        return int(connection.exec_driver_sql("PRAGMA data_version").scalar_one())

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


class _Transaction:
    """What the body of a transaction says of it."""

    kept = False

    def keep(self) -> None:
        """Commit at the end."""
        self.kept = True
