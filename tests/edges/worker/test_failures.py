"""Every way a camera fails has its class, and none leaves a worker behind (F9, F10, F28)."""

from __future__ import annotations

import os
import socket
import subprocess
from pathlib import Path

import pytest

from orchestrator.core.worker import WorkerExited
from orchestrator.edges.worker import spawn
from orchestrator.edges.worker.segments import wipe_all

from .conftest import Launch
from .mjpeg_camera import MjpegCamera
from .rtsp_camera import RtspCamera
from .running import Run, make_run, scripted, spec

pytestmark = pytest.mark.slow

SOON_STALLED = {"stall_s": 1.0}
"""For a camera that ceases to send: until its first picture it has all the time of `SPEC`."""
PATIENCE = {"silent": {"first_frame_s": 2.0}, "hang": SOON_STALLED}


async def ended(run: Run) -> WorkerExited:
    exited = await run.worker.wait()
    assert run.exits == [exited]
    assert run.reports[-1] is exited
    assert not exited.asked
    assert run.worker.pid is None
    return exited


async def test_a_camera_that_refuses_the_connection_is_refused_f9(launch: Launch, each_ffmpeg: str) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/a"
        exited = await ended(launch(spec(source=url), each_ffmpeg))
    assert exited.failure == "refused"
    assert "Connection refused" in exited.last_line
    assert "127.0.0.1" not in exited.last_line


async def test_a_camera_whose_name_nobody_knows_is_unreachable_f9(launch: Launch, each_ffmpeg: str) -> None:
    exited = await ended(launch(spec(source="http://camera.invalid/a", first_frame_s=30.0), each_ffmpeg))
    assert exited.failure == "unreachable"


async def test_a_device_that_is_not_there_is_not_found_f9(launch: Launch, each_ffmpeg: str) -> None:
    exited = await ended(launch(spec(source="/dev/video99"), each_ffmpeg))
    # The static build knows no video devices.
    assert exited.failure == "not-found" or "v4l2" in exited.last_line


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        ("not-found", "not-found"),
        ("html", "not-a-picture"),
        ("playlist", "not-a-picture"),
        ("silent", "stalled"),
        ("hang", "stalled"),
        ("close", "ended"),
    ],
)
async def test_each_fault_of_a_camera_has_its_class_f9(
    fault: str, expected: str, launch: Launch, each_ffmpeg: str, jpegs: tuple[bytes, ...]
) -> None:
    with MjpegCamera(jpegs, fault=fault) as camera:
        run = launch(spec(source=camera.url, **PATIENCE.get(fault, {})), each_ffmpeg)
        exited = await ended(run)
    assert exited.failure == expected
    assert run.has_frame == (exited.frames > 0) == (fault in ("hang", "close"))


@pytest.mark.parametrize("kind", ["http", "rtsp"])
@pytest.mark.parametrize("secret", [None, "operator:wrong"])
async def test_a_missing_or_wrong_password_is_unauthorised_and_is_not_repeated_in_the_report_f9(
    kind: str, secret: str | None, launch: Launch, each_ffmpeg: str, jpegs: tuple[bytes, ...], ffmpeg: str
) -> None:
    password = "operator:right"
    with MjpegCamera(jpegs, password=password) if kind == "http" else RtspCamera(ffmpeg, password) as camera:
        exited = await ended(launch(spec(source=camera.url, source_secret=secret), each_ffmpeg))
    assert exited.failure == "unauthorised"
    assert "wrong" not in exited.last_line


async def test_garbage_from_the_start_is_not_a_picture_f9(
    launch: Launch, each_ffmpeg: str, jpegs: tuple[bytes, ...]
) -> None:
    with MjpegCamera(jpegs, fault="garbage", good_frames=0) as camera:
        exited = await ended(launch(spec(source=camera.url, first_frame_s=10.0), each_ffmpeg))
    assert exited.failure == "not-a-picture"
    assert exited.frames == 0


