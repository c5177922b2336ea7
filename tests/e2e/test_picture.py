"""The picture of a watch: what it is, whose it is, and that it is in the log before its first byte."""

import http.client
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.client import LIMIT_S
from tests.e2e.configuration import COLLEAGUE, MAINTAINER, MAINTAINER_PHONE, MAINTAINER_PLAYER, NOBODY, VIEWER
from tests.e2e.gateway import Gateway
from tests.e2e.incident import at_us, house_is_clean, log_is_whole

pytestmark = pytest.mark.slow

SOURCE_SIZE = (320, 180)
SAMPLE_BYTES = 120_000


def _streams_of(file: Path) -> list[dict[str, Any]]:
    command = ["ffprobe", "-v", "error", "-of", "json", "-count_frames", "-show_streams", str(file)]
    told = subprocess.run(command, capture_output=True, check=True, timeout=LIMIT_S)
    streams: list[dict[str, Any]] = json.loads(told.stdout)["streams"]
    return streams


def _decodes(file: Path) -> None:
    """ffmpeg decodes every frame of it without a complaint."""
    command = ["ffmpeg", "-v", "error", "-xerror", "-i", str(file), "-f", "null", "-"]
    told = subprocess.run(command, capture_output=True, check=True, timeout=LIMIT_S)
    assert told.stderr == b""


def _is_the_camera(file: Path) -> None:
    streams = _streams_of(file)
    assert [stream["codec_type"] for stream in streams] == ["video"]
    assert (streams[0]["width"], streams[0]["height"]) == SOURCE_SIZE
    assert streams[0]["codec_name"] == "h264"
    assert int(streams[0]["nb_read_frames"]) >= 5


def _read(gateway: Gateway, path: str, at_least: int) -> tuple[bytes, str]:
    connection = http.client.HTTPConnection(
        gateway.address, gateway.port, timeout=LIMIT_S, source_address=(MAINTAINER, 0)
    )
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        assert answer.status == 200, answer.read()
        data = b""
        while len(data) < at_least:
            piece = answer.read1(65536)
            assert piece, f"{path} ended after {len(data)} bytes"
            data += piece
        return data, answer.headers["Content-Type"]
    finally:
        connection.close()


def _whole_fragments(data: bytes) -> bytes:
    """The MP4 up to the end of its last whole `mdat` box."""
    at = end = 0
    while at + 8 <= len(data):
        size, kind = int.from_bytes(data[at : at + 4]), data[at + 4 : at + 8]
        at += size
        if kind == b"mdat" and at <= len(data):
            end = at
    return data[:end]


def test_the_mp4_is_the_camera_without_sound(gateway: Gateway, tmp_path: Path) -> None:
    """S11, CONTRACT 5: `Content-Type` names the exact codecs, which the join has told already."""
    session = gateway.open()
    watch = gateway.join()
    data, kind = _read(gateway, watch["mp4"], SAMPLE_BYTES)
    assert kind == f'video/mp4; codecs="{watch["codecs"]}"'
    file = tmp_path / "watch.mp4"
    # An MP4 that was cut in the middle of a fragment is not at fault for that.
    file.write_bytes(_whole_fragments(data))
    _is_the_camera(file)
    _decodes(file)
    gateway.shut(session)


def test_the_playlist_and_its_segments_are_the_camera_without_sound(gateway: Gateway, tmp_path: Path) -> None:
    """S11, CONTRACT 5: every segment that the playlist names is there and decodes."""
    session = gateway.open()
    watch = gateway.join()
    gateway.wait_served(watch["hls"])
    folder = watch["hls"].rpartition("/")[0]
    playlist = gateway.get(watch["hls"])
    names = [line for line in playlist.splitlines() if line and not line.startswith("#")]
    assert names
    for name in names:
        _, kind = _read(gateway, f"{folder}/{name}", 1)
        assert kind == "video/mp2t"
    played = gateway.join(source=MAINTAINER_PLAYER)["hls"]
    _play(f"http://{gateway.address}:{gateway.port}{played}", tmp_path / "hls.ts")
    _is_the_camera(tmp_path / "hls.ts")
    gateway.shut(session)


def _play(url: str, copy: Path) -> None:
    """ffmpeg itself plays the playlist for two seconds and keeps what it got."""
    command = ["ffmpeg", "-v", "error", "-xerror", "-i", url, "-map", "0", "-t", "2", "-c", "copy", str(copy)]
    told = subprocess.run(command, capture_output=True, timeout=LIMIT_S)
    assert told.returncode == 0, told.stderr
    _decodes(copy)


def test_a_watch_is_worth_nothing_to_anybody_else(gateway: Gateway) -> None:
    """S9: another member, the same person's other device, a device of nobody."""
    flow = gateway.flow()
    watch = gateway.join()
    gateway.wait_served(watch["hls"])
    segment = watch["hls"].replace("index.m3u8", "0.ts")
    for source in (COLLEAGUE, VIEWER, MAINTAINER_PHONE, NOBODY):
        for path in (watch["mp4"], watch["hls"], segment):
            answer = gateway.ask("GET", path, source=source)
            expected = (403, "unknown-device") if source == NOBODY else (404, "unknown-watch")
            assert (answer.status, answer.code) == expected, (source, path)
        removed = gateway.ask("DELETE", f"/api/v1/watches/{watch['watch']}", source=source)
        assert removed.status in (403, 404)
    assert gateway.ask("GET", watch["hls"]).status == 200
    flow.viewer.wait_flow()
    gateway.shut(flow.session)
    for path in (watch["mp4"], watch["hls"], segment):
        assert gateway.ask("GET", path).status == 404


def test_a_viewer_is_in_the_log_before_the_first_byte(gateway: Gateway) -> None:
    """S9: durable when the join is answered, and older than anything the viewer's kernel took in."""
    session = gateway.open()
    watch = gateway.join(source=VIEWER)
    joined = [e for e in gateway.events(session) if e["data"].get("watch") == watch["watch"]]
    assert [event["name"] for event in joined] == ["viewer_joined"]
    viewer = gateway.view(watch["mp4"], source=VIEWER)
    viewer.wait_flow()
    assert at_us(joined[0]) < viewer.first_us
    gateway.shut(session)


def test_nothing_is_left_of_all_that(gateway: Gateway) -> None:
    """S10, S11, S12."""
    house_is_clean(gateway)
    log_is_whole(gateway)
