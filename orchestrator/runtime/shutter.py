"""The closing lane of one camera: `shut_now` is synchronous, from any thread, and waits for nothing."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Protocol

from orchestrator.core.commands import Closing, Why
from orchestrator.core.faults import LOCKING
from orchestrator.core.moment import Moment
from orchestrator.runtime.gate import Gate, Purged

CLOSINGS_KEPT = 64


class Mortal(Protocol):
    """Something that can be told to die without waiting for it."""

    def tell_to_die(self) -> None:
        """Any thread; never raises, never waits."""


class Shutter:
    """The gate, the worker's life and the generation of one camera (S13, S22).

    `exposed` is True from the moment a session is being asked for until it is shut: only then is
    there something to close. What was shut is handed over as `Closing`s, for the log.
    """

    def __init__(self, gate: Gate, now: Callable[[], Moment], wake: Callable[[], None]) -> None:
        self.gate = gate
        self.exposed = False
        self.worker: Mortal | None = None
        self._now = now
        self._wake = wake
        self._closings: deque[Closing] = deque(maxlen=CLOSINGS_KEPT)
        self._announced: set[str] = set()
        self._cut_besides: deque[Purged] = deque(maxlen=CLOSINGS_KEPT)

    def expose(self) -> int:
        """A session is being asked for; the generation it belongs to. The ordering lane alone calls this."""
        generation = self.gate.generation
        self._cut_besides.clear()
        self.exposed = True
        return generation

    def cover(self) -> None:
        """The session ended without anything having been opened."""
        self.exposed = False

    def holds(self, generation: int) -> bool:
        """The fence: no closing has come since that generation began."""
        return self.exposed and self.gate.generation == generation

    def shut_now(self, why: Why, seen_at: Moment) -> Closing | None:
        """Shut for `why`. None when there was nothing to shut and no new lock to set."""
        # The gate first: whoever asks second must not return before it is shut either.
        purged = self.gate.shut()
        was_exposed, self.exposed = self.exposed, False
        if not was_exposed and not self._is_new_lock(why):
            if purged.watches:
                self._cut_besides.append(purged)
            return None
        worker = self.worker
        if worker is not None:
            worker.tell_to_die()
        closing = Closing(
            why,
            self.gate.generation,
            seen_at,
            self._now().boottime_us,
            len(purged.watches),
            purged.unsent_bytes,
        )
        self._closings.append(closing)
        self._wake()
        return closing

    def _is_new_lock(self, why: Why) -> bool:
        if why.fault not in LOCKING or why.fault in self._announced:
            return False
        self._announced.add(why.fault)
        return True

    def cut_besides(self) -> list[Purged]:
        """What was cut besides what the `Closing` counts: of two threads that shut at once, one may meet the
        viewers and the other the session. Each is told once."""
        found = []
        while self._cut_besides:
            found.append(self._cut_besides.popleft())
        return found

    @property
    def pending(self) -> bool:
        """Whether a closing has not been taken by the ordering lane yet."""
        return bool(self._closings)

    def take(self) -> Closing | None:
        """The oldest closing that is not written down yet."""
        try:
            closing = self._closings.popleft()
        except IndexError:
            return None
        if closing.why.fault is not None:
            self._announced.discard(closing.why.fault)
        return closing