async def test_garbage_after_good_frames_is_a_stall_although_bytes_arrive_f9(
    launch: Launch, each_ffmpeg: str, jpegs: tuple[bytes, ...]
) -> None:
    with MjpegCamera(jpegs, fault="garbage") as camera:
        exited = await ended(launch(spec(source=camera.url, **SOON_STALLED), each_ffmpeg))
    assert exited.failure == "stalled"
    assert exited.frames > 0


@pytest.mark.parametrize(
    "target", ["file:///etc/hostname", "https://127.0.0.1:1/", "rtsp://127.0.0.1:1/", "/elsewhere"]
)
@pytest.mark.parametrize("secret", [None, "operator:right"])
async def test_a_redirect_is_not_followed_f28(
    target: str, secret: str | None, launch: Launch, each_ffmpeg: str, jpegs: tuple[bytes, ...]
) -> None:
    with MjpegCamera(jpegs, fault="redirect", redirect_to=target) as camera:
        run = launch(spec(source=camera.url, source_secret=secret), each_ffmpeg)
        exited = await ended(run)
        assert camera.served == 0
    assert exited.failure is not None
    assert not run.fragments
    assert not run.segments


async def test_an_exit_that_nobody_asked_for_is_a_failure_even_with_status_zero_f10(
    launch: Launch, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The kernel's timer is meant for a worker that does not end by itself, and not for a slow start.
    monkeypatch.setattr(spawn, "LIFE_MARGIN_S", 30.0)
    exited = await ended(launch(spec(longest_end_s=0.5)))
    assert (exited.failure, exited.exit_code) == ("ended", 0)


async def test_what_is_no_fragmented_mp4_ends_the_worker_f10(launch: Launch, tmp_path: Path) -> None:
    script = scripted(tmp_path, "frame(1)\nos.write(1, b'\\xff' * 64)\ntime.sleep(60)")
    exited = await ended(launch(spec(), script))
    assert exited.failure == "unknown"
    assert "MP4 box" in exited.last_line


async def test_a_segment_folder_that_is_removed_ends_the_worker_f15(
    launch: Launch, each_ffmpeg: str, root: Path
) -> None:
    run = launch(spec(), each_ffmpeg)
    await run.until(lambda run: len(run.segments) >= 1)
    # ffmpeg may make its next segment while the folder is being removed.
    assert any(wipe_all(root) for _ in range(1000))
    exited = await ended(run)
    assert exited.failure == "unknown"
    assert "segment" in exited.last_line


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to mount a small tmpfs")
async def test_a_segment_folder_that_is_full_ends_the_worker_f15(
    launch: Launch, each_ffmpeg: str, root: Path
) -> None:
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=100k", "tmpfs", str(root)], check=True)
    try:
        run = launch(spec(bitrate="2M", source="lavfi:testsrc2=size=640x360:rate=12"), each_ffmpeg)
        exited = await ended(run)
    finally:
        subprocess.run(["umount", "--lazy", str(root)], check=True)
    assert exited.failure == "unknown"
    assert "full" in exited.last_line or "No space left" in exited.last_line


async def test_starts_and_ends_of_every_kind_leave_no_descriptor_open_k3(
    launch: Launch, tmp_path: Path, root: Path
) -> None:
    def opened() -> int:
        return len(os.listdir("/proc/self/fd"))

    await launch(spec()).worker.stop()
    before = opened()
    for _ in range(2):
        await launch(spec(source_secret="operator:x", source="http://127.0.0.1:1/a")).worker.wait()
        await launch(spec(), scripted(tmp_path, "frame(1)")).worker.wait()
        await launch(spec()).worker.stop()
    for wrong, changes in (("/nowhere/ffmpeg", {}), ("ffmpeg", {"source": "file:///etc/hostname"})):
        failed = make_run(spec(**changes), wrong, root)
        with pytest.raises((OSError, ValueError), match=r"nowhere|source"):
            failed.worker.start()
    assert opened() == before
