"""One camera's ordering lane on the real log and gate: sessions, workers, proofs and who is told what.

S2, S6, S10, S12, S15, S16, L1–L3.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from orchestrator.core.commands import Acknowledge, Join
from orchestrator.core.refusal import Refusal
from orchestrator.core.worker import FailureClass
from orchestrator.runtime import camera_actor, site, worker_keeper
from tests.core.scene import MAINTAINER
from tests.runtime.one_gateway import CLOSE, gateway
from tests.runtime.stoppable_store import Hang


@pytest.fixture(autouse=True)
def _by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """The lane alone: no sentinel comes to its help."""
    monkeypatch.setattr(camera_actor, "DRAIN_EVERY_S", 0.05)
    monkeypatch.setattr(worker_keeper, "PROVE_AGAIN_S", 0.05)
    monkeypatch.setattr(site, "SENTINEL_SHUT_S", 3_600)
    monkeypatch.setattr(site, "SENTINEL_OPEN_S", 3_600)


async def test_a_session_opens_by_proof_is_watched_and_ends_proven_gone(tmp_path: Path) -> None:
    """S2, L2."""
    async with gateway(tmp_path) as way:
        worker = await way.checked()
        assert str(way.state.place) == "safety_checked"
        assert not way.gate_is_open
        worker.frame()
        await way.until(lambda: way.gate_is_open)
        await way.join("w-1")
        assert way.actor.close(CLOSE) is not None
        assert not way.gate_is_open
        await way.at("disabled.ready")
        assert way.events() == [
            "request",
            "checks_passed",
            "worker_started",
            "first_frame",
            "viewer_joined",
            "close",
            "viewer_left",
            "worker_exited",
            "closed",
        ]
        closed = way.data("closed")
        assert closed["segments_wiped"] is True
        assert closed["worker_exit"] == "signal 15"
        assert way.workshop.alive == []
        await way.opened()
        await way.agrees()


async def test_of_two_requests_at_once_one_wins_and_the_other_is_told(tmp_path: Path) -> None:
    """S15."""
    async with gateway(tmp_path) as way:
        way.lane_says(vehicle=True)
        both = [way.actor.ask(way.wish()), way.actor.ask(way.wish())]
        outcomes = await asyncio.gather(*both, return_exceptions=True)
        refused = [outcome for outcome in outcomes if isinstance(outcome, Refusal)]
        assert [refusal.code for refusal in refused] == ["not-permitted"]
        assert way.events() == ["request"]


async def test_a_worker_that_dies_is_written_down_and_replaced_while_the_gate_stays_open(
    tmp_path: Path,
) -> None:
    async with gateway(tmp_path) as way:
        (await way.opened()).dies(FailureClass.KILLED)
        await way.at("streaming.reconnecting")
        assert way.gate_is_open
        way.passes(0.5)
        await way.until(lambda: bool(way.state.session and way.state.session.running))
        way.workshop.workers[-1].frame()
        await way.at("streaming.live")
        assert [worker.run for worker in way.workshop.workers] == [1, 2]
        assert way.events()[-4:] == ["worker_exited", "frames_lost", "worker_started", "frames_back"]
        await way.agrees()


async def test_a_worker_that_cannot_be_made_is_a_failure_like_any_other_and_no_run_is_started_twice(
    tmp_path: Path,
) -> None:
    async with gateway(tmp_path) as way:
        (await way.opened()).dies(FailureClass.KILLED)
        await way.at("streaming.reconnecting")
        way.workshop.refuses = OSError("no such file: ffmpeg")
        way.passes(0.5)
        await way.until(lambda: way.events().count("worker_exited") == 2)
        way.workshop.refuses = None
        way.passes(1)
        await way.until(lambda: len(way.workshop.workers) == 2)
        assert way.workshop.workers[-1].run == 3
        await way.agrees()


async def test_no_run_is_started_twice_when_its_first_word_waits_behind_a_slow_append(tmp_path: Path) -> None:
    """A folder of its own for every run, one worker a camera (S10)."""
    async with gateway(tmp_path) as way:
        (await way.opened()).dies(FailureClass.REFUSED)
        await way.at("streaming.reconnecting")
        hang = Hang()
        way.log.hang = hang
        joining = asyncio.create_task(way.actor.ask(Join("w-1", "m-1", "d-laptop", {})))
        way.passes(0.5)
        await hang.begun()
        assert [worker.run for worker in way.workshop.workers] == [1, 2]
        way.workshop.workers[1].dies(FailureClass.REFUSED)
        hang.go_on.set()
        await joining
        await way.until(lambda: way.events().count("worker_exited") == 2)
        assert [worker.run for worker in way.workshop.workers] == [1, 2]
        way.passes(1)
        await way.until(lambda: len(way.workshop.workers) == 3)
        assert way.workshop.workers[2].run == 3
        await way.agrees()


async def test_reports_are_taken_however_many_people_ask_at_once(tmp_path: Path) -> None:
    """K3: people are told to slow down, a worker's end never is."""
    async with gateway(tmp_path) as way:
        worker = await way.opened()
        hang = Hang()
        way.log.hang = hang
        first = asyncio.create_task(way.actor.ask(Join("w-0", "m-1", "d-laptop", {})))
        await hang.begun()
        crowd = [
            asyncio.create_task(way.actor.ask(Join(f"w-{number}", "m-1", "d-laptop", {})))
            for number in range(1, 400)
        ]
        await asyncio.sleep(0)
        worker.dies(FailureClass.KILLED)
        hang.go_on.set()
        await first
        outcomes = await asyncio.gather(*crowd, return_exceptions=True)
        codes = [outcome.code for outcome in outcomes if isinstance(outcome, Refusal)]
        assert set(codes) == {"slow-down", "too-many-viewers"}
        await way.at("streaming.reconnecting")
        assert way.events().count("worker_exited") == 1


