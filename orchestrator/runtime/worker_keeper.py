"""One camera's workers: starts the run that is wanted, and proves that the last one is gone (S10, L2)."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Protocol

from orchestrator.core.camera_state import CameraState
from orchestrator.core.commands import Closing, Command, Gone, Reported
from orchestrator.core.moment import SECOND_US, Moment
from orchestrator.core.worker import FailureClass, Report, WorkerExited
from orchestrator.runtime.picture import Picture
from orchestrator.runtime.shutter import Shutter

log = logging.getLogger(__name__)

PROOF_LIMIT_S = 2.0
PROVE_AGAIN_S = 1.0


class Worker(Protocol):
    """One child, from spawn to reaped: ffmpeg, or a scripted one in tests."""

    def start(self) -> None:
        """Spawn; OSError or ValueError when it cannot be."""

    def tell_to_die(self) -> None:
        """Any thread; never raises, never waits."""

    async def stop(self) -> WorkerExited:
        """Told to die, killed when it does not, reaped."""


class Workshop(Protocol):
    """Makes workers and wipes what they leave; the application builds it."""

    def make(
        self, state: CameraState, run: int, now: Moment, picture: Picture, report: Callable[[Report], None]
    ) -> Worker:
        """A worker for that run, not started. OSError or ValueError when it cannot be made."""

    async def wipe(self, camera: str) -> bool:
        """Whether nothing of this camera is left in the segment folder."""


class Starts:
    """The site's starts per second: a slot now, or how long until there is one."""

    def __init__(self, per_second: Callable[[], int]) -> None:
        self._per_second = per_second
        self._free_at_us = 0

    def take(self, now_us: int) -> int:
        """0 when a start may happen now (and is counted), else the microseconds to wait."""
        if now_us < self._free_at_us:
            return self._free_at_us - now_us
        self._free_at_us = now_us + SECOND_US // max(1, self._per_second())
        return 0


class WorkerKeeper:
    """Belongs to one ordering lane and runs in the loop's thread."""

    def __init__(
        self,
        camera: str,
        *,
        shutter: Shutter,
        picture: Picture,
        workshop: Workshop,
        starts: Starts,
        tasks: asyncio.TaskGroup,
        now: Callable[[], Moment],
        random: Callable[[], float],
    ) -> None:
        self.camera = camera
        self._shutter, self._picture, self._workshop = shutter, picture, workshop
        self._starts, self._tasks, self._now, self._random = starts, tasks, now, random
        self._worker: Worker | None = None
        self._stopping: asyncio.Task[None] | None = None
        self._last_exit: str | None = None
        self._newest = ("", 0)
        self.tell: Callable[[Command], None] = lambda command: None
        self.wake: Callable[[], None] = lambda: None

    @property
    def running(self) -> bool:
        """Whether a child is there that is not reaped yet."""
        return self._worker is not None

    def start(self, state: CameraState, run: int, now: Moment) -> None:
        """Start that run unless a worker is there; a failure to spawn is reported like any exit."""
        wanted = (state.session.id if state.session else "", run)
        if self._worker is not None or self._stopping is not None or self._newest == wanted:
            return
        wait_us = self._starts.take(now.boottime_us)
        if wait_us:
            asyncio.get_running_loop().call_later(wait_us / SECOND_US, self.wake)
            return
        self._newest = wanted
        self._picture.begin_run()
        self._last_exit = None
        try:
            worker = self._workshop.make(state, run, now, self._picture, self._reported)
            self._worker = self._shutter.worker = worker
            worker.start()
        except (OSError, ValueError) as problem:
            self._worker = self._shutter.worker = None
            exited = WorkerExited(run, FailureClass.UNKNOWN, None, None, str(problem)[:200], 0, False)
            self._reported(exited)
            return
        if not self._shutter.exposed:
            worker.tell_to_die()

    def _reported(self, report: Report) -> None:
        if isinstance(report, WorkerExited):
            self._worker = self._shutter.worker = None
            self._last_exit = _in_words(report)
        self.tell(Reported(report, self._random()))

    def let_go(self) -> None:
        """No worker is wanted: tell one that is there to die. Proof is `prove_gone`'s."""
        if self._worker is not None:
            self._worker.tell_to_die()

    def prove_gone(self, closing: Closing) -> None:
        """Stop, reap and wipe in a task of its own; `Gone` follows, proven or not."""
        if self._stopping is None:
            self._stopping = self._tasks.create_task(self._prove(closing), name=f"prove-{self.camera}")

    async def _prove(self, closing: Closing) -> None:
        viewers_cut, unsent_bytes = closing.viewers_cut, closing.unsent_bytes
        try:
            while True:
                proven, wiped = await self._reap_and_wipe()
                for purged in self._shutter.cut_besides():
                    viewers_cut += len(purged.watches)
                    unsent_bytes += purged.unsent_bytes
                gone_us = self._now().boottime_us - closing.seen_at.boottime_us
                self.tell(
                    Gone(
                        shut_us=closing.shut_at_us - closing.seen_at.boottime_us,
                        gone_ms=gone_us // 1000,
                        unsent_bytes_discarded=unsent_bytes,
                        viewers_cut=viewers_cut,
                        worker_exit=self._last_exit,
                        segments_wiped=wiped,
                        proven=proven,
                    )
                )
                if proven:
                    return
                await asyncio.sleep(PROVE_AGAIN_S)
        finally:
            self._stopping = None

    async def _reap_and_wipe(self) -> tuple[bool, bool]:
        worker = self._worker
        try:
            async with asyncio.timeout(PROOF_LIMIT_S):
                if worker is not None:
                    await worker.stop()
                self._picture.wipe()
                wiped = await self._workshop.wipe(self.camera)
        except TimeoutError:
            return False, False
        return wiped and self._worker is None, wiped


def _in_words(exited: WorkerExited) -> str:
    if exited.signal is not None:
        return f"signal {exited.signal}"
    return f"exit {exited.exit_code}"
