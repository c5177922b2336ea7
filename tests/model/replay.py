"""The stories once more, on the real lanes, gate, ledger, black box and SQLite: a step of the text is done
there.

A kill is a copy of the folder as it is at that instant, and a gateway that starts from it. While the log
is asked, its own thread stands still between INSERT and COMMIT. A second camera, in another lane, streams
all along: what is no concern of the whole site leaves it as it was (S14).
"""

from __future__ import annotations

import asyncio
import shutil
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

from orchestrator.core.commands import Acknowledge, Command, Extend, Join, Leave
from orchestrator.core.lane import LaneMemory
from orchestrator.core.moment import SECOND_US
from orchestrator.core.policy import CameraPolicy, RecurringWindow
from orchestrator.core.worker import FailureClass
from tests.core.scene import MAINTAINER, NO_VEHICLE, SENSOR_OK, START, rule_broken, rule_held
from tests.model.explore import Line
from tests.model.real_parts import Box, Store, Worker, Workshop
from tests.model.weather import ASKED_S, MORE_S, POLICY, PROOFS, TICK_S, WAIT_S
from tests.model.world import ANYONE, HOUR_S, STEPS
from tests.runtime.one_gateway import Gateway, gateway

ALWAYS = (RecurringWindow("always", ("cam1", "cam2"), "0 0 * * *", 86_400 * SECOND_US),)
TWO_CAMERAS = replace(
    POLICY,
    cameras={
        **POLICY.cameras,
        "cam2": CameraPolicy("cam2", "exit", 3_000 * SECOND_US, 60 * SECOND_US, 3_000 * SECOND_US),
    },
    windows=ALWAYS,
    worker=replace(POLICY.worker, starts_per_second=2_000_000),
)
BOTH = replace(MAINTAINER, cameras=frozenset({"cam1", "cam2"}))
BREAKS = {
    "the VPN goes": "interface",
    "a stray listener appears": "listener",
    "the source listens on the LAN": "side_door",
    "the configuration breaks": "config",
    "the broker goes": "bus",
    "swap is switched on": "memory",
    "the log's probe fails": "log",
}
MENDS = {
    "the VPN comes back": "interface",
    "the stray listener is gone": "listener",
    "the source is private again": "side_door",
    "the configuration is mended": "config",
    "the broker comes back": "bus",
    "swap is switched off": "memory",
    "the log's probe passes": "log",
}
OURS_ALONE = (
    *("the maintainer asks", "somebody else asks as well", "the maintainer extends", "somebody closes"),
    *(
        "an approver acknowledges",
        "a viewer joins",
        "the viewer leaves",
        "the first frame comes",
        "the worker fails",
    ),
    *("the camera does not let the worker in", "the worker is proven gone", "the worker is not proven gone"),
    *("a vehicle comes", "the vehicle leaves", "the sensor fails", "the sensor recovers"),
    *("ten seconds pass", "ten seconds pass in a session", "no worker can be started"),
    *("the black box takes nothing", "the black box takes again"),
)
"""Steps that leave another camera as it was."""
BOARD = (*PROOFS, "host", "lanes", "policy", "members")


