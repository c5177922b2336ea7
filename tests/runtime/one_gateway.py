"""A gateway on the real log, black box, gate and lanes, with a scripted worker and a clock set by hand."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from orchestrator.core.camera_state import CameraState
from orchestrator.core.commands import Join, Request, Why
from orchestrator.core.events import Actor
from orchestrator.core.facts import HostSight, Proof
from orchestrator.core.lane import LaneMemory
from orchestrator.core.moment import SECOND_US, Moment
from orchestrator.core.policy import CameraPolicy, RecurringWindow
from orchestrator.core.worker import FailureClass, FirstFrame, Report, WorkerExited, WorkerStarted
from orchestrator.runtime.blackbox import MIN_SIZE_BYTES, BlackBox
from orchestrator.runtime.board import Board
from orchestrator.runtime.camera_actor import CameraActor
from orchestrator.runtime.event_store import EventStore, open_read_only, stream, verify
from orchestrator.runtime.ledger import Ledger, SiteState, fold
from orchestrator.runtime.picture import Picture
from orchestrator.runtime.restart import recover
from orchestrator.runtime.site import Site
from tests.core import scene
from tests.core.scene import CHART, MAINTAINER, NO_VEHICLE, SENSOR_OK, START, proven, rule_broken, rule_held
from tests.runtime.stoppable_store import LIMIT_S, StoppableStore

CLOSE = Why("close", Actor("local", "socket"))
POLICY = replace(
    scene.POLICY,
    cameras={
        "cam1": scene.CAMERA,
        "cam2": CameraPolicy("cam2", "entry", 900 * SECOND_US, 60 * SECOND_US, 120 * SECOND_US),
    },
    windows=(RecurringWindow("always", ("cam1", "cam2"), "0 0 * * *", 86_400 * SECOND_US),),
    worker=replace(scene.POLICY.worker, starts_per_second=2_000_000),
)


class Clock:
    """Both clocks, set by hand; any thread."""

    def __init__(self) -> None:
        self.moment = START

    def __call__(self) -> Moment:
        return self.moment

    def boottime_us(self) -> int:
        return self.moment.boottime_us

    def wait(self, seconds: float) -> None:
        self.moment = self.moment.after(int(seconds * SECOND_US))


class ScriptedWorker:
    """A child that does what the test says. `obedient`: it dies when it is told to."""

    def __init__(self, run: int, session: str, report: Callable[[Report], None], obedient: bool) -> None:
        self.run, self.session, self.obedient = run, session, obedient
        self.told_by: list[str] = []
        self.told = threading.Event()
        self._report = report
        self._loop = asyncio.get_running_loop()
        self._gone: asyncio.Future[WorkerExited] = self._loop.create_future()

    @property
    def alive(self) -> bool:
        return not self._gone.done()

    def start(self) -> None:
        self._loop.call_soon(self._report, WorkerStarted(self.run, 4_711, {"landlock": True}))

    def frame(self) -> None:
        self._report(FirstFrame(self.run))

    def dies(self, failure: FailureClass | None) -> None:
        if self._gone.done():
            return
        code, signal = (None, 15) if failure is None else (1, None)
        exited = WorkerExited(self.run, failure, code, signal, "", 12, failure is None)
        self._gone.set_result(exited)
        self._report(exited)

    def tell_to_die(self) -> None:
        self.told_by.append(threading.current_thread().name)
        self.told.set()
        if self.obedient:
            self._loop.call_soon_threadsafe(self.dies, None)

    async def stop(self) -> WorkerExited:
        self.tell_to_die()
        return await asyncio.shield(self._gone)


class ScriptedWorkshop:
    """The seam that exists for this: `worker_keeper.Workshop`."""

    def __init__(self) -> None:
        self.workers: list[ScriptedWorker] = []
        self.made = asyncio.Event()
        self.obedient = True
        self.wipes = True
        self.refuses: Exception | None = None

    def make(
        self, state: CameraState, run: int, now: Moment, picture: Picture, report: Callable[[Report], None]
    ) -> ScriptedWorker:
        if self.refuses is not None:
            raise self.refuses
        assert state.session is not None
        worker = ScriptedWorker(run, state.session.id, report, self.obedient)
        self.workers.append(worker)
        self.made.set()
        return worker

    async def wipe(self, camera: str) -> bool:
        return self.wipes

    @property
    def alive(self) -> list[ScriptedWorker]:
        return [worker for worker in self.workers if worker.alive]


class Gateway:
    """One gateway, from an opened log; `site` runs two cameras, `actor` is the first one's lane."""

    def __init__(self, folder: Path, store: EventStore[SiteState], box: BlackBox) -> None:
        self.path, self.box = folder / "events.db", box
        self.clock = Clock()
        self.board = Board(POLICY, members={MAINTAINER.id: MAINTAINER})
        self.log = StoppableStore(store)
        self.patience_s = 3.0
        self.troubles: list[str] = []
        self.ledger = Ledger(
            self.log,
            box,
            CHART,
            lambda: "sha256:config",
            os.urandom,
            lambda: self.patience_s,
            lambda code, _: self.troubles.append(code),
        )
        self.workshop = ScriptedWorkshop()
        self.site: Site
        self._news = asyncio.Event()
        self._sessions = 0
        self.all_is_well()

    def all_is_well(self) -> None:
        """Every fact is good."""
        board = self.board
        board.interface = proven("vpn-down", "netlink")
        board.listener = proven("listener-exposed", "sockets")
        board.side_door = proven("side-door", "sockets")
        board.config = proven("config-invalid", "configuration")
        board.bus = proven("broker-lost", "broker")
        board.bus_trusted = proven("", "broker")
        board.memory = proven("memory-not-private", "mounts")
        board.log = proven("log-unwritable", "log")
        board.host = HostSight(START.boottime_us, 120, 900 << 20, 41_000, None)
        self.lane_says()

    def lane_says(self, *, vehicle: bool = False, error: bool = False) -> None:
        """What stands in the lane."""
        rules = (
            rule_broken("1") if vehicle else rule_held(NO_VEHICLE),
            rule_broken("EIO") if error else rule_held(SENSOR_OK),
        )
        self.board.lanes["entry"] = LaneMemory(1, rules)

    def passes(self, seconds: float) -> None:
        """Time passes; the host is looked at again, and so is the camera."""
        self.clock.wait(seconds)
        now_us = self.clock.boottime_us()
        self.board.host = HostSight(now_us, 120, 900 << 20, 41_000, None)
        self.actor.wake()

    def goes_bad(self, slot: str, fault: str) -> None:
        """One of the proofs is good no more."""
        proof: Proof = getattr(self.board, slot)
        setattr(self.board, slot, replace(proof, good=False, fault=fault, since_us=None))

    async def run(self, tasks: asyncio.TaskGroup) -> None:
        """Recover from the log and the box, then run the lanes."""
        boxed = [entry.sealed for entry in self.box.entries().lines]
        states = await recover(self.ledger, CHART, boxed, self.clock, self.workshop.wipe)
        self.site = Site(
            chart=CHART,
            board=self.board,
            ledger=self.ledger,
            workshop=self.workshop,
            tasks=tasks,
            now=self.clock,
            random=lambda: 0.5,
            changed=lambda _: self._news.set(),
        )
        await self.site.start(states)

    @property
    def actor(self) -> CameraActor:
        return self.site.cameras["cam1"].actor

    @property
    def state(self) -> CameraState:
        return self.actor.state

    @property
    def gate_is_open(self) -> bool:
        return self.actor.shutter.gate.is_open

    async def until(self, true: Callable[[], bool]) -> None:
        """Wait until that is true; it is asked anew after each change of a state, and on the loop's turns."""
        async with asyncio.timeout(LIMIT_S):
            while not true():
                self._news.clear()
                try:
                    async with asyncio.timeout(0.01):
                        await self._news.wait()
                except TimeoutError:
                    pass

    async def at(self, place: str) -> None:
        """Wait until the first camera is there; and, when it is shut, until the log says how that came: what
        a disk is slow to take is in the black box first."""
        await self.until(lambda: str(self.state.place) == place)
        if self.state.is_shut:
            await self.settled()

    async def settled(self) -> None:
        """Wait until nothing of the first camera, nor of the site, waits for the log."""
        await self.until(lambda: not self.actor.closing_pending and not self.ledger.anything_pending)

    def wish(self, **rest: Any) -> Request:
        """The maintainer's request, on the laptop."""
        self._sessions += 1
        wish: dict[str, Any] = {
            "session": f"s-{self._sessions}-{os.urandom(3).hex()}",
            "member": "m-1",
            "device": "d-laptop",
            "purpose": "alignment",
            "duration_s": None,
            "wait_s": 60,
            "person": {"reason": "aim the camera"},
        }
        return Request(**(wish | rest))

    async def checked(self, **rest: Any) -> ScriptedWorker:
        """A session whose worker has started."""
        await self.actor.ask(self.wish(**rest))
        await self.until(lambda: bool(self.state.session and self.state.session.running))
        return self.workshop.workers[-1]

    async def opened(self, **rest: Any) -> ScriptedWorker:
        """A session that is open."""
        worker = await self.checked(**rest)
        worker.frame()
        await self.at("streaming.live")
        await self.until(lambda: self.gate_is_open)
        return worker

    async def join(self, watch: str) -> None:
        """The maintainer watches."""
        await self.actor.ask(Join(watch, "m-1", "d-laptop", {"name": "Maintainer A"}))
        self.site.watches.add(watch, "cam1", "m-1", "d-laptop")

    def events(self, camera: str = "cam1") -> list[str]:
        """What stands in the log of that camera, read with a connection of our own."""
        return [name for name, _ in self.written(camera) if name != "lane_changed"]

    def written(self, camera: str = "cam1") -> list[tuple[str, Any]]:
        """The name and data of each event of that camera."""
        with open_read_only(self.path) as reader:
            records = list(stream(reader))
        return [(r.event.name, r.event.data) for r in records if r.event.camera == camera]

    def data(self, name: str) -> Any:
        """The data of the newest event of that name."""
        return [data for found, data in self.written() if found == name][-1]

    async def agrees(self) -> None:
        """The log verifies, every move in it is legal, and its fold is the live state (S12)."""
        await self.until(lambda: not self.actor.closing_pending and not self.actor.shutter.pending)
        states = (await self.log.state()).cameras
        for camera, parts in self.site.cameras.items():
            assert states.get(camera, CameraState.new(camera)) == parts.actor.state
        agrees(self.path)