@pytest.mark.slow
async def test_a_worker_that_cannot_be_killed_locks_after_two_seconds_until_it_is_proven_and_acknowledged(
    tmp_path: Path,
) -> None:
    """S16, L2, L3."""
    async with gateway(tmp_path) as way:
        way.workshop.obedient = False
        worker = await way.opened()
        way.actor.close(CLOSE)
        await way.at("disabled.closing")
        await way.until(lambda: way.state.locks == {"closing-unproven"})
        await way.settled()
        assert way.data("fault")["fault"] == "closing-unproven"
        assert str(way.state.place) == "disabled.closing"
        with pytest.raises(Refusal) as refused:
            await way.actor.ask(way.wish())
        assert refused.value.code == "closing"
        worker.dies(None)
        await way.at("disabled.locked")
        with pytest.raises(Refusal) as refused:
            await way.actor.ask(way.wish())
        assert refused.value.code == "locked"
        await way.actor.ask(Acknowledge("m-2", frozenset(), {"reason": "looked at it"}))
        assert str(way.state.place) == "disabled.ready"
        way.workshop.obedient = True
        await way.opened()
        await way.agrees()


async def test_a_closing_whose_segments_cannot_be_wiped_is_not_proven(tmp_path: Path) -> None:
    """S11, L2: the worker's end alone is no proof."""
    async with gateway(tmp_path) as way:
        way.workshop.wipes = False
        await way.opened()
        way.actor.close(CLOSE)
        await way.until(lambda: way.state.locks == {"closing-unproven"})
        await way.settled()
        assert way.data("fault")["segments_wiped"] is False
        assert str(way.state.place) == "disabled.closing"
        way.workshop.wipes = True
        await way.at("disabled.locked")
        assert way.data("closed")["segments_wiped"] is True
        await way.agrees()


async def test_a_locking_fault_while_shut_is_written_and_refuses_until_acknowledged(tmp_path: Path) -> None:
    async with gateway(tmp_path) as way:
        way.goes_bad("listener", "listener-exposed")
        way.actor.look()
        await way.at("disabled.locked")
        way.actor.look()
        way.all_is_well()
        await way.actor.ask(Acknowledge("m-2", frozenset(), {"reason": "gone"}))
        assert way.events() == ["fault", "acknowledge"]
        await way.opened()
        await way.agrees()


async def test_closing_a_shut_camera_is_nothing_and_an_unanswered_request_can_be_closed(
    tmp_path: Path,
) -> None:
    async with gateway(tmp_path) as way:
        assert way.actor.close(CLOSE) is None
        way.lane_says(vehicle=True)
        await way.actor.ask(way.wish())
        assert way.actor.close(CLOSE) is not None
        await way.at("disabled.ready")
        assert way.events() == ["request", "close"]
        assert way.actor.close(CLOSE) is None
        await way.agrees()


async def test_time_ends_a_session_by_the_lanes_own_wake_up(tmp_path: Path) -> None:
    """S6."""
    async with gateway(tmp_path) as way:
        await way.opened(duration_s=100)
        await way.join("w-1")
        way.passes(75)
        await way.at("expiring.live")
        way.passes(24.9)
        way.clock.wait(0.1)
        await way.at("disabled.ready")
        ended = way.data("expire")
        assert ended["limit"] == "asked"
        assert ended["by"] in ("timer", "look")
        await way.agrees()


async def test_a_refused_request_changes_nothing_and_blocks_nothing(tmp_path: Path) -> None:
    async with gateway(tmp_path) as way:
        way.board.members = {}
        await way.actor.ask(way.wish(wait_s=0))
        await way.at("disabled.ready")
        assert way.events() == ["request", "checks_failed"]
        assert way.actor.close(CLOSE) is None
        way.board.members = {MAINTAINER.id: MAINTAINER}
        await way.opened()
        await way.agrees()
