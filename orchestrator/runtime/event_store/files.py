"""The log's files on the disk: made once, held by one daemon, and still the same ones."""

from __future__ import annotations

import fcntl
import os
import stat
from pathlib import Path
from typing import NamedTuple

from orchestrator.runtime.event_store.errors import LogUnavailable

MIN_FREE_BYTES = 1024 * 1024


def write_ahead_log(path: Path) -> Path:
    """The write-ahead log beside the database at `path`."""
    return path.with_name(path.name + "-wal")


def shared_memory(path: Path) -> Path:
    """The write-ahead log's index beside the database at `path`; there while somebody has it open."""
    return path.with_name(path.name + "-shm")


class _Seen(NamedTuple):
    device: int
    inode: int
    size_bytes: int
    changed_ns: int


class LogFiles:
    """The database file and its write-ahead log, as they stood after our own last write.

    Only `stat` looks at them: closing a descriptor of the database would drop SQLite's own locks on it.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._parts = (str(path), str(write_ahead_log(path)))
        self._known: dict[str, _Seen] = {}
        self._lock: int | None = None

    def create(self) -> None:
        """The folder (0700) and the file (0600), where there are none yet; OSError when that fails."""
        self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        try:
            os.close(os.open(self._path, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600))
        except FileExistsError:
            return
        parent = os.open(self._path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(parent)
        finally:
            os.close(parent)

    def hold(self) -> None:
        """Take the lock beside the database: two writers can damage it (FIELD 5).

        Raises LogUnavailable when somebody has it.
        """
        path = self._path.with_name(self._path.name + ".lock")
        descriptor = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            raise LogUnavailable(
                f"the log {self._path}: another volet has it open; stop that one first (`fuser {path}`)"
            ) from None
        self._lock = descriptor

    def release(self) -> None:
        """Give the lock back."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def remember(self) -> None:
        """Take what is there now for ours: called right after we wrote."""
        self._known = {part: seen for part in self._parts if (seen := self._look(part)) is not None}

    def forget_write_ahead_log(self) -> None:
        """The write-ahead log may go: we have closed the database ourselves."""
        self._known.pop(self._parts[1], None)

    def look(self) -> tuple[str | None, bool]:
        """A sentence when a file is missing, replaced or shorter than we left it (CONTRACT 7), else None; and
        whether somebody else has written to a file, or changed its owner or mode, since we last did.

        The kernel sets the change time and nobody can set it back. Of the write-ahead log root looks at
        the modification time: SQLite under root sets that file's owner at each opening, by our readers too.
        """
        touched = False
        for path, known in self._known.items():
            seen = self._look(path)
            if seen is None:
                return f"{path} is gone: it was deleted or moved away; put the same file back", True
            if (seen.device, seen.inode) != (known.device, known.inode):
                return f"{path} is not the file we opened: it was replaced; put the same file back", True
            if seen.size_bytes < known.size_bytes:
                missing = known.size_bytes - seen.size_bytes
                return f"{path} is {missing} bytes shorter than we left it: it was cut", True
            touched = touched or seen.changed_ns != known.changed_ns
        return None, touched

    def signature(self) -> object:
        """A value that is another one as soon as anything about the files is."""
        return tuple(map(self._look, self._known))

    def unwritable(self) -> str | None:
        """A sentence when the next write would fail, asked without writing; None when it should succeed."""
        for path in self._known:
            if not os.stat(path).st_mode & stat.S_IWUSR or not os.access(path, os.W_OK):
                return f"{path} is read-only; give its owner the right to write (`chmod u+w`)"
        system = os.statvfs(self._path)
        if system.f_flag & os.ST_RDONLY:
            return f"{self._path} lies on a file system mounted read-only; see `dmesg`, then remount it"
        free = system.f_bavail * system.f_frsize
        if free < MIN_FREE_BYTES:
            return f"{self._path}: only {free} bytes are free on its disk; free some space"
        return None

    def _look(self, path: str) -> _Seen | None:
        try:
            found = os.stat(path)
        except FileNotFoundError:
            return None
        is_chowned = path == self._parts[1] and os.geteuid() == 0
        changed_ns = found.st_mtime_ns if is_chowned else found.st_ctime_ns
        return _Seen(found.st_dev, found.st_ino, found.st_size, changed_ns)
