"""A worker whose daemon was killed is gone, even one that never writes into a broken pipe (S10)."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.edges.worker.segments import prepare, wipe_all

from .running import ends_within, scripted

pytestmark = pytest.mark.slow

REPOSITORY = Path(__file__).parents[3]
SILENT = """
frame(1)
while True:
    time.sleep(3600)
"""
DAEMON = """
import asyncio, sys
from pathlib import Path
from tests.edges.worker.running import make_run, spec
async def main(program, folder):
    run = make_run(spec(stall_s=3600.0), program, Path(folder))
    run.worker.start()
    await run.until(lambda run: run.has_frame)
    print(run.worker.pid, flush=True)
    await run.worker.wait()
asyncio.run(main(*sys.argv[1:]))
"""
LIMIT_S = 10.0
"""The kernel needs a millisecond; a worker that is not tied to the daemon lives for its whole session."""


@pytest.fixture
def daemon(root: Path, tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """A process that runs a silent worker, and a pidfd of that worker."""
    folder = prepare(root, "cam1", "s1", 1)
    process = subprocess.Popen(
        [sys.executable, "-c", DAEMON, scripted(tmp_path, SILENT), str(folder)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=REPOSITORY,
    )
    assert process.stdout is not None
    worker = os.pidfd_open(int(process.stdout.readline()))
    yield process, worker
    process.kill()
    process.wait()
    process.stdout.close()
    if not ends_within(worker, 0):
        # It was not tied to its daemon, and nobody else would end it for an hour.
        signal.pidfd_send_signal(worker, signal.SIGKILL)
    os.close(worker)
    assert wipe_all(root)


def test_a_silent_worker_dies_with_a_daemon_that_was_killed(
    daemon: tuple[subprocess.Popen[str], int],
) -> None:
    process, worker = daemon
    process.kill()
    assert ends_within(worker, LIMIT_S)
