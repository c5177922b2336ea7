"""Real parts that wait for a story: the log's thread, the black box, a worker and the proof that it is
gone."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from typing import Any

from orchestrator.core.camera_state import CameraState
from orchestrator.core.events import Record, Sealed
from orchestrator.core.moment import Moment
from orchestrator.core.worker import FailureClass, Report, WorkerExited
from orchestrator.runtime.blackbox import BlackBox, BlackBoxFull
from orchestrator.runtime.event_store.errors import NotAppended, OutcomeUnknown
from orchestrator.runtime.picture import Picture
from tests.runtime.one_gateway import ScriptedWorker, ScriptedWorkshop
from tests.runtime.stoppable_store import LIMIT_S, StoppableStore


class Store(StoppableStore):
    """The real log, whose thread stands still in an append of an event of that name until it is let go: to
    ask the fence, to land whatever that says, or to fail. A disk that `refuses` is told to by the lane's
    own call."""

    def __init__(self, store: Any) -> None:
        super().__init__(store)
        self.stops_at, self.outcome = "", "asks"
        self.refuses = self.hangs = False
        self.under_way: asyncio.Future[list[Record]] | None = None
        self.waiting = 0
        self._reached, self._go_on = threading.Event(), threading.Event()

    async def append(
        self, sealed: Sequence[Sealed], *, fence: Callable[[], bool] | None = None, patience_s: float = 3.0
    ) -> list[Record]:
        self.waiting += 1
        try:
            return await self._append(sealed, fence)
        finally:
            self.waiting -= 1

    async def _append(self, sealed: Sequence[Sealed], fence: Callable[[], bool] | None) -> list[Record]:
        if self.refuses:
            raise NotAppended("the disk is full")
        if self.hangs and self.under_way is not None:
            raise NotAppended("an earlier write hangs")
        if not self.hangs and not self._stops(sealed):
            return await self._store.append(sealed, fence=fence, patience_s=LIMIT_S)
        self.stops_at, self.outcome = "", "asks"
        self._reached.clear()
        self._go_on.clear()

        def stop_here() -> bool:
            self._reached.set()
            assert self._go_on.wait(LIMIT_S)
            if self.outcome == "fails":
                raise OSError("no space left on device")
            return True if fence is None or self.outcome == "lands" else fence()

        appending = asyncio.ensure_future(self._store.append(sealed, fence=stop_here, patience_s=LIMIT_S))
        appending.add_done_callback(lambda done: done.exception())
        self.under_way = appending
        while not appending.done():
            if self.hangs and self._reached.is_set():
                raise OutcomeUnknown("the disk hangs")
            await asyncio.sleep(0.001)
        self.under_way = None
        return appending.result()

    def _stops(self, sealed: Sequence[Sealed]) -> bool:
        return sealed[-1].event.name == self.stops_at

    def stop_at(self, name: str) -> None:
        """In the next append whose last event is that."""
        self.stops_at = name
        self._reached.clear()

    async def begun(self) -> None:
        """Wait until the log's thread stands there."""
        assert await asyncio.to_thread(self._reached.wait, LIMIT_S)

    async def go_on(self, outcome: str) -> None:
        """Let it go, and wait until it has."""
        under_way, self.outcome = self.under_way, outcome
        self._go_on.set()
        if under_way is not None:
            await asyncio.wait({under_way})
        self.under_way = None


class Box:
    """The real black box, which can be made to take nothing."""

    def __init__(self, box: BlackBox) -> None:
        self._box, self.takes = box, True

    def write(self, sealed: Sequence[Sealed], last_durable: str) -> None:
        if not self.takes:
            raise BlackBoxFull("full")
        self._box.write(sealed, last_durable)

    def clear(self) -> None:
        self._box.clear()


class Worker(ScriptedWorker):
    """Dies when the story says so, and not because it is told to."""

    workshop: Workshop

    async def stop(self) -> WorkerExited:
        self.tell_to_die()
        await self.workshop.until(lambda: not self.alive)
        return await self._gone

    def exits(self, failure: FailureClass) -> None:
        self.dies(None if self.told_by else failure)


class Workshop(ScriptedWorkshop):
    """Whose proofs wait for the story. `proof` is None, or what the next one finds."""

    def __init__(self) -> None:
        super().__init__()
        self.proof: bool | None = None
        self.runs = False

    def make(
        self, state: CameraState, run: int, now: Moment, picture: Picture, report: Callable[[Report], None]
    ) -> ScriptedWorker:
        if self.refuses is not None:
            raise self.refuses
        assert state.session is not None
        worker = Worker(run, state.session.id, report, obedient=state.camera != "cam1" or not self.runs)
        worker.workshop = self
        if state.camera == "cam1":
            self.workers.append(worker)
        else:
            self.other = worker
        return worker

    async def until(self, true: Callable[[], bool]) -> None:
        """Wait for that; a proof that fails raises TimeoutError, as one does whose time is over."""
        while not true():
            if self.proof is False:
                self.proof = None
                raise TimeoutError
            await asyncio.sleep(0.001)

    async def wipe(self, camera: str) -> bool:
        if camera == "cam1" and self.runs:
            await self.until(lambda: self.proof is True)
            self.proof = None
        return True
