"""A gateway that stands still for a moment takes no camera for hung that stood still with it (F9, K1)."""

import os
import signal
import time

import pytest

from .conftest import Launch
from .running import Run, spec

pytestmark = pytest.mark.slow

STALL_S = 2.0


async def stood_still(launch: Launch, ffmpeg: str) -> Run:
    """A worker that was stopped in mid-picture, while the loop stood still for longer than its patience."""
    run = launch(spec(stall_s=STALL_S), ffmpeg)
    await run.until(lambda run: run.has_frame)
    os.killpg(run.started.pid, signal.SIGSTOP)
    time.sleep(STALL_S + 1.0)
    return run


async def test_a_worker_that_stood_still_with_the_whole_gateway_goes_on(
    launch: Launch, each_ffmpeg: str
) -> None:
    run = await stood_still(launch, each_ffmpeg)
    os.killpg(run.started.pid, signal.SIGCONT)
    before = len(run.fragments)
    await run.until(lambda run: len(run.fragments) > before + 24)
    await run.worker.stop()


async def test_a_worker_that_stands_still_alone_is_stalled_though_the_gateway_stood_still_before(
    launch: Launch, each_ffmpeg: str
) -> None:
    """A look that is in time finds it."""
    run = await stood_still(launch, each_ffmpeg)
    assert not run.exits
    exited = await run.worker.wait()
    assert (exited.failure, exited.asked) == ("stalled", False)
