"""HLS segments: their folder on tmpfs, and each finished one read into memory as it appears."""

from __future__ import annotations

import ctypes
import os
import re
import shutil
import stat
from collections.abc import Callable
from pathlib import Path

from asyncinotify import Inotify, Mask

from orchestrator.edges.worker.command import PLAYLIST

MAX_PLAYLIST_BYTES = 64 * 1024
TS_PACKET_BYTES = 188
MAX_SEGMENT_BYTES = 16 * 1024 * 1024
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
ENTRY = re.compile(r"^#EXTINF:([0-9]{1,4}(?:\.[0-9]{1,9})?),[^\n]*\n([0-9]{1,9})\.ts$", re.MULTILINE)
MEMORY = {0x01021994: "tmpfs", 0x858458F6: "ramfs"}

_libc = ctypes.CDLL(None, use_errno=True)


def prepare(root: Path, camera: str, session: str, run: int) -> Path:
    """A new folder for one run below `root`, for our eyes only (S11).

    A folder of its own keeps an orphan of an earlier run from writing into this one. OSError when it
    cannot be made, is there already, or when the root is a symlink or no folder.
    """
    name = f"{camera}.{session}.{run}"
    if not NAME.fullmatch(name):
        raise ValueError(f"{name!r} is no name for a folder")
    with _Folder(root) as root_fd:
        os.mkdir(name, 0o700, dir_fd=root_fd)
    return root / name


def wipe(folder: Path) -> bool:
    """Removes one run's folder whole; whether nothing of it is left. Follows no symlink, never raises."""
    try:
        if stat.S_ISDIR(os.lstat(folder).st_mode):
            shutil.rmtree(folder, ignore_errors=True)
        else:
            os.unlink(folder)
    except OSError:
        pass
    return not os.path.lexists(folder)


def wipe_all(root: Path) -> bool:
    """Removes what earlier runs left below `root`, which only this service uses; whether nothing is left."""
    try:
        with _Folder(root) as root_fd:
            names = [name for name in os.listdir(root_fd) if _is_a_run(name)]
    except FileNotFoundError:
        return True
    except OSError:
        return False
    left = [name for name in names if not wipe(root / name)]
    return not left


def _is_a_run(name: str) -> bool:
    """Whether a name is one that `prepare` gives: the root also holds the local socket."""
    return re.fullmatch(r".+\..+\.[0-9]+", name) is not None


def is_memory_backed(path: Path) -> tuple[bool, str]:
    """Whether `path` is a folder in memory, and the kind of its file system; a symlink never is (S11)."""
    try:
        with _Folder(path) as descriptor:
            kind = _file_system(descriptor)
    except OSError as error:
        return False, "symlink" if path.is_symlink() else (error.strerror or "unreadable")
    return kind in MEMORY, MEMORY.get(kind, f"{kind:#x}")


def _file_system(descriptor: int) -> int:
    # A struct statfs is at most 120 bytes on any architecture of Linux; its first word is the kind.
    buffer = ctypes.create_string_buffer(256)
    if _libc.fstatfs(descriptor, buffer) != 0:
        raise OSError(ctypes.get_errno(), "the file system does not say what it is")
    return ctypes.c_ulong.from_buffer(buffer).value & 0xFFFF_FFFF


class _Folder:
    """A folder opened without following a symlink at its end."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._fd = -1

    def __enter__(self) -> int:
        self._fd = os.open(self._path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        return self._fd

    def __exit__(self, *_: object) -> None:
        os.close(self._fd)


class SegmentReader:
    """Reads each segment of one folder once, when the playlist first names it.

    `on_segment` gets number, bytes and duration in ms. The caller watches `descriptor` and calls
    `read_ready` when it is readable. Nothing is deleted here.
    """

    def __init__(self, folder: Path, on_segment: Callable[[int, bytes, int], None]) -> None:
        self._folder = folder
        self._on_segment = on_segment
        self._next = 0
        self._inotify = Inotify(sync_timeout=0)
        try:
            self._inotify.add_watch(folder, Mask.MOVED_TO | Mask.CLOSE_WRITE)
        except BaseException:
            self._inotify.close()
            raise

    @property
    def descriptor(self) -> int:
        """Readable when something in the folder was finished."""
        return self._inotify.fd

    def read_ready(self) -> None:
        """Hands over the segments that have become whole since the last call.

        OSError with a sentence when what the playlist names is not there or not whole: ffmpeg itself goes
        on when its folder is full or removed (F15).
        """
        changed = False
        while (event := self._inotify.sync_get()) is not None:
            if Mask.IGNORED in event.mask:
                raise FileNotFoundError("the segment folder was removed while the worker ran")
            changed = changed or event.name is None or event.name.name == PLAYLIST
        if changed:
            self._read_playlist()

    def close(self) -> None:
        """Stops watching."""
        self._inotify.close()

    def _read_playlist(self) -> None:
        text = self._read(PLAYLIST, MAX_PLAYLIST_BYTES).decode("ascii", "replace")
        entries = ENTRY.findall(text)
        if not entries:
            raise OSError("the playlist names no segment: is the segment folder full?")
        for seconds, digits in entries:
            number = int(digits)
            if number < self._next:
                continue
            data = self._read(f"{digits}.ts", MAX_SEGMENT_BYTES)
            if not data or len(data) % TS_PACKET_BYTES:
                raise OSError(f"segment {number} is not whole: is the segment folder full?")
            self._next = number + 1
            self._on_segment(number, data, round(float(seconds) * 1000))

    def _read(self, name: str, limit_bytes: int) -> bytes:
        """A regular file's bytes; nothing when it is gone, a link, or over the limit."""
        try:
            fd = os.open(self._folder / name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
        except OSError:
            return b""
        with open(fd, "rb") as file:
            if not stat.S_ISREG(os.fstat(fd).st_mode):
                return b""
            data = file.read(limit_bytes + 1)
        return data if len(data) <= limit_bytes else b""
