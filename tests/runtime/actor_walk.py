"""A gateway on which anything may be asked and anything may happen, one line of a story after the other.

Lanes, gates, keeper of workers, windows, ledger, black box and SQLite are the product's own. A kill is a
copy of the folder as it is at that instant, and a gateway that starts from it. Whatever was done, the lanes
come to rest before anything is judged.
"""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from orchestrator.core.commands import Command, Request
from orchestrator.core.events import Record
from orchestrator.core.facts import HostSight, Proof
from orchestrator.core.lane import LaneMemory
from orchestrator.core.moment import SECOND_US, Moment
from orchestrator.core.policy import Member, Policy
from orchestrator.core.refusal import Refusal
from orchestrator.core.window import Span
from orchestrator.core.window_book import Window
from orchestrator.runtime.camera_actor import CameraActor
from orchestrator.runtime.event_store import LogReader, open_read_only, stream
from orchestrator.runtime.gate import Gate
from orchestrator.runtime.ledger import SiteState, fold
from tests.core.scene import NO_VEHICLE, SENSOR_OK, START, proven, rule_broken, rule_held
from tests.model.real_parts import Box
from tests.model.weather import LANES, POLICY, PROOFS, SILENCE_S
from tests.runtime.one_gateway import Gateway, gateway
from tests.runtime.stoppable_store import LIMIT_S
from tests.runtime.walk_parts import Broken, Crew, Lane, Log

CAMERAS = tuple(LANES)
SITE: Policy = replace(POLICY, worker=replace(POLICY.worker, starts_per_second=2_000_000))
DEVICES = {"key-1": "d-laptop", "key-2": "d-phone"}
MEMBERS = {
    name: Member(name, f"Maintainer {name}", frozenset({"maintainer"}), frozenset(CAMERAS), DEVICES)
    for name in ("m-1", "m-2")
}
REFUSALS = frozenset(
    {
        *("not-permitted", "closing", "cooling-down", "locked", "closed-meanwhile", "log-unwritable"),
        *("too-many-viewers", "shut", "unknown-window", "invalid-body", "slow-down"),
    }
)
LOOK_AGAIN_S = 0.002


@dataclass
class Known:
    """What the walk itself knows of the world, to be compared with what the product makes of it.

    `since`: from when (boot clock) each proof and rule has held; `asked`: of which camera and under which
    generation each session was asked for; `rows` and `site`: the log as read from the disk, and its fold;
    `acknowledged`: the hash of each event that an answer held and that has not been found there yet.
    """

    broken: set[str] = field(default_factory=set)
    since: dict[str, int] = field(default_factory=dict)
    unseen: bool = False
    unseen_since_us: int = 0
    overloaded_us: int | None = None
    windows: dict[str, Window] = field(default_factory=dict)
    asked: dict[str, tuple[str, int]] = field(default_factory=dict)
    acknowledged: dict[int, str] = field(default_factory=dict)
    rows: list[Record] = field(default_factory=list)
    rows_of: Counter[str | None] = field(default_factory=Counter)
    ids: set[str] = field(default_factory=set)
    site: SiteState = field(default_factory=SiteState)


@dataclass(frozen=True, slots=True)
class Seen:
    """One camera as it stood at rest; `rows` is how many rows of the log were about it."""

    state: object
    generation: int
    gate_open: bool
    workers: tuple[tuple[str, int], ...]
    rows: int


