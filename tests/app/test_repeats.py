"""What is kept of a key, how long and how many, on the real log and a clock set by hand (CONTRACT 5, 8)."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from orchestrator.app import repeats
from orchestrator.app.repeats import Marks, Repeats
from orchestrator.app.views import answered
from orchestrator.core.chain import uuid7
from orchestrator.core.events import READY, REQUESTED, Actor, Sealed, transition
from orchestrator.core.moment import SECOND_US, Moment
from orchestrator.core.refusal import Refusal
from orchestrator.edges.http.ports import Answer, TransitionWish
from orchestrator.runtime.event_store import EventStore

DAY_S = 86_400
SOMEBODY = Actor("member", "m-1")
WISH = TransitionWish("request", "aim", key="key-1")
START = Moment(1_800_000_000_000_000, 5_000_000, True, "boot")


class Desk:
    """Carries out what is asked as an event of its own, unless `refuses` or `holds` say otherwise."""

    def __init__(self, store: EventStore[int]) -> None:
        self.store, self.now = store, START
        self.repeats = Repeats(store, lambda: self.now)
        self.carried_out = 0
        self.refuses: Exception | None = None
        self.holds = asyncio.Event()
        self.holds.set()
        self.begun = asyncio.Event()

    async def ask(self, wish: TransitionWish = WISH, actor: Actor = SOMEBODY, camera: str = "cam1") -> Answer:
        async def carry_out(marks: Marks) -> Answer:
            self.carried_out += 1
            self.begun.set()
            await self.holds.wait()
            if self.refuses is not None:
                raise self.refuses
            move: dict[str, Any] = {"source": READY, "target": REQUESTED, "session": f"s-{self.carried_out}"}
            event = transition(
                "request", actor, camera=camera, details={"reason": wish.reason, **marks}, **move
            )
            number = uuid7(self.now.wall_us // 1000, self.carried_out.to_bytes(10, "big"))
            return Answer(202, answered(await self.store.append([Sealed(event, number, self.now, "c", "p")])))

        return await self.repeats.once(actor, camera, wish, carry_out)

    def waits(self, seconds: int) -> None:
        self.now = self.now.after(seconds * SECOND_US)

    async def restarts(self) -> None:
        self.repeats = Repeats(self.store, lambda: self.now)
        await self.repeats.load()


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    store = EventStore(str(tmp_path / "events.db"), site="lot-12", fold=lambda n, _: n + 1, empty=0)
    await store.open()
    yield Desk(store)
    await store.close()


@pytest.mark.parametrize("restarted", [False, True])
async def test_a_key_is_kept_for_a_day_and_no_longer(desk: Desk, restarted: bool) -> None:
    first = await desk.ask()
    desk.waits(DAY_S)
    if restarted:
        await desk.restarts()
    assert await desk.ask() == first
    desk.waits(1)
    if restarted:
        await desk.restarts()
    assert await desk.ask() != first
    assert desk.carried_out == 2


async def test_after_a_restart_the_newest_event_of_a_key_answers(desk: Desk) -> None:
    """S21: an append that was told as failed may land after all; what was told last is what counts."""
    await desk.ask()
    desk.repeats = Repeats(desk.store, lambda: desk.now)
    told_last = await desk.ask()
    assert desk.carried_out == 2
    await desk.restarts()
    assert await desk.ask() == told_last


async def test_without_a_key_each_is_carried_out(desk: Desk) -> None:
    for _ in range(2):
        await desk.ask(replace(WISH, key=None))
    assert desk.carried_out == 2


async def test_a_refusal_is_told_to_whoever_asked_at_the_same_time_and_is_not_kept(desk: Desk) -> None:
    """S15: only successes are kept."""
    desk.refuses = Refusal("closing", "not now", retry_after_s=1)
    desk.holds.clear()
    both = [asyncio.create_task(desk.ask()) for _ in range(2)]
    await desk.begun.wait()
    with pytest.raises(Refusal, match="another body"):
        await desk.ask(replace(WISH, reason="other"))
    desk.holds.set()
    outcomes = await asyncio.gather(*both, return_exceptions=True)
    assert outcomes == [desk.refuses, desk.refuses]
    assert desk.carried_out == 1
    desk.refuses = None
    assert (await desk.ask()).status == 202


async def test_when_the_first_is_cancelled_the_other_is_told_and_the_key_is_free(desk: Desk) -> None:
    desk.holds.clear()
    first = asyncio.create_task(desk.ask())
    await desk.begun.wait()
    second = asyncio.create_task(desk.ask())
    await asyncio.sleep(0)
    first.cancel()
    with pytest.raises(Refusal) as told:
        await second
    assert told.value.code == "closed-meanwhile"
    with pytest.raises(asyncio.CancelledError):
        await first
    desk.holds.set()
    assert (await desk.ask()).status == 202


async def test_whoever_waits_and_goes_away_does_not_take_the_first_with_them(desk: Desk) -> None:
    desk.holds.clear()
    first = asyncio.create_task(desk.ask())
    await desk.begun.wait()
    second = asyncio.create_task(desk.ask())
    await asyncio.sleep(0)
    second.cancel()
    await asyncio.wait({second})
    desk.holds.set()
    assert (await first).status == 202


async def test_keys_are_bounded_for_each_person_and_camera_and_none_is_forgotten_early(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """K3, S13: too many keys refuse an opening for want of room, never a closing."""
    monkeypatch.setattr(repeats, "KEYS_A_MEMBER_AND_CAMERA", 2)
    first = await desk.ask()
    desk.waits(60)
    await desk.ask(replace(WISH, key="key-2"))
    with pytest.raises(Refusal) as full:
        await desk.ask(replace(WISH, key="key-3"))
    assert (full.value.code, full.value.retry_after_s) == ("slow-down", DAY_S - 60 + 1)
    assert await desk.ask() == first
    assert (await desk.ask(replace(WISH, key="key-3"), camera="cam2")).status == 202
    assert (await desk.ask(replace(WISH, key="key-3"), actor=Actor("member", "m-2"))).status == 202
    assert (await desk.ask(replace(WISH, trigger="close", key="key-3"))).status == 202
    assert await desk.ask(replace(WISH, trigger="close", key="key-3")) != first
    await desk.restarts()
    with pytest.raises(Refusal):
        await desk.ask(replace(WISH, key="key-4"))
    desk.waits(DAY_S + 1)
    assert (await desk.ask(replace(WISH, key="key-4"))).status == 202
