"""How far the log has been told outside: a small file beside the database, never in the chain.

It may lag behind, because what is told twice does no harm; so it is written seldom.
"""

from __future__ import annotations

import json
import os
import threading
from dataclasses import dataclass
from pathlib import Path

MAX_BYTES = 512


@dataclass(frozen=True, slots=True)
class Mark:
    """An event of the log: its sequence number and its hash, which tells this log from another."""

    seq: int
    hash: str


class Bookmark:
    """The file at `path`; blocking, so off the loop."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._writing = threading.Lock()

    def read(self) -> Mark | None:
        """The last mark put; None where there is none, or none that can be read."""
        try:
            with self._path.open("rb") as file:
                found = json.loads(file.read(MAX_BYTES))
            mark = Mark(found["seq"], found["hash"])
        except (OSError, ValueError, TypeError, KeyError):
            return None
        well_formed = type(mark.seq) is int and mark.seq >= 1 and isinstance(mark.hash, str)
        return mark if well_formed else None

    def put(self, mark: Mark) -> None:
        """Replace the mark: after a crash it is the old one or the new one. OSError when it cannot be."""
        with self._writing:
            self._replace(mark)

    def _replace(self, mark: Mark) -> None:
        new = self._path.with_name(self._path.name + ".new")
        descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        with open(descriptor, "w", encoding="ascii") as file:
            json.dump({"seq": mark.seq, "hash": mark.hash}, file)
            file.flush()
            os.fdatasync(file.fileno())
        os.replace(new, self._path)
