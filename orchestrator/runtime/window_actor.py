"""Owns the site's windows: what widens waits for the log, what narrows counts at once and is logged after.

The same two lanes as a camera's (DESIGN "Two lanes into one camera"), with a task for each: a log that hangs
over an approval keeps no cancelling from the black box.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from orchestrator.core.commands import SERVICE
from orchestrator.core.events import Record, Sealed
from orchestrator.core.moment import Moment
from orchestrator.core.refusal import Refusal
from orchestrator.core.window_book import Book, evolve
from orchestrator.core.window_rules import (
    AddWindow,
    CancelWindow,
    Narrowing,
    ShortenWindow,
    Widening,
    decide,
)
from orchestrator.runtime.board import Board
from orchestrator.runtime.event_store.errors import LogError, OutcomeUnknown
from orchestrator.runtime.ledger import Ledger

log = logging.getLogger(__name__)

WINDOWS = "windows/"
"""The ledger's name for what waits of them; no camera can be called so."""
COMMANDS_WAITING = 64
"""How many approvals and additions may wait before people are asked to slow down."""
NARROWINGS_WAITING = 1024
"""How many cancelled and shortened windows may wait for the log before more of what lies ahead is refused."""
DRAIN_EVERY_S = 0.5


@dataclass(slots=True, eq=False)
class _Asked:
    command: Widening
    answer: asyncio.Future[None]


