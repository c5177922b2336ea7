"""The arguments of a worker: an allow-list in, a fixed shape out."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.core.worker import Mask
from orchestrator.edges.worker.command import arguments
from orchestrator.edges.worker.source import source_of

from .running import spec

FOLDER = Path("/run/volet/cam1.s1.1")
SOURCES = (
    "http://127.0.0.1:8000/mjpeg/cam1",
    "https://camera/a",
    "rtsp://camera/b",
    "/dev/video0",
    "lavfi:testsrc2",
)


def argv(**changes: object) -> list[str]:
    return arguments(spec(**changes), "ffmpeg", FOLDER)


def value(arguments: list[str], option: str) -> str:
    return arguments[arguments.index(option) + 1]


@pytest.mark.parametrize(
    ("source", "demuxer"),
    list(zip(SOURCES, ("mpjpeg", "mpjpeg", "rtsp", "v4l2", "lavfi"), strict=True)),
)
def test_every_kind_of_source_has_its_demuxer_forced_so_that_a_playlist_is_never_one_f28(
    source: str, demuxer: str
) -> None:
    assert value(argv(source=source), "-f") == demuxer


@pytest.mark.parametrize("source", SOURCES)
def test_no_source_has_its_sound_mapped_s11(source: str) -> None:
    found = argv(source=source)
    assert {"-an", "-sn", "-dn"} <= set(found)
    assert found.count("-map") == 1
    assert "[0:v:0]" in value(found, "-filter_complex")


@pytest.mark.parametrize(
    ("source", "protocols"),
    [(SOURCES[0], "http,tcp"), (SOURCES[1], "https,tls,tcp"), (SOURCES[2], "rtp,tcp")],
)
def test_a_network_source_may_use_its_own_protocols_and_no_file_f28(source: str, protocols: str) -> None:
    assert value(argv(source=source), "-protocol_whitelist") == protocols


def test_an_http_source_follows_no_redirect_f28() -> None:
    assert value(argv(source=SOURCES[0]), "-max_redirects") == "0"


@pytest.mark.parametrize(
    "source",
    [
        "file:///etc/passwd",
        "/etc/passwd",
        "/dev/video0/../sda",
        "/dev/sda",
        "concat:/etc/passwd|x",
        "rtmp://camera/a",
        "udp://0.0.0.0:9",
        "-i",
        "",
        "http://",
        "http:///path",
        "http://camera:99999/",
        "http://camera/a b",
        "http://camera/'\nfile '/etc/passwd",
        "HTTP://camera/a",
        "lavfi:movie=/etc/passwd",
        "lavfi:amovie",
        "lavfi:testsrc2,movie=/etc/passwd",
        "lavfi:testsrc2=size=1x1;movie=a",
        "lavfi:testsrc2=rate=12[out]",
        "lavfi:color=color=red:textfile=/etc/passwd",
        "lavfi:testsrc2=color=red",
    ],
)
def test_anything_that_is_not_on_the_list_is_refused_with_a_sentence_s26(source: str) -> None:
    with pytest.raises(ValueError, match=r"source|lavfi"):
        argv(source=source)


def test_a_password_in_the_address_is_refused_and_not_repeated_s19() -> None:
    with pytest.raises(ValueError, match="source_secret_file") as refused:
        argv(source="rtsp://admin:hunter2@camera/a")
    assert "hunter2" not in str(refused.value)
    assert "admin" not in str(refused.value)


@pytest.mark.parametrize("source", SOURCES[:3])
def test_a_secret_goes_to_standard_input_and_into_no_argument_s19(source: str) -> None:
    asked = spec(source=source, source_secret="admin:p@ss 'w:rd")
    found = arguments(asked, "ffmpeg", FOLDER)
    given = source_of(asked).standard_input
    assert not [word for word in found if "admin" in word or "p@ss" in word or "p%40ss" in word]
    assert given is not None
    assert "://admin:" + quote("p@ss 'w:rd", safe="") + "@" in given.decode()
    assert "p@ss" not in repr(asked)
    assert value(found, "-format_whitelist").startswith("concat,")


@pytest.mark.parametrize("source", SOURCES[3:])
def test_a_source_that_takes_no_secret_says_so(source: str) -> None:
    with pytest.raises(ValueError, match="remove source_secret_file"):
        argv(source=source, source_secret="admin:hunter2")


def test_a_secret_of_another_form_is_refused_and_not_repeated_s19() -> None:
    with pytest.raises(ValueError, match="user:password") as refused:
        argv(source=SOURCES[0], source_secret="hunter2")
    assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"size": "640"}, "size"),
        ({"size": "640x360,movie=a"}, "size"),
        ({"fps": 0}, "fps"),
        ({"bitrate": "600k -i x"}, "bitrate"),
        ({"outputs": ()}, "outputs"),
        ({"outputs": ("rtmp",)}, "outputs"),
        ({"longest_end_s": 0.0}, "end"),
        ({"watermark": "a\nb"}, "watermark"),
        ({"masks": (Mask(0.9, 0, 0.2, 0.1),)}, "inside"),
        ({"masks": (Mask(0, 0, 0, 0.1),)}, "inside"),
        ({"masks": (Mask(float("nan"), 0, 0.1, 0.1),)}, "inside"),
        ({"masks": (Mask(0, 0, 1, 1),) * 17}, "masks"),
    ],
)
def test_a_value_out_of_its_bounds_is_refused_with_a_sentence(changes: dict[str, object], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        argv(**changes)


def test_a_folder_with_characters_that_mean_something_to_ffmpeg_is_refused() -> None:
    with pytest.raises(ValueError, match="folder"):
        arguments(spec(), "ffmpeg", Path("/run/volet/[f=flv]a|b"))


@pytest.mark.parametrize(
    ("outputs", "legs"),
    [(("hls",), ["index.m3u8"]), (("mp4",), ["pipe:1"]), (("hls", "mp4"), ["index.m3u8", "pipe:1"])],
)
def test_one_encode_goes_to_the_outputs_asked_for_and_no_other(
    outputs: tuple[str, ...], legs: list[str]
) -> None:
    found = argv(outputs=outputs)
    tee = next(word for word in found if word.startswith("[f="))
    assert [re.split(r"[\]/]", leg)[-1] for leg in tee.split("|")] == legs
    assert found.count("-c:v") == 1


def test_the_worker_ends_by_itself_at_the_longest_end_it_could_have_s6() -> None:
    assert value(argv(longest_end_s=901.5), "-t") == "901.500"


def test_decoder_filters_and_encoder_have_one_thread_each_k2() -> None:
    found = argv()
    assert [found[n + 1] for n, word in enumerate(found) if word == "-threads"] == ["1", "1"]
    assert value(found, "-filter_complex_threads") == "1"


@settings(max_examples=50)
@given(st.text(st.characters(min_codepoint=32, max_codepoint=126), min_size=1, max_size=100))
def test_no_watermark_can_add_a_filter_or_an_option_s26(text: str) -> None:
    assert shape(text) == shape("a")


def shape(watermark: str) -> list[tuple[str, int]]:
    """How often each character that separates filters stands unescaped in the graph."""
    graph = value(argv(watermark=watermark), "-filter_complex")
    # ffmpeg takes off two layers of backslashes: one for the graph, one for the filter's options.
    inner = re.sub(r"\\(.)", lambda pair: chr(0xE000 + ord(pair[1])), graph)
    option = re.sub(f"{chr(0xE000 + 92)}.", "", inner)
    return [(mark, inner.count(mark)) for mark in ";[],"] + [
        (":", option.count(":")),
        ("'", option.count("'")),
    ]
