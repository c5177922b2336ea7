"""What comes out of a worker is the camera's picture: whole, masked, marked, silent."""

from __future__ import annotations

import asyncio
import itertools
import statistics
from pathlib import Path

import pytest

from orchestrator.core.worker import Mask
from orchestrator.edges.worker.fragments import FragmentSplitter, Header

from .conftest import Launch
from .mjpeg_camera import MjpegCamera
from .rtsp_camera import RtspCamera
from .running import Picture, Run, decode, spec

pytestmark = pytest.mark.slow

SECRET = "operator:p@ss w:rd'"


def both_outputs(run: Run) -> bool:
    return len(run.segments) >= 4 and sum(key for _, key in run.fragments) >= 4


async def pictures(run: Run, ffmpeg: str) -> tuple[Picture, Picture]:
    """What a viewer of each output sees: MP4 from a key frame on, and a segment by itself."""
    await run.until(both_outputs)
    return decode(ffmpeg, run.mp4()), decode(ffmpeg, run.segments[-1][1])


async def test_both_outputs_decode_at_the_sources_size_and_have_no_sound_s11(
    launch: Launch, each_ffmpeg: str, jpegs: tuple[bytes, ...], ffmpeg: str
) -> None:
    with MjpegCamera(jpegs) as camera:
        run = launch(spec(source=camera.url, size="640x360"), each_ffmpeg)
        for picture in await pictures(run, ffmpeg):
            assert (picture.width, picture.height, picture.has_sound) == (320, 180, False)
            assert len(picture.frames) >= 1
        assert [number for number, _, _ in run.segments[:3]] == [0, 1, 2]
        # The stamps are of the wall clock: a camera that stood still for a moment makes a longer segment.
        assert all(100 <= duration <= 10_000 for _, _, duration in run.segments)


async def test_a_source_with_sound_gives_a_picture_alone_f28(
    launch: Launch, each_ffmpeg: str, ffmpeg: str
) -> None:
    with RtspCamera(ffmpeg) as camera:
        run = launch(spec(source=camera.url), each_ffmpeg)
        for picture in await pictures(run, ffmpeg):
            assert (picture.width, picture.has_sound) == (320, False)
        assert [url.rsplit("/", 1)[1] for url in camera.set_up] == ["picture"]


@pytest.mark.parametrize("kind", ["http", "rtsp"])
async def test_a_secret_opens_the_camera_and_stands_in_no_argument_and_no_environment_s19(
    kind: str, launch: Launch, each_ffmpeg: str, jpegs: tuple[bytes, ...], ffmpeg: str
) -> None:
    with MjpegCamera(jpegs, password=SECRET) if kind == "http" else RtspCamera(ffmpeg, SECRET) as camera:
        run = launch(spec(source=camera.url, source_secret=SECRET), each_ffmpeg)
        await run.until(lambda run: len(run.fragments) >= 3)
        process = Path(f"/proc/{run.worker.pid}")
        told = (process / "cmdline").read_bytes() + (process / "environ").read_bytes()
        assert b"libx264" in told
        for part in (b"operator", b"p@ss", b"p%40ss"):
            assert part not in told
        exited = await run.worker.stop()
        assert "p%40ss" not in exited.last_line


async def test_the_newest_fragments_after_the_header_play_by_themselves_with_the_exact_codecs(
    launch: Launch, each_ffmpeg: str, ffmpeg: str
) -> None:
    run = launch(spec(source="lavfi:testsrc2=size=640x360:rate=12", outputs=("mp4",)), each_ffmpeg)
    await run.until(lambda run: sum(key for _, key in run.fragments) >= 5)
    ((header, codecs),) = run.headers
    profile = decode_profile(header)
    assert codecs == f"avc1.{profile}" == "avc1.42C016"
    assert run.fragments[0][1]
    newest = run.mp4()
    assert newest.count(b"moof") < len(run.fragments)
    assert len(decode(ffmpeg, newest).frames) == newest.count(b"moof")
    assert run.segments == []


def decode_profile(header: bytes) -> str:
    """Profile, constraints and level, from the sequence parameter set itself (RFC 6184, 8.1)."""
    at = header.index(b"avcC") + 4
    length = int.from_bytes(header[at + 6 : at + 8])
    sps = header[at + 8 : at + 8 + length]
    assert sps[0] & 0x1F == 7
    return sps[1:4].hex().upper()


