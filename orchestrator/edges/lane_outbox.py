"""What waits to be published: a bounded queue that any thread may fill and one thread empties. Nothing
outside the prefix and no command ever gets into it (K1)."""

from __future__ import annotations

import os
import threading
from collections import deque

from orchestrator.edges.lane_messages import Outgoing

MAX_QUEUED_MESSAGES = 1000
MAX_QUEUED_BYTES = 4 * 1024 * 1024
MAX_TOPIC_BYTES = 1024


class Outbox:
    """The queue and the waker of its reader. It takes messages only while `accepting`, and only such as
    `may_publish`; `prefix` None: none at all.

    `dropped` counts what was not taken, and what was taken and then lost or refused; `raised` how often
    nobody took the word of what became of a message. `waker` is an eventfd for the reader's poll, None
    before `open` and after `close`.
    """

    def __init__(self, prefix: str | None) -> None:
        self.dropped = 0
        self.raised = 0
        self.waker: int | None = None
        self._prefix = prefix
        self._accepting = False
        self._lock = threading.Lock()
        self._waiting: deque[Outgoing] = deque()
        self._waiting_bytes = 0

    def may_publish(self, topic: str) -> bool:
        """Whether the topic lies below the prefix, is one topic, and is nobody's command (K1)."""
        below, slash, rest = topic.partition(f"{self._prefix}/")
        if self._prefix is None or below or not slash or any(sign in topic for sign in "+#\0"):
            return False
        try:
            levels, size = rest.split("/"), len(topic.encode())
        except UnicodeEncodeError:
            return False
        return size <= MAX_TOPIC_BYTES and all(levels) and levels[-1] != "cmd"

    @property
    def waiting(self) -> int:
        """How many messages wait."""
        return len(self._waiting)

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
        lost: deque[Outgoing] = deque()
        with self._lock:
            self._accepting = accepting
            if not accepting:
                self.dropped += len(self._waiting)
                lost, self._waiting = self._waiting, lost
                self._waiting_bytes = 0
        for outgoing in lost:
            self.tell(outgoing, "the session with the broker ended before it was sent")

    def put(self, message: Outgoing) -> bool:
        """Queue a message, never waiting; False: it was dropped, and nobody is told anything more of it."""
        with self._lock:
            full = (
                len(self._waiting) >= MAX_QUEUED_MESSAGES
                or self._waiting_bytes + len(message.payload) > MAX_QUEUED_BYTES
            )
            if full or not self._accepting or not self.may_publish(message.topic):
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

    def tell(self, message: Outgoing, lost: str) -> None:
        """What became of a message; `lost` is empty when the broker has it."""
        if message.on_done is None:
            return
        try:
            message.on_done(lost)
        except Exception:
            self.raised += 1

    def wake(self) -> None:
        """End the reader's poll."""
        with self._lock:
            if self.waker is not None:
                os.eventfd_write(self.waker, 1)
