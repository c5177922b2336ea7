"""What the log's check says while the log is checked behind a start, and the moment that has ended."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from orchestrator.app.log_facts import LogFacts
from orchestrator.edges.clock import now
from orchestrator.runtime.board import Board
from tests.core.scene import POLICY
from tests.runtime.test_snapshot import EVERY, make, sessions, written
from tests.runtime.test_snapshot import often as often

LIMIT_S = 30


async def test_nothing_may_open_before_all_is_checked_and_no_fault_is_told_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("orchestrator.runtime.event_store.checking.AGAIN_S", 0.01)
    await written(tmp_path / "events.db", sessions(EVERY))
    log = make(tmp_path / "events.db", check="orchestrator.no_such_module")
    # What ends the waiting is the end of the check, not the next probe.
    monkeypatch.setattr("orchestrator.app.log_facts.PROBE_EVERY_S", 3600.0)
    board = Board(replace(POLICY, log_patience_us=3 * 3_600_000_000))
    await log.open()
    facts = LogFacts(board, log, now=now)
    await facts.probe()
    assert (board.log.good, board.log.fault_at(now().boottime_us)) == (False, "")
    assert "0 of 10 events are checked so far" in board.log.detail
    assert board.last_event_wall_us > 0
    passed = asyncio.Event()
    put = facts._put

    def noted(good: bool, fault: str, detail: str) -> None:
        put(good, fault, detail)
        if good:
            passed.set()

    monkeypatch.setattr(facts, "_put", noted)
    probing = asyncio.create_task(facts.keep_probing())
    assert log._check is not None
    log._check._asked = ("orchestrator.runtime.site_fold", *log._check._asked[1:])
    try:
        await asyncio.wait_for(passed.wait(), LIMIT_S)
        assert board.log.good
    finally:
        probing.cancel()
        await asyncio.wait({probing})
        await log.close()
