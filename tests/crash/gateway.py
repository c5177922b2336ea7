"""One gateway in one process, made of the product's own parts from the HTTP ports down, a worker's process
included; it tells what it has promised before it goes on."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, cast

from orchestrator.app import daemon, requests, windows
from orchestrator.app.doorbook import DoorBook
from orchestrator.app.house import SiteHouse
from orchestrator.app.log_views import LogViews
from orchestrator.app.membership import Membership
from orchestrator.app.repeats import Repeats
from orchestrator.app.requests import Requests
from orchestrator.app.windows import WindowDesk
from orchestrator.app.workshop import FfmpegWorkshop
from orchestrator.core.chain import uuid7
from orchestrator.core.commands import SERVICE
from orchestrator.core.events import Record, Sealed, observation
from orchestrator.core.facts import HostSight
from orchestrator.core.lane import LaneMemory
from orchestrator.core.moment import SECOND_US, Moment
from orchestrator.edges.http.ports import Answer, Caller, TransitionWish, WindowWish
from orchestrator.edges.worker.segments import wipe_all
from orchestrator.runtime import camera_actor, window_actor, worker_keeper
from orchestrator.runtime.blackbox import BlackBox
from orchestrator.runtime.board import Board
from orchestrator.runtime.event_store import EventStore, NotAppended
from orchestrator.runtime.event_store import store as event_store
from orchestrator.runtime.ledger import Ledger, SiteState, fold
from orchestrator.runtime.restart import recover
from orchestrator.runtime.site import Site
from orchestrator.runtime.site_fold import folding
from orchestrator.settings import Settings
from tests.core.scene import CHART, MAINTAINER, NO_VEHICLE, SENSOR_OK, proven, rule_broken, rule_held
from tests.runtime.one_gateway import POLICY, Clock

LIMIT_S = 30.0
SOON_S = 0.02
"""Where the product waits for a log that does not answer; the stories have a thousand such waits."""
SITE, SIZE_BYTES = "lot-12", 64 * 1024
PERSON = replace(MAINTAINER, roles=frozenset({"maintainer", "approver"}), cameras=None)
CALLER = Caller(PERSON, "d-laptop", "laptop", "127.0.0.2")
POLICY_HERE = replace(
    POLICY, worker=replace(POLICY.worker, first_frame_us=60 * SECOND_US, stall_us=60 * SECOND_US)
)
"""Nothing stalls by itself, however slow the machine is."""
PROOFS = {
    "interface": ("vpn-down", "netlink"),
    "listener": ("listener-exposed", "sockets"),
    "side_door": ("side-door", "sockets"),
    "config": ("config-invalid", "configuration"),
    "bus": ("broker-lost", "broker"),
    "bus_trusted": ("", "broker"),
    "memory": ("memory-not-private", "mounts"),
    "log": ("log-unwritable", "log"),
}

Tell = Callable[[str, Any], None]


@dataclass(frozen=True, slots=True)
class Place:
    """Where a gateway lives, and what it is made with."""

    folder: Path
    settings: Settings
    ffmpeg: Path
    """What runs as the worker's process, under the arguments and the confinement of the real one."""
    keeps_snapshots: bool = False
    """Whether the fold is kept, and each start has the whole log checked behind it, by another process."""

    @property
    def database(self) -> Path:
        """The log."""
        return self.folder / "events.db"

    @property
    def box(self) -> Path:
        """The black box."""
        return self.folder / "blackbox"

    @property
    def segments(self) -> Path:
        """Where workers write."""
        return self.folder / "segments"


class TellingStore:
    """The log; what it has taken is told before anybody else hears of it. `refuses`: the disk is full."""

    def __init__(self, store: EventStore[SiteState], tell: Tell) -> None:
        self._store, self._tell = store, tell
        self.refuses = False

    async def append(
        self, sealed: Sequence[Sealed], *, fence: Callable[[], bool] | None = None, patience_s: float = 3.0
    ) -> list[Record]:
        """As the store."""
        if self.refuses:
            raise NotAppended("the disk is full")
        records = await self._store.append(sealed, fence=fence, patience_s=patience_s)
        self._tell("logged", [record.sealed.id for record in records])
        return records

    async def state(self) -> SiteState:
        """As the store."""
        return await self._store.state()

    @property
    def last(self) -> Record | None:
        """As the store."""
        return self._store.last


class TellingBox:
    """The black box; what it has taken is told at once."""

    def __init__(self, box: BlackBox, tell: Tell) -> None:
        self._box, self.tell = box, tell

    def write(self, sealed: Sequence[Sealed], last_durable: str) -> None:
        """As the box."""
        self._box.write(sealed, last_durable)
        self.tell("boxed", [one.id for one in sealed])

    def clear(self) -> None:
        """As the box."""
        self._box.clear()


