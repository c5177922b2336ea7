"""The log as it grows, by server-sent events; goes on where it was when the daemon is back."""

import http.client
import json
import socket
import threading
import time
from collections.abc import Callable
from typing import Any

Event = dict[str, Any]
LIMIT_S = 30.0
_AGAIN_S = 0.05


class Follower:
    """Follows as a reviewer, in a thread. `seen_us` is the wall time at which an event was heard of."""

    def __init__(self, gateway: tuple[str, int], source: str) -> None:
        self.events: list[Event] = []
        self.seen_us: dict[int, int] = {}
        self._gateway, self._source = gateway, source
        self._news = threading.Condition()
        self._stopped = threading.Event()
        self._sock: socket.socket | None = None
        self._thread = threading.Thread(target=self._follow, name="follower", daemon=True)
        self._thread.start()

    def _follow(self) -> None:
        while not self._stopped.is_set():
            try:
                self._read()
            except (OSError, http.client.HTTPException, ValueError):
                pass  # the daemon is not there, or went: asked again until it is
            self._stopped.wait(_AGAIN_S)

    def _read(self) -> None:
        connection = http.client.HTTPConnection(*self._gateway, source_address=(self._source, 0), timeout=40)
        try:
            last = self.events[-1]["seq"] if self.events else 0
            connection.request("GET", "/api/v1/events/stream", headers={"Last-Event-ID": str(last)})
            self._sock = connection.sock
            answer = connection.getresponse()
            if answer.status != 200:
                return
            for line in answer:
                if line.startswith(b"data: "):
                    self._take(json.loads(line[6:]))
        finally:
            connection.close()

    def _take(self, event: Event) -> None:
        with self._news:
            self.events.append(event)
            self.seen_us[event["seq"]] = time.time_ns() // 1000
            self._news.notify_all()

    def wait(
        self, fits: Callable[[Event], bool], what: str, *, after: int = 0, timeout_s: float = LIMIT_S
    ) -> Event:
        """The first event with a sequence number above `after` that fits."""
        until = time.monotonic() + timeout_s
        with self._news:
            while True:
                for event in self.events:
                    if event["seq"] > after and fits(event):
                        return event
                left = until - time.monotonic()
                assert left > 0, f"no event within {timeout_s} s: {what}\n{told(self.events)}"
                self._news.wait(left)

    @property
    def last_seq(self) -> int:
        """The newest sequence number heard of."""
        return self.events[-1]["seq"] if self.events else 0

    def stop(self) -> None:
        """Follow no longer."""
        self._stopped.set()
        if self._sock is not None:
            try:
                self._sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass  # it has ended already
        self._thread.join(5)


def name_of(event: Event) -> str:
    """The trigger of a transition, the name of an observation."""
    return str(event.get("trigger") or event.get("name"))


def told(events: list[Event], last: int = 40) -> str:
    """The newest events, a line each."""
    return "\n".join(
        f"{e['seq']:>4} {e['at'][11:23]} {e['camera'] or '-':<5} {name_of(e):<16} "
        f"{e.get('to') or ''}.{e.get('to_substate') or ''} {json.dumps(e['data'])[:300]}"
        for e in events[-last:]
    )
