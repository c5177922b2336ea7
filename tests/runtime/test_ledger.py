"""The log as the lanes see it: openings wait for it, closings are kept for it, once (S13, S21, L4)."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest

from orchestrator.core.commands import CLOCK, SERVICE, WORKER
from orchestrator.core.events import Event, Place, Sealed, observation, transition
from orchestrator.runtime.blackbox import MIN_SIZE_BYTES, BlackBox
from orchestrator.runtime.event_store import EventStore, Fenced, NotAppended, OutcomeUnknown
from orchestrator.runtime.ledger import Ledger, SiteState, fold
from tests.core.scene import CHART, START
from tests.runtime.one_gateway import agrees
from tests.runtime.stoppable_store import LIMIT_S, Hang, StoppableStore, locked

READY, REQUESTED = Place("disabled", "ready"), Place("requested")


class Book:
    """A ledger on a real store and a real box, and what it complained of."""

    def __init__(self, folder: Path, store: EventStore[SiteState], box: BlackBox) -> None:
        self.path, self.box, self.store = folder / "events.db", box, StoppableStore(store)
        self.troubles: list[str] = []
        self.patience_s = 3.0
        self.ledger = Ledger(
            self.store,
            box,
            CHART,
            lambda: "sha256:config",
            lambda count: bytes(count - 1) + bytes([len(self.troubles)]),
            lambda: self.patience_s,
            lambda code, _: self.troubles.append(code),
        )
        self._count = 0

    def seal(self, event: Event) -> Sealed:
        self._count += 1
        (sealed,) = self.ledger.seal([event], START.after(self._count * 1_000))
        return sealed

    async def names(self) -> list[str]:
        records = await self.store._store.read()
        return [record.event.name for record in records]

    def boxed(self) -> list[str]:
        return [entry.sealed.event.name for entry in self.box.entries().lines]


@pytest.fixture
async def book(tmp_path: Path) -> AsyncIterator[Book]:
    store: EventStore[SiteState] = EventStore(
        str(tmp_path / "events.db"), site="lot-12", fold=fold, empty=SiteState()
    )
    await store.open()
    box = BlackBox.open(tmp_path / "blackbox", MIN_SIZE_BYTES)
    yield Book(tmp_path, store, box)
    box.close()
    await store.close()
    agrees(tmp_path / "events.db")


def _request(camera: str = "cam1") -> Event:
    return transition(
        "request", CLOCK, camera=camera, session="s-1", source=READY, target=REQUESTED, data={"wait_s": 60}
    )


def _close(camera: str = "cam1", source: Place = REQUESTED) -> Event:
    return transition("close", CLOCK, camera=camera, session="s-1", source=source, target=READY)


def _note(camera: str | None = "cam1", number: int = 0) -> Event:
    return observation("fault_seen", SERVICE, camera=camera, data={"fault": "vpn-down", "count": number})


async def test_what_is_sealed_has_an_id_a_moment_and_what_was_in_force(book: Book) -> None:
    first, second = book.seal(_note()), book.seal(_note())
    assert first.id < second.id
    assert first.id[14] == "7"
    assert (first.chart, first.config) == (CHART.digest, "sha256:config")
    assert first.at == START.after(1_000)


async def test_an_append_that_is_fenced_leaves_no_trace_and_is_no_trouble(book: Book) -> None:
    """S22."""
    with pytest.raises(Fenced):
        await book.ledger.append("cam1", [book.seal(_request())], lambda: False)
    assert await book.names() == []
    assert book.troubles == []
    assert not book.ledger.is_pending("cam1")


async def test_an_append_that_certainly_failed_leaves_nothing_pending_and_is_told(book: Book) -> None:
    with locked(book.path), pytest.raises(NotAppended):
        await book.ledger.append("cam1", [book.seal(_request())])
    assert book.troubles == ["log-unwritable"]
    assert not book.ledger.is_pending("cam1")


async def test_after_an_unknown_outcome_the_camera_waits_until_the_log_has_said_where_it_stands(
    book: Book,
) -> None:
    """S21."""
    hang = book.store.hang = Hang()
    book.patience_s = 0.05
    with pytest.raises(OutcomeUnknown):
        await book.ledger.append("cam1", [book.seal(_request())])
    assert book.ledger.is_pending("cam1")
    assert not book.ledger.is_pending("cam2")
    assert await book.ledger.append_closing("cam1", [book.seal(_close(source=READY))]) is None
    assert await book.ledger.drain("cam1") is None
    hang.go_on.set()
    book.patience_s = 3.0
    state = await book.ledger.drain("cam1")
    assert state is not None
    assert str(state.place) == "disabled.ready"
    assert await book.names() == ["request", "close"]
    assert not book.ledger.is_pending("cam1")


async def test_closings_are_kept_in_memory_and_in_the_box_and_written_in_order(book: Book) -> None:
    """S13, L4."""
    await book.ledger.append("cam1", [book.seal(_request())])
    with locked(book.path):
        assert await book.ledger.append_closing("cam1", [book.seal(_close()), book.seal(_note())]) is None
        assert await book.ledger.append_closing("cam1", [book.seal(_note())]) is None
        assert book.boxed() == ["close", "fault_seen", "fault_seen"]
        assert await book.ledger.drain("cam1") is None
        assert book.ledger.anything_pending
        assert book.ledger.is_pending("cam1")
    assert await book.ledger.drain("cam1") is not None
    assert await book.names() == ["request", "close", "fault_seen", "fault_seen"]
    assert book.boxed() == []
    assert not book.ledger.anything_pending


async def test_a_closing_that_was_said_to_have_failed_and_landed_is_not_written_twice(book: Book) -> None:
    """CONTRACT 7: an id that is there is a success."""
    await book.ledger.append("cam1", [book.seal(_request())])
    hang = book.store.hang = Hang()
    closing = book.seal(_close())
    assert await book.ledger.append_closing("cam1", [closing]) is None
    hang.go_on.set()
    state = await book.ledger.drain("cam1")
    assert state is not None
    assert str(state.place) == "disabled.ready"
    assert await book.names() == ["request", "close"]


async def test_the_box_is_cleared_only_when_nothing_of_any_camera_waits(book: Book) -> None:
    """L4."""
    with locked(book.path):
        for camera in ("cam1", "cam2"):
            await book.ledger.append_closing(camera, [book.seal(_note(camera))])
    await book.ledger.drain("cam1")
    assert len(book.boxed()) == 2
    await book.ledger.drain("cam2")
    assert book.boxed() == []


async def test_what_waited_of_several_cameras_is_written_in_order_of_happening(book: Book) -> None:
    """CONTRACT 7; the second camera's first line came to the ledger last."""
    lines = [
        book.seal(_note(camera, number)) for number, camera in enumerate(("cam2", "cam1", "cam2", "cam1"))
    ]
    with locked(book.path):
        for number in (1, 3, 0, 2):
            line = lines[number]
            assert await book.ledger.append_closing(line.event.camera or "", [line]) is None
    assert await book.ledger.drain("cam1") is not None
    assert [record.sealed for record in await book.store._store.read()] == lines
    assert not book.ledger.is_pending("cam1")
    assert book.boxed() == []


