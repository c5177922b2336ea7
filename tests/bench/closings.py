"""One closing: from the word that shuts a camera to its gate, and to the last byte at the viewer."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.bench.figures import Aim, Report, Row, milliseconds
from tests.e2e.follower import Event, name_of
from tests.e2e.incident import at_us, now_us
from tests.e2e.viewer import Viewer

LIMIT_S = 30.0
LOOK_AGAIN_S = 0.02


class TimedViewer(Viewer):
    """Knows when the connection ended (wall time, microseconds)."""

    ended_us = 0

    def _end(self, how: str) -> None:
        self.ended_us = now_us()
        super()._end(how)


@dataclass(frozen=True, slots=True)
class Word:
    """When it was given (wall time, microseconds), and how long the way alone took, once that is known."""

    said_us: int
    carried_us: Callable[[], int | None] = lambda: None


@dataclass(frozen=True, slots=True)
class Closing:
    """What came of one word; instants are wall time in microseconds."""

    said_us: int
    seen_us: int
    """When the daemon saw the reason: the closing event's time."""
    gate_us: int
    """When no byte could be written any more."""
    last_us: int
    """When the kernel of the viewer took in the last byte; often before the word."""
    reset_us: int | None
    """When the viewer found its connection ended; None where no word of that can come through."""
    gone_us: int
    """When the worker was reaped and its segments were wiped."""
    carried_us: int | None
    late_bytes: int

    @property
    def took_s(self) -> float:
        """From the word until the gate was shut and the last byte was there, whichever came later."""
        return (max(self.gate_us, self.last_us) - self.said_us) / 1e6


def closing_of(word: Word, database: Path, session: str, viewer: TimedViewer) -> Closing:
    """From the log's file, which tells it also when the daemon has gone."""
    events = _proven(database, session)
    shut = next(event for event in events if event.get("to") == "disabled")
    proof = events[-1]["data"]
    assert proof["viewers_cut"] == 1, events
    seen_us = at_us(shut)
    gate_us = seen_us + proof["shut_us"]
    return Closing(
        word.said_us,
        seen_us,
        gate_us,
        viewer.last_us,
        viewer.ended_us or None,
        gate_us + 1000 * proof["gone_ms"],
        word.carried_us(),
        sum(size for at, size in viewer.arrivals if at > gate_us),
    )


def events_of(database: Path, session: str) -> list[Event]:
    """The session's events so far."""
    query = "SELECT canonical FROM events WHERE session = ? ORDER BY seq"
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True, timeout=5)) as log:
        return [json.loads(row[0]) for row in log.execute(query, (session,))]


def wait_logged(database: Path, session: str, what: str) -> Event:
    """The first event of that name, as soon as the log's file has it."""
    until = time.monotonic() + LIMIT_S
    while True:
        found = [event for event in events_of(database, session) if name_of(event) == what]
        if found:
            return found[0]
        assert time.monotonic() < until, f"no {what} of {session} in the log"
        time.sleep(LOOK_AGAIN_S)


def _proven(database: Path, session: str) -> list[Event]:
    """All events of a session whose closing is complete."""
    wait_logged(database, session, "closed")
    return events_of(database, session)


def add_row(report: Report, what: str, beside: str, closings: Sequence[Closing], limit_ms: float) -> None:
    """One line of the table, with what it is made of."""
    carried = [one.carried_us / 1e6 for one in closings if one.carried_us is not None]
    since_word = {
        "seen": [one.seen_us - one.said_us for one in closings],
        "gate": [one.gate_us - one.said_us for one in closings],
        "last byte": [one.last_us - one.said_us for one in closings],
        "reset at the viewer": [one.reset_us - one.said_us for one in closings if one.reset_us is not None],
        "worker and segments gone": [one.gone_us - one.said_us for one in closings],
    }
    raw: dict[str, Any] = {
        "median (p99) ms since the word": "; ".join(
            f"{name} {_shown(taken_us)}" for name, taken_us in since_word.items() if taken_us
        ),
        "bytes after the gate was shut": sum(one.late_bytes for one in closings),
    }
    report.add(
        Row(
            what,
            milliseconds("volet", [one.took_s for one in closings]),
            milliseconds(beside, carried) if beside else None,
            Aim("p99", limit_ms),
            raw,
        )
    )


def _shown(taken_us: Sequence[int]) -> str:
    samples = milliseconds("", [value / 1e6 for value in taken_us])
    return f"{samples.p50:.3g} ({samples.p99:.3g})"
