"""The first playable picture, the same way for both sides: the first whole fragment, the first segment."""

from __future__ import annotations

import http.client
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread

LIMIT_S = 20.0
LOOK_AGAIN_S = 0.01
PIECE_BYTES = 64 * 1024
TS_SYNC = 0x47


def first_fragment_at(read: Callable[[], bytes]) -> float:
    """Read until the first `mdat` is whole; that instant on time.monotonic. AssertionError at the end."""
    data = b""
    while not has_fragment(data):
        piece = read()
        assert piece, f"it ended after {len(data)} bytes without a fragment"
        data += piece
    return time.monotonic()


def has_fragment(data: bytes) -> bool:
    """Whether these boxes (ISO 14496-12) hold a whole `mdat`."""
    at = 0
    while at + 8 <= len(data):
        size, kind = int.from_bytes(data[at : at + 4]), data[at + 4 : at + 8]
        assert size >= 8, f"a box {kind!r} of {size} bytes"
        at += size
        if kind == b"mdat":
            return at <= len(data)
    return False


def first_segment_at(playlist: Callable[[], str | None], segment: Callable[[str], bytes]) -> float:
    """Ask for the playlist every 10 ms until it names a segment, fetch that; the instant it was there."""
    until = time.monotonic() + LIMIT_S
    while time.monotonic() < until:
        named = segments_of(playlist() or "")
        if named:
            content = segment(named[0])
            assert content[:1] == bytes([TS_SYNC]), content[:80]
            return time.monotonic()
        time.sleep(LOOK_AGAIN_S)
    raise AssertionError(f"no segment within {LIMIT_S} s")


def segments_of(playlist: str) -> list[str]:
    """The segments that a playlist names, oldest first."""
    return [line for line in playlist.splitlines() if line.endswith(".ts")]


def fetched(gateway: tuple[str, int], source: str, path: str) -> tuple[int, bytes]:
    """One GET."""
    connection = http.client.HTTPConnection(*gateway, timeout=LIMIT_S, source_address=(source, 0))
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def streamed_fragment_at(gateway: tuple[str, int], source: str, path: str) -> float:
    """GET the MP4 until its first fragment is whole, then hang up."""
    connection = http.client.HTTPConnection(*gateway, timeout=LIMIT_S, source_address=(source, 0))
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        assert answer.status == 200, answer.read()
        return first_fragment_at(lambda: answer.read1(PIECE_BYTES))
    finally:
        connection.close()


def read_if_there(path: Path) -> str | None:
    """The text of a file that may not have been written yet."""
    try:
        return path.read_text()
    except FileNotFoundError:
        return None


@contextmanager
def watched(port: int) -> Iterator[None]:
    """Somebody looks at the camera all the time, so that it films already when a worker comes."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=LIMIT_S)
    connection.request("GET", "/mjpeg/cam1")
    answer = connection.getresponse()
    assert answer.read1(PIECE_BYTES)
    done = False

    def drain() -> None:
        try:
            while not done and answer.read1(PIECE_BYTES):
                pass
        except (OSError, ValueError):
            pass  # hung up below

    reader = Thread(target=drain, daemon=True)
    reader.start()
    try:
        yield
    finally:
        done = True
        reader.join(LIMIT_S)
        connection.close()