async def test_a_camera_whose_lines_another_has_written_opens_nothing_before_it_has_heard(book: Book) -> None:
    """S12: its lane still holds a guess of where it stands."""
    await book.ledger.append("cam2", [book.seal(_request("cam2"))])
    with locked(book.path):
        await book.ledger.append_closing("cam2", [book.seal(_close("cam2", source=READY))])
        await book.ledger.append_closing("cam1", [book.seal(_note("cam1"))])
    assert await book.ledger.drain("cam1") is not None
    assert (book.ledger.is_pending("cam2"), book.ledger.anything_pending) == (True, True)
    state = await book.ledger.drain("cam2")
    assert state is not None
    assert state.place == READY
    assert await book.names() == ["request", "close", "fault_seen"]
    assert not book.ledger.anything_pending


async def test_a_closing_that_is_being_boxed_while_another_camera_drains_stays_in_the_box(
    book: Book, monkeypatch: pytest.MonkeyPatch
) -> None:
    """L4: else a kill at that moment would lose it."""
    writing, go_on = threading.Event(), threading.Event()
    write = book.box.write

    def slow_write(sealed: Sequence[Sealed], last_durable: str) -> None:
        write(sealed, last_durable)
        writing.set()
        assert go_on.wait(LIMIT_S)

    with locked(book.path):
        await book.ledger.append_closing("cam1", [book.seal(_note("cam1"))])
        monkeypatch.setattr(book.box, "write", slow_write)
        boxing = asyncio.create_task(book.ledger.append_closing("cam2", [book.seal(_note("cam2"))]))
        await asyncio.to_thread(writing.wait, LIMIT_S)
    draining = asyncio.create_task(book.ledger.drain("cam1"))
    await book.store._store.wait_for(0)
    go_on.set()
    await asyncio.gather(draining, boxing)
    assert (book.ledger.is_pending("cam1"), book.ledger.is_pending("cam2")) == (False, True)
    assert book.box.entries().lines[-1].sealed.event.camera == "cam2"
    assert await book.ledger.drain("cam2") is not None
    assert book.boxed() == []


