"""One ordering lane per camera, one for the site; a sentinel thread behind them all; a bounded stop."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from orchestrator.core.camera_state import CameraState
from orchestrator.core.commands import SERVICE, Layer, Leave, Why
from orchestrator.core.events import CLOSING, Event, Sealed
from orchestrator.core.moment import Moment
from orchestrator.core.site_faults import FaultsSeen, noticed, present
from orchestrator.core.statechart import Chart
from orchestrator.runtime.board import Board
from orchestrator.runtime.camera_actor import CameraActor
from orchestrator.runtime.gate import Gate
from orchestrator.runtime.ledger import CameraStates, Ledger
from orchestrator.runtime.picture import Picture
from orchestrator.runtime.shutter import Shutter
from orchestrator.runtime.watches import Watches
from orchestrator.runtime.window_actor import WindowActor
from orchestrator.runtime.worker_keeper import Starts, WorkerKeeper, Workshop

log = logging.getLogger(__name__)

SENTINEL_OPEN_S = 0.25
SENTINEL_SHUT_S = 2.0
SITE_EVENTS_WAITING = 256
STOP_LIMIT_S = 1.5
SITE = ""
"""The ledger's name for events that belong to no camera."""


@dataclass(frozen=True, slots=True)
class CameraParts:
    """What belongs to one camera: its lane, its picture, the task that runs it."""

    actor: CameraActor
    picture: Picture
    task: asyncio.Task[None]

    @property
    def gate(self) -> Gate:
        """The camera's gate."""
        return self.actor.shutter.gate


