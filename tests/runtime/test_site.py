"""The site around its cameras: a sentinel behind the loop, one camera beside another, a bounded stop.

S4, S13, S14, K3, F16, F20; CONTRACT 4 "SIGTERM" and 5.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from orchestrator.core.commands import SERVICE, Join, Why
from orchestrator.core.events import observation
from orchestrator.core.refusal import Refusal
from orchestrator.core.worker import FailureClass
from orchestrator.runtime import ledger, site
from tests.runtime.one_gateway import CLOSE, Gateway, gateway
from tests.runtime.stoppable_store import LIMIT_S, locked

STOP_S = 3.0


@pytest.fixture(autouse=True)
def _look_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(site, "SENTINEL_SHUT_S", 0.05)


def _is_patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is put off because the disk is slow for a moment."""
    monkeypatch.setattr(ledger, "CLOSING_PATIENCE_S", LIMIT_S)
    monkeypatch.setattr(site, "STOP_LIMIT_S", LIMIT_S)


async def _site_events(way: Gateway) -> list[str]:
    return [record.event.name for record in await way.log._store.read() if record.event.camera is None]


async def test_the_sentinel_shuts_while_the_loop_stands_still(tmp_path: Path) -> None:
    """S4, F16: by itself, for a reason that nobody notified."""
    async with gateway(tmp_path) as way:
        worker = await way.opened()
        seen: list[tuple[bool, str]] = []

        def block() -> None:
            way.goes_bad("interface", "vpn-down")
            assert worker.told.wait(LIMIT_S)
            seen.append((way.gate_is_open, worker.told_by[0]))

        asyncio.get_running_loop().call_soon(block)
        await way.at("disabled.ready")
        assert seen == [(False, "volet-sentinel")]
        assert way.data("fault")["fault"] == "vpn-down"
        await way.agrees()


async def test_the_sentinel_enforces_the_end_while_the_loop_stands_still(tmp_path: Path) -> None:
    """S6, F20: no timer of the loop ran."""
    async with gateway(tmp_path) as way:
        worker = await way.opened(duration_s=10)
        ended: list[bool] = []

        def block() -> None:
            way.clock.wait(10)
            assert worker.told.wait(LIMIT_S)
            ended.append(not way.gate_is_open)

        asyncio.get_running_loop().call_soon(block)
        await way.at("disabled.ready")
        assert ended == [True]
        assert way.data("expire") == {"limit": "asked", "by": "sentinel"}


async def test_what_shuts_one_camera_leaves_the_other_alone_and_what_is_the_sites_shuts_both(
    tmp_path: Path,
) -> None:
    """S14."""
    async with gateway(tmp_path) as way:
        await way.opened()
        other = way.site.cameras["cam2"]
        way.board.members = {"m-1": replace(way.board.members["m-1"], cameras=None)}
        await other.actor.ask(way.wish())
        await way.until(lambda: len(way.workshop.workers) == 2)
        await way.until(lambda: bool(other.actor.state.session and other.actor.state.session.running))
        way.workshop.workers[1].frame()
        await way.until(lambda: other.gate.is_open)
        way.site.close(CLOSE, ["cam1"])
        await way.at("disabled.ready")
        assert other.gate.is_open
        way.goes_bad("interface", "vpn-down")
        way.site.look()
        assert other.actor.shutter.pending
        await way.until(lambda: str(other.actor.state.place) == "disabled.ready")
        await way.agrees()


async def test_a_look_at_a_lane_judges_its_cameras_alone(tmp_path: Path) -> None:
    async with gateway(tmp_path) as way:
        await way.opened()
        way.lane_says(error=True)
        way.site.look("exit")
        assert way.gate_is_open
        way.site.look("entry")
        assert not way.gate_is_open


async def test_a_camera_that_cannot_be_judged_is_shut(tmp_path: Path) -> None:
    """Principle 1: it falls shut on doubt."""
    async with gateway(tmp_path) as way:
        await way.opened()
        lanes = way.board.lanes.pop("entry")
        way.board.lanes["entry"] = replace(lanes, rules=())
        way.site.look()
        assert not way.gate_is_open
        way.lane_says()
        await way.at("disabled.ready")


