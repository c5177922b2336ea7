"""The picture in memory: who joins late, who falls behind, what a new run changes, how much is kept.

S1, S11, CONTRACT 5, K3; RFC 8216.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

import pytest

from orchestrator.runtime.picture import FRAGMENTS_KEPT, SEGMENTS_KEPT, Picture
from tests.runtime.one_gateway import Clock
from tests.runtime.stoppable_store import LIMIT_S


class Screen:
    """A picture under test, with a clock set by hand and the names of those who were dropped."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.dropped: list[str] = []
        self.picture = Picture(self.clock.boottime_us, self.dropped.append)

    def frames(self, *contents: bytes) -> None:
        """Fragments; those in capitals begin with a key frame."""
        for content in contents:
            self.picture.fragment(content, content.isupper())

    def plays(self, *contents: bytes) -> Screen:
        self.picture.begin_run()
        self.picture.header(b"<h>", "avc1.42C016")
        self.frames(*contents)
        return self


@pytest.fixture
def screen() -> Screen:
    return Screen()


async def _next(feed: AsyncGenerator[bytes, None]) -> bytes | None:
    async with asyncio.timeout(LIMIT_S):
        return await anext(feed, None)


async def test_one_who_joins_late_gets_the_header_and_all_since_the_newest_key_frame(screen: Screen) -> None:
    screen.plays(b"A", b"b", b"C", b"d")
    feed = screen.picture.fragments("w-1")
    assert await _next(feed) == b"<h>Cd"
    screen.frames(b"e", b"F")
    assert [await _next(feed), await _next(feed)] == [b"e", b"F"]


async def test_before_the_header_and_a_key_frame_there_is_nothing_to_join(screen: Screen) -> None:
    screen.picture.begin_run()
    assert await _next(screen.picture.fragments("w-1")) is None
    screen.picture.header(b"<h>", "avc1")
    screen.frames(b"a", b"b")
    assert await _next(screen.picture.fragments("w-1")) is None
    assert not await screen.picture.ready(0.01)
    screen.frames(b"C")
    assert await screen.picture.ready(LIMIT_S)
    assert await _next(screen.picture.fragments("w-1")) == b"<h>C"


async def test_waiting_for_the_first_frame_ends_when_it_comes(screen: Screen) -> None:
    waiting = asyncio.create_task(screen.picture.ready(LIMIT_S))
    await asyncio.sleep(0)
    screen.plays(b"A")
    assert await waiting


async def test_a_viewer_that_falls_two_seconds_behind_is_dropped_and_others_are_not(screen: Screen) -> None:
    """DESIGN, principle 3; F18."""
    screen.plays(b"A")
    slow, quick = screen.picture.fragments("slow"), screen.picture.fragments("quick")
    await _next(slow)
    await _next(quick)
    screen.frames(b"b")
    assert await _next(quick) == b"b"
    screen.clock.wait(2)
    screen.frames(b"c")
    assert screen.dropped == []
    assert await _next(quick) == b"c"
    screen.clock.wait(0.001)
    screen.frames(b"d")
    assert screen.dropped == ["slow"]
    assert await _next(slow) is None
    assert await _next(quick) == b"d"


async def test_a_new_run_ends_every_feed_and_drops_what_waited_for_it(screen: Screen) -> None:
    """CONTRACT 5: the player asks again."""
    screen.plays(b"A")
    feed = screen.picture.fragments("w-1")
    await _next(feed)
    screen.frames(b"b")
    screen.picture.begin_run()
    assert await _next(feed) is None
    assert screen.picture.codecs == ""
    assert await _next(screen.picture.fragments("w-1")) is None
    screen.plays(b"X")
    assert await _next(screen.picture.fragments("w-1")) == b"<h>X"


async def test_a_viewer_that_waits_is_let_go_when_the_run_or_their_watch_ends(screen: Screen) -> None:
    screen.plays(b"A")
    feeds = [screen.picture.fragments(watch) for watch in ("w-1", "w-2")]
    for feed in feeds:
        await _next(feed)
    waiting = [asyncio.create_task(_next(feed)) for feed in feeds]
    await asyncio.sleep(0)
    screen.picture.end_watch("w-1")
    assert await waiting[0] is None
    assert not waiting[1].done()
    screen.picture.wipe()
    assert await waiting[1] is None