class Site:
    """All cameras of one gateway. `look` and `close` may be called from any thread."""

    def __init__(
        self,
        *,
        chart: Chart,
        board: Board,
        ledger: Ledger,
        workshop: Workshop,
        tasks: asyncio.TaskGroup,
        now: Callable[[], Moment],
        random: Callable[[], float],
        changed: Callable[[CameraState], None],
    ) -> None:
        self.chart, self.board, self.ledger = chart, board, ledger
        self.cameras: dict[str, CameraParts] = {}
        self.watches = Watches(lambda: now().boottime_us)
        self.windows = WindowActor(board=board, ledger=ledger, now=now, look=self.look)
        self._workshop, self._tasks, self._now, self._random = workshop, tasks, now, random
        self._told_changed = changed
        self._starts = Starts(lambda: board.policy.worker.starts_per_second)
        self._loop = asyncio.get_running_loop()
        self._ended = threading.Event()
        self._sentinel = threading.Thread(target=self._keep_looking, name="volet-sentinel", daemon=True)
        self._events: deque[Sealed] = deque(maxlen=SITE_EVENTS_WAITING)
        self._news = asyncio.Event()
        self._faults = FaultsSeen()
        self._states: CameraStates = {}

    async def start(self, states: CameraStates) -> None:
        """Run a lane for every camera of the policy, from the states that the log gave. LogError when it
        does not say which windows there are."""
        await self.windows.load()
        self._states = states
        for camera in self.board.policy.cameras:
            self.add(camera)
        self._tasks.create_task(self._write_site_events(), name="site-events")
        self._tasks.create_task(self.windows.run(), name="windows")
        self._tasks.create_task(self._housekeeping(), name="housekeeping")
        self._sentinel.start()

    def add(self, camera: str) -> None:
        """A camera of the policy in force gets its lane."""
        gate = Gate()
        picture = Picture(lambda: self._now().boottime_us, self._drop_viewer(gate))
        shutter = Shutter(gate, self._now, lambda: self._wake(camera))
        keeper = WorkerKeeper(
            camera,
            shutter=shutter,
            picture=picture,
            workshop=self._workshop,
            starts=self._starts,
            tasks=self._tasks,
            now=self._now,
            random=self._random,
        )
        actor = CameraActor(
            camera,
            chart=self.chart,
            board=self.board,
            ledger=self.ledger,
            shutter=shutter,
            keeper=keeper,
            now=self._now,
            sums=lambda: self.watches.sums(camera),
            changed=self._changed,
            state=self._states.get(camera) or CameraState.new(camera),
        )
        keeper.tell, keeper.wake = actor.tell, actor.wake
        task = self._tasks.create_task(actor.run(), name=f"camera-{camera}")
        self.cameras[camera] = CameraParts(actor, picture, task)
        actor.wake()

    async def remove(self, camera: str) -> None:
        """A camera that the policy no longer has: closed before, and gone once that is proven (L2)."""
        if not await _came_to_rest([self.cameras[camera]]):
            log.warning("%s is removed before its closing is proven; the next start goes on with it", camera)
        parts = self.cameras.pop(camera)
        parts.actor.dismiss()
        parts.task.cancel()
        await asyncio.wait({parts.task})
        parts.actor.forget_timer()
        self._states = {**self._states, camera: parts.actor.state}

    @staticmethod
    def _drop_viewer(gate: Gate) -> Callable[[str], None]:
        def drop(watch: str) -> None:
            gate.cut(watch)

        return drop

    def _wake(self, camera: str) -> None:
        parts = self.cameras.get(camera)
        if parts is not None:
            parts.actor.wake()

    def _changed(self, state: CameraState) -> None:
        viewers = state.session.viewers if state.session else {}
        self.watches.keep_only(state.camera, viewers)
        self._told_changed(state)

    def masked(self, camera: str) -> bool:
        """Whether a mask is in force on this camera, if it is open at all; any thread."""
        parts, policy = self.cameras.get(camera), self.board.policy
        session = parts.actor.state.session if parts is not None else None
        purpose = policy.purpose(session.purpose) if session is not None else None
        return policy.cameras[camera].masked and (purpose is None or purpose.masks)

    def look(self, lane: str | None = None, by: Layer = "look") -> None:
        """Judge every camera (of that lane) now; any thread (S4)."""
        for camera, parts in list(self.cameras.items()):
            try:
                policy = self.board.policy.cameras.get(camera)
                if policy is not None and lane in (None, policy.lane):
                    parts.actor.look(by)
            except Exception:
                log.exception("%s could not be judged, so it is shut", camera)
                parts.actor.close(Why("close", SERVICE))

    def close(self, why: Why, cameras: Iterable[str] | None = None) -> None:
        """Shut these cameras (None: all) now; any thread."""
        for camera in list(self.cameras) if cameras is None else cameras:
            parts = self.cameras.get(camera)
            if parts is not None:
                parts.actor.close(why)

    def _keep_looking(self) -> None:
        while True:
            exposed = any(parts.actor.shutter.exposed for parts in list(self.cameras.values()))
            if self._ended.wait(SENTINEL_OPEN_S if exposed else SENTINEL_SHUT_S):
                return
            self.look(by="sentinel")

    def note(self, *events: Event) -> None:
        """Write events that belong to no camera, in order, when the log takes them; the loop's thread."""
        self._events.extend(self.ledger.seal(events, self._now()))
        self._news.set()

    async def write(self, event: Event) -> None:
        """An event that belongs to no camera, durable when this returns. LogError when the log does not take
        it."""
        await self.ledger.append(SITE, self.ledger.seal([event], self._now()))

    async def _write_site_events(self) -> None:
        while True:
            await self._news.wait()
            self._news.clear()
            await self.flush()

    async def flush(self) -> None:
        """Write what waits of the site's own events; what the log does not take is kept for it. Once
        stopped, without asking the log first: what it cannot take goes into the black box at once."""
        waits = self.ledger.is_pending(SITE) and not self._ended.is_set()
        if waits and await self.ledger.drain(SITE) is None:
            return
        while self._events:
            await self.ledger.append_closing(SITE, [self._events.popleft()])

    async def _housekeeping(self) -> None:
        while True:
            await asyncio.sleep(1)
            if self._ended.is_set():
                return
            for parts in list(self.cameras.values()):
                self._sweep(parts)
            camera = next(iter(self.cameras), None)
            if camera is not None:
                facts = self.board.facts(camera, self._now)
                self._faults, events = noticed(self._faults, present(facts), facts.now.boottime_us)
                self.note(*events)
            if self.ledger.anything_pending:
                self._news.set()
                for parts in list(self.cameras.values()):
                    parts.actor.wake()

    def _sweep(self, parts: CameraParts) -> None:
        parts.gate.sweep()
        actor = parts.actor
        if actor.state.place.substate == "reconnecting":
            self.watches.touch(actor.camera)
        for watch in self.watches.unread(actor.camera):
            self.leave(watch.id, "unread")

    def leave(self, watch: str, reason: str, fault: str | None = None) -> None:
        """A viewer has left, or is made to: their connections are purged and it is written down."""
        found = self.watches.find(watch)
        parts = self.cameras.get(found.camera) if found else None
        if found is None or parts is None:
            return
        self.watches.remove(watch)
        parts.gate.cut(watch)
        parts.picture.end_watch(watch)
        seconds = (self._now().boottime_us - found.joined_us) // 1_000_000
        parts.actor.tell(Leave(watch, seconds, found.size_bytes, reason, fault))

    async def stop(self) -> None:
        """Close everything by the service and wait, bounded, until each closing is proven."""
        for parts in self.cameras.values():
            parts.actor.dismiss()
        self.close(Why("close", SERVICE))
        if not await _came_to_rest(list(self.cameras.values())):
            log.warning("stopping before every closing is proven; the next start goes on with it")
        self._ended.set()


async def _came_to_rest(cameras: Iterable[CameraParts]) -> bool:
    """Whether, within the limit, the closing of each is proven."""
    try:
        async with asyncio.timeout(STOP_LIMIT_S):
            for parts in cameras:
                while not _at_rest(parts.actor):
                    await parts.actor.next_change()
    except TimeoutError:
        return False
    return True


def _at_rest(actor: CameraActor) -> bool:
    return actor.state.is_shut and actor.state.place != CLOSING and not actor.shutter.pending