async def test_a_log_that_falls_silent_behind_the_last_closing_is_asked_again_where_it_stands(
    book: Book, monkeypatch: pytest.MonkeyPatch
) -> None:
    """S12, L4: until then memory holds a guess, and the box what is in the log already."""
    with locked(book.path):
        assert await book.ledger.append_closing("cam1", [book.seal(_note())]) is None
    answers = 0

    async def state() -> SiteState:
        nonlocal answers
        answers += 1
        if answers == 2:
            raise NotAppended("the disk is gone")
        return await StoppableStore.state(book.store)

    monkeypatch.setattr(book.store, "state", state)
    assert await book.ledger.drain("cam1") is None
    assert await book.names() == ["fault_seen"]
    assert book.ledger.is_pending("cam1")
    assert await book.ledger.drain("cam1") is not None
    assert not book.ledger.is_pending("cam1")
    assert book.boxed() == []


async def test_two_that_drain_the_same_at_once_lose_nothing(book: Book) -> None:
    """The site's events are drained by its own task and by the stop."""
    with locked(book.path):
        for number in range(4):
            await book.ledger.append_closing("", [book.seal(_note(None, number))])
    await asyncio.gather(book.ledger.drain(""), book.ledger.drain(""), book.ledger.drain(""))
    records = await book.store._store.read()
    assert [record.event.data["count"] for record in records] == [0, 1, 2, 3]


async def test_a_full_box_keeps_nothing_from_being_shut_and_written_later(book: Book) -> None:
    """S13."""
    with locked(book.path):
        big = observation("fault_seen", SERVICE, camera="cam1", data={"text": "x" * 3_000})
        for _ in range(4):
            assert await book.ledger.append_closing("cam1", [book.seal(big)]) is None
    await book.ledger.drain("cam1")
    assert len(await book.names()) == 4


async def test_a_closing_whose_opening_never_landed_becomes_an_observation(book: Book) -> None:
    with locked(book.path):
        await book.ledger.append_closing("cam1", [book.seal(_close())])
    await book.ledger.drain("cam1")
    assert await book.names() == ["fault_seen"]


async def test_what_the_box_kept_at_start_goes_first(book: Book) -> None:
    sealed = book.seal(observation("worker_exited", WORKER, camera="cam1", data={"run": 1}))
    book.ledger.keep("cam1", sealed)
    assert book.ledger.is_pending("cam1")
    assert await book.ledger.append_closing("cam1", [book.seal(_note())]) is None
    assert await book.ledger.drain("cam1") is not None
    assert await book.names() == ["worker_exited", "fault_seen"]