def agrees(path: Path) -> None:
    """The log at `path` verifies, and every move in it is legal from where its fold stands (S12)."""
    with open_read_only(path) as reader:
        verdict = verify(reader)
        assert verdict.word == "consistent", verdict.sentences
        records = list(stream(reader))
    site = SiteState()
    for record in records:
        event = record.event
        if event.type == "transition":
            before = site.cameras.get(event.camera or "") or CameraState.new(event.camera or "")
            assert event.source == before.place, (record.seq, event.name)
            assert event.target is not None
            assert CHART.permits(before.place, event.name, event.target), (record.seq, event.name)
        site = fold(site, record)


@asynccontextmanager
async def gateway(
    folder: Path, prepare: Callable[[Gateway], object] = lambda way: None
) -> AsyncIterator[Gateway]:
    """A gateway that runs, prepared before it recovers; at the end it is stopped, and its log must verify."""
    store: EventStore[SiteState] = EventStore(
        str(folder / "events.db"), site="lot-12", fold=fold, empty=SiteState()
    )
    await store.open()
    box = BlackBox.open(folder / "blackbox", MIN_SIZE_BYTES)
    try:
        running = Gateway(folder, store, box)
        prepare(running)
        try:
            async with asyncio.TaskGroup() as tasks:
                await running.run(tasks)
                yield running
                await running.site.stop()
                raise _Over
        except* _Over:
            pass
    finally:
        box.close()
        await store.close()
    agrees(folder / "events.db")


class _Over(Exception):
    """The test has seen what it wanted."""
