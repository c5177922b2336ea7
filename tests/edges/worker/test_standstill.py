"""A gateway that stands still for a moment takes no camera for hung that stood still with it (F9, K1)."""

import os
import signal
import time

import pytest

from .conftest import Launch
from .running import spec

pytestmark = pytest.mark.slow

STALL_S = 2.0


async def test_a_worker_that_stood_still_with_the_whole_gateway_goes_on(
    launch: Launch, each_ffmpeg: str
) -> None:
    run = launch(spec(stall_s=STALL_S), each_ffmpeg)
    await run.until(lambda run: run.has_frame)
    os.killpg(run.started.pid, signal.SIGSTOP)
    time.sleep(STALL_S + 1.0)
    os.killpg(run.started.pid, signal.SIGCONT)
    before = len(run.fragments)
    await run.until(lambda run: len(run.fragments) > before + 24)
    await run.worker.stop()


async def test_a_worker_that_stands_still_alone_is_stalled_though_the_gateway_stood_still_before(
    launch: Launch, each_ffmpeg: str
) -> None:
    """It is waited for once more, and not for ever."""
    run = launch(spec(stall_s=STALL_S), each_ffmpeg)
    await run.until(lambda run: run.has_frame)
    os.killpg(run.started.pid, signal.SIGSTOP)
    time.sleep(STALL_S + 1.0)
    assert not run.exits
    exited = await run.worker.wait()
    assert (exited.failure, exited.asked) == ("stalled", False)
