"""The picture of one camera in memory: the newest fragments and segments, and who is being fed (S11)."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass, field

SEGMENTS_KEPT = 6
FRAGMENTS_KEPT = 256
BEHIND_LIMIT_US = 2_000_000
"""A viewer whose oldest unsent fragment is older than this is dropped (DESIGN, principle 3)."""


@dataclass(frozen=True, slots=True)
class Segment:
    """One HLS segment. `number` counts over all runs of a session; `breaks` marks a discontinuity."""

    number: int
    content: bytes
    duration_ms: int
    breaks: bool


@dataclass(slots=True, eq=False)
class _Feed:
    """What waits for one MP4 viewer: fragments with the boot-clock instant at which they came."""

    watch: str
    waiting: deque[tuple[int, bytes]] = field(default_factory=deque)
    news: asyncio.Event = field(default_factory=asyncio.Event)
    ended: bool = False

    def put(self, at_us: int, content: bytes) -> None:
        self.waiting.append((at_us, content))
        self.news.set()

    def end(self) -> None:
        self.ended = True
        self.waiting.clear()
        self.news.set()


class Picture:
    """Filled by the worker of the present run, read by viewers; both in the loop's thread.

    `drop` is called with a watch whose viewer has fallen too far behind.
    """

    def __init__(self, boottime_us: Callable[[], int], drop: Callable[[str], None]) -> None:
        self._boottime_us = boottime_us
        self._drop = drop
        self._header: bytes | None = None
        self._codecs = ""
        self._fragments: deque[bytes] = deque(maxlen=FRAGMENTS_KEPT)
        self._keyed = self._joinable = False
        self._feeds: set[_Feed] = set()
        self._segments: deque[Segment] = deque(maxlen=SEGMENTS_KEPT)
        self._next_number = 0
        self._breaks_dropped = 0
        self._break_next = False
        self._ready = asyncio.Event()

    @property
    def codecs(self) -> str:
        """The exact RFC 6381 codecs of the present run's MP4; an empty text before its first key frame."""
        return self._codecs if self._keyed else ""

    def begin_run(self) -> None:
        """A new worker: MP4 viewers ask again, the playlist goes on with a discontinuity (CONTRACT 5)."""
        self._end_feeds()
        self._header, self._codecs = None, ""
        self._keyed = self._joinable = False
        self._fragments.clear()
        self._ready.clear()
        self._break_next = self._next_number > 0

    def wipe(self) -> None:
        """Nothing of the picture is left here, and nobody is fed any more."""
        self.begin_run()
        self._segments.clear()
        self._next_number = self._breaks_dropped = 0
        self._break_next = False

    def header(self, content: bytes, codecs: str) -> None:
        """The MP4 initialisation segment has come."""
        self._header, self._codecs = content, codecs

    def fragment(self, content: bytes, starts_with_key_frame: bool) -> None:
        """A fragment has come; it goes to every viewer who has had the header."""
        if starts_with_key_frame:
            self._fragments.clear()
            self._keyed = self._joinable = True
        if not self._keyed or self._header is None:
            return
        self._joinable = self._joinable and len(self._fragments) < FRAGMENTS_KEPT
        self._fragments.append(content)
        self._ready.set()
        now_us = self._boottime_us()
        for feed in list(self._feeds):
            if feed.waiting and now_us - feed.waiting[0][0] > BEHIND_LIMIT_US:
                feed.end()
                self._drop(feed.watch)
            else:
                feed.put(now_us, content)

    def segment(self, content: bytes, duration_ms: int) -> None:
        """A finished HLS segment has come."""
        if len(self._segments) == SEGMENTS_KEPT and self._segments[0].breaks:
            self._breaks_dropped += 1
        self._segments.append(Segment(self._next_number, content, duration_ms, self._break_next))
        self._next_number += 1
        self._break_next = False

    async def ready(self, timeout_s: float) -> bool:
        """Whether the header and a first key frame are there within that time."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._ready.wait()
        except TimeoutError:
            return False
        return True

    async def fragments(self, watch: str) -> AsyncGenerator[bytes, None]:
        """The header, then fragments from the newest key frame on, until the run or the watch ends."""
        if self._header is None or not self._joinable:
            return
        feed = _Feed(watch)
        now_us = self._boottime_us()
        feed.put(now_us, self._header + b"".join(self._fragments))
        self._feeds.add(feed)
        try:
            while True:
                await feed.news.wait()
                feed.news.clear()
                while feed.waiting:
                    _, content = feed.waiting.popleft()
                    yield content
                if feed.ended:
                    return
        finally:
            self._feeds.discard(feed)

    def end_watch(self, watch: str) -> None:
        """This viewer is fed no more."""
        for feed in list(self._feeds):
            if feed.watch == watch:
                feed.end()

    def playlist(self) -> str | None:
        """The live HLS playlist (RFC 8216), segments named `<number>.ts`; None when there is none yet."""
        if not self._segments:
            return None
        longest_ms = max(segment.duration_ms for segment in self._segments)
        lines = [
            "#EXTM3U",
            "#EXT-X-VERSION:3",
            f"#EXT-X-TARGETDURATION:{max(1, -(-longest_ms // 1000))}",
            f"#EXT-X-MEDIA-SEQUENCE:{self._segments[0].number}",
            f"#EXT-X-DISCONTINUITY-SEQUENCE:{self._breaks_dropped}",
        ]
        for segment in self._segments:
            if segment.breaks:
                lines.append("#EXT-X-DISCONTINUITY")
            lines += [f"#EXTINF:{segment.duration_ms / 1000:.3f},", f"{segment.number}.ts"]
        return "\n".join(lines) + "\n"

    def segment_content(self, number: int) -> bytes | None:
        """A live segment's bytes, or None when it is not (or no longer) kept."""
        return next((segment.content for segment in self._segments if segment.number == number), None)

    def _end_feeds(self) -> None:
        for feed in list(self._feeds):
            feed.end()
