"""A book of windows under the real rules: commands in, events folded, as their owner does it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from functools import reduce
from typing import Any

from orchestrator.core.canonical import canonical
from orchestrator.core.events import Actor, Event, Record, Sealed
from orchestrator.core.moment import SECOND_US
from orchestrator.core.policy import CameraPolicy, Policy, RecurringWindow
from orchestrator.core.refusal import Refusal
from orchestrator.core.window import Span
from orchestrator.core.window_book import Book, Window, coming_id, evolve
from orchestrator.core.window_plan import in_force, span_at
from orchestrator.core.window_rules import (
    AddWindow,
    ApproveWindow,
    CancelWindow,
    Narrowing,
    ShortenWindow,
    Widening,
    decide,
)
from tests.core import scene
from tests.core.scene import START

MINUTE = 60 * SECOND_US
HOUR = 60 * MINUTE
DAY = 24 * HOUR
NOW = START.wall_us
# START is a Sunday, 10:00 in UTC: 11:00 in Paris.
DAILY = RecurringWindow("daily", ("cam1",), "0 11 * * *", 2 * HOUR)
POLICY = replace(
    scene.POLICY,
    cameras={
        "cam1": scene.CAMERA,
        "cam2": CameraPolicy("cam2", "entry", 900 * SECOND_US, 60 * SECOND_US, 120 * SECOND_US),
    },
    windows=(DAILY,),
)
WITHOUT = replace(POLICY, windows=())
TWO_PEOPLE = replace(POLICY, two_people=True)
TODAY = coming_id("daily", NOW)
TOMORROW = coming_id("daily", NOW + DAY)
FOLDED_EACH_TIME = 60
ANNA, BORIS = Actor("member", "m-anna"), Actor("member", "m-boris")


def folded(records: Iterable[Record]) -> Book:
    """The book after these records, from nothing."""
    nothing: Book = {}
    return reduce(evolve, records, nothing)


def adding(identifier: str = "w-1", **rest: Any) -> AddWindow:
    """An approver's window for cam1, for an hour from now."""
    wish: dict[str, Any] = {
        "id": identifier,
        "member": "m-anna",
        "approves": True,
        "cameras": ("cam1",),
        "start_us": NOW,
        "end_us": NOW + HOUR,
        "ticket": None,
        "person": {"name": "Anna", "reason": "aim"},
    }
    return AddWindow(**(wish | rest))


def approving(identifier: str, by: Actor = BORIS) -> ApproveWindow:
    """That approver approves it."""
    return ApproveWindow(identifier, by.id, {"name": "B."})


def shortening(identifier: str, end_us: int) -> ShortenWindow:
    """Anna has it end then."""
    return ShortenWindow(identifier, end_us, ANNA)


def cancelling(identifier: str) -> CancelWindow:
    """Anna cancels it."""
    return CancelWindow(identifier, ANNA)


@dataclass
class Story:
    """What became of the windows; `records` is the log."""

    policy: Policy = POLICY
    wall_us: int = NOW
    book: Book = field(default_factory=dict)
    records: list[Record] = field(default_factory=list)

    def do(self, command: Widening | Narrowing) -> Event | Refusal | None:
        """Decide, and fold what comes of it; the fold from nothing must agree (S12)."""
        event = decide(self.policy, self.book, command, self.wall_us)
        if isinstance(event, Event):
            canonical({"data": event.data, "details": event.details})
            seq = len(self.records) + 1
            at = replace(START, wall_us=self.wall_us)
            record = Record(seq, Sealed(event, f"id-{seq}", at, "", ""), "", "", b"")
            self.records.append(record)
            self.book = evolve(self.book, record)
            if seq <= FOLDED_EACH_TIME:
                assert self.book == folded(self.records)
        return event

    def done(self, command: Widening | Narrowing) -> Window:
        """The same, where an event is expected; the window after it."""
        event = self.do(command)
        assert isinstance(event, Event), event
        return self.book[command.id]

    def refused(self, command: Widening | Narrowing) -> Refusal:
        """The same, where a refusal is expected."""
        refusal = self.do(command)
        assert isinstance(refusal, Refusal), refusal
        return refusal

    def span(self, camera: str = "cam1", member: str | None = None) -> Span | None:
        """The window that is open for this camera and this person now."""
        plan = in_force(self.policy, self.book, member, self.wall_us)
        return span_at(self.policy, plan, camera, self.wall_us)
