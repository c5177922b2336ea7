"""The ordering lane of one camera: take → decide → append → evolve → reconcile, in this order only here."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, replace

from orchestrator.core.camera import decide, moves_of_closing, reason_to_shut
from orchestrator.core.camera_state import CameraState, evolve
from orchestrator.core.commands import (
    CHECKS,
    Acknowledge,
    Closing,
    Command,
    Cut,
    Gone,
    Layer,
    Leave,
    Look,
    Reported,
    Request,
    Why,
)
from orchestrator.core.desired import desired
from orchestrator.core.events import CLOSING, Event, Record, Sealed
from orchestrator.core.facts import Facts
from orchestrator.core.moment import Moment
from orchestrator.core.policy import Policy
from orchestrator.core.refusal import Refusal
from orchestrator.core.statechart import Chart
from orchestrator.core.worker import FirstFrame
from orchestrator.runtime.board import Board
from orchestrator.runtime.event_store.errors import Fenced, LogError
from orchestrator.runtime.ledger import Ledger
from orchestrator.runtime.shutter import Shutter
from orchestrator.runtime.worker_keeper import WorkerKeeper

log = logging.getLogger(__name__)

COMMANDS_WAITING = 256
"""How many may wait before people are asked to slow down."""
HAPPENED = (Reported, Leave, Gone, Acknowledge)
"""Commands whose events open nothing: a closing that comes in between does not undo them."""
DRAIN_EVERY_S = 0.5


@dataclass(slots=True, eq=False)
class _Asked:
    command: Command
    answer: asyncio.Future[list[Record]] | None
    generation: int = 0
    versions: frozenset[int] | None = None


class CameraActor:
    """Owns one camera's state; nobody else writes it. `look` and `close` may be called from any thread."""

    def __init__(
        self,
        camera: str,
        *,
        chart: Chart,
        board: Board,
        ledger: Ledger,
        shutter: Shutter,
        keeper: WorkerKeeper,
        now: Callable[[], Moment],
        sums: Callable[[], tuple[Cut, ...]],
        changed: Callable[[CameraState], None],
        state: CameraState,
    ) -> None:
        self.camera = camera
        self.state = state
        self.shutter = shutter
        self.keeper = keeper
        self._chart, self._board, self._ledger = chart, board, ledger
        self._now, self._sums, self._changed = now, sums, changed
        self._loop = asyncio.get_running_loop()
        self._queue: asyncio.Queue[_Asked] = asyncio.Queue()
        self._awake = asyncio.Event()
        self._look_due = True
        self._timer: asyncio.TimerHandle | None = None
        self._generation = shutter.gate.generation
        self._last_closing: Closing | None = None
        self._moved = asyncio.Event()
        self._drain_again_s = 0.0
        self._dismissed = False
        self.closing_records: list[Record] = []

    @property
    def policy(self) -> Policy:
        """The policy in force."""
        return self._board.policy

    @property
    def closing_pending(self) -> bool:
        """Whether it is shut already but the log does not say so yet."""
        unwritten = self.shutter.pending or self._ledger.is_pending(self.camera)
        return unwritten or (not self.state.is_shut and not self.shutter.exposed)

    def facts(self) -> Facts:
        """This camera's facts of now."""
        return self._board.facts(self.camera, self._now)

    def look(self, by: Layer = "look") -> None:
        """Judge now, from any thread; what must shut is shut before this returns (S4)."""
        state = self.state
        facts = self.facts()
        why = reason_to_shut(self.policy, state, Look(by), facts)
        if why is not None:
            self.shutter.shut_now(why, facts.now)
        elif not state.is_shut:
            self.wake()

    def close(self, why: Why) -> Closing | None:
        """Shut now, from any thread, for a reason that needs no judgement."""
        return self.shutter.shut_now(why, self._now())

    def wake(self) -> None:
        """Have the ordering lane look again; any thread."""
        self._look_due = True
        try:
            self._loop.call_soon_threadsafe(self._awake.set)
        except RuntimeError:
            log.debug("%s: the loop has ended", self.camera)

    def expect(self, versions: frozenset[int] | None) -> None:
        """Refusal `version` unless the camera stands at one of these versions (None: at any)."""
        if versions is not None and self.state.version not in versions:
            detail = f"{self.camera} stands at version {self.state.version} now; look at it and ask anew"
            raise Refusal("version", detail, members={"version": self.state.version})

    async def ask(self, command: Command, versions: frozenset[int] | None = None) -> list[Record]:
        """Have `command` decided while the camera stands at one of `versions`; the records it led to once
        they are durable. Raises Refusal."""
        if self._dismissed:
            raise Refusal("closed-meanwhile", f"{self.camera} is not there any more, or the service stops")
        if self._queue.qsize() >= COMMANDS_WAITING:
            raise Refusal("slow-down", f"{self.camera} has too much to do", retry_after_s=1)
        answer: asyncio.Future[list[Record]] = self._loop.create_future()
        self._put(_Asked(command, answer, self.shutter.gate.generation, versions))
        return await answer

    def dismiss(self) -> None:
        """Nothing is asked of this camera from now on: the service stops, or the camera is removed. What
        was asked before is refused; reports are still taken."""
        self._dismissed = True
        for asked in [self._queue.get_nowait() for _ in range(self._queue.qsize())]:
            if asked.answer is None:
                self._queue.put_nowait(asked)
            _settle(asked, Refusal("closed-meanwhile", f"{self.camera} was closed meanwhile"))

    def tell(self, command: Command) -> None:
        """Hand over a report that nobody waits for; the loop's thread. None is ever dropped: there are no
        more of them than workers and viewers bring about."""
        self._put(_Asked(command, None))

    def _put(self, asked: _Asked) -> None:
        self._queue.put_nowait(asked)
        self._awake.set()

    async def run(self) -> None:
        """Take one thing after the other until cancelled."""
        while True:
            await self._awake.wait()
            self._awake.clear()
            while self._has_work():
                await self._turn()

    def _has_work(self) -> bool:
        return self.shutter.pending or self._look_due or not self._queue.empty()

    async def _turn(self) -> None:
        closing = self.shutter.take()
        if closing is not None:
            await self._write_closing(closing)
        elif self._ledger.is_pending(self.camera) and not await self._drain():
            await self._answer_while_pending()
        elif self._look_due:
            self._look_due = False
            await self._step(_Asked(Look(), None))
        elif not self._queue.empty():
            await self._step(self._queue.get_nowait())

    async def _step(self, asked: _Asked) -> None:
        facts = self.facts()
        why = reason_to_shut(self.policy, self.state, asked.command, facts)
        if why is not None and self.shutter.shut_now(why, facts.now):
            closing = self.shutter.take()
            if closing is not None:
                await self._write_closing(closing)
        try:
            self.expect(asked.versions)
            if isinstance(asked.command, Request) and asked.generation != self.shutter.gate.generation:
                raise Refusal("closed-meanwhile", f"{self.camera} was closed meanwhile; ask again")
            records = await self._carry_out(asked.command, facts)
        except Refusal as refusal:
            _settle(asked, refusal)
        else:
            _settle(asked, records)

    async def _carry_out(self, command: Command, facts: Facts) -> list[Record]:
        decision = decide(self._chart, self.policy, self.state, command, facts)
        if isinstance(decision, Refusal):
            raise decision
        if decision:
            records = await self._write(command, decision, facts.now)
        else:
            records = []
        await self._reconcile()
        return records

    async def _write(self, command: Command, events: tuple[Event, ...], at: Moment) -> list[Record]:
        sealed = self._ledger.seal(events, at)
        if self.state.is_shut and not isinstance(command, Request | Acknowledge):
            return await self._write_shut(sealed)
        if isinstance(command, Request):
            self._generation = self.shutter.expose()
            # The checks are judged next, whoever else looks or does not.
            self._look_due = True
        generation = self._generation
        unfenced = isinstance(command, HAPPENED) and not _opens(command)
        fence = None if unfenced else lambda: self.shutter.holds(generation)
        try:
            records = await self._ledger.append(self.camera, sealed, fence)
        except Fenced:
            raise Refusal("closed-meanwhile", f"{self.camera} was closed meanwhile; ask again") from None
        except LogError as problem:
            why = Why("fault", CHECKS, "log-unwritable", {"fault": "log-unwritable"})
            if self.shutter.shut_now(why, self._now()) is None:
                # Nothing was open, but what is in the log must be asked again all the same (S21).
                self.wake()
            if unfenced and not isinstance(command, Acknowledge):
                # The same ids: should the append land after all, they are not written twice.
                await self._write_shut([one for one in sealed if one.event.type == "observation"])
            detail = f"{problem}; nothing opens without the log"
            raise Refusal("log-unwritable", detail, retry_after_s=1) from None
        self._evolve(records)
        if self.state.is_shut:
            self.shutter.cover()
        return records

    async def _write_shut(self, sealed: list[Sealed]) -> list[Record]:
        """Events of a camera that is shut: kept for the log when it cannot take them now (L4)."""
        records = await self._ledger.append_closing(self.camera, sealed)
        if records is None:
            self._evolve_as_if(sealed)
            return []
        self._evolve(records)
        return records

    async def _write_closing(self, closing: Closing) -> None:
        self._last_closing = closing
        closing = replace(closing, cut=self._sums())
        events = moves_of_closing(self._chart, self.state, closing)
        if events:
            sealed = self._ledger.seal(events, closing.seen_at)
            self.closing_records = await self._write_shut(sealed)
        else:
            self.closing_records = []
            self._tell_changed()
        await self._reconcile()

    def _evolve(self, records: list[Record]) -> None:
        for record in records:
            self.state = evolve(self.state, record)
        self._tell_changed()

    def _tell_changed(self) -> None:
        self._moved.set()
        self._moved = asyncio.Event()
        self._changed(self.state)

    async def next_change(self) -> None:
        """Wait until the state is another."""
        await self._moved.wait()

    async def written(self, timeout_s: float) -> bool:
        """Whether, within that time, the log says that the camera is shut too."""
        try:
            async with asyncio.timeout(timeout_s):
                while self.closing_pending:
                    await self._moved.wait()
        except TimeoutError:
            return False
        return True

    def _evolve_as_if(self, sealed: list[Sealed]) -> None:
        """While the log lags behind, the live state is the more closed one (S12)."""
        for one in sealed:
            self.state = evolve(self.state, Record(self.state.version, one, "", "", b""))
        self._tell_changed()

    async def _drain(self) -> bool:
        """Whether the log has taken what waited. Tried twice a second: a log that hangs must not keep
        the proof of a closing waiting (L2)."""
        if self._loop.time() < self._drain_again_s:
            return False
        state = await self._ledger.drain(self.camera)
        if state is None:
            self._drain_again_s = self._loop.time() + DRAIN_EVERY_S
            self._loop.call_later(DRAIN_EVERY_S, self.wake)
            return False
        self.state = state
        self._tell_changed()
        if not state.is_shut and not self.shutter.exposed:
            why = Why("fault", CHECKS, "log-unwritable", {"fault": "log-unwritable", "landed_late": True})
            self.shutter.expose()
            self.shutter.shut_now(why, self._now())
        else:
            await self._reconcile()
        return True

    async def _answer_while_pending(self) -> None:
        """The log does not take the closing yet: nothing opens, what ends is kept in order."""
        self._look_due = False
        waiting = [self._queue.get_nowait() for _ in range(self._queue.qsize())]
        for asked in waiting:
            if asked.answer is not None:
                detail = "the log does not take the last closing yet; nothing opens before it does"
                _settle(asked, Refusal("log-unwritable", detail, retry_after_s=1))
                continue
            facts = self.facts()
            decision = decide(self._chart, self.policy, self.state, asked.command, facts)
            if self.state.is_shut and decision and not isinstance(decision, Refusal):
                await self._write_shut(self._ledger.seal(decision, facts.now))
        await self._reconcile()

    async def _reconcile(self) -> None:
        """Make the world what the state asks for: gate, worker, next wake-up."""
        facts = self.facts()
        want = desired(self._chart, self.policy, self.state, facts)
        gate = self.shutter.gate
        if want.gate_open and self.shutter.holds(self._generation):
            gate.open(self._generation)
        elif gate.is_open:
            self.shutter.shut_now(Why("close", CHECKS), facts.now)
        if want.start_now and want.worker_run is not None and self.shutter.holds(self._generation):
            # What broke while the log took `checks_passed` was only waited for until now (S23).
            why = reason_to_shut(self.policy, self.state, Look(), facts)
            if why is not None:
                self.shutter.shut_now(why, facts.now)
            else:
                self.keeper.start(self.state, want.worker_run, facts.now)
        elif want.worker_run is None and not self.state.is_open:
            self.keeper.let_go()
        if self.state.place == CLOSING:
            self.keeper.prove_gone(self._last_closing or self._closing_at_start(facts.now))
        self._set_timer(want.wake_at_us, facts.now)

    def _closing_at_start(self, now: Moment) -> Closing:
        return Closing(Why("close", CHECKS), self.shutter.gate.generation, now, now.boottime_us)

    def forget_timer(self) -> None:
        """No wake-up is due any more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _set_timer(self, wake_at_us: int | None, now: Moment) -> None:
        self.forget_timer()
        if wake_at_us is not None:
            delay_s = max(0, wake_at_us - now.boottime_us) / 1_000_000
            self._timer = self._loop.call_later(delay_s, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        self.look("timer")
        self.wake()


def _opens(command: Command) -> bool:
    """Whether picture flows, or flows again, because of it."""
    return isinstance(command, Reported) and isinstance(command.report, FirstFrame)


def _settle(asked: _Asked, outcome: list[Record] | Refusal) -> None:
    if asked.answer is None or asked.answer.done():
        return
    if isinstance(outcome, Refusal):
        asked.answer.set_exception(outcome)
    else:
        asked.answer.set_result(outcome)