async def test_a_stop_closes_proves_and_writes_all_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _is_patient(monkeypatch)
    async with gateway(tmp_path) as way:
        await way.opened()
        await way.join("w-1")
        await way.site.stop()
        assert way.events()[-4:] == ["close", "viewer_left", "worker_exited", "closed"]
        assert way.workshop.alive == []
        way.site.note(observation("service_stopped", SERVICE))
        await way.site.flush()
        assert (await _site_events(way))[-1] == "service_stopped"


async def test_a_stop_while_the_log_hangs_is_bounded_and_all_of_it_lies_in_the_box(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """CONTRACT 4: within 3 s whatever the log does; F11, F22."""
    assert site.STOP_LIMIT_S + ledger.CLOSING_PATIENCE_S < STOP_S
    monkeypatch.setattr(site, "STOP_LIMIT_S", 2 * LIMIT_S)
    async with gateway(tmp_path) as way:
        await way.opened()
        with locked(way.path):
            way.site.note(observation("fault_seen", SERVICE, data={"fault": "log-unwritable", "count": 1}))
            await way.until(lambda: way.ledger.is_pending(""))
            async with asyncio.timeout(LIMIT_S):
                await way.site.stop()
                way.site.note(observation("service_stopped", SERVICE))
                await way.site.flush()
            boxed = [entry.sealed.event.name for entry in way.box.entries().lines]
        assert [name for name in boxed if name != "lane_changed"] == [
            "fault_seen",
            "close",
            "worker_exited",
            "closed",
            "service_stopped",
        ]
        assert way.workshop.alive == []
    _is_patient(monkeypatch)
    async with gateway(tmp_path) as way:
        assert way.events()[-3:] == ["close", "worker_exited", "closed"]
        assert "service_stopped" in await _site_events(way)
        assert str(way.state.place) == "disabled.ready"


@pytest.mark.slow
async def test_a_stop_with_a_worker_that_cannot_be_killed_is_bounded_and_the_next_start_goes_on(
    tmp_path: Path,
) -> None:
    async with gateway(tmp_path) as way:
        way.workshop.obedient = False
        worker = await way.opened()
        async with asyncio.timeout(LIMIT_S):
            await way.site.stop()
        worker.dies(None)
    async with gateway(tmp_path) as way:
        await way.until(lambda: way.state.is_shut and str(way.state.place) != "disabled.closing")
        await way.agrees()


async def test_nothing_opens_once_the_stop_has_begun(tmp_path: Path) -> None:
    """`service_stopped` is the last word: a request that came in between would outlive it."""
    async with gateway(tmp_path) as way:
        await way.site.stop()
        with pytest.raises(Refusal):
            await way.actor.ask(way.wish())
        assert way.events() == []


async def test_a_removed_camera_is_gone_and_comes_back_where_the_log_stands(tmp_path: Path) -> None:
    """CONTRACT 3 Reload."""
    async with gateway(tmp_path) as way:
        await way.opened()
        parts = way.site.cameras["cam1"]
        way.site.close(Why("fault", SERVICE, "config-changed", {"fault": "config-changed"}), ["cam1"])
        assert await parts.actor.written(LIMIT_S)
        await way.site.remove("cam1")
        policy = way.board.policy
        way.board.policy = replace(policy, cameras={"cam2": policy.cameras["cam2"]})
        assert "cam1" not in way.site.cameras
        assert not parts.gate.is_open
        way.site.look()
        way.site.close(CLOSE, ["cam1"])
        way.board.policy = policy
        way.site.add("cam1")
        await way.at("disabled.ready")
        assert way.events()[-1] == "closed"
        await way.opened()
        await way.agrees()


async def test_a_camera_that_was_removed_while_it_waited_wakes_nobody_later(tmp_path: Path) -> None:
    async with gateway(tmp_path) as way:
        problems: list[object] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: problems.append(context))
        way.lane_says(vehicle=True)
        await way.actor.ask(way.wish(wait_s=1))
        parts = way.site.cameras["cam1"]
        way.site.close(CLOSE, ["cam1"])
        await parts.actor.written(LIMIT_S)
        await way.site.remove("cam1")
        policy = way.board.policy
        way.board.policy = replace(policy, cameras={"cam2": policy.cameras["cam2"]})
        assert parts.actor._timer is None
        assert problems == []
        way.board.policy = policy
        way.site.add("cam1")


