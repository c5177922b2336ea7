"""Fragmented MP4, cut at its boxes."""

from __future__ import annotations

import itertools
import struct
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.edges.worker.fragments import (
    MAX_BOX_BYTES,
    Fragment,
    FragmentSplitter,
    Header,
    starts_with_key_frame,
)


def box(kind: bytes, *parts: bytes) -> bytes:
    body = b"".join(parts)
    return struct.pack(">I4s", 8 + len(body), kind) + body


def full(kind: bytes, flags: int, *words: int) -> bytes:
    return box(kind, struct.pack(">I", flags), *(struct.pack(">I", word) for word in words))


def moof(*, first: int | None = None, each: int | None = None, default: int | None = None) -> bytes:
    """The body of a moof with one sample, whose flags stand in one of the three places."""
    tfhd = full(b"tfhd", 0x20, 1, default) if default is not None else full(b"tfhd", 0, 1)
    if first is not None:
        trun = full(b"trun", 0x005, 1, 100, first)
    elif each is not None:
        trun = full(b"trun", 0x701, 1, 100, 1000, 500, each)
    else:
        trun = full(b"trun", 0x001, 1, 100)
    return box(b"mfhd", b"\0" * 8) + box(b"traf", tfhd, trun)


AVCC = box(b"avcC", bytes([1, 0x42, 0xC0, 0x16, 0xFF]))
ENTRY = box(b"avc1", b"\0" * 78, box(b"colr", b"\0" * 8), AVCC)
STBL = box(b"stbl", box(b"stsd", b"\0\0\0\0\0\0\0\1", ENTRY))
MOOV = box(b"moov", box(b"mvhd", b"\0" * 100), box(b"trak", box(b"mdia", box(b"minf", STBL))))
FTYP = box(b"ftyp", b"iso5")
KEY = box(b"moof", moof(first=0x0200_0000)) + box(b"mdat", b"key")
OTHER = box(b"moof", moof(first=0x0101_0000)) + box(b"mdat", b"other")
STREAM = FTYP + MOOV + KEY + OTHER + box(b"mfra", b"\0" * 20)
EXPECTED = [Header(FTYP + MOOV, "avc1.42C016"), Fragment(KEY, True), Fragment(OTHER, False)]


@given(st.lists(st.integers(0, len(STREAM)), max_size=20))
def test_the_same_items_come_out_however_the_bytes_arrive(cuts: list[int]) -> None:
    splitter = FragmentSplitter()
    edges = [0, *sorted(cuts), len(STREAM)]
    found = [item for a, b in itertools.pairwise(edges) for item in splitter.feed(STREAM[a:b])]
    assert found == EXPECTED


@pytest.mark.parametrize(
    ("body", "key"),
    [
        (moof(first=0x0200_0000), True),
        (moof(first=0x0101_0000), False),
        (moof(each=0x0200_0000), True),
        (moof(each=0x0101_0000), False),
        (moof(default=0x0200_0000), True),
        (moof(default=0x0101_0000), False),
        (moof(first=0x0200_0000, default=0x0101_0000), True),
        (moof(), False),
        (b"", False),
    ],
)
def test_the_key_frame_flag_is_found_wherever_it_stands_and_is_no_when_it_stands_nowhere(
    body: bytes, key: bool
) -> None:
    assert starts_with_key_frame(body) is key


@pytest.mark.parametrize("size", [0, 1, 7, MAX_BOX_BYTES + 1, 0xFFFF_FFFF])
def test_a_box_beyond_its_bound_is_an_error_and_is_not_waited_for_k3(size: int) -> None:
    with pytest.raises(ValueError, match="MP4 box"):
        FragmentSplitter().feed(struct.pack(">I4s", size, b"mdat"))


def test_a_header_without_h264_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"no H\.264"):
        FragmentSplitter().feed(FTYP + box(b"moov", box(b"mvhd", b"\0" * 100)))


@given(st.binary(max_size=400))
def test_garbage_is_waited_for_or_refused_but_never_handed_on(data: bytes) -> None:
    try:
        assert FragmentSplitter().feed(data) == []
    except ValueError:
        pass


def test_what_a_real_encoder_makes_is_cut_without_a_byte_lost(each_ffmpeg: str) -> None:
    draw = "-v error -f lavfi -i testsrc2=size=320x180:rate=12 -frames:v 12"
    encode = "-c:v libx264 -profile:v main -level 3.1 -pix_fmt yuv420p -g 4 -bf 0"
    wrap = "-f mp4 -movflags empty_moov+default_base_moof+frag_every_frame pipe:1"
    command = [each_ffmpeg, *draw.split(), *encode.split(), *wrap.split()]
    stream = subprocess.run(command, capture_output=True, check=True).stdout
    found = FragmentSplitter().feed(stream)
    header, *fragments = found
    assert isinstance(header, Header)
    assert header.codecs == "avc1.4D401F"
    assert stream.startswith(b"".join(item.data for item in found))
    keys = [item.key for item in fragments if isinstance(item, Fragment)]
    assert keys == [True, False, False, False] * 3
