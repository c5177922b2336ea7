"""Sees that the configuration file was changed, by its folder, with a slow look behind it (FIELD 13)."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path

from asyncinotify import Event, Inotify, Mask

_POLL_S = 2.0
_OF_THE_FILE = Mask.CLOSE_WRITE | Mask.MOVED_TO | Mask.MOVED_FROM | Mask.DELETE | Mask.ATTRIB
_FOLDER_GONE = Mask.DELETE_SELF | Mask.MOVE_SELF | Mask.UNMOUNT | Mask.IGNORED
_LOST = Mask.Q_OVERFLOW

_Look = tuple[tuple[int, ...] | None, tuple[int, ...] | None]


class ConfigWatch:
    """Calls `on_change` in the loop when the file at `path` may have changed.

    A finished write, a rename over it or away, a deletion, its mode or owner, its folder's mode, and the
    folder itself going and coming. It may call without a change (the same bytes written again) and does not
    say what changed: whoever is called reads the file. Writing that is not finished makes no call. An
    `on_change` that raises ends `run`.
    """

    def __init__(self, path: Path, on_change: Callable[[], None], poll_s: float = _POLL_S) -> None:
        self._path = path.absolute()
        self._on_change = on_change
        self._poll_s = poll_s
        self._told = self._look()

    async def run(self) -> None:
        """Watch until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._follow())
            tasks.create_task(self._poll())

    async def _follow(self) -> None:
        while True:
            with Inotify() as inotify:
                try:
                    inotify.add_watch(self._path.parent, _OF_THE_FILE | Mask.DELETE_SELF | Mask.MOVE_SELF)
                except OSError:
                    # No folder, or no watches left on this machine: the poll sees what happens meanwhile.
                    await asyncio.sleep(self._poll_s)
                    continue
                # What happened before the watch stood makes no event.
                if self._look() != self._told:
                    self._tell()
                async for event in inotify:
                    if event.mask & _FOLDER_GONE:
                        break
                    if self._concerns(event):
                        self._tell()
            self._tell()
            if not self._path.parent.exists():
                await asyncio.sleep(self._poll_s)

    def _concerns(self, event: Event) -> bool:
        if event.mask & _LOST:
            return True
        if event.name is None:
            return bool(event.mask & Mask.ATTRIB)
        return event.name.name == self._path.name

    async def _poll(self) -> None:
        seen = self._told
        while True:
            await asyncio.sleep(self._poll_s)
            look = self._look()
            # A file that still changes is still being written; one that is gone is gone.
            if look != self._told and (look == seen or look[0] is None):
                self._tell()
            seen = look

    def _tell(self) -> None:
        self._told = self._look()
        self._on_change()

    def _look(self) -> _Look:
        return _signature(self._path, with_content=True), _signature(self._path.parent, with_content=False)


def _signature(path: Path, *, with_content: bool) -> tuple[int, ...] | None:
    try:
        status = os.stat(path)
    except OSError:
        return None
    access = (status.st_dev, status.st_ino, status.st_mode, status.st_uid, status.st_gid)
    return (*access, status.st_size, status.st_mtime_ns) if with_content else access
