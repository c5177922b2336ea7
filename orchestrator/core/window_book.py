"""The maintenance windows that the log knows: the fold of its `window_*` observations, from nothing (S12).

A one-off window is made by `window_added`. A coming of a recurring one stands in the configuration; the
book holds only what people said of it (approved, shortened, cancelled). No event widens what another has
narrowed: an end only moves earlier, a cancelled window stays cancelled, so that the order in which two
events become durable cannot matter (S13).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from orchestrator.core.events import Record
from orchestrator.core.moment import SECOND_US, parse_rfc3339

ADDED, APPROVED, SHORTENED, CANCELLED = (
    "window_added",
    "window_approved",
    "window_shortened",
    "window_cancelled",
)
NAMES = frozenset({ADDED, APPROVED, SHORTENED, CANCELLED})
"""The observations that the book is the fold of."""
KEPT = 4096
"""How many windows are remembered; beyond it the ones that were over first are forgotten."""
_COMING = re.compile(r"([0-9]{8}T[0-9]{6}Z)-([0-9a-f]{12})", re.ASCII)
_STAMP = "%Y%m%dT%H%M%SZ"


@dataclass(frozen=True, slots=True)
class Window:
    """What the log says of one window: `[start_us, end_us)` in wall microseconds (UTC) for these cameras.

    `planned_end_us` is the end before anybody shortened it. `recurring` is the name of the `[[windows]]`
    entry that this is a coming of, None for a one-off. `proposed_by` and `approved_by` are members by their
    random ids (S19). `added_by_event` is the event whose details hold name, reason and ticket.
    """

    id: str
    cameras: tuple[str, ...]
    start_us: int
    end_us: int
    planned_end_us: int
    recurring: str | None = None
    proposed_by: str | None = None
    approved_by: tuple[str, ...] = ()
    cancelled: bool = False
    added_by_event: str | None = None


Book = Mapping[str, Window]
"""Windows by id."""


def coming_id(name: str, start_us: int) -> str:
    """The stable id of one coming of a recurring window: its start and a digest of the window's name."""
    stamp = datetime.fromtimestamp(start_us // SECOND_US, UTC).strftime(_STAMP)
    return f"{stamp}-{_digest(name)}"


def read_coming_id(text: str, names: Iterable[str]) -> tuple[str, int] | None:
    """Which of the recurring windows called `names`, and its start; None when it is no id of theirs."""
    found = _COMING.fullmatch(text)
    if found is None:
        return None
    try:
        start = datetime.strptime(found[1], _STAMP).replace(tzinfo=UTC)
    except ValueError:
        return None
    name = next((name for name in names if _digest(name) == found[2]), None)
    return None if name is None else (name, int(start.timestamp()) * SECOND_US)


def _digest(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()[:12]


def evolve(book: Book, record: Record) -> Book:
    """The book after `record`; what is not about windows changes nothing."""
    event = record.event
    if event.type != "observation" or event.name not in NAMES or event.camera is not None:
        return book
    data = event.data
    known = book.get(str(data["window"]))
    if event.name == ADDED:
        if known is not None:
            return book
        after = replace(_told(record), added_by_event=record.sealed.id)
    else:
        if known is None and data["recurring"] is None:
            return book
        after = known or _told(record)
    match event.name:
        case "window_approved":
            after = _approved(after, str(data["by"]))
        case "window_added" if data["by"] is not None:
            after = _approved(after, str(data["by"]))
        case "window_shortened":
            end_us = max(after.start_us, parse_rfc3339(data["end"]))
            after = replace(after, end_us=min(after.end_us, end_us))
        case "window_cancelled":
            after = replace(after, cancelled=True)
    return _bounded({**book, after.id: after}, record.sealed.at.wall_us)


def _approved(window: Window, member: str) -> Window:
    return replace(window, approved_by=tuple(dict.fromkeys((*window.approved_by, member))))


def _told(record: Record) -> Window:
    """The window as its first event describes it."""
    event, data = record.event, record.event.data
    planned_end_us = parse_rfc3339(data["planned_end"])
    return Window(
        id=str(data["window"]),
        cameras=tuple(data["cameras"]),
        start_us=parse_rfc3339(data["start"]),
        end_us=planned_end_us,
        planned_end_us=planned_end_us,
        recurring=data["recurring"],
        proposed_by=event.actor.id if event.name == ADDED else None,
    )


def _bounded(book: Book, wall_us: int) -> Book:
    """At most KEPT, and never without one that may still open."""
    excess = len(book) - KEPT
    if excess <= 0:
        return book
    over = sorted(
        (window.planned_end_us, window.id) for window in book.values() if window.planned_end_us < wall_us
    )
    forgotten = {identifier for _, identifier in over[:excess]}
    return {identifier: window for identifier, window in book.items() if identifier not in forgotten}
