"""The black box: closings that the log could not take, on bytes that were allocated beforehand (S13, L4)."""

from __future__ import annotations

import fcntl
import json
import os
import re
import stat
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from orchestrator.core.canonical import canonical
from orchestrator.core.chain import digest
from orchestrator.core.events import Actor, Event, Place, Sealed
from orchestrator.core.moment import Moment

CLOSINGS: Final = frozenset(("close", "fault", "expire", "start_failed", "closed"))
"""The transitions it takes; of observations it takes every one (CONTRACT 7)."""
SIZE_BYTES: Final = 1 << 20
MIN_SIZE_BYTES: Final = 8192
_HEADER_BYTES: Final = 4096
_IN_USE: Final = b"volet black box 1\n"
_CLEARING: Final = b"volet black box 1, being cleared\n"
_ESCAPED: Final = re.compile(r"\\([0-7]{3})")
_VOLATILE: Final = frozenset(("tmpfs", "ramfs"))


class BlackBoxUnusable(Exception):
    """The file cannot serve as a black box; the text is one sentence."""


class BlackBoxFull(Exception):
    """What was to be written does not fit any more; nothing of it was."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One event that waits for the log, and the hash of the newest event the log held when it was written."""

    sealed: Sealed
    last_durable: str


@dataclass(frozen=True, slots=True)
class Contents:
    """What the box holds, in order of writing; `damaged` counts lines that are not what was written."""

    lines: tuple[Entry, ...]
    damaged: int


