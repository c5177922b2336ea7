"""Fragmented MP4 cut into what a viewer can be sent: one header, then fragments (ISO/IEC 14496-12)."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

MAX_BOX_BYTES = 8 * 1024 * 1024
NOT_SYNC = 0x0001_0000

TFHD_OPTIONAL = ((0x01, 8), (0x02, 4), (0x08, 4), (0x10, 4))
TFHD_DEFAULT_FLAGS = 0x20
TRUN_DATA_OFFSET, TRUN_FIRST_FLAGS, TRUN_DURATION, TRUN_SIZE, TRUN_FLAGS = 0x001, 0x004, 0x100, 0x200, 0x400


@dataclass(frozen=True, slots=True)
class Header:
    """What a player needs before any fragment: ftyp and moov. `codecs` is exact, as in RFC 6381."""

    data: bytes
    codecs: str


@dataclass(frozen=True, slots=True)
class Fragment:
    """One moof with its mdat; `key` says that it starts with a frame that needs no other."""

    data: bytes
    key: bool


class FragmentSplitter:
    """Takes the bytes of one stream as they come and gives back whole headers and fragments.

    Holds at most one header or fragment, each box of it at most `MAX_BOX_BYTES`.
    """

    def __init__(self) -> None:
        self._pending = bytearray()
        self._whole = bytearray()
        self._key = False

    def feed(self, data: bytes) -> list[Header | Fragment]:
        """What has become whole with `data`; ValueError when this is not a fragmented H.264 MP4."""
        self._pending += data
        found: list[Header | Fragment] = []
        while (box := self._next_box()) is not None:
            kind, body = bytes(box[4:8]), box[8:]
            if kind == b"ftyp":
                self._whole = bytearray(box)
            elif kind == b"moov":
                found.append(Header(bytes(self._whole) + box, codecs_of(body)))
                self._whole = bytearray()
            elif kind == b"moof":
                self._whole, self._key = bytearray(box), starts_with_key_frame(body)
            elif kind == b"mdat" and self._whole:
                found.append(Fragment(bytes(self._whole) + box, self._key))
                self._whole = bytearray()
        return found

    def _next_box(self) -> bytes | None:
        if len(self._pending) < 8:
            return None
        (size,) = struct.unpack_from(">I", self._pending)
        if not 8 <= size <= MAX_BOX_BYTES:
            raise ValueError(f"an MP4 box of {size} bytes is not between 8 and {MAX_BOX_BYTES}")
        if len(self._pending) < size:
            return None
        box = bytes(self._pending[:size])
        del self._pending[:size]
        return box


def codecs_of(moov: bytes) -> str:
    """The RFC 6381 codecs string of the video track in a moov's body, from its avcC box (RFC 6381, 3.3).

    ValueError when there is none.
    """
    for track in _children(moov, b"trak"):
        sample_table = _descend(track, b"mdia", b"minf", b"stbl")
        for description in _children(sample_table, b"stsd"):
            for entry in _children(description[8:], b"avc1"):
                # A visual sample entry has 78 bytes of its own before its boxes.
                for record in _children(entry[78:], b"avcC"):
                    if len(record) >= 4:
                        return f"avc1.{record[1:4].hex().upper()}"
    raise ValueError("the MP4 header has no H.264 track")


def starts_with_key_frame(moof: bytes) -> bool:
    """Whether the first sample of a moof's body is a sync sample; what does not say so is not."""
    for fragment in _children(moof, b"traf"):
        default = next((_tfhd_flags(body) for body in _children(fragment, b"tfhd")), None)
        for run in _children(fragment, b"trun"):
            flags = _first_sample_flags(run)
            if flags is None:
                flags = default
            return flags is not None and not flags & NOT_SYNC
    return False


def _tfhd_flags(body: bytes) -> int | None:
    present = int.from_bytes(body[1:4])
    if not present & TFHD_DEFAULT_FLAGS:
        return None
    return _u32(body, 8 + sum(size for bit, size in TFHD_OPTIONAL if present & bit))


def _first_sample_flags(body: bytes) -> int | None:
    present = int.from_bytes(body[1:4])
    if int.from_bytes(body[4:8]) == 0:
        return NOT_SYNC
    at = 8 + (4 if present & TRUN_DATA_OFFSET else 0)
    if present & TRUN_FIRST_FLAGS:
        return _u32(body, at)
    if not present & TRUN_FLAGS:
        return None
    return _u32(body, at + (4 if present & TRUN_DURATION else 0) + (4 if present & TRUN_SIZE else 0))


def _u32(body: bytes, at: int) -> int:
    """Four bytes as a number; past the end, the flags of a sample that is no key frame."""
    return int.from_bytes(body[at : at + 4]) if len(body) >= at + 4 else NOT_SYNC


def _descend(body: bytes, *kinds: bytes) -> bytes:
    for kind in kinds:
        body = next(_children(body, kind), b"")
    return body


def _children(body: bytes, kind: bytes) -> Iterator[bytes]:
    """The bodies of the boxes of one kind directly inside `body`."""
    at = 0
    while at + 8 <= len(body):
        size, found = struct.unpack_from(">I4s", body, at)
        if size < 8 or at + size > len(body):
            return
        if found == kind:
            yield body[at + 8 : at + size]
        at += size
