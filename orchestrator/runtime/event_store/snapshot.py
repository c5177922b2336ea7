"""The fold as it stood after one event, in a small file beside the database: a start need not fold all of it.

It is a convenience and proves nothing: the log is folded from nothing behind it before anything opens, and
without the file, or with any doubt about it, at the start itself. It may be deleted at any time.
"""

from __future__ import annotations

import logging
import os
import stat
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from sqlalchemy import Connection, bindparam, select

from orchestrator.core.canonical import canonical, decoded
from orchestrator.core.chain import BrokenRecord, digest
from orchestrator.core.events import Record
from orchestrator.runtime.event_store.rows import record_of_row
from orchestrator.runtime.event_store.schema import driver_of, events, statement

log = logging.getLogger(__name__)
F = TypeVar("F")

FORMAT = 1
MAX_BYTES = 16 * 1024 * 1024
_BY_SEQ = statement(select(events).where(events.c.seq == bindparam("wanted")))


@dataclass(frozen=True, slots=True)
class Folding(Generic[F]):
    """How a fold is kept: its state as JSON and back (`restored` raises ValueError for what is none).

    `digest` stands for the code that folds: what other code folded is of no use. `check` is the module that
    folds a log from nothing, in a process of its own (`checking`).
    """

    plain: Callable[[F], Any]
    restored: Callable[[Any], F]
    digest: str
    check: str


@dataclass(frozen=True, slots=True)
class Snapshot(Generic[F]):
    """The state after `record`, as it was kept; `state_digest` is what a fold from nothing must come to."""

    record: Record
    state: F
    state_digest: str


class _Doubtful(Exception):
    """The file is not to be used; the message says why."""


class SnapshotFile(Generic[F]):
    """The file of the log at `database`. Blocking, so off the loop; nobody but us writes it (mode 0600)."""

    def __init__(self, database: Path, folding: Folding[F]) -> None:
        self.path = database.with_name(database.name + ".snapshot")
        self._folding = folding

    def taken(self, connection: Connection) -> Snapshot[F] | None:
        """The snapshot, if it is ours and whole and stands on an event of this very log; else None."""
        try:
            return self._taken(connection)
        except FileNotFoundError:
            return None
        except _Doubtful as doubt:
            log.warning("the snapshot %s is not used, the log is folded from nothing: %s", self.path, doubt)
        except OSError as error:
            log.warning("the snapshot %s cannot be read: %s", self.path, error.strerror)
        return None

    def _taken(self, connection: Connection) -> Snapshot[F]:
        written, _, data = self._bytes().partition(b"\n")
        if digest(data).encode() != written:
            raise _Doubtful("it is not whole")
        try:
            told = decoded(data)
            if told["format"] != FORMAT or told["fold"] != self._folding.digest:
                raise _Doubtful("another version of this program wrote it")
            seq, found, state = int(told["seq"]), str(told["hash"]), self._folding.restored(told["state"])
        except (ValueError, TypeError, KeyError) as error:
            raise _Doubtful(f"it is not ours: {type(error).__name__}: {error}") from error
        row = driver_of(connection).execute(_BY_SEQ, (seq,)).fetchone()
        if row is None:
            raise _Doubtful(f"it stands after event {seq}, which is not in the log")
        try:
            record = record_of_row(row)
        except BrokenRecord as error:
            raise _Doubtful(f"event {seq}, after which it stands, is broken: {error}") from error
        if record.hash != found:
            raise _Doubtful(f"it stands after another event {seq} than the one in the log")
        return Snapshot(record, state, digest(canonical(told["state"])))

    def _bytes(self) -> bytes:
        flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
        with open(os.open(self.path, flags), "rb") as file:
            found = os.fstat(file.fileno())
            if not stat.S_ISREG(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o077:
                raise _Doubtful("others may write or read it, or it is another's")
            data = file.read(MAX_BYTES + 1)
        if len(data) > MAX_BYTES:
            raise _Doubtful(f"it is larger than {MAX_BYTES} bytes")
        return data

    def write(self, record: Record, state: F) -> None:
        """Keep the state after `record`: after a crash the file is the old one or the new one.

        OSError when it cannot be written, ValueError or TypeError when the state cannot be kept.
        """
        told = {
            "format": FORMAT,
            "fold": self._folding.digest,
            "seq": record.seq,
            "hash": record.hash,
            "state": self._folding.plain(state),
        }
        data = canonical(told)
        new = self.path.with_name(self.path.name + ".new")
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW
        with open(os.open(new, flags, 0o600), "wb") as file:
            file.write(digest(data).encode() + b"\n" + data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(new, self.path)
        folder = os.open(self.path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def put_aside(self) -> None:
        """Somebody must look at it, and no start may use it."""
        try:
            os.replace(self.path, self.path.with_name(self.path.name + ".refused"))
        except FileNotFoundError:
            pass
        except OSError as error:
            log.warning("the snapshot %s could not be put aside: %s", self.path, error.strerror)
