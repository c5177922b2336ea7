"""What can go wrong with the log, in words for the person who must mend it."""

from __future__ import annotations

import errno
import sqlite3
from pathlib import Path

_CAUSES = {
    sqlite3.SQLITE_BUSY: "another process holds a lock on it; find it with `fuser` and stop it",
    sqlite3.SQLITE_LOCKED: "another process holds a lock on it; find it with `fuser` and stop it",
    sqlite3.SQLITE_FULL: "the disk is full; free some space",
    sqlite3.SQLITE_READONLY: "it is read-only; look at its mode, its owner and its mount",
    sqlite3.SQLITE_IOERR: "reading or writing failed; look at the disk (`dmesg`)",
    sqlite3.SQLITE_CANTOPEN: "it cannot be opened; look at the file, its folder and their owner",
    sqlite3.SQLITE_PERM: "access is denied; look at its mode and owner",
    sqlite3.SQLITE_CORRUPT: "its pages are damaged; keep a copy of it before anything else",
    sqlite3.SQLITE_NOTADB: "it is not an SQLite database; keep a copy and put the right file back",
}
DAMAGED = frozenset((sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB))
"""Primary codes that say the file is not the one we wrote."""


class LogError(Exception):
    """Something about the log; its text is one sentence."""


class LogUnavailable(LogError):
    """The log cannot be opened or asked."""


class LogTampered(LogError):
    """The log is not what was written. `seq` is the first bad event, None when it is about the whole."""

    def __init__(self, seq: int | None, why: str) -> None:
        super().__init__(why if seq is None else f"event {seq}: {why}")
        self.seq = seq
        self.why = why


class NotChecked(LogError):
    """The log takes events, but it is not known yet whether all of it is what was written: nothing opens."""


class NotAppended(LogError):
    """It is certain that nothing of the append is in the log; it may be tried again."""


class Unwritable(NotAppended):
    """Seen on the file or its disk itself, so it will not pass by waiting as a lock does."""


class Fenced(LogError):
    """The fence fell before the commit: nothing of the append is in the log; do not try it again."""


class OutcomeUnknown(LogError):
    """The append, or probe, has not been answered; its row may land later (S21)."""


def code_of(error: BaseException) -> int | None:
    """The primary SQLite result code behind `error`, through SQLAlchemy's wrapper; None for other errors."""
    found = getattr(getattr(error, "orig", None) or error, "sqlite_errorcode", None)
    return None if found is None else int(found) & 0xFF


def sentence(error: BaseException, path: Path) -> str:
    """One line for a person: which file, what is the matter, what to do."""
    if isinstance(error, LogError):
        return str(error)
    cause = _CAUSES.get(code_of(error) or 0)
    if cause is None and isinstance(error, OSError) and error.errno == errno.ENOSPC:
        cause = "the disk is full; free some space"
    if cause is None:
        text = " ".join(str(getattr(error, "orig", None) or error).split())[:200]
        cause = f"{type(error).__name__}: {text}" if text else type(error).__name__
    return f"the log {path}: {cause}"