class TellingLedger(Ledger):
    """What is kept of a closing is told: it is in the log, or else in the black box."""

    async def append_closing(self, camera: str, sealed: Sequence[Sealed]) -> list[Record] | None:
        """As the ledger."""
        records = await super().append_closing(camera, sealed)
        assert isinstance(self.box, TellingBox)
        self.box.tell("kept", [one.id for one in sealed])
        return records


class _People:
    """Everybody is still who they were."""

    def still(self, caller: Caller) -> bool:
        return True


class Gateway:
    """A gateway that runs. `viewer` is the near end of a connection from somebody who watches."""

    def __init__(
        self,
        place: Place,
        store: EventStore[SiteState],
        box: BlackBox,
        tell: Tell,
        viewer: socket.socket | None,
    ) -> None:
        self.place, self.store, self.box, self.viewer = place, store, box, viewer
        self._tell = tell
        self.clock = Clock()
        self.board = Board(POLICY_HERE, members={PERSON.id: PERSON})
        self.log = TellingStore(store, tell)
        self.ledger = TellingLedger(
            self.log,
            TellingBox(box, tell),
            CHART,
            lambda: "sha256:config",
            os.urandom,
            lambda: LIMIT_S,
            lambda code, detail: None,
        )
        worker = replace(place.settings.worker, segments=place.segments)
        settings = replace(place.settings, policy=POLICY_HERE, worker=worker)
        self.workshop = FfmpegWorkshop(lambda: settings, lambda: str(place.ffmpeg), self.board.window_for)
        self.site: Site
        self.house: SiteHouse
        self.connection: asyncio.Transport | None = None
        self.feeding: asyncio.Task[None] | None = None
        self.news = asyncio.Event()
        self.all_is_well()

    def all_is_well(self) -> None:
        """Every fact is good."""
        for slot, (fault, source) in PROOFS.items():
            setattr(self.board, slot, proven(fault, source))
        self.board.host = HostSight(self.clock.boottime_us(), 120, 900 << 20, 41_000, None)
        self.sensor_says(rule_held(SENSOR_OK))

    def sensor_says(self, memory: Any) -> None:
        """What stands on the sensor's topic."""
        self.board.lanes["entry"] = LaneMemory(1, (rule_held(NO_VEHICLE), memory))

    def sensor_fails(self) -> None:
        """A hold rule breaks: the camera shuts before this returns (S4)."""
        self.sensor_says(rule_broken("EIO"))
        self.actor.look()

    def goes_bad(self, slot: str) -> None:
        """A proof is good no more, and everybody looks."""
        setattr(self.board, slot, replace(getattr(self.board, slot), good=False, since_us=None))
        self.actor.look()

    def passes(self, seconds: float) -> None:
        """Time passes on both clocks, and everybody looks."""
        self.clock.wait(seconds)
        self.board.host = HostSight(self.clock.boottime_us(), 120, 900 << 20, 41_000, None)
        self.actor.wake()

    async def start(self, tasks: asyncio.TaskGroup) -> None:
        """In the daemon's order (app/daemon.py `_serve`): wipe, recover, serve, say so."""
        await asyncio.to_thread(wipe_all, self.place.segments)
        boxed = self.box.entries()
        known = [entry.last_durable for entry in boxed.lines if entry.last_durable]
        contradicted = bool(known) and not await self.store.holds(known)
        sealed = [entry.sealed for entry in boxed.lines]
        states = await recover(self.ledger, CHART, sealed, self.now, self.workshop.wipe)
        self.site = Site(
            chart=CHART,
            board=self.board,
            ledger=self.ledger,
            workshop=self.workshop,
            tasks=tasks,
            now=self.now,
            random=lambda: 0.5,
            changed=lambda state: self.news.set(),
        )
        repeats = Repeats(self.store, self.now)
        await repeats.load()
        # Nobody in these stories reads the log over HTTP.
        logs = cast(LogViews, None)
        self.house = SiteHouse(
            self.site,
            logs,
            Requests(self.site, logs, repeats, look_around=lambda: None, new_id=self.new_id, now=self.now),
            DoorBook(self.site, self.now),
            WindowDesk(self.site, self.store, new_id=self.new_id, now=self.now),
            membership=cast(Membership, _People()),
            hosts=frozenset,
            new_id=self.new_id,
        )
        await self.store.checked()
        await self.store.probe()
        await self.site.start(states)
        if boxed.damaged or contradicted:
            self.site.close(daemon._tampered(boxed.damaged, contradicted))
        self.site.note(observation("service_started", SERVICE, data={"pid": os.getpid()}))

    def now(self) -> Moment:
        """Both clocks."""
        return self.clock.moment

    def new_id(self) -> str:
        """An id as the daemon gives them."""
        return uuid7(self.now().wall_us // 1000, os.urandom(10))

    @property
    def actor(self) -> camera_actor.CameraActor:
        """The first camera's lane."""
        return self.site.cameras["cam1"].actor

    @property
    def where(self) -> str:
        """Where the first camera is."""
        place = self.actor.state.place
        return place.state if place.substate is None else f"{place.state}.{place.substate}"

    async def until(self, true: Callable[[], bool]) -> None:
        """Wait until that is true; asked at each change, and now and then."""
        async with asyncio.timeout(LIMIT_S):
            while not true():
                self.news.clear()
                try:
                    async with asyncio.timeout(0.005):
                        await self.news.wait()
                except TimeoutError:
                    pass

    async def at(self, place: str) -> None:
        """Wait until the first camera is there."""
        await self.until(lambda: self.where == place)

    async def pull(self, trigger: str, **wish: Any) -> Answer:
        """Pull a trigger over the VPN under a key of its own; the answer is told before this goes on."""
        wish = {"reason": "aim the camera", "key": os.urandom(8).hex()} | wish
        return await self.pull_again(TransitionWish(trigger, **wish))

    async def pull_again(self, wish: TransitionWish) -> Answer:
        """The same, word for word."""
        answer = await self.house.transition("cam1", CALLER, wish)
        self._tell("answered", {"wish": asdict(wish), "events": answer.body["events"]})
        return answer

    async def opened(self, **wish: Any) -> None:
        """A session that is open."""
        await self.pull("request", **wish)
        await self.at("streaming.live")
        await self.until(lambda: self.actor.shutter.gate.is_open)

    async def watched(self) -> None:
        """Somebody joins, and picture flows to them as edges/http/live.py lets it."""
        answer = await self.house.join("cam1", CALLER)
        self.watch: str = answer.body["watch"]
        if self.connection is None and self.viewer is not None:
            loop = asyncio.get_running_loop()
            self.connection, _ = await loop.connect_accepted_socket(asyncio.Protocol, self.viewer)
        sent = asyncio.Event()
        self.feeding = asyncio.create_task(self._feed(sent), name="feed")
        async with asyncio.timeout(LIMIT_S):
            await sent.wait()

    async def _feed(self, sent: asyncio.Event) -> None:
        watch = self.house.watch(self.watch, CALLER)
        if self.connection is None or not watch.attach(self.connection):
            return
        async with aclosing(watch.fragments()) as fragments:
            async for fragment in fragments:
                if not watch.may_flow(CALLER):
                    return
                self.connection.write(fragment)
                watch.sent(len(fragment))
                sent.set()

    async def window(self) -> str:
        """A window of an hour, in force at once; its id."""
        wall_us = self.now().wall_us
        wish = WindowWish(("cam1", "cam2"), wall_us, wall_us + 3_600 * SECOND_US, "aim the cameras")
        answer = await self.house.add_window(CALLER, wish)
        return str(answer.body["id"])


def hurry() -> None:
    """In a process of stories alone: nobody waits long for a log that does not answer, or for a snapshot; and
    a worker that the machine, or who traces it, lets die slowly is waited for."""
    event_store.SNAPSHOT_EVERY_EVENTS = 4
    worker_keeper.PROOF_LIMIT_S = 2 * LIMIT_S
    camera_actor.DRAIN_EVERY_S = window_actor.DRAIN_EVERY_S = SOON_S
    requests.CLOSE_WAIT_S = windows.WRITTEN_WAIT_S = SOON_S


@asynccontextmanager
async def gateway(
    place: Place,
    tell: Tell = lambda kind, what: None,
    viewer: socket.socket | None = None,
    prepare: Callable[[Gateway], object] = lambda way: None,
) -> AsyncIterator[Gateway]:
    """A gateway that has recovered and runs; stopped as SIGTERM does when the body ends."""
    store: EventStore[SiteState] = EventStore(
        str(place.database),
        site=SITE,
        fold=fold,
        empty=SiteState(),
        folding=folding() if place.keeps_snapshots else None,
    )
    await store.open()
    box = BlackBox.open(place.box, SIZE_BYTES)
    try:
        way = Gateway(place, store, box, tell, viewer)
        prepare(way)
        try:
            async with asyncio.TaskGroup() as tasks:
                await way.start(tasks)
                yield way
                await _stop(way)
                raise _Over
        except* _Over:
            pass
    finally:
        box.close()
        await store.close()


async def _stop(way: Gateway) -> None:
    """As app/daemon.py `_stop_all`."""
    await way.site.stop()
    way.site.note(observation("service_stopped", SERVICE, data={"signal": "SIGTERM"}))
    await way.site.flush()
    await way.site.windows.kept()
    if way.feeding is not None:
        way.feeding.cancel()
    if way.connection is not None:
        way.connection.abort()


class _Over(Exception):
    """The story has come to its end."""
