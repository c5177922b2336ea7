"""The tables of the log, what guards them, and how the database is opened."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any
from urllib.parse import quote

from sqlalchemy import (
    BLOB,
    ClauseElement,
    Column,
    Connection,
    Engine,
    Integer,
    MetaData,
    NullPool,
    Table,
    Text,
    create_engine,
    event,
    make_url,
)
from sqlalchemy.dialects import sqlite
from sqlalchemy.exc import ArgumentError

from orchestrator.core.chain import GENESIS
from orchestrator.runtime.event_store.errors import LogTampered, LogUnavailable

BUSY_TIMEOUT_MS = 250
CACHE_KIB = 512
"""What each connection keeps of the file: appends need its last pages, and readers go through it once."""

_metadata = MetaData()
events = Table(
    "events",
    _metadata,
    Column("seq", Integer, primary_key=True),
    Column("id", Text),
    Column("type", Text),
    Column("name", Text),
    Column("camera", Text),
    Column("session", Text),
    Column("wall_us", Integer),
    Column("canonical", BLOB),
    Column("prev", Text),
    Column("hash", Text),
)
details = Table(
    "details",
    _metadata,
    Column("id", Text, primary_key=True),
    Column("salt", BLOB),
    Column("row", BLOB),
)
pseudonyms = Table(
    "pseudonyms",
    _metadata,
    Column("kind", Text, primary_key=True),
    Column("key", Text, primary_key=True),
    Column("id", Text),
)

_DIGEST = "length({0}) = 71 AND {0} GLOB 'sha256:*'"
VERSION_1: tuple[str, ...] = (
    f"""CREATE TABLE events (
  seq INTEGER PRIMARY KEY CHECK (seq >= 1),
  id TEXT NOT NULL UNIQUE CHECK (length(id) BETWEEN 1 AND 64),
  type TEXT NOT NULL CHECK (type IN ('transition', 'observation')),
  name TEXT NOT NULL CHECK (length(name) BETWEEN 1 AND 64),
  camera TEXT,
  session TEXT,
  wall_us INTEGER NOT NULL,
  canonical BLOB NOT NULL CHECK (length(canonical) > 2),
  prev TEXT NOT NULL CHECK ({_DIGEST.format("prev")}),
  hash TEXT NOT NULL CHECK ({_DIGEST.format("hash")})
) STRICT""",
    "CREATE INDEX events_by_camera ON events (camera, seq) WHERE camera IS NOT NULL",
    "CREATE INDEX events_that_ask ON events (seq) WHERE name = 'request'",
    "CREATE INDEX events_by_session ON events (session, seq) WHERE session IS NOT NULL",
    """CREATE TABLE details (
  id TEXT NOT NULL PRIMARY KEY REFERENCES events (id),
  salt BLOB NOT NULL CHECK (length(salt) = 16),
  row BLOB NOT NULL
) STRICT""",
    """CREATE TABLE pseudonyms (
  kind TEXT NOT NULL,
  key TEXT NOT NULL,
  id TEXT NOT NULL UNIQUE,
  PRIMARY KEY (kind, key)
) STRICT""",
    """CREATE TRIGGER events_never_updated BEFORE UPDATE ON events
BEGIN SELECT RAISE(ABORT, 'the log is append-only: UPDATE refused'); END""",
    """CREATE TRIGGER events_never_deleted BEFORE DELETE ON events
BEGIN SELECT RAISE(ABORT, 'the log is append-only: DELETE refused'); END""",
    f"""CREATE TRIGGER events_follow BEFORE INSERT ON events
WHEN NEW.seq <> (SELECT coalesce(max(seq), 0) + 1 FROM events)
  OR NEW.prev <> coalesce((SELECT hash FROM events ORDER BY seq DESC LIMIT 1), '{GENESIS}')
  OR EXISTS (SELECT 1 FROM events WHERE id = NEW.id)
BEGIN SELECT RAISE(ABORT, 'the log is append-only: the event does not follow the last one'); END""",  # noqa: S608
    """CREATE TRIGGER details_never_updated BEFORE UPDATE ON details