async def test_hls_alone_gives_segments_and_no_fragment(
    launch: Launch, each_ffmpeg: str, ffmpeg: str
) -> None:
    run = launch(spec(outputs=("hls",)), each_ffmpeg)
    await run.until(lambda run: len(run.segments) >= 2 and run.has_frame)
    assert run.fragments == []
    assert decode(ffmpeg, run.segments[1][1]).width == 320


@pytest.mark.parametrize(
    ("source", "size", "expected"),
    [("321x181", "source", (320, 180)), ("640x360", "320x320", (320, 180)), ("160x90", "640x360", (160, 90))],
)
async def test_a_picture_is_never_enlarged_never_distorted_and_has_even_sides(
    source: str, size: str, expected: tuple[int, int], launch: Launch, each_ffmpeg: str, ffmpeg: str
) -> None:
    run = launch(spec(source=f"lavfi:testsrc2=size={source}:rate=12", size=size), each_ffmpeg)
    await run.until(lambda run: len(run.fragments) >= 2)
    picture = decode(ffmpeg, run.mp4())
    assert (picture.width, picture.height) == expected


async def still(launch: Launch, binary: str, ffmpeg: str, frames: int = 15, **changes: object) -> Picture:
    """A generated picture that stands still, so that what differs was put there."""
    run = launch(spec(source="lavfi:smptebars=size=640x360:rate=12", bitrate="3M", **changes), binary)
    await run.until(lambda run: len(run.fragments) >= frames)
    return decode(ffmpeg, run.headers[0][0] + b"".join(data for data, _ in run.fragments))


def difference(a: list[int], b: list[int]) -> float:
    return statistics.fmean(abs(x - y) for x, y in zip(a, b, strict=True))


@pytest.mark.parametrize(
    "where", [(0.10, 0.20, 0.35, 0.20), (0.0, 0.0, 1.0, 0.5), (0.301, 0.303, 0.05, 0.01)]
)
async def test_a_masked_region_loses_its_detail_and_the_rest_keeps_it(
    where: tuple[float, float, float, float], launch: Launch, each_ffmpeg: str, ffmpeg: str
) -> None:
    masks = (Mask(*where), Mask(0.9, 0.95, 0.1, 0.05))
    plain, masked = await asyncio.gather(
        still(launch, each_ffmpeg, ffmpeg), still(launch, each_ffmpeg, ffmpeg, masks=masks)
    )
    outside = (0.1, 0.7, 0.3, 0.2)
    assert difference(plain.region(-1, *outside), masked.region(-1, *outside)) < 2
    if where[3] > 0.1:
        before, after = plain.region(-1, *where), masked.region(-1, *where)
        assert steepest(after, int(where[2] * 640)) < steepest(before, int(where[2] * 640)) / 2


def steepest(pixels: list[int], width: int) -> int:
    """The largest step between two neighbours in a row, away from the region's own edges."""
    inner = [pixels[at : at + width][4:-4] for at in range(4 * width, len(pixels) - 4 * width, width)]
    return max(abs(a - b) for row in inner for a, b in itertools.pairwise(row))


async def test_a_watermark_is_burnt_into_every_frame_and_its_clock_moves(
    launch: Launch, each_ffmpeg: str, ffmpeg: str
) -> None:
    text = "0199-a:b,c'd[e]%{f}\\g;h=i"
    plain, marked = await asyncio.gather(
        still(launch, each_ffmpeg, ffmpeg), still(launch, each_ffmpeg, ffmpeg, frames=60, watermark=text)
    )
    first_line, second_line = (0.0, 0.90, 0.3, 0.04), (0.0, 0.95, 0.3, 0.04)
    for frame in (0, -1):
        for line in (first_line, second_line):
            assert difference(plain.region(frame, *line), marked.region(frame, *line)) > 5
    above = (0.0, 0.1, 1.0, 0.7)
    assert difference(plain.region(-1, *above), marked.region(-1, *above)) < 2
    assert largest_change(marked, first_line) < 60
    assert largest_change(marked, second_line) > 100


def largest_change(picture: Picture, where: tuple[float, float, float, float]) -> int:
    """How much one pixel of a region differs at most between the first frame and any other: between the
    first and the last alone, a clock's 6 may have become an 8."""
    first = picture.region(0, *where)
    others = (picture.region(number, *where) for number in range(1, len(picture.frames)))
    return max(abs(a - b) for other in others for a, b in zip(first, other, strict=True))


async def test_the_header_handed_over_is_one_that_a_splitter_finds_again(launch: Launch, ffmpeg: str) -> None:
    run = launch(spec())
    await run.until(lambda run: len(run.fragments) >= 2)
    (again,) = FragmentSplitter().feed(run.headers[0][0])
    assert again == Header(*run.headers[0])
