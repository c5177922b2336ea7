"""A lane that is ended while it asks the log where it stands does end: a camera can be taken away, and the
service can stop, whatever the log does."""

import asyncio
import os
from pathlib import Path
from typing import cast

import pytest

from orchestrator.runtime.blackbox import BlackBox
from orchestrator.runtime.ledger import Ledger, SiteState, Store
from tests.core.scene import CHART


class _Log:
    """Says where it stands when it is told to."""

    last = None

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.answer: asyncio.Future[SiteState] = asyncio.get_running_loop().create_future()

    async def state(self) -> SiteState:
        self.asked.set()
        return await self.answer


async def test_a_lane_cancelled_at_the_moment_the_log_answers_is_cancelled(tmp_path: Path) -> None:
    """Both wake it in the same turn of the loop."""
    log, box = _Log(), BlackBox.open(tmp_path / "blackbox")
    ledger = Ledger(
        cast(Store, log),
        box,
        CHART,
        lambda: "sha256:config",
        os.urandom,
        lambda: 3.0,
        lambda code, detail: None,
    )
    lane = asyncio.create_task(ledger.drain("cam1"))
    await log.asked.wait()
    log.answer.set_result(SiteState())
    lane.cancel()
    with pytest.raises(asyncio.CancelledError):
        await lane
    box.close()
