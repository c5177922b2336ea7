"""Who watches what: a watch belongs to one person on one device, and is worth nothing to others (S9)."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from orchestrator.core.commands import Cut
from orchestrator.core.moment import SECOND_US

LEFT_AFTER_US = 10_000_000
"""A watch that nobody reads for this long has left (CONTRACT 5)."""
MINUTE_US = 60_000_000
MEMBERS_COUNTED = 1024


@dataclass(slots=True, eq=False)
class Watch:
    """One viewer's watch; `*_us` are boot-clock instants."""

    id: str
    camera: str
    member: str
    device: str
    joined_us: int
    read_us: int
    size_bytes: int = 0
    reading: int = 0


@dataclass(slots=True)
class Watches:
    """All watches of the site, bounded by the viewers a camera may have."""

    boottime_us: Callable[[], int]
    _by_id: dict[str, Watch] = field(default_factory=dict)
    _joins: dict[str, deque[int]] = field(default_factory=dict)

    def too_soon_s(self, member: str, per_minute: int) -> int:
        """0 when this member may join once more, else the seconds to wait (CONTRACT 3 `new_per_minute`)."""
        now_us = self.boottime_us()
        if len(self._joins) >= MEMBERS_COUNTED and member not in self._joins:
            self._joins.pop(next(iter(self._joins)))
        joins = self._joins.setdefault(member, deque())
        while joins and now_us - joins[0] >= MINUTE_US:
            joins.popleft()
        if len(joins) >= per_minute:
            return (MINUTE_US - (now_us - joins[0])) // SECOND_US + 1
        joins.append(now_us)
        return 0

    def add(self, watch: str, camera: str, member: str, device: str) -> Watch:
        """A new watch, from now."""
        now_us = self.boottime_us()
        added = Watch(watch, camera, member, device, now_us, now_us)
        self._by_id[watch] = added
        return added

    def find(self, watch: str) -> Watch | None:
        """The watch of that id while it lasts."""
        return self._by_id.get(watch)

    def remove(self, watch: str) -> None:
        """It has ended."""
        self._by_id.pop(watch, None)

    def of(self, camera: str) -> list[Watch]:
        """The watches of one camera."""
        return [watch for watch in list(self._by_id.values()) if watch.camera == camera]

    def keep_only(self, camera: str, watches: Iterable[str]) -> None:
        """Forget this camera's watches that the log no longer knows."""
        kept = frozenset(watches)
        for watch in self.of(camera):
            if watch.id not in kept:
                self.remove(watch.id)

    def sums(self, camera: str) -> tuple[Cut, ...]:
        """How long each has watched so far, and what they were sent."""
        now_us = self.boottime_us()
        return tuple(
            Cut(watch.id, (now_us - watch.joined_us) // SECOND_US, watch.size_bytes)
            for watch in self.of(camera)
        )

    def unread(self, camera: str) -> list[Watch]:
        """The watches that nobody has read for too long."""
        now_us = self.boottime_us()
        return [w for w in self.of(camera) if not w.reading and now_us - w.read_us >= LEFT_AFTER_US]

    def touch(self, camera: str) -> None:
        """Time while reconnecting does not count as unread."""
        now_us = self.boottime_us()
        for watch in self.of(camera):
            watch.read_us = now_us
