"""One daemon thread with a bounded queue: blocking work off the loop, in order, and never joined for ever."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from orchestrator.runtime.event_store.errors import LogError, LogUnavailable

T = TypeVar("T")

QUEUE_LIMIT_JOBS = 256


class NeverStarted(Exception):
    """The job was taken out of the queue again: it has not run and will not."""


class StillRunning(Exception):
    """The job had begun when the patience was over; it goes on."""


class _Job(Generic[T]):
    def __init__(self, work: Callable[[], T], loop: asyncio.AbstractEventLoop) -> None:
        self.work = work
        self.loop = loop
        self.future: asyncio.Future[T] = loop.create_future()
        # An answer that nobody waits for any more is no error.
        self.future.add_done_callback(lambda future: future.cancelled() or future.exception())

    def run(self) -> None:
        try:
            result = self.work()
        except LogError as error:
            self._answer(error=error)
        except Exception as error:
            text = " ".join(str(error).split())[:200]
            self._answer(error=LogUnavailable(f"the log's thread met {type(error).__name__}: {text}"))
        else:
            self._answer(result)

    def refuse(self) -> None:
        self._answer(error=NeverStarted())

    def _answer(self, result: Any = None, error: Exception | None = None) -> None:
        def settle() -> None:
            if self.future.done():
                return
            if error is None:
                self.future.set_result(result)
            else:
                self.future.set_exception(error)

        try:
            self.loop.call_soon_threadsafe(settle)
        except RuntimeError:
            # The loop has closed meanwhile: nobody is left to be told.
            pass


class LogThread:
    """Runs jobs one after another in a thread of its own."""

    def __init__(self, name: str) -> None:
        self._jobs: deque[_Job[Any]] = deque()
        self._changed = threading.Condition()
        self._stopping = False
        self._thread = threading.Thread(target=self._live, name=name, daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    async def run(
        self, work: Callable[[], T], *, patience_s: float | None = None, survives_cancel: bool = False
    ) -> T:
        """What `work` returns or raises, once its turn has come.

        Raises NeverStarted when its turn did not come in time (or the queue is full or shut), StillRunning
        when it did but no answer. When the caller is cancelled, one that `survives_cancel` stays queued.
        """
        job: _Job[T] = _Job(work, asyncio.get_running_loop())
        with self._changed:
            if self._stopping or not self._thread.is_alive() or len(self._jobs) >= QUEUE_LIMIT_JOBS:
                raise NeverStarted
            self._jobs.append(job)
            self._changed.notify()
        loop = job.loop
        ending = None if patience_s is None else loop.call_later(patience_s, self._give_up, job)
        try:
            return await job.future
        except asyncio.CancelledError:
            if not survives_cancel:
                self._withdraw(job)
            raise
        finally:
            if ending is not None:
                ending.cancel()

    def _give_up(self, job: _Job[Any]) -> None:
        """Its patience is over; on the loop."""
        if not job.future.done():
            job.future.set_exception(NeverStarted() if self._withdraw(job) else StillRunning())

    async def stop(self, last_work: Callable[[], None], *, patience_s: float) -> bool:
        """Work off the queue, then `last_work`, then end. False when that took longer: it is left behind."""
        job: _Job[None] = _Job(last_work, asyncio.get_running_loop())
        with self._changed:
            if self._stopping or not self._thread.is_alive():
                return not self._thread.is_alive()
            self._stopping = True
            self._jobs.append(job)
            self._changed.notify()
        done, _ = await asyncio.wait({job.future}, timeout=patience_s)
        with self._changed:
            left = [waiting for waiting in self._jobs if waiting is not job]
            self._jobs = deque(waiting for waiting in self._jobs if waiting is job)
        for waiting in left:
            waiting.refuse()
        return bool(done)

    def _withdraw(self, job: _Job[Any]) -> bool:
        with self._changed:
            if job not in self._jobs:
                return False
            self._jobs.remove(job)
            return True

    def _live(self) -> None:
        while True:
            with self._changed:
                while not self._jobs:
                    if self._stopping:
                        return
                    self._changed.wait()
                job = self._jobs.popleft()
            job.run()
