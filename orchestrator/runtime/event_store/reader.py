"""Reading a log without the daemon: any copy, on any machine, without changing a byte of it or beside it."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from sqlite3 import SQLITE_CORRUPT
from types import TracebackType
from typing import Any, Self

from sqlalchemy import Connection, Engine, Row, Select, literal_column, select
from sqlalchemy.exc import DatabaseError

from orchestrator.core.chain import BrokenRecord
from orchestrator.core.events import Record
from orchestrator.runtime.event_store.errors import (
    DAMAGED,
    LogError,
    LogTampered,
    LogUnavailable,
    code_of,
    sentence,
)
from orchestrator.runtime.event_store.files import shared_memory, write_ahead_log
from orchestrator.runtime.event_store.rows import STREAM_ROWS, record_of_row
from orchestrator.runtime.event_store.schema import database_path, details, events, reading_engine

IDS_PER_QUERY = 500
MARKED_LIMIT = 20_000
A_DAY_US = 86_400_000_000
PrivateFolder = tempfile.TemporaryDirectory[str]


class LogReader:
    """A log opened for reading alone; each query sees one moment of it. Close it, or use `with`."""

    def __init__(self, path: Path, engine: Engine, copy: PrivateFolder | None = None) -> None:
        self.path = path
        self._engine = engine
        self._copy = copy
        try:
            with self.connect() as connection:
                query = "SELECT 1 FROM sqlite_master WHERE name = 'events'"
                found = connection.exec_driver_sql(query).first()
        except DatabaseError as error:
            if code_of(error) != SQLITE_CORRUPT:
                raise
            # What is left of it is `verify`'s to judge.
            return
        if found is None:
            raise LogUnavailable(f"{path} is a database, but not a log: it has no table `events`")

    def connect(self) -> Connection:
        """A connection of its own; close it."""
        return self._engine.connect()

    def rows(self, query: Select[Any]) -> Iterator[Row[Any]]:
        """The rows of a query, fetched a thousand at a time, all from one moment of the log.

        LogUnavailable when the file cannot be read, LogTampered when its pages are damaged.
        """
        try:
            with self.connect() as connection:
                yield from connection.execution_options(yield_per=STREAM_ROWS).execute(query)
        except DatabaseError as error:
            said = sentence(error, self.path)
            raise (LogTampered(None, said) if code_of(error) in DAMAGED else LogUnavailable(said)) from error

    def close(self) -> None:
        """Erase the private copy, if one was needed."""
        self._engine.dispose()
        if self._copy is not None:
            self._copy.cleanup()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def open_read_only(url_or_path: str | Path) -> LogReader:
    """Open a log by SQLAlchemy URL or path, also one whose folder is read-only and whose last events lie in a
    write-ahead log beside it. LogUnavailable says what is the matter with it."""
    path = database_path(url_or_path)
    if not path.is_file():
        raise LogUnavailable(f"there is no log at {path}; give the path of events.db or its URL")
    try:
        if not write_ahead_log(path).exists():
            # Nobody has it open: a writer's write-ahead log stands beside its database.
            return LogReader(path, reading_engine(path, immutable=True))
        if shared_memory(path).exists():
            try:
                return LogReader(path, reading_engine(path))
            except LogError:
                raise
            except Exception:  # noqa: S110 - a stale index in a read-only folder: the copy below serves
                pass
        return _open_copy(path)
    except LogError:
        raise
    except Exception as error:
        raise LogUnavailable(sentence(error, path)) from error


def stream(
    reader: LogReader,
    *,
    after: int = 0,
    limit: int | None = None,
    camera: str | None = None,
    session: str | None = None,
    requests_only: bool = False,
) -> Iterator[Record]:
    """The records with a greater sequence number than `after`, oldest first, in bounded memory.

    LogTampered at one whose bytes, hash and columns disagree; the links between them are `verify`'s question.
    """
    query = select(events).where(events.c.seq > after).order_by(events.c.seq)
    if camera is not None:
        query = query.where(events.c.camera == camera)
    if session is not None:
        query = query.where(events.c.session == session)
    if requests_only:
        query = query.where(literal_column("name") == literal_column("'request'"))
    if limit is not None:
        query = query.limit(limit)
    for row in reader.rows(query):
        try:
            yield record_of_row(row)
        except BrokenRecord as error:
            raise LogTampered(row.seq, str(error)) from error


def holds(reader: LogReader, hashes: Sequence[str]) -> bool:
    """Whether an event with each of these hashes is in the log. Newest first: all of a long log is read only
    where one is missing."""
    wanted = set(hashes)
    for row in reader.rows(select(events.c.hash).order_by(events.c.seq.desc())):
        wanted.discard(row.hash)
        if not wanted:
            break
    return not wanted


def details_of(reader: LogReader, ids: Sequence[str]) -> dict[str, Any]:
    """The personal rows of these events by event id; one that was erased, or never was, is absent."""
    found: dict[str, Any] = {}
    for start in range(0, len(ids), IDS_PER_QUERY):
        some = ids[start : start + IDS_PER_QUERY]
        query = select(details.c.id, details.c.row).where(details.c.id.in_(some))
        found.update((row.id, json.loads(row.row)) for row in reader.rows(query))
    return found


def marked(reader: LogReader, member: str, since_us: int) -> list[tuple[Record, Any]]:
    """Transitions from `since_us` (wall time) on whose personal row has that member, and its value; newest
    first, at most `MARKED_LIMIT`. The log is read back to a day before that: a clock may have stepped."""
    found: list[tuple[Record, Any]] = []
    query = select(events, details.c.row).outerjoin(details, events.c.id == details.c.id)
    query = query.where(events.c.type == "transition").order_by(events.c.seq.desc())
    for row in reader.rows(query):
        if row.wall_us < since_us - A_DAY_US or len(found) == MARKED_LIMIT:
            break
        if row.row is None or row.wall_us < since_us:
            continue
        value = json.loads(row.row).get(member)
        if isinstance(value, dict):
            found.append((record_of_row(row), value))
    return found


def backup(url_or_path: str | Path, file: str | Path) -> None:
    """A proper copy of the database, also of one that is being written, by SQLite's own backup.

    LogUnavailable when `file` is there already, or cannot be written; then nothing is left of it.
    """
    target = Path(file).absolute()
    with open_read_only(url_or_path) as reader:
        try:
            os.close(os.open(target, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600))
        except FileExistsError:
            raise LogUnavailable(f"{target} is there already; name a file that is not") from None
        except OSError as error:
            raise LogUnavailable(f"{target} cannot be made: {error.strerror}") from error
        copy = sqlite3.connect(target)
        try:
            with reader.connect() as connection:
                source: Any = connection.connection.driver_connection
                source.backup(copy)
        except sqlite3.Error as error:
            target.unlink()
            raise LogUnavailable(f"the copy {target} failed: {error}") from error
        finally:
            copy.close()


def _open_copy(path: Path) -> LogReader:
    folder = tempfile.TemporaryDirectory(prefix="volet-log-")
    try:
        copy = Path(folder.name) / "events.db"
        shutil.copyfile(path, copy)
        shutil.copyfile(write_ahead_log(path), write_ahead_log(copy))
        return LogReader(path, reading_engine(copy), folder)
    except BaseException:
        folder.cleanup()
        raise
