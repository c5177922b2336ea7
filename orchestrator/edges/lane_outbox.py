"""What waits to be published: a bounded queue that any thread may fill and one thread empties."""

from __future__ import annotations

import os
import threading
from collections import deque

from orchestrator.edges.lane_messages import Outgoing

MAX_QUEUED_MESSAGES = 1000
MAX_QUEUED_BYTES = 4 * 1024 * 1024


class Outbox:
    """The queue and the waker of its reader. It takes messages only while `accepting`.

    `dropped` counts what was not taken, and what was taken and then lost or refused. `waker` is an
    eventfd for the reader's poll, None before `open` and after `close`.
    """

    def __init__(self) -> None:
        self.dropped = 0
        self.waker: int | None = None
        self._accepting = False
        self._lock = threading.Lock()
        self._waiting: deque[Outgoing] = deque()
        self._waiting_bytes = 0

    def open(self) -> None:
        """Make the waker."""
        self.waker = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)

    def close(self) -> None:
        """Drop what waits and close the waker, so that its number is never written to again."""
        self.accept(accepting=False)
        with self._lock:
            waker, self.waker = self.waker, None
        if waker is not None:
            os.close(waker)

    def accept(self, *, accepting: bool) -> None:
        """Take messages from now on, or no longer; what waits for a session that is over is dropped."""
        with self._lock:
            self._accepting = accepting
            if not accepting:
                self.dropped += len(self._waiting)
                self._waiting.clear()
                self._waiting_bytes = 0

    def put(self, message: Outgoing) -> bool:
        """Queue a message, never waiting; False: it was dropped."""
        with self._lock:
            full = (
                len(self._waiting) >= MAX_QUEUED_MESSAGES
                or self._waiting_bytes + len(message.payload) > MAX_QUEUED_BYTES
            )
            if full or not self._accepting:
                self.dropped += 1
                return False
            self._waiting.append(message)
            self._waiting_bytes += len(message.payload)
        self.wake()
        return True

    def take(self) -> Outgoing | None:
        """The oldest message, or None."""
        with self._lock:
            if not self._waiting:
                return None
            message = self._waiting.popleft()
            self._waiting_bytes -= len(message.payload)
            return message

    def wake(self) -> None:
        """End the reader's poll."""
        with self._lock:
            if self.waker is not None:
                os.eventfd_write(self.waker, 1)