BEGIN SELECT RAISE(ABORT, 'details are erased, never changed: UPDATE refused'); END""",
)
"""The first version, word for word as SQLite keeps it in `sqlite_master`. A released one never changes."""

HEAD = "0001"
"""The newest revision in `migrations/versions`."""
NEWEST = VERSION_1
"""All that a log of revision HEAD consists of, whichever way it came there."""
_GOLDEN = {statement.split()[2]: statement for statement in NEWEST}
_ALEMBIC = "alembic_version"
STAMP = (
    f"CREATE TABLE {_ALEMBIC} (\n\tversion_num VARCHAR(32) NOT NULL, "
    f"\n\tCONSTRAINT {_ALEMBIC}_pkc PRIMARY KEY (version_num)\n)"
)
"""Where Alembic keeps the revision, word for word as it makes it."""
_LIKE_THIS = "write for example sqlite:////var/lib/volet/events.db"


def compare_with_golden(connection: Connection) -> None:
    """LogTampered unless the database has exactly our tables, indexes and triggers, word for word.

    Someone who drops a trigger is about to change the log (F12); Alembic's batch mode drops them silently.
    """
    query = "SELECT name, type, sql FROM sqlite_master WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite_%'"
    found = {name: (kind, sql) for name, kind, sql in connection.exec_driver_sql(query)}
    if found.pop(_ALEMBIC, None) is None:
        raise LogTampered(None, f"the table {_ALEMBIC} is missing; this is not a log of ours")
    for name, statement in _GOLDEN.items():
        kind = statement.split()[1].lower()
        there = found.pop(name, None)
        if there is None:
            raise LogTampered(None, f"the {kind} {name} was dropped: someone prepared to change the log")
        if there[1] != statement:
            raise LogTampered(None, f"the {kind} {name} was altered: someone prepared to change the log")
    for name, (kind, _) in found.items():
        raise LogTampered(None, f"the {kind} {name} is not ours: someone prepared to change the log")


def database_path(url_or_path: str | Path) -> Path:
    """The file that a SQLAlchemy URL or a path names; LogUnavailable for what is not a file of SQLite."""
    text = str(url_or_path)
    if "://" not in text:
        return Path(text).absolute()
    try:
        url = make_url(text)
    except ArgumentError:
        raise LogUnavailable(f"the log's URL {text!r} is not a URL; {_LIKE_THIS}") from None
    shown = url.render_as_string(hide_password=True)
    if url.drivername not in ("sqlite", "sqlite+pysqlite"):
        raise LogUnavailable(f"the log's URL {shown}: only sqlite:/// is built; a site's log is a local file")
    if url.query or url.host or not url.database or url.database.startswith((":memory:", "file:")):
        raise LogUnavailable(f"the log's URL {shown} names no plain file; {_LIKE_THIS}")
    return Path(url.database).absolute()


def writing_engine(path: Path) -> Engine:
    """The one read-write engine: each transaction begins IMMEDIATE, each commit is one fsync (FIELD 5)."""
    engine = _engine(path, "mode=rw")

    @event.listens_for(engine, "connect")
    def prepare(connection: sqlite3.Connection, _: Any) -> None:
        mode = connection.execute("PRAGMA journal_mode=WAL").fetchone()[0]
        if mode != "wal":
            raise LogUnavailable(f"the log {path}: its file system has no write-ahead log (it said {mode})")
        for pragma in ("synchronous=FULL", "foreign_keys=ON", "recursive_triggers=ON", "secure_delete=ON"):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        driver_of(connection).execute("BEGIN IMMEDIATE")

    return engine


def driver_of(connection: Connection) -> sqlite3.Connection:
    """The driver's own connection below `connection`, in the same transaction: for fixed statements of a hot
    path. Its errors are sqlite3's, without SQLAlchemy's wrapper."""
    driver: Any = connection.connection.driver_connection
    assert isinstance(driver, sqlite3.Connection)
    return driver


def statement(clause: ClauseElement) -> str:
    """The SQL text of a fixed statement for the driver, its parameters as `?` in the order they stand in.

    Compiled once: each would cost more on its way through the expression language than in the database.
    """
    return str(clause.compile(dialect=_DIALECT))


_DIALECT = sqlite.dialect(paramstyle="qmark")


def reading_engine(path: Path, *, immutable: bool = False) -> Engine:
    """An engine that cannot write. `immutable`: nobody has the file open, so nothing is locked or left."""
    engine = _engine(path, "mode=ro&immutable=1" if immutable else "mode=ro")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN")

    return engine


def _engine(path: Path, mode: str) -> Engine:
    uri = f"file:{quote(str(path))}?{mode}"

    def connect() -> sqlite3.Connection:
        connection = sqlite3.connect(
            uri, uri=True, isolation_level=None, timeout=BUSY_TIMEOUT_MS / 1000, check_same_thread=False
        )
        connection.execute("PRAGMA trusted_schema=OFF")
        connection.execute(f"PRAGMA cache_size=-{CACHE_KIB}")
        return connection

    return create_engine("sqlite://", creator=connect, poolclass=NullPool)
