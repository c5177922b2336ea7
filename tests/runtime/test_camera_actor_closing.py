"""Closing is at once and opening waits for the log: threads, locks and hanging appends.

S1, S2, S4, S13, S21, S22, L3, L4; F11, F22.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from orchestrator.core.commands import Extend, Join
from orchestrator.core.refusal import Refusal
from orchestrator.core.worker import FailureClass
from orchestrator.runtime import camera_actor, site, worker_keeper
from orchestrator.runtime.gate import Gate, Purged
from tests.runtime.one_gateway import CLOSE, gateway
from tests.runtime.stoppable_store import LIMIT_S, Hang, locked


@pytest.fixture(autouse=True)
def _by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """The lane alone: no sentinel comes to its help."""
    monkeypatch.setattr(camera_actor, "DRAIN_EVERY_S", 0.05)
    monkeypatch.setattr(worker_keeper, "PROVE_AGAIN_S", 0.05)
    monkeypatch.setattr(site, "SENTINEL_SHUT_S", 3_600)
    monkeypatch.setattr(site, "SENTINEL_OPEN_S", 3_600)


def _in_a_thread(work: Callable[[], object]) -> None:
    """Run it in a thread of its own, to its end, while this thread stands still."""
    thread = threading.Thread(target=work, name="somebody")
    thread.start()
    thread.join(LIMIT_S)
    assert not thread.is_alive()


async def test_each_opening_step_is_durable_before_its_effect_begins(tmp_path: Path) -> None:
    """S2: the worker after `checks_passed`, the picture after `first_frame`."""
    async with gateway(tmp_path) as way:
        way.lane_says(vehicle=True)
        await way.actor.ask(way.wish())
        before_checks, before_picture = Hang(), Hang()
        way.log.hang = before_checks
        way.lane_says()
        way.actor.look()
        await before_checks.begun()
        assert way.workshop.workers == []
        before_checks.go_on.set()
        await way.until(lambda: bool(way.state.session and way.state.session.running))
        way.log.hang = before_picture
        way.workshop.workers[0].frame()
        await before_picture.begun()
        assert not way.gate_is_open
        before_picture.go_on.set()
        await way.until(lambda: way.gate_is_open)
        await way.agrees()


async def test_closing_from_another_thread_shuts_while_the_loop_stands_still(tmp_path: Path) -> None:
    """S13: gate shut and worker told to die before the loop turns."""
    async with gateway(tmp_path) as way:
        worker = await way.opened()
        seen: list[tuple[bool, bool]] = []

        def block() -> None:
            _in_a_thread(lambda: way.actor.close(CLOSE))
            seen.append((way.gate_is_open, worker.told.is_set()))

        asyncio.get_running_loop().call_soon(block)
        await way.at("disabled.ready")
        assert seen == [(False, True)]
        assert worker.told_by[0] == "somebody"
        await way.agrees()


async def test_closed_counts_the_viewers_whom_a_thread_cut_that_another_overtook(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """CONTRACT 7 `viewers_cut`: the one met them at the gate, the other took the session."""
    shut = Gate.shut
    async with gateway(tmp_path) as way:
        await way.opened()

        def overtaken(gate: Gate) -> Purged:
            monkeypatch.setattr(Gate, "shut", shut)
            shut(gate)
            assert way.actor.close(CLOSE) is not None
            return Purged(("w-1",), 7)

        monkeypatch.setattr(Gate, "shut", overtaken)
        assert way.actor.close(CLOSE) is None
        await way.at("disabled.ready")
        closed = way.data("closed")
        assert (closed["viewers_cut"], closed["unsent_bytes_discarded"]) == (1, 7)
        await way.agrees()


async def test_a_hold_rule_that_fails_shuts_in_the_thread_that_sees_it(tmp_path: Path) -> None:
    """S4."""
    async with gateway(tmp_path) as way:
        await way.opened()
        way.lane_says(error=True)
        seen: list[bool] = []

        def block() -> None:
            _in_a_thread(way.actor.look)
            seen.append(way.gate_is_open)

        asyncio.get_running_loop().call_soon(block)
        await way.at("disabled.ready")
        assert seen == [False]
        assert way.data("fault")["fault"] == "lane-unsafe"


async def test_a_closing_that_the_log_cannot_take_is_kept_in_order_and_written_when_it_can(
    tmp_path: Path,
) -> None:
    """S13, L3, L4, F11."""
    async with gateway(tmp_path) as way:
        await way.opened()
        await way.join("w-1")
        with locked(way.path):
            way.actor.close(CLOSE)
            assert not way.gate_is_open
            assert way.actor.closing_pending
            await way.until(lambda: len(way.box.entries().lines) == 4)
            kept = [entry.sealed.event.name for entry in way.box.entries().lines]
            assert kept == ["close", "viewer_left", "worker_exited", "closed"]
            assert way.actor.closing_pending
            assert way.workshop.alive == []
            with pytest.raises(Refusal, match="nothing opens") as refused:
                await way.actor.ask(way.wish())
            assert refused.value.code == "log-unwritable"
            assert not way.gate_is_open
        await way.until(lambda: not way.actor.closing_pending)
        assert way.events()[-4:] == kept
        assert way.box.entries().lines == ()
        await way.opened()
        await way.agrees()


async def test_the_answer_to_close_tells_whether_the_log_has_it(tmp_path: Path) -> None:
    """CONTRACT 5 `pending`."""
    async with gateway(tmp_path) as way:
        await way.opened()
        with locked(way.path):
            way.actor.close(CLOSE)
            assert not await way.actor.written(0.05)
        assert await way.actor.written(LIMIT_S)
        assert "close" in way.events()


@pytest.mark.parametrize("step", ["request", "checks_passed", "first_frame"])
async def test_an_opening_that_hangs_and_lands_late_is_shut_at_once_and_compensated(
    tmp_path: Path, step: str
) -> None:
    """S21, F22: nothing opens meanwhile, a compensating event follows, and then the next request succeeds."""
    async with gateway(tmp_path) as way:
        hang = Hang()
        way.log.lands_anyway = True
        way.lane_says(vehicle=True)
        asking = None
        if step == "request":
            way.log.hang = hang
            asking = asyncio.create_task(way.actor.ask(way.wish()))
        else:
            await way.actor.ask(way.wish())
            await way.until(lambda: not way.actor._look_due)
            if step == "checks_passed":
                way.log.hang = hang
            way.lane_says()
            way.actor.look()
            if step == "first_frame":
                await way.until(lambda: bool(way.state.session and way.state.session.running))
                way.log.hang = hang
                way.workshop.workers[0].frame()
        await hang.begun()
        if asking is not None:
            with pytest.raises(Refusal) as refused:
                await asking
            assert refused.value.code == "log-unwritable"
        await way.until(lambda: way.actor.closing_pending and not way.actor.shutter.exposed)
        assert not way.gate_is_open
        assert "log-unwritable" in way.troubles
        way.patience_s = 0.05
        with pytest.raises(Refusal) as refused:
            await way.actor.ask(way.wish())
        assert refused.value.code == "log-unwritable"
        way.patience_s = 3.0
        hang.go_on.set()
        last = "fault" if step == "request" else "closed"
        await way.until(lambda: way.events()[-1:] == [last] and not way.actor.closing_pending)
        await way.at("disabled.ready")
        assert step in way.events()
        assert "fault" in way.events()[way.events().index(step) :]
        assert way.data("fault")["fault"] == "log-unwritable"
        assert not way.gate_is_open
        assert way.workshop.alive == []
        way.log.lands_anyway = False
        way.lane_says()
        await way.opened()
        await way.agrees()


@pytest.mark.parametrize("step", ["request", "checks_passed", "first_frame", "extend", "join"])
async def test_a_closing_between_request_and_first_byte_wins_wherever_the_opening_waits(
    tmp_path: Path, step: str
) -> None:
    """S22: the fenced append leaves no trace."""
    async with gateway(tmp_path) as way:
        hang = Hang()
        asking: asyncio.Task[object] | None = None
        if step == "request":
            way.log.hang = hang
            asking = asyncio.create_task(way.actor.ask(way.wish()))
        elif step == "checks_passed":
            way.lane_says(vehicle=True)
            await way.actor.ask(way.wish())
            await way.until(lambda: "lane_changed" in dict(way.written()))
            way.log.hang = hang
            way.lane_says()
            way.clock.wait(0.5)
            way.actor.look()
        elif step == "first_frame":
            worker = await way.checked()
            way.log.hang = hang
            worker.frame()
        else:
            await way.opened(duration_s=100)
            way.log.hang = hang
            command = Extend("m-1", 60, {}) if step == "extend" else Join("w-1", "m-1", "d-laptop", {})
            asking = asyncio.create_task(way.actor.ask(command))
        await hang.begun()
        before = way.events()
        way.actor.close(CLOSE)
        assert not way.gate_is_open
        hang.go_on.set()
        if asking is not None:
            with pytest.raises(Refusal) as refused:
                await asking
            assert refused.value.code == "closed-meanwhile"
        await way.until(lambda: not way.actor.closing_pending)
        await way.at("disabled.ready")
        wanted = {"request": [], "checks_passed": ["close"]}
        assert way.events() == [*before, *wanted.get(step, ["close", "worker_exited", "closed"])]
        assert not way.gate_is_open
        way.lane_says()
        await way.opened()
        await way.agrees()


async def test_a_closing_between_the_durable_first_frame_and_the_gate_wins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """S22: between append and reconcile."""
    opens: list[bool] = []

    def watched(gate: Gate, generation: int) -> bool:
        opens.append(opening(gate, generation))
        return opens[-1]

    opening = Gate.open
    monkeypatch.setattr(Gate, "open", watched)
    async with gateway(tmp_path) as way:
        worker = await way.checked()
        opened: list[bool] = []
        gate, changed = way.actor.shutter.gate, way.actor._changed

        def close_now(state: object) -> None:
            if way.state.is_open and not opened:
                _in_a_thread(lambda: way.actor.close(CLOSE))
                opened.append(gate.is_open)
            changed(way.state)

        way.actor._changed = close_now
        worker.frame()
        await way.at("disabled.ready")
        assert opened == [False]
        assert True not in opens
        assert way.events()[-4:] == ["first_frame", "close", "worker_exited", "closed"]
        assert not gate.is_open


async def test_the_exit_of_a_worker_is_never_lost_nor_written_twice_when_its_append_hangs(
    tmp_path: Path,
) -> None:
    """S21: what was said to have failed lands after all."""
    async with gateway(tmp_path) as way:
        worker = await way.opened()
        hang = Hang()
        way.log.hang, way.log.lands_anyway = hang, True
        worker.dies(FailureClass.KILLED)
        await hang.begun()
        await way.until(lambda: not way.gate_is_open)
        hang.go_on.set()
        await way.at("disabled.ready")
        await way.until(lambda: not way.actor.closing_pending)
        events = way.events()
        assert events.count("worker_exited") == 1
        assert events[-4:] == ["worker_exited", "frames_lost", "fault", "closed"]
        await way.agrees()


async def test_the_answer_to_a_closing_of_a_request_that_never_landed_is_not_pending(tmp_path: Path) -> None:
    async with gateway(tmp_path) as way:
        hang = Hang()
        way.log.hang = hang
        asking = asyncio.create_task(way.actor.ask(way.wish()))
        await hang.begun()
        way.actor.close(CLOSE)
        hang.go_on.set()
        assert await way.actor.written(LIMIT_S)
        assert way.actor.closing_records == []
        with pytest.raises(Refusal):
            await asking


async def test_while_the_log_hangs_a_request_waits_no_longer_than_its_patience(tmp_path: Path) -> None:
    """L1."""
    async with gateway(tmp_path) as way:
        hang = Hang()
        way.log.hang, way.log.lands_anyway = hang, True
        with pytest.raises(Refusal) as refused:
            await way.actor.ask(way.wish())
        assert refused.value.code == "log-unwritable"
        hang.go_on.set()
        await way.until(lambda: not way.actor.closing_pending)
        await way.opened()
        await way.agrees()


async def test_a_request_that_waited_in_the_queue_when_somebody_closed_does_not_open(tmp_path: Path) -> None:
    """S22: it was asked for under an older generation."""
    async with gateway(tmp_path) as way:
        asked = asyncio.ensure_future(way.actor.ask(way.wish()))
        # One turn of the loop puts it into the queue; the lane has not taken it yet.
        asyncio.get_running_loop().call_soon(way.actor.close, CLOSE)
        outcome = (await asyncio.gather(asked, return_exceptions=True))[0]
        assert isinstance(outcome, Refusal)
        assert outcome.code == "closed-meanwhile"
        assert "request" not in way.events()