class WindowActor:
    """Puts what is in force on the board. Everything runs in the loop's thread.

    `look` has every camera judged now, and shut where its window is gone; `changed`, which is set after, is
    told that the next boundary may be another.
    """

    def __init__(
        self,
        *,
        board: Board,
        ledger: Ledger,
        now: Callable[[], Moment],
        look: Callable[[], None],
    ) -> None:
        self._board, self._ledger = board, ledger
        self._now, self._look = now, look
        self.changed: Callable[[], None] = lambda: None
        self._durable: Book = {}
        self._unwritten: deque[Sealed] = deque()
        self._handed = 0
        self._unsure: list[Widening] = []
        self._queue: asyncio.Queue[_Asked] = asyncio.Queue(COMMANDS_WAITING)
        self._narrowed = asyncio.Event()
        self._written = asyncio.Event()

    async def load(self) -> None:
        """What the fold of the log says. LogError when it cannot be asked."""
        self._durable = (await self._ledger.store.state()).windows
        self._publish()

    @property
    def pending(self) -> bool:
        """Whether something narrowed, or of unknown outcome, is not settled with the log yet."""
        return bool(self._unwritten or self._unsure)

    async def widen(self, command: Widening) -> None:
        """Add or approve; in force, and durable, when it returns. Raises Refusal."""
        answer: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        try:
            self._queue.put_nowait(_Asked(command, answer))
        except asyncio.QueueFull:
            raise Refusal("slow-down", "too many windows are being changed", retry_after_s=1) from None
        await answer

    def narrow(self, command: Narrowing) -> bool:
        """Shorten or cancel: no camera is open beyond it when this returns. False: all was so already.

        The log is written after (S13); until it has been, nothing opens in the cameras of that window.
        """
        if isinstance(command, ShortenWindow) and len(self._unwritten) >= NARROWINGS_WAITING:
            detail = "too many windows were shortened that the log has not taken; cancel it instead"
            raise Refusal("slow-down", detail, retry_after_s=1)
        now = self._now()
        event = decide(self._board.policy, self._board.windows, command, now.wall_us)
        if isinstance(event, Refusal):
            raise event
        if event is None:
            return False
        self._unwritten.extend(self._ledger.seal([event], now))
        self._publish()
        self._look()
        self._narrowed.set()
        self.changed()
        return True

    async def settled(self, timeout_s: float) -> bool:
        """Whether, within that time, the log has taken everything that was narrowed."""
        try:
            async with asyncio.timeout(timeout_s):
                while self.pending:
                    await self._written.wait()
        except TimeoutError:
            return False
        return True

    async def kept(self) -> None:
        """Return once everything narrowed is in the log, or in memory and the black box."""
        while self._handed < len(self._unwritten):
            await self._written.wait()

    def _publish(self) -> None:
        book = self._durable
        for sealed in self._unwritten:
            book = evolve(book, _as_if(sealed))
        self._board.windows = book
        self._board.windows_waiting = frozenset(
            camera for sealed in self._unwritten for camera in sealed.event.data["cameras"]
        )

    async def run(self) -> None:
        """Both lanes, until cancelled."""
        async with asyncio.TaskGroup() as lanes:
            lanes.create_task(self._take_widenings(), name="windows-widen")
            lanes.create_task(self._write_narrowings(), name="windows-narrow")

    async def _take_widenings(self) -> None:
        while True:
            asked = await self._queue.get()
            try:
                await self._widen(asked.command)
            except Refusal as refusal:
                if not asked.answer.done():
                    asked.answer.set_exception(refusal)
            else:
                if not asked.answer.done():
                    asked.answer.set_result(None)

    async def _widen(self, command: Widening) -> None:
        if self._ledger.is_pending(WINDOWS) or self._unsure:
            detail = "the log has not taken the last change of a window yet; none is added or approved before"
            raise Refusal("log-unwritable", detail, retry_after_s=1)
        now = self._now()
        event = decide(self._board.policy, self._board.windows, command, now.wall_us)
        if isinstance(event, Refusal):
            raise event
        if event is None:
            return
        try:
            records = await self._ledger.append(WINDOWS, self._ledger.seal([event], now))
        except LogError as problem:
            if isinstance(problem, OutcomeUnknown):
                self._unsure.append(command)
                self._narrowed.set()
            raise Refusal("log-unwritable", f"{problem}; no window opens without the log") from None
        self._take(records)
        self._look()
        self.changed()

    def _take(self, records: Iterable[Record]) -> None:
        for record in records:
            self._durable = evolve(self._durable, record)
        self._publish()

    async def _write_narrowings(self) -> None:
        while True:
            await self._narrowed.wait()
            self._narrowed.clear()
            while self.pending:
                # Into the black box first, whatever else the log is asked for: it may hang for long.
                if self._handed < len(self._unwritten):
                    await self._hand_over()
                elif not await self._catch_up():
                    await self._more_or_later()

    async def _catch_up(self) -> bool:
        """Whether the log has taken what was handed over, or has said what landed of what is not known."""
        if not self._unwritten:
            return await self._compensate()
        if await self._ledger.drain(WINDOWS) is None:
            return False
        self._now_written(self._handed)
        return True

    async def _hand_over(self) -> None:
        """The ledger writes it, or keeps it in memory and in the black box."""
        if await self._ledger.append_closing(WINDOWS, [self._unwritten[self._handed]]) is None:
            self._handed += 1
            self._tell()
        else:
            self._now_written(1)

    async def _more_or_later(self) -> None:
        try:
            async with asyncio.timeout(DRAIN_EVERY_S):
                await self._narrowed.wait()
        except TimeoutError:
            return
        self._narrowed.clear()

    def _now_written(self, count: int) -> None:
        self._handed = 0
        self._take([_as_if(self._unwritten.popleft()) for _ in range(count)])
        self._tell()

    def _tell(self) -> None:
        self._written.set()
        self._written = asyncio.Event()
        self._look()

    async def _compensate(self) -> bool:
        """Cancel what landed after it had been refused: memory is never more open than the log (S21). False
        while the log does not answer."""
        if await self._ledger.drain(WINDOWS) is None:
            return False
        try:
            landed = (await self._ledger.store.state()).windows
        except LogError as problem:
            log.warning("the windows cannot be read back yet: %s", problem)
            return False
        self._durable = landed
        self._publish()
        for command in self._unsure:
            window, is_new = landed.get(command.id), isinstance(command, AddWindow)
            if window is not None and (is_new or command.member in window.approved_by):
                self._cancel_late(command.id)
        self._unsure = []
        self._tell()
        return True

    def _cancel_late(self, identifier: str) -> None:
        data = {"fault": "log-unwritable", "landed_late": True}
        try:
            self.narrow(CancelWindow(identifier, SERVICE, data=data))
        except Refusal as refusal:
            log.info("%s: %s", identifier, refusal.detail)


def _as_if(sealed: Sealed) -> Record:
    """What the book needs of a record; the log alone knows the rest."""
    return Record(0, sealed, "", "", b"")
