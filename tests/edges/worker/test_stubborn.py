"""A worker that ignores SIGTERM and would end by itself a little later is not waited for (S10, L2)."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from .conftest import Launch
from .running import scripted, spec

pytestmark = pytest.mark.slow

STUBBORN = """
signal.signal(signal.SIGTERM, signal.SIG_IGN)
frame(1)
time.sleep(5)
"""


async def test_it_is_killed_before_its_own_end(launch: Launch, tmp_path: Path) -> None:
    run = launch(spec(), scripted(tmp_path, STUBBORN))
    await run.until(lambda run: run.has_frame)
    assert (await run.worker.stop()).signal == signal.SIGKILL