class Walk:
    """One gateway after the other, from one folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.lives = self.ids = 0
        self.known = Known()
        self.killed = False
        self._moment = START
        self._asks: set[asyncio.Task[Any]] = set()
        self._failed: list[BaseException] = []
        self._news = asyncio.Event()
        self._life = AsyncExitStack()
        self._reader: LogReader | None = None
        self.way: Gateway
        self.log: Log
        self.box: Box
        self.crew: Crew
        self.locker: sqlite3.Connection | None = None

    # One life after the other.

    async def starts(self, *, reboots: bool = False) -> None:
        """A gateway starts, from the folder as the last one leaves it at this instant."""
        self.lives += 1
        after = self._folder / f"life-{self.lives}"
        if self.lives == 1:
            after.mkdir()
        else:
            before = self._folder / f"life-{self.lives - 1}"
            await asyncio.to_thread(shutil.copytree, before, after)
            self._moment = self.way.clock.moment
            await self.ends()
            await asyncio.to_thread(shutil.rmtree, before)
        if reboots:
            self._moment = replace(self._moment, boottime_us=50 * SECOND_US, boot=f"boot-{self.lives}")
        await self._life.enter_async_context(gateway(after, self._prepare))
        self._reader = self._life.enter_context(open_read_only(self.way.path))
        if self.known.rows:
            last = next(stream(self._reader, after=len(self.known.rows) - 1, limit=1), None)
            assert last is not None, "F17: the log is shorter than it was"
            assert last.hash == self.known.rows[-1].hash, "F17: the log is another"
        self.killed = self.lives > 1
        await self.rests()
        self.known.windows = dict(self.known.site.windows)

    def _prepare(self, way: Gateway) -> None:
        self.way, self._news = way, asyncio.Event()
        self.log, self.box = Log(way.log._store, self.tell), Box(way.box)
        self.crew = Crew(self.tell)
        way.workshop = self.crew  # type: ignore[assignment]
        way.log = self.log
        way.ledger.store, way.ledger.box = self.log, self.box
        way.clock.moment = self._moment
        board, known, now_us = way.board, self.known, self._moment.boottime_us
        board.policy = SITE
        known.since = dict.fromkeys((*PROOFS, *(f"{c} {r}" for c in CAMERAS for r in RULES)), now_us)
        known.unseen, known.unseen_since_us = False, now_us
        if known.overloaded_us is not None:
            known.overloaded_us = now_us
        self.puts_all()

    async def ends(self) -> None:
        """The life that is over does to itself what it still does."""
        self.log.refuses = self.log.hangs = False
        self.log.stops_in = None
        self.lock(False)
        await self.log.go_on("fails")
        self.crew.goes_home()
        await self._life.aclose()
        unheard = list(self._asks)
        for asking in unheard:
            asking.cancel()
        if unheard:
            await asyncio.wait(unheard)

    def lock(self, held: bool) -> None:
        """Another process holds the log's file, or lets it go."""
        self.log.locked = held
        if self.locker is not None:
            self.locker.close()
            self.locker = None
        if held:
            self.locker = sqlite3.connect(self.way.path, isolation_level=None)
            self.locker.execute("BEGIN EXCLUSIVE")

    # What is known.

    @property
    def now(self) -> Moment:
        """Both clocks."""
        return self.way.clock.moment

    def actor(self, camera: str) -> CameraActor:
        """That camera's lane."""
        return self.way.site.cameras[camera].actor

    def gate(self, camera: str) -> Gate:
        """That camera's gate."""
        return self.actor(camera).shutter.gate

    def puts_all(self) -> None:
        """Every source has looked just now."""
        board, known, now_us = self.way.board, self.known, self.way.clock.boottime_us()
        board.members = {name: m for name, m in MEMBERS.items() if f"{name}'s right" not in known.broken}
        for name in PROOFS:
            self.puts(name)
        board.host = HostSight(now_us, 120, 900 << 20, 41_000, known.overloaded_us)
        for camera in CAMERAS:
            self.puts_lane(camera)

    def puts(self, name: str) -> None:
        """One of the proofs, as it is."""
        known, now_us = self.known, self.way.clock.boottime_us()
        good = name not in known.broken
        proof: Proof = proven(PROOFS[name], name)
        seen_us = known.unseen_since_us if name == "interface" and known.unseen else now_us
        proof = replace(proof, good=good, seen_at_us=seen_us, since_us=known.since[name] if good else None)
        if name == "interface":
            proof = replace(proof, max_age_us=SILENCE_S * SECOND_US)
        setattr(self.way.board, name, proof)

    def puts_lane(self, camera: str) -> None:
        """What the rules of that camera's lane remember."""
        rules = []
        for rule, text in ((NO_VEHICLE, "1"), (SENSOR_OK, "EIO")):
            name = f"{camera} {'vehicle' if rule is NO_VEHICLE else 'sensor'}"
            broken = name in self.known.broken
            rules.append(rule_broken(text) if broken else rule_held(rule, self.known.since[name]))
        self.way.board.lanes[LANES[camera]] = LaneMemory(1, tuple(rules))

    def window_open(self, camera: str) -> Span | None:
        """The windows of that camera that are open now, as one: they overlap or touch."""
        now_us = self.now.wall_us
        approved = [w for w in self.known.windows.values() if not w.cancelled and camera in w.cameras]
        if not any(w.start_us <= now_us < w.end_us for w in approved):
            return None
        end_us, names = now_us, []
        while longer := [w for w in approved if w.start_us <= end_us < w.end_us]:
            end_us = max(w.end_us for w in longer)
            names += [w.id for w in longer]
        return Span(now_us, end_us, tuple(names))

    # What is asked, and when it is over.

    def ask(self, camera: str, command: Command) -> None:
        """Somebody asks and waits for the answer; a refusal is one."""
        if isinstance(command, Request):
            self.known.asked[command.session] = camera, self.gate(camera).generation
        self.hears(self.actor(camera).ask(command), self._acknowledged)

    def hears(self, asking: Awaitable[Any], heard: Callable[[Any], object]) -> None:
        """The answer is told to `heard`, unless it is a refusal."""

        async def answered() -> None:
            try:
                answer = await asking
            except Refusal as refusal:
                if refusal.code not in REFUSALS:
                    raise
            else:
                heard(answer)

        task = asyncio.ensure_future(answered())
        self._asks.add(task)
        task.add_done_callback(self._over)

    def _over(self, task: asyncio.Task[Any]) -> None:
        self._asks.discard(task)
        problem = None if task.cancelled() else task.exception()
        if problem is not None:
            self._failed.append(problem)
        self.tell()

    def _acknowledged(self, records: list[Record]) -> None:
        self.known.acknowledged |= {record.seq: record.hash for record in records}

    def tell(self) -> None:
        """Something has happened: whoever waits looks again."""
        self._news.set()

    def is_at_rest(self) -> bool:
        """Whether nothing goes on by itself any more."""
        site, works = self.way.site, self.log.works
        if self._asks or self.log.waiting:
            return False
        for camera, parts in site.cameras.items():
            actor = parts.actor
            assert isinstance(actor, Lane)
            if not actor.rests or (actor.closing_pending and works):
                return False
            if actor.keeper._stopping is not None and not self.crew.holds(camera):
                return False
            if any(hand.is_about_to for hand in self.crew.alive(camera)):
                return False
        windows = site.windows
        return not windows.pending or (not works and windows._handed == len(windows._unwritten))

    async def rests(self) -> None:
        """Wait until then; what waits for the log is told that it works, as it is each second."""
        if self.log.works and self.way.ledger.anything_pending:
            for camera in CAMERAS:
                self.actor(camera).wake()
        await self._until(self.is_at_rest)
        if self._failed:
            raise self._failed[0]
        self._read()
        self.way.board.last_event_wall_us = self.known.site.latest_us(SITE.require_clock_sync)

    async def stands_or_rests(self) -> None:
        """Wait until the log's thread stands still, or there is nothing to do."""
        await self._until(lambda: self.log.stands or self.is_at_rest())

    async def _until(self, true: Callable[[], bool]) -> None:
        until_s = asyncio.get_running_loop().time() + LIMIT_S
        while not true():
            if asyncio.get_running_loop().time() > until_s:
                raise Broken("l1_the_lanes_come_to_rest", f"they do not: {self._what_goes_on()}")
            self._news.clear()
            try:
                async with asyncio.timeout(LOOK_AGAIN_S):
                    await self._news.wait()
            except TimeoutError:
                pass

    def _what_goes_on(self) -> str:
        windows = self.way.site.windows
        of_cameras = [
            (
                camera,
                str(parts.actor.state.place),
                {"rests": parts.actor.rests} if isinstance(parts.actor, Lane) else {},
                {"pending": parts.actor.closing_pending, "proving": parts.actor.keeper._stopping is not None},
                {"held": self.crew.holds(camera), "workers": len(self.crew.alive(camera))},
            )
            for camera, parts in self.way.site.cameras.items()
        ]
        of_windows = windows.pending, windows._handed, len(windows._unwritten), windows._unsure
        return f"asks {len(self._asks)}, appends {self.log.waiting}, {of_cameras}, windows {of_windows}"

    def _read(self) -> None:
        """What the log holds besides what was read before, with a connection of our own."""
        assert self._reader is not None
        known, last = self.known, self.log.last
        if last is None or last.seq == len(known.rows):
            return
        for record in stream(self._reader, after=len(known.rows)):
            known.rows.append(record)
            known.rows_of[record.event.camera] += 1
            known.site = fold(known.site, record)

    def seen(self, camera: str) -> Seen:
        """That camera as it stands."""
        actor, gate = self.actor(camera), self.gate(camera)
        workers = tuple((hand.session, hand.run) for hand in self.crew.alive(camera))
        return Seen(actor.state, gate.generation, gate.is_open, workers, self.known.rows_of[camera])


RULES = ("vehicle", "sensor")