async def test_after_a_wipe_nothing_of_it_is_left(screen: Screen) -> None:
    """S11."""
    screen.plays(b"A")
    screen.picture.segment(b"s", 1_000)
    screen.picture.wipe()
    picture = screen.picture
    assert picture.playlist() is None
    assert picture.segment_content(0) is None
    assert (picture.codecs, picture._header, len(picture._fragments)) == ("", None, 0)
    assert await _next(picture.fragments("w-1")) is None
    assert not await picture.ready(0.01)


def _playlist(picture: Picture) -> list[str]:
    text = picture.playlist()
    assert text is not None
    return text.splitlines()


def test_the_playlist_names_its_segments_their_length_and_the_first_number(screen: Screen) -> None:
    for number in range(3):
        screen.picture.segment(b"s%d" % number, 1_000 + 250 * number)
    assert _playlist(screen.picture) == [
        "#EXTM3U",
        "#EXT-X-VERSION:3",
        "#EXT-X-TARGETDURATION:2",
        "#EXT-X-MEDIA-SEQUENCE:0",
        "#EXT-X-DISCONTINUITY-SEQUENCE:0",
        "#EXTINF:1.000,",
        "0.ts",
        "#EXTINF:1.250,",
        "1.ts",
        "#EXTINF:1.500,",
        "2.ts",
    ]
    assert screen.picture.segment_content(1) == b"s1"


def test_a_new_run_goes_on_in_the_same_playlist_after_a_discontinuity(screen: Screen) -> None:
    screen.picture.begin_run()
    screen.picture.segment(b"s", 1_000)
    screen.picture.begin_run()
    screen.picture.begin_run()
    screen.picture.segment(b"s", 1_000)
    screen.picture.segment(b"s", 1_000)
    lines = _playlist(screen.picture)
    assert lines[5:] == [
        "#EXTINF:1.000,",
        "0.ts",
        "#EXT-X-DISCONTINUITY",
        "#EXTINF:1.000,",
        "1.ts",
        "#EXTINF:1.000,",
        "2.ts",
    ]


def test_the_sequence_numbers_go_on_as_segments_and_discontinuities_leave(screen: Screen) -> None:
    """RFC 8216, 4.3.3.2 and 4.3.3.3."""
    screen.picture.segment(b"s", 1_000)
    screen.picture.begin_run()
    for _ in range(SEGMENTS_KEPT):
        screen.picture.segment(b"s", 1_000)
    lines = _playlist(screen.picture)
    assert "#EXT-X-MEDIA-SEQUENCE:1" in lines
    assert "#EXT-X-DISCONTINUITY-SEQUENCE:0" in lines
    assert "#EXT-X-DISCONTINUITY" in lines
    assert screen.picture.segment_content(0) is None
    screen.picture.segment(b"s", 1_000)
    lines = _playlist(screen.picture)
    assert "#EXT-X-MEDIA-SEQUENCE:2" in lines
    assert "#EXT-X-DISCONTINUITY-SEQUENCE:1" in lines
    assert "#EXT-X-DISCONTINUITY" not in lines


async def test_what_is_kept_is_bounded_and_no_one_joins_without_a_key_frame(screen: Screen) -> None:
    """K3: a source without key frames in time is waited for, not joined in the middle."""
    screen.plays(b"A")
    for _ in range(FRAGMENTS_KEPT * 2):
        screen.frames(b"b")
    assert len(screen.picture._fragments) <= FRAGMENTS_KEPT
    late = await _next(screen.picture.fragments("w-1"))
    assert late is None or late.startswith(b"<h>A")
    screen.frames(b"C")
    assert await _next(screen.picture.fragments("w-1")) == b"<h>C"


async def test_a_viewer_who_goes_away_is_fed_no_more(screen: Screen) -> None:
    screen.plays(b"A")
    feed = screen.picture.fragments("w-1")
    await _next(feed)
    await feed.aclose()
    assert screen.picture._feeds == set()
