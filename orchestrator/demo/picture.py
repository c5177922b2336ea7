"""The camera's picture: a lane, a vehicle that drives through and a clock, drawn by ffmpeg without a font."""

import asyncio
import time
from collections.abc import AsyncGenerator

from orchestrator.demo.lifetime import end_child_with_us
from orchestrator.edges.worker.find import find_ffmpeg

WIDTH, HEIGHT, FRAMES_PER_SECOND = 320, 180, 12

_HEADER_LIMIT_BYTES = 4096
_JPEG_LIMIT_BYTES = 1 << 20

# A seven-segment digit in a cell of 8 by 14: x, y, width, height, and the digits in which the segment is lit.
_SEGMENTS = (
    (1, 0, 6, 2, "02356789"),
    (1, 6, 6, 2, "2345689"),
    (1, 12, 6, 2, "0235689"),
    (0, 1, 2, 6, "045689"),
    (6, 1, 2, 6, "01234789"),
    (0, 7, 2, 6, "0268"),
    (6, 7, 2, 6, "013456789"),
)


class PictureLost(Exception):
    """ffmpeg ended, or said something that is no stream of JPEG images; the message is for people."""


async def frames() -> AsyncGenerator[bytes, None]:
    """JPEG images of 320×180, 12 a second, until the caller closes the generator; ffmpeg runs as long.

    Raises `PictureLost` when ffmpeg ends by itself and `FileNotFoundError` when there is none.
    """
    process = await asyncio.create_subprocess_exec(
        *_argv(find_ffmpeg(), time.time()),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        limit=_JPEG_LIMIT_BYTES,
        preexec_fn=end_child_with_us(),
    )
    assert process.stdout
    try:
        while True:
            yield await _next_jpeg(process.stdout)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def _next_jpeg(stream: asyncio.StreamReader) -> bytes:
    """The next part of ffmpeg's multipart output: a boundary, headers, an empty line, the image."""
    try:
        head = (await stream.readuntil(b"\r\n\r\n"))[-_HEADER_LIMIT_BYTES:].lower()
        length = int(head.partition(b"content-length:")[2].partition(b"\r\n")[0])
        return await stream.readexactly(length)
    except asyncio.IncompleteReadError:
        raise PictureLost("ffmpeg ended by itself; what it said is above") from None
    except (ValueError, asyncio.LimitOverrunError) as error:
        raise PictureLost(f"ffmpeg's output is not multipart JPEG: {error}") from None


def _argv(ffmpeg: str, now_s: float) -> list[str]:
    quiet = ["-hide_banner", "-loglevel", "error", "-nostdin"]
    source = ["-re", "-f", "lavfi", "-i", _scene(now_s)]
    encoder = ["-c:v", "mjpeg", "-q:v", "6", "-pix_fmt", "yuvj420p", "-threads", "1"]
    return [ffmpeg, *quiet, *source, *encoder, "-flush_packets", "1", "-f", "mpjpeg", "pipe:1"]


def _scene(now_s: float) -> str:
    """A lavfi graph: a lane and its barrier, a vehicle that passes every 9 s, the time of day in UTC."""
    lane = [
        f"color=c=0x565b60:s={WIDTH}x{HEIGHT}:r={FRAMES_PER_SECOND}",
        _box(0, 0, WIDTH, 52, "0x8d99a3"),
        _box(0, 52, WIDTH, 3, "0x3c4044"),
        *(_box(x, 62, 3, 40, "0xd8d8d0") for x in range(24, WIDTH, 68)),
        _box(0, 160, WIDTH, 2, "0xd8c050"),
    ]
    vehicle = [
        f"color=c=0xa83232:s=84x34:r={FRAMES_PER_SECOND}",
        _box(16, 4, 22, 12, "0x22303c"),
        _box(44, 4, 22, 12, "0x22303c"),
        _box(10, 26, 14, 8, "0x181818"),
        _box(60, 26, 14, 8, "0x181818"),
    ]
    post = [_box(250, 96, 10, 66, "0xe0a020"), _box(250, 104, 10, 8, "0xc02020")]
    drive = "overlay=x='mod(t*48,432)-100':y=118:eval=frame"
    return (
        f"{','.join(lane)}[lane];{','.join(vehicle)}[vehicle];"
        f"[lane][vehicle]{','.join([drive, *post, *_clock(now_s)])}"
    )


def _clock(now_s: float) -> list[str]:
    """HH:MM:SS in seven-segment digits, top right; the graph's own `t` counts from `now_s`."""
    second = f"(t+{now_s % 86400:.3f})"
    hour = f"mod(floor({second}/3600),24)"
    digits = [
        f"floor({hour}/10)",
        f"mod({hour},10)",
        f"mod(floor({second}/600),6)",
        f"mod(floor({second}/60),10)",
        f"mod(floor({second}/10),6)",
        f"mod(floor({second}),10)",
    ]
    boxes = [_box(226, 8, 86, 22, "0x101418")]
    for place, digit in enumerate(digits):
        left = 231 + place * 11 + place // 2 * 6
        for x, y, width, height, lit in _SEGMENTS:
            shown = "+".join(f"eq({digit},{value})" for value in lit)
            boxes.append(f"{_box(left + x, 12 + y, width, height, '0xf0f0e0')}:enable='{shown}'")
    for left in (254, 282):
        boxes += [_box(left, 15, 2, 2, "0xf0f0e0"), _box(left, 21, 2, 2, "0xf0f0e0")]
    return boxes


def _box(x: int, y: int, width: int, height: int, colour: str) -> str:
    return f"drawbox=x={x}:y={y}:w={width}:h={height}:color={colour}:t=fill"
