"""Both ffmpeg versions that must work, a folder in memory, and workers that never outlive their test."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import imageio_ffmpeg
import pytest

from orchestrator.core.worker import WorkerSpec
from orchestrator.edges.worker.segments import prepare, wipe

from .mjpeg_camera import jpeg_frames
from .running import Run, make_run

Launch = Callable[..., Run]


@pytest.fixture(scope="session")
def ffmpeg() -> str:
    """Whichever ffmpeg there is: the system's first."""
    return shutil.which("ffmpeg") or str(imageio_ffmpeg.get_ffmpeg_exe())


@pytest.fixture(params=["system", "static"])
def each_ffmpeg(request: pytest.FixtureRequest) -> str:
    if request.param == "static":
        return str(imageio_ffmpeg.get_ffmpeg_exe())
    found = shutil.which("ffmpeg")
    if found is None:
        pytest.skip("no ffmpeg on PATH")
    return found


@pytest.fixture(scope="session")
def jpegs(ffmpeg: str) -> tuple[bytes, ...]:
    return jpeg_frames(ffmpeg)


@pytest.fixture
def root() -> Iterator[Path]:
    """A folder for segments on tmpfs."""
    path = Path(tempfile.mkdtemp(prefix="volet-", dir="/dev/shm"))
    yield path
    shutil.rmtree(path)


@pytest.fixture
async def launch(root: Path, ffmpeg: str) -> AsyncIterator[Launch]:
    """Starts a worker; the test's end stops each and finds its folder wiped whole (S11)."""
    runs: list[tuple[Run, Path]] = []

    def start(spec: WorkerSpec, binary: str = "") -> Run:
        folder = prepare(root, spec.camera, spec.session, spec.run + len(runs))
        run = make_run(spec, binary or ffmpeg, folder)
        runs.append((run, folder))
        run.worker.start()
        return run

    yield start
    for run, folder in runs:
        await run.worker.stop()
        assert run.worker.pid is None
        assert wipe(folder)