async def test_a_viewer_that_nobody_reads_for_ten_seconds_has_left(tmp_path: Path) -> None:
    """CONTRACT 5."""
    async with gateway(tmp_path) as way:
        await way.opened()
        await way.join("w-1")
        watch = way.site.watches.find("w-1")
        assert watch is not None
        watch.size_bytes = 70_000
        way.passes(9)
        watch.reading = 1
        way.passes(3)
        way.site._sweep(way.site.cameras["cam1"])
        assert way.site.watches.find("w-1") is watch
        watch.reading = 0
        way.site._sweep(way.site.cameras["cam1"])
        assert way.site.watches.find("w-1") is None
        await way.until(lambda: bool(way.state.session and not way.state.session.viewers))
        left = way.data("viewer_left")
        assert left == {"watch": "w-1", "seconds": 12, "bytes": 70_000, "reason": "unread"}
        assert way.gate_is_open


async def test_time_in_reconnecting_does_not_make_a_viewer_leave(tmp_path: Path) -> None:
    async with gateway(tmp_path) as way:
        worker = await way.opened()
        await way.join("w-1")
        way.workshop.refuses = OSError("no ffmpeg")
        worker.dies(FailureClass.REFUSED)
        await way.at("streaming.reconnecting")
        way.clock.wait(11)
        way.site._sweep(way.site.cameras["cam1"])
        assert way.site.watches.find("w-1") is not None


async def test_one_who_leaves_is_cut_written_down_once_and_makes_room(tmp_path: Path) -> None:
    async with gateway(tmp_path) as way:
        await way.opened()
        for number in range(4):
            await way.join(f"w-{number}")
        with pytest.raises(Refusal, match="4 are watching"):
            await way.actor.ask(Join("w-9", "m-1", "d-laptop", {}))
        way.site.leave("w-1", "left")
        way.site.leave("w-1", "left")
        await way.until(lambda: bool(way.state.session and "w-1" not in way.state.session.viewers))
        await way.join("w-9")
        assert way.events().count("viewer_left") == 1


async def test_all_who_watch_are_cut_when_it_shuts_and_forgotten(tmp_path: Path) -> None:
    async with gateway(tmp_path) as way:
        await way.opened()
        await way.join("w-1")
        await way.join("w-2")
        way.clock.wait(7)
        way.actor.close(CLOSE)
        await way.at("disabled.ready")
        seconds = [data["seconds"] for name, data in way.written() if name == "viewer_left"]
        assert seconds == [7, 7]
        assert way.site.watches.of("cam1") == []


@pytest.mark.slow
async def test_what_belongs_to_no_camera_is_written_in_order_also_after_the_log_was_locked(
    tmp_path: Path,
) -> None:
    """L4."""
    async with gateway(tmp_path) as way:
        with locked(way.path):
            for number in range(5):
                way.site.note(
                    observation("denied", SERVICE, data={"code": "unknown-device", "count": number})
                )
            await way.until(lambda: way.ledger.is_pending(""))
        await way.until(lambda: not way.ledger.is_pending("") and not way.site._events)
        records = [r.event.data["count"] for r in await way.log._store.read() if r.event.name == "denied"]
        assert records == [0, 1, 2, 3, 4]


@pytest.mark.slow
async def test_site_wide_faults_while_shut_are_observed(tmp_path: Path) -> None:
    """CONTRACT 4."""
    async with gateway(tmp_path) as way:
        way.goes_bad("bus", "broker-lost")
        async with asyncio.timeout(LIMIT_S):
            await way.log._store.wait_for(0)
        assert await _site_events(way) == ["fault_seen"]
        assert way.state.is_shut
        assert way.events() == []
