"""Windows on the real log: what narrows is shut first and logged after, what widens waits.

S12, S13, S21, L4; F19, F17.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from orchestrator.core.events import Actor, Record
from orchestrator.core.moment import SECOND_US
from orchestrator.core.refusal import Refusal
from orchestrator.core.window_rules import AddWindow, ApproveWindow, CancelWindow, ShortenWindow
from orchestrator.runtime import camera_actor, ledger, site, window_actor
from orchestrator.runtime.event_store import open_read_only, stream
from orchestrator.runtime.event_store.errors import NotAppended
from tests.core.scene import START
from tests.core.window_scene import folded
from tests.runtime.one_gateway import POLICY, Gateway, gateway
from tests.runtime.stoppable_store import LIMIT_S, Hang, locked

HOUR_US = 3_600 * SECOND_US
NOW = START.wall_us
ANNA = Actor("member", "m-anna")
WITHOUT = replace(POLICY, windows=())


@pytest.fixture(autouse=True)
def _by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """The owner of the windows alone: no sentinel comes to its help; the log is asked again soon."""
    monkeypatch.setattr(camera_actor, "DRAIN_EVERY_S", 0.05)
    monkeypatch.setattr(window_actor, "DRAIN_EVERY_S", 0.05)
    monkeypatch.setattr(ledger, "CLOSING_PATIENCE_S", 0.1)
    monkeypatch.setattr(site, "SENTINEL_SHUT_S", 3_600)
    monkeypatch.setattr(site, "SENTINEL_OPEN_S", 3_600)


def _without_windows(way: Gateway) -> None:
    way.board.policy = WITHOUT


@asynccontextmanager
async def _gateway(folder: Path) -> AsyncIterator[Gateway]:
    """A gateway without a window in its configuration; what it has in force at the end, the log says too."""
    async with gateway(folder, _without_windows) as way:
        yield way
        assert await way.site.windows.settled(LIMIT_S)
        with open_read_only(way.path) as reader:
            assert folded(stream(reader)) == way.board.windows


def _adding(identifier: str = "w-1", *, approves: bool = True, hours: int = 1) -> AddWindow:
    person = {"name": "Anna", "reason": "aim"}
    return AddWindow(identifier, ANNA.id, approves, ("cam1",), NOW, NOW + hours * HOUR_US, None, person)


def _cancelling(identifier: str = "w-1") -> CancelWindow:
    return CancelWindow(identifier, ANNA, {"name": "Anna"})


def _written(way: Gateway) -> list[tuple[str, Any]]:
    with open_read_only(way.path) as reader:
        records = list(stream(reader))
    return [(r.event.name, r.event.data) for r in records if r.event.name.startswith("window_")]


async def test_a_window_that_is_added_is_durable_before_it_is_in_force(tmp_path: Path) -> None:
    """S13: and a request that waited for it then opens."""
    async with _gateway(tmp_path) as way:
        await way.actor.ask(way.wish())
        hang = way.log.hang = Hang()
        adding = asyncio.create_task(way.site.windows.widen(_adding()))
        await hang.begun()
        assert way.board.windows == {}
        assert str(way.state.place) == "requested"
        hang.go_on.set()
        await adding
        await way.until(lambda: bool(way.state.session and way.state.session.running))
        assert way.data("checks_passed")["checks"][0]["evidence"]["windows"] == "w-1"


async def test_cancelling_shuts_the_camera_before_the_log_hears_of_it(tmp_path: Path) -> None:
    """S13, F19: gate shut and worker told to die when `narrow` returns."""
    async with _gateway(tmp_path) as way:
        await way.site.windows.widen(_adding())
        worker = await way.opened()
        before = _written(way)
        boundaries: list[int | None] = []
        way.site.windows.changed = lambda: boundaries.append(way.board.next_window_boundary(NOW))
        assert way.site.windows.narrow(_cancelling())
        assert boundaries == [None]
        assert (way.gate_is_open, worker.told.is_set()) == (False, True)
        assert _written(way) == before
        await way.at("disabled.ready")
        fault = way.data("fault")
        assert fault["fault"] == "window-closed"
        assert [check["id"] for check in fault["checks"]] == ["window"]
        await way.agrees()
        assert not way.site.windows.narrow(_cancelling())


async def test_shortening_to_now_shuts_and_to_later_moves_the_deadline(tmp_path: Path) -> None:
    """CONTRACT 3 "a shorter end is taken over", S6, S12: the fold alone knows the new end."""
    async with _gateway(tmp_path) as way:
        await way.site.windows.widen(_adding())
        await way.opened()
        assert way.state.session is not None
        ends_us = way.state.session.ends_wall_us
        later_us = NOW + 60 * SECOND_US
        way.site.windows.narrow(ShortenWindow("w-1", later_us, ANNA))
        await way.until(lambda: way.state.session is None or way.state.session.ends_wall_us < ends_us)
        assert way.gate_is_open
        session = way.state.session
        assert session is not None
        assert (session.ends_wall_us, session.limit) == (later_us, "window")
        assert session.ends_boottime_us == START.boottime_us + 60 * SECOND_US
        assert [name for name, _ in _written(way)] == ["window_added", "window_shortened"]
        assert way.data("deadline_shortened")["limit"] == "window"
        await way.agrees()
        way.passes(60)
        await way.at("disabled.ready")
        assert way.data("expire")["limit"] == "window"


async def test_shortening_to_now_shuts(tmp_path: Path) -> None:
    """F19."""
    async with _gateway(tmp_path) as way:
        await way.site.windows.widen(_adding())
        await way.opened()
        way.clock.wait(1)
        way.site.windows.narrow(ShortenWindow("w-1", NOW, ANNA))
        assert not way.gate_is_open
        await way.at("disabled.ready")
        assert way.data("fault")["fault"] == "window-closed"


async def test_a_cancelling_that_the_log_does_not_take_stands_and_nothing_opens_before_it_is_there(
    tmp_path: Path,
) -> None:
    """S13, L4: another window is open, and does not help."""
    async with _gateway(tmp_path) as way:
        await way.site.windows.widen(_adding("w-1"))
        await way.site.windows.widen(_adding("w-2"))
        with locked(way.path):
            way.site.windows.narrow(_cancelling("w-1"))
            await way.site.windows.kept()
            assert [entry.sealed.event.name for entry in way.box.entries().lines] == ["window_cancelled"]
            assert way.board.windows["w-1"].cancelled
            window = way.actor.facts()
            assert (window.window is not None, window.window_waits) == (True, True)
            with pytest.raises(Refusal) as refused:
                await way.site.windows.widen(_adding("w-3"))
            assert refused.value.code == "log-unwritable"
        assert await way.site.windows.settled(LIMIT_S)
        assert [name for name, _ in _written(way)] == ["window_added", "window_added", "window_cancelled"]
        assert not way.actor.facts().window_waits
        way.all_is_well()
        await way.opened()


async def test_what_is_cancelled_while_the_log_takes_the_last_one_is_written_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """L4."""
    async with _gateway(tmp_path) as way:
        for identifier in ("w-1", "w-2"):
            await way.site.windows.widen(_adding(identifier))
        takes, refuses = way.log.append, [True]

        async def append(sealed: Sequence[Any], **rest: Any) -> list[Record]:
            if refuses:
                raise NotAppended("the disk is full")
            return await takes(sealed, **rest)

        monkeypatch.setattr(way.log, "append", append)
        way.site.windows.narrow(_cancelling("w-1"))
        await way.site.windows.kept()
        hang = way.log.hang = Hang()
        refuses.clear()
        await hang.begun()
        way.site.windows.narrow(_cancelling("w-2"))
        hang.go_on.set()
        assert await way.site.windows.settled(LIMIT_S)
        cancelled = [data["window"] for name, data in _written(way) if name == "window_cancelled"]
        assert cancelled == ["w-1", "w-2"]


async def test_a_log_that_hangs_over_an_approval_does_not_keep_a_cancelling_from_the_box(
    tmp_path: Path,
) -> None:
    async with _gateway(tmp_path) as way:
        await way.site.windows.widen(_adding("w-1"))
        await way.site.windows.widen(_adding("w-2", approves=False))
        hang = way.log.hang = Hang()
        person = {"name": "Boris"}
        approving = asyncio.create_task(way.site.windows.widen(ApproveWindow("w-2", "m-boris", person)))
        await hang.begun()
        way.site.windows.narrow(_cancelling("w-1"))
        way.site.windows.narrow(_cancelling("w-2"))
        await way.site.windows.kept()
        assert len(way.box.entries().lines) == 2
        hang.go_on.set()
        await approving
        assert await way.site.windows.settled(LIMIT_S)
        assert way.actor.facts().window is None


async def test_a_window_that_lands_after_it_was_refused_is_cancelled(tmp_path: Path) -> None:
    """S21: memory is never more open than the log, and a compensating event follows."""
    async with _gateway(tmp_path) as way:
        hang = way.log.hang = Hang()
        way.log.lands_anyway = True
        with pytest.raises(Refusal) as refused:
            await way.site.windows.widen(_adding())
        assert refused.value.code == "log-unwritable"
        assert way.actor.facts().window is None
        hang.go_on.set()
        assert await way.site.windows.settled(LIMIT_S)
        (_, added), (name, data) = _written(way)
        assert (added["window"], name, data["fault"]) == ("w-1", "window_cancelled", "log-unwritable")
        assert way.actor.facts().window is None
        way.log.lands_anyway = False
        await way.site.windows.widen(_adding("w-2"))
        assert way.actor.facts().window is not None


async def test_windows_outlive_the_daemon_and_so_does_a_cancelling_that_only_the_box_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """L4, F17."""
    async with gateway(tmp_path, _without_windows) as way:
        await way.site.windows.widen(_adding("w-1"))
        await way.site.windows.widen(_adding("w-2", approves=False))
        await way.site.windows.widen(_adding("w-3"))
        with locked(way.path):
            way.site.windows.narrow(_cancelling("w-1"))
            await way.site.windows.kept()
            for task in asyncio.all_tasks():
                if task.get_name() == "windows":
                    task.cancel()
    monkeypatch.setattr(ledger, "CLOSING_PATIENCE_S", LIMIT_S)
    async with _gateway(tmp_path) as again:
        found = {key: (window.cancelled, window.approved_by) for key, window in again.board.windows.items()}
        assert found == {"w-1": (True, ("m-anna",)), "w-2": (False, ()), "w-3": (False, ("m-anna",))}
        await again.opened()


async def test_with_two_people_the_window_check_names_who_is_missing(tmp_path: Path) -> None:
    """CONTRACT 3: the person who approved it alone waits for another."""
    async with _gateway(tmp_path) as way:
        way.board.policy = replace(WITHOUT, two_people=True)
        await way.site.windows.widen(replace(_adding(), member="m-1"))
        await way.actor.ask(way.wish())
        assert str(way.state.place) == "requested"
        await way.site.windows.widen(ApproveWindow("w-1", "m-boris", {"name": "Boris"}))
        await way.until(lambda: bool(way.state.session and way.state.session.running))


async def test_so_many_changes_wait_and_no_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """K3: cancelling is never among what is refused."""
    monkeypatch.setattr(window_actor, "NARROWINGS_WAITING", 1)
    async with _gateway(tmp_path) as way:
        await way.site.windows.widen(_adding("w-1", hours=2))
        with locked(way.path):
            way.site.windows.narrow(ShortenWindow("w-1", NOW + HOUR_US, ANNA))
            with pytest.raises(Refusal) as refused:
                way.site.windows.narrow(ShortenWindow("w-1", NOW + HOUR_US - 1, ANNA))
            assert refused.value.code == "slow-down"
            assert way.site.windows.narrow(_cancelling())
