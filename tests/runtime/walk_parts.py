"""The real parts of a random walk: lanes that say when they rest, a log that can be stopped in any append,
and workers and proofs that wait to be told."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from orchestrator.core.camera_state import CameraState
from orchestrator.core.events import Record, Sealed
from orchestrator.core.moment import Moment
from orchestrator.core.worker import FailureClass, Report, WorkerExited
from orchestrator.runtime.camera_actor import CameraActor
from orchestrator.runtime.event_store.errors import OutcomeUnknown
from orchestrator.runtime.ledger import SiteState
from orchestrator.runtime.picture import Picture
from tests.model.real_parts import Store
from tests.runtime.one_gateway import ScriptedWorker

LOCKED_PATIENCE_S, BEHIND_PATIENCE_S = 0.02, 0.5
"""How long an append waits for a file that another process has locked, and behind one that stands still."""


class Broken(AssertionError):
    """A rule that does not hold; `story` are the lines that led there."""

    def __init__(self, rule: str, what: str) -> None:
        super().__init__(f"{rule}: {what}")
        self.rule = rule
        self.story: Sequence[object] = ()


class Lane(CameraActor):
    """The ordering lane as it is; `busy` while it takes a turn, and `turned` is called after each."""

    def __init__(self, camera: str, *, turned: Callable[[], None], **parts: Any) -> None:
        super().__init__(camera, **parts)
        self.busy = False
        self._turned = turned

    async def _turn(self) -> None:
        self.busy = True
        try:
            await super()._turn()
        finally:
            self.busy = False
            self._turned()

    @property
    def rests(self) -> bool:
        """Whether it has nothing to do."""
        return not self.busy and not self._has_work()


class Log(Store):
    """The real log; `stops_in` counts appends down to the one in which its thread stands still, between
    INSERT and COMMIT, with the events `standing`. `answered` is called after each answer."""

    def __init__(self, store: Any, answered: Callable[[], None]) -> None:
        super().__init__(store)
        self.stops_in: int | None = None
        self.standing: tuple[Sealed, ...] = ()
        self.locked = False
        self._answered = answered

    @property
    def works(self) -> bool:
        """Whether an append would be durable."""
        return not (self.refuses or self.hangs or self.locked)

    @property
    def stands(self) -> bool:
        """Whether its thread stands still in an append."""
        return self._reached.is_set() and not self._go_on.is_set()

    def stop_in(self, appends: int) -> None:
        """Stand still in the append after so many others."""
        self.stops_in = appends
        self._reached.clear()
        self._go_on.clear()

    def _stops(self, sealed: Sequence[Sealed]) -> bool:
        if self.stops_in is None:
            return False
        self.stops_in -= 1
        if self.stops_in >= 0:
            return False
        self.stops_in, self.standing = None, tuple(sealed)
        return True

    async def append(
        self, sealed: Sequence[Sealed], *, fence: Callable[[], bool] | None = None, patience_s: float = 3.0
    ) -> list[Record]:
        try:
            if self.locked or (self.under_way is not None and not self.hangs):
                patience_s = LOCKED_PATIENCE_S if self.locked else BEHIND_PATIENCE_S
                return await self._store.append(sealed, fence=fence, patience_s=patience_s)
            return await super().append(sealed, fence=fence, patience_s=patience_s)
        finally:
            self._answered()

    async def state(self) -> SiteState:
        if self.locked or (self.hangs and self.under_way is not None):
            raise OutcomeUnknown("the log does not answer")
        try:
            return await super().state()
        finally:
            self._answered()


class Hand(ScriptedWorker):
    """A worker of the crew: deaf, it dies of nothing but itself."""

    def __init__(self, crew: Crew, camera: str, *what: Any) -> None:
        super().__init__(*what)
        self.crew, self.camera = crew, camera
        self.has_frames = self.has_started = False

    def start(self) -> None:
        super().start()
        self._loop.call_soon(setattr, self, "has_started", True)

    @property
    def is_about_to(self) -> bool:
        """Whether it will start or end by itself in a moment."""
        return self.alive and (not self.has_started or (self.obedient and bool(self.told_by)))

    def frame(self) -> None:
        self.has_frames = True
        super().frame()

    async def stop(self) -> WorkerExited:
        self.tell_to_die()
        await self.crew.waits(self.camera, self._gone)
        return await self._gone

    def ends(self, failure: FailureClass) -> None:
        """By itself; whoever was told to before has done as told."""
        self.dies(None if self.told_by else failure)


class Crew:
    """The workers of both cameras. `deaf`: of which camera they do not hear; `stays`: of which the segments
    cannot be wiped. What is waited for ends by itself, or is given up."""

    def __init__(self, changed: Callable[[], None]) -> None:
        self.workers: dict[str, list[Hand]] = {}
        self.deaf: set[str] = set()
        self.stays: set[str] = set()
        self.refuses: set[str] = set()
        self._ends: dict[str, asyncio.Future[Any]] = {}
        self._changed = changed
        self._given_up: dict[str, asyncio.Event] = {}
        self._wiped: dict[str, asyncio.Future[None]] = {}

    def make(
        self, state: CameraState, run: int, now: Moment, picture: Picture, report: Callable[[Report], None]
    ) -> Hand:
        camera = state.camera
        if camera in self.refuses:
            raise OSError("no such file")
        assert state.session is not None
        hand = Hand(self, camera, run, state.session.id, report, camera not in self.deaf)
        self.workers.setdefault(camera, []).append(hand)
        return hand

    def alive(self, camera: str) -> list[Hand]:
        """The workers of that camera that are not reaped."""
        return [hand for hand in self.workers.get(camera, ()) if hand.alive]

    async def wipe(self, camera: str) -> bool:
        if camera in self.stays:
            wiped = self._wiped.setdefault(camera, asyncio.get_running_loop().create_future())
            await self.waits(camera, wiped)
        return True

    async def waits(self, camera: str, end: asyncio.Future[Any]) -> None:
        """For that end; TimeoutError when it is given up."""
        given_up = self._given_up.setdefault(camera, asyncio.Event())
        given_up.clear()
        giving_up = asyncio.ensure_future(given_up.wait())
        self._ends[camera] = end
        self._changed()
        try:
            await asyncio.wait({end, giving_up}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            del self._ends[camera]
            giving_up.cancel()
        if not end.done():
            raise TimeoutError

    def holds(self, camera: str) -> bool:
        """Whether a proof waits, and goes on waiting."""
        end = self._ends.get(camera)
        return end is not None and not end.done() and not self._given_up[camera].is_set()

    def is_deaf(self, camera: str, deaf: bool) -> None:
        """From now on they hear, or do not; who was told before hears it now."""
        (self.deaf.add if deaf else self.deaf.discard)(camera)
        for hand in self.alive(camera):
            hand.obedient = not deaf
            if hand.told_by and not deaf:
                hand.dies(None)

    def segments_stay(self, camera: str, stay: bool) -> None:
        """They cannot be wiped from now on, or can again."""
        (self.stays.add if stay else self.stays.discard)(camera)
        wiped = self._wiped.pop(camera, None)
        if wiped is not None:
            wiped.set_result(None)

    def gives_up(self, camera: str) -> None:
        """The time for a proof is over."""
        self._given_up[camera].set()

    def goes_home(self) -> None:
        """Nothing is waited for any more."""
        for camera in list(self.workers):
            self.is_deaf(camera, False)
        for camera in list(self.stays):
            self.segments_stay(camera, False)
