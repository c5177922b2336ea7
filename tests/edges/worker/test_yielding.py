"""The worker yields to the parking: it reads and writes only when nobody else does (K2)."""

from __future__ import annotations

import os
import subprocess

import pytest

from .conftest import Launch
from .running import spec

pytestmark = pytest.mark.slow


async def test_a_workers_input_and_output_is_of_the_idle_class_and_it_is_nice(launch: Launch) -> None:
    run = launch(spec())
    await run.until(lambda run: run.has_frame)
    pid = run.started.pid
    if not run.started.confinement["idle_io"]:
        pytest.skip("the kernel has no priorities of input and output")
    told = subprocess.run(["ionice", "-p", str(pid)], capture_output=True, text=True, check=True)
    assert told.stdout.strip() == "idle"
    assert os.getpriority(os.PRIO_PROCESS, pid) == 19