class BlackBox:
    """A file of fixed size, written in place with fdatasync. Calls block: run them in a thread of their own.

    Details are personal; they stay here only until `clear` overwrites them.
    """

    def __init__(self, path: Path, descriptor: int, on_disk: bool) -> None:
        self.path = path
        self.on_disk = on_disk
        """False on tmpfs or ramfs, where nothing survives the power."""
        self._descriptor = descriptor
        self._size = os.fstat(descriptor).st_size
        self._end = _HEADER_BYTES
        self._soiled = _HEADER_BYTES

    @classmethod
    def open(cls, path: Path, size_bytes: int = SIZE_BYTES) -> BlackBox:
        """Open the box at `path`, or make one of `size_bytes` and really fill it; what it holds is kept.

        Raises BlackBoxUnusable for one that is too small, foreign, held by another process or cannot be made.
        """
        if size_bytes < MIN_SIZE_BYTES:
            raise ValueError(f"a black box takes at least {MIN_SIZE_BYTES} bytes, not {size_bytes}")
        path = path.absolute()
        try:
            if not os.path.lexists(path):
                _make(path, size_bytes)
            descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
            box = cls(path, descriptor, _file_system(path) not in _VOLATILE)
            try:
                box._take_over(size_bytes)
            except BaseException:
                box.close()
                raise
            return box
        except OSError as error:
            raise BlackBoxUnusable(
                f"the black box {path} cannot be made or opened: {error.strerror}; "
                f"give it a folder on a disk with {size_bytes} free bytes"
            ) from error

    def write(self, sealed: Sequence[Sealed], last_durable: str) -> None:
        """Keep these events, durably when this returns; all of them or, after BlackBoxFull, none.

        Raises ValueError for an event that is neither a closing nor an observation, OSError from the disk.
        """
        for item in sealed:
            _check_accepted(item.event)
        text = b"".join(_line(item, last_durable) for item in sealed)
        end = self._end + len(text)
        if end > self._size:
            free = self._size - self._end
            raise BlackBoxFull(
                f"the black box {self.path} is full: {free} bytes are free, {len(text)} needed"
            )
        # What a failed write may have left behind this one is wiped with it.
        data = text + b"\0" * max(0, self._soiled - end)
        self._soiled = max(self._soiled, end)
        self._put(data, self._end)
        self._end = self._soiled = end

    def entries(self) -> Contents:
        """What it holds. A damaged line is copied to `<path>.damaged`, if there is room for it."""
        lines, damaged = self._read()
        try:
            self._keep_aside(damaged)
        except OSError:
            # They still lie in the box itself; `clear` insists.
            pass
        return Contents(tuple(lines), len(damaged))

    def clear(self) -> None:
        """Overwrite everything, once it is all in the log. Raises OSError; calling it again goes on."""
        self._keep_aside(self._read()[1])
        # Said first: a clearing that is cut short is finished at the next start, not taken for damage.
        self._put(_CLEARING.ljust(_HEADER_BYTES, b"\0"), 0)
        self._wipe()

    def close(self) -> None:
        """Give the file back."""
        os.close(self._descriptor)

    def _take_over(self, size_bytes: int) -> None:
        found = os.fstat(self._descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise BlackBoxUnusable(
                f"the black box {self.path} is not a file; move it away, a new one is made"
            )
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise BlackBoxUnusable(
                f"the black box {self.path} is held by another process; stop that first (`fuser`)"
            ) from None
        header = os.pread(self._descriptor, _HEADER_BYTES, 0).rstrip(b"\0")
        if header not in (_IN_USE, _CLEARING):
            raise BlackBoxUnusable(
                f"the black box {self.path} is not one of ours; look at it, move it away, a new one is made"
            )
        if found.st_size < size_bytes:
            raise BlackBoxUnusable(
                f"the black box {self.path} has {found.st_size} bytes and needs {size_bytes}; "
                "look at it, move it away, a new one is made"
            )
        os.fchmod(self._descriptor, 0o600)
        if header == _CLEARING:
            self._wipe()
        self._end = self._soiled = _HEADER_BYTES + len(self._used())
        if self._end > _HEADER_BYTES and os.pread(self._descriptor, 1, self._end - 1) != b"\n":
            # The last write was torn: what follows begins on a line of its own.
            self._end = min(self._end + 1, self._size)
            self._put(b"\n", self._end - 1)

    def _wipe(self) -> None:
        self._put(b"\0" * (self._size - _HEADER_BYTES), _HEADER_BYTES)
        self._put(_IN_USE.ljust(_HEADER_BYTES, b"\0"), 0)
        self._end = self._soiled = _HEADER_BYTES

    def _used(self) -> bytes:
        return os.pread(self._descriptor, self._size - _HEADER_BYTES, _HEADER_BYTES).rstrip(b"\0")

    def _read(self) -> tuple[list[Entry], list[bytes]]:
        lines: list[Entry] = []
        damaged: list[bytes] = []
        for line in self._used().split(b"\n"):
            if line.strip(b"\0"):
                entry = _entry(line)
                if entry is None:
                    damaged.append(line)
                else:
                    lines.append(entry)
        return lines, damaged

    def _keep_aside(self, damaged: Sequence[bytes]) -> None:
        if not damaged:
            return
        path = self.path.with_name(self.path.name + ".damaged")
        descriptor = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        with open(descriptor, "r+b") as file:
            there = set(file.read().split(b"\n"))
            file.seek(0, os.SEEK_END)
            file.writelines(line + b"\n" for line in damaged if line not in there)
            file.flush()
            os.fsync(file.fileno())

    def _put(self, data: bytes, offset: int) -> None:
        while data:
            written = os.pwrite(self._descriptor, data, offset)
            data, offset = data[written:], offset + written
        os.fdatasync(self._descriptor)


def _make(path: Path, size_bytes: int) -> None:
    """A filled file appears at `path` at once and whole, or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    made = path.with_name(path.name + ".new")
    made.unlink(missing_ok=True)
    try:
        with open(os.open(made, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600), "wb") as file:
            file.write(_IN_USE.ljust(size_bytes, b"\0"))
            file.flush()
            os.fsync(file.fileno())
        made.rename(path)
    except OSError:
        made.unlink(missing_ok=True)
        raise
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _file_system(path: Path) -> str:
    """The type of the file system that holds `path`, such as `ext4`; empty when the kernel does not say."""
    wanted = os.path.realpath(path)
    best, kind = "", ""
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as mounts:
        for line in mounts:
            left, _, right = line.partition(" - ")
            point = _ESCAPED.sub(lambda found: chr(int(found[1], 8)), left.split()[4])
            inside = wanted == point or wanted.startswith(point.rstrip("/") + "/")
            if inside and len(point) >= len(best):
                best, kind = point, right.split()[0]
    return kind


def _check_accepted(event: Event) -> None:
    if event.type != "observation" and not (event.type == "transition" and event.name in CLOSINGS):
        raise ValueError(f"the black box takes closings and observations, not {event.name}: it would open")


def _line(sealed: Sealed, last_durable: str) -> bytes:
    event, at = sealed.event, sealed.at
    text = canonical(
        {
            "actor": {"kind": event.actor.kind, "id": event.actor.id},
            "at": {
                "boot": at.boot,
                "boottime_us": at.boottime_us,
                "synchronised": at.synchronised,
                "wall_us": at.wall_us,
            },
            "camera": event.camera,
            "chart": sealed.chart,
            "config": sealed.config,
            "data": event.data,
            "details": event.details,
            "id": sealed.id,
            "last_durable": last_durable,
            "name": event.name,
            "session": event.session,
            "source": _named(event.source),
            "target": _named(event.target),
            "type": event.type,
        }
    )
    return digest(text).encode() + b" " + text + b"\n"


def _entry(line: bytes) -> Entry | None:
    """The entry of a line; None when it is not what was written, or what must not be taken from here."""
    hash_, _, text = line.partition(b" ")
    if digest(text).encode() != hash_:
        return None
    try:
        value = json.loads(text)
        event = Event(
            value["type"],
            value["name"],
            Actor(value["actor"]["kind"], value["actor"]["id"]),
            value["camera"],
            value["session"],
            _place(value["source"]),
            _place(value["target"]),
            value["data"],
            value["details"],
        )
        at: Mapping[str, Any] = value["at"]
        moment = Moment(at["wall_us"], at["boottime_us"], at["synchronised"], at["boot"])
        entry = Entry(
            Sealed(event, value["id"], moment, value["chart"], value["config"]), value["last_durable"]
        )
        _check_accepted(event)
        return entry if _line(entry.sealed, entry.last_durable) == line + b"\n" else None
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def _named(place: Place | None) -> str | None:
    return None if place is None else str(place)


def _place(text: str | None) -> Place | None:
    return None if text is None else Place.parse(text)