class Replay:
    """One story on real parts."""

    def __init__(self, folder: Path, stack: AsyncExitStack) -> None:
        self._folder, self._stack = folder, stack
        self._lives = 0
        self._asks: set[asyncio.Task[Any]] = set()
        self._moment = START
        self._since = {"vehicle": 1, "sensor": 1}
        self._broken: set[str] = set()
        self._alone = True
        self._other_generation = 0
        self.way: Gateway
        self.store: Store
        self.box: Box
        self.workshop: Workshop

    async def starts(self) -> None:
        """A gateway starts, from the folder as the last one left it."""
        self._lives += 1
        after = self._folder / f"life-{self._lives}"
        if self._lives == 1:
            after.mkdir()
        else:
            before = self._folder / f"life-{self._lives - 1}"
            await asyncio.to_thread(shutil.copytree, before, after)
            self._moment = self.way.clock.moment
            await self._leaves()
        self.way = await self._stack.enter_async_context(gateway(after, self._prepare))
        self.workshop.runs = True

    def _prepare(self, way: Gateway) -> None:
        self.store, self.box, self.workshop = Store(way.log._store), Box(way.box), Workshop()
        way.log, way.workshop = self.store, self.workshop
        way.ledger.store, way.ledger.box = self.store, self.box
        if self._lives > 1:
            for name in BOARD:
                setattr(way.board, name, getattr(self.way.board, name))
        else:
            way.board.policy, way.board.members = TWO_CAMERAS, {BOTH.id: BOTH}
            way.board.lanes["exit"] = way.board.lanes["entry"]
        way.clock.moment = self._moment

    async def _leaves(self) -> None:
        """What the killed one still does, it does to itself."""
        self.store.refuses = self.store.hangs = False
        await self.store.go_on("fails")
        await self.ends()

    async def ends(self) -> None:
        """Nothing waits for a story any more."""
        self.workshop.runs = False
        self.workshop.proof = True
        for worker in self.workshop.workers:
            worker.obedient = True
            if worker.told_by:
                worker.dies(None)

    async def another_streams(self) -> None:
        """The second camera, for as long as the story goes on (S14)."""
        actor = self.way.site.cameras["cam2"].actor
        await actor.ask(replace(self.way.wish(), duration_s=2_400))
        await self.way.until(lambda: bool(actor.state.session and actor.state.session.running))
        self.workshop.other.frame()
        await self.way.until(lambda: actor.shutter.gate.is_open)
        self._other_generation = actor.shutter.gate.generation

    def where(self) -> str:
        """As a line of a story says it."""
        way = self.way
        gate = "gate open" if way.gate_is_open else "gate shut"
        pending = ", not in the log yet" if way.ledger.is_pending("cam1") else ""
        return f"{way.state.place}, {gate}{pending}"

    def _rests(self) -> bool:
        actor = self.way.actor
        session = None if actor.state.is_shut else actor.state.session
        unheard = session is not None and not session.running and bool(self.workshop.alive)
        return not (actor._has_work() or self.store.waiting or self._asks or unheard)

    async def line(self, line: Line, leads: str) -> None:
        """Do what the line says; the lane must come to rest where it leads."""
        if line.between:
            self.store.stop_at(line.under_way)
        await self._does(line.step)
        if line.between:
            await self.store.begun()
            await self._does(line.between)
            if "starts" not in line.between and line.between not in ("the disk hangs", "the disk refuses"):
                await self.store.go_on("asks")
        try:
            await self.way.until(lambda: self._rests() and self.where() == leads)
        except TimeoutError:
            busy = self.way.actor._has_work(), self.store.waiting, len(self._asks)
            told = f"{line}: {self.where()} and not {leads}, busy {busy}; the log: {self.way.events()}"
            raise AssertionError(told) from None
        self._alone = self._alone and {line.step, line.between or line.step} <= set(OURS_ALONE)
        if self._alone:
            gate = self.way.site.cameras["cam2"].gate
            assert gate.is_open, line
            assert gate.generation == self._other_generation, line

    async def _does(self, step: str) -> None:
        way = self.way
        last = self.store.last
        way.board.last_event_wall_us = last.sealed.at.wall_us if last else 0
        if step in BREAKS or step in MENDS:
            self._turns(BREAKS.get(step) or MENDS[step], step in MENDS)
        elif "starts" in step:
            if step.endswith("is there"):
                await self.store.go_on("lands")
            await self.starts()
            return
        elif step.startswith("the disk"):
            await self._disk(step)
        elif step in ("the worker is proven gone", "the worker is not proven gone"):
            await self._proof(step == "the worker is proven gone")
        else:
            self._happens(step)
        if STEPS[step].shuts:
            assert not way.gate_is_open, f"S13: {step}"

    async def _proof(self, proven: bool) -> None:
        if proven and self.workshop.alive:
            self._worker().exits(FailureClass.KILLED)
            await self.way.until(self._rests)
        self.workshop.proof = proven
        await self.way.until(lambda: self.workshop.proof is None)

    async def _disk(self, step: str) -> None:
        self.store.hangs, self.store.refuses = step == "the disk hangs", step == "the disk refuses"
        if not self.store.hangs:
            await self.store.go_on("lands" if step.endswith("is there") else "fails")

    def _turns(self, slot: str, good: bool) -> None:
        way, now_us = self.way, self.way.clock.boottime_us()
        proof = getattr(way.board, slot)
        since_us = now_us if good else None
        setattr(way.board, slot, replace(proof, good=good, since_us=since_us, seen_at_us=now_us))
        way.site.look()

    def _happens(self, step: str) -> None:
        way = self.way
        match step:
            case "the maintainer asks" | "somebody else asks as well":
                self._ask(way.wish(duration_s=ASKED_S, wait_s=WAIT_S))
            case "the maintainer extends":
                self._ask(Extend("m-1", MORE_S, {"reason": "not done"}))
            case "an approver acknowledges":
                self._ask(Acknowledge("m-2", frozenset(), {"reason": "mended"}))
            case "a viewer joins":
                self._ask(Join("w-1", "m-1", "d-laptop", {"name": "Maintainer A"}))
            case "the viewer leaves":
                way.actor.tell(Leave("w-1", 12, 4_096, "left"))
            case "somebody closes":
                way.actor.close(ANYONE)
            case "the first frame comes":
                self.workshop.workers[-1].frame()
            case "the worker fails":
                self._worker().exits(FailureClass.REFUSED)
            case "the camera does not let the worker in":
                self._worker().exits(FailureClass.UNAUTHORISED)
            case "no worker can be started":
                self.workshop.refuses = OSError("no such file")
            case "workers can be started again":
                self.workshop.refuses = None
            case "the black box takes nothing" | "the black box takes again":
                self.box.takes = step.endswith("again")
            case _:
                self._weather(step)

    def _worker(self) -> Worker:
        worker = self.workshop.workers[-1]
        assert isinstance(worker, Worker)
        return worker

    def _ask(self, command: Command) -> None:
        task = asyncio.ensure_future(self.way.actor.ask(command))
        self._asks.add(task)
        task.add_done_callback(self._answered)

    def _answered(self, task: asyncio.Task[Any]) -> None:
        self._asks.discard(task)
        # A refusal is an answer too: where it leads to stands in the story.
        task.exception()

    def _weather(self, step: str) -> None:
        way = self.way
        board, moment = way.board, way.clock.moment
        match step:
            case "ten seconds pass" | "ten seconds pass in a session":
                way.clock.moment = moment.after(TICK_S * SECOND_US)
                self._all_is_looked_at()
            case "a vehicle comes" | "the vehicle leaves":
                self._rule("vehicle", step == "a vehicle comes")
            case "the sensor fails" | "the sensor recovers":
                self._rule("sensor", step == "the sensor fails")
            case "the window is cancelled" | "a window is approved":
                windows = ALWAYS if step == "a window is approved" else ()
                board.policy = replace(board.policy, windows=windows)
            case "the member loses the right" | "the member has the right again":
                board.members = {BOTH.id: BOTH} if step.endswith("again") else {}
            case "the gateway is overloaded" | "the gateway has room again":
                assert board.host is not None
                since_us = None if step.endswith("again") else moment.boottime_us
                board.host = replace(board.host, overloaded_since_us=since_us)
            case "the clock loses its source" | "the clock is synchronised again":
                way.clock.moment = replace(moment, synchronised=step.endswith("again"))
            case "the wall clock steps back":
                way.clock.moment = replace(moment, wall_us=moment.wall_us - HOUR_S * SECOND_US)
            case "the wall clock is set right":
                wall_us = START.wall_us + moment.boottime_us - START.boottime_us
                way.clock.moment = replace(moment, wall_us=wall_us)
            case _:
                raise AssertionError(f"nobody knows how to do this to a real gateway: {step}")
        way.site.look()

    def _all_is_looked_at(self) -> None:
        board, now_us = self.way.board, self.way.clock.boottime_us()
        for name in PROOFS:
            setattr(board, name, replace(getattr(board, name), seen_at_us=now_us))
        assert board.host is not None
        board.host = replace(board.host, seen_at_us=now_us)

    def _rule(self, name: str, breaks: bool) -> None:
        self._broken ^= {name}
        assert (name in self._broken) is breaks
        self._since[name] = self.way.clock.boottime_us()
        rules = (
            rule_broken("1") if "vehicle" in self._broken else rule_held(NO_VEHICLE, self._since["vehicle"]),
            rule_broken("EIO") if "sensor" in self._broken else rule_held(SENSOR_OK, self._since["sensor"]),
        )
        self.way.board.lanes["entry"] = LaneMemory(1, rules)
