"""Which windows are in force, for whom: the configuration's, with what the log says of them (CONTRACT 3, 5).

With `two_people` a window serves everybody but those who alone approved it, and a coming of a recurring one
serves nobody before it is approved.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from heapq import merge
from itertools import islice, takewhile
from typing import Literal

from orchestrator.core.policy import Policy, RecurringWindow
from orchestrator.core.window import (
    DAY_US,
    Amended,
    Occurrence,
    Skipped,
    Span,
    in_window,
    next_boundary,
    occurrences,
)
from orchestrator.core.window_book import Book, Window, coming_id
from orchestrator.core.window_rules import AHEAD_US, Standing, as_coming, find, standing

LIST_AHEAD_US = 31 * DAY_US
"""How far ahead the comings of recurring windows are listed."""
LIST_BACK_US = DAY_US
"""For how long a one-off that is over is still listed."""
TRIES_PER_STRETCH = 20
JOINS_FOLLOWED = 6
"""How many days a stretch is followed that windows without a gap make up; it ends no earlier than is told."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What `core.window` needs to know of the windows that are in force."""

    windows: tuple[RecurringWindow, ...]
    one_off: tuple[Occurrence, ...]
    amended: Amended


def in_force(policy: Policy, book: Book, member: str | None, wall_us: int) -> Plan:
    """The windows that this person may open in; None stands for somebody who approved none of them."""
    live = [window for window in book.values() if not window.cancelled and _serves(policy, window, member)]
    one_off = [_once(window) for window in live if window.recurring is None]
    if policy.two_people:
        approved = [window for window in live if window.recurring is not None]
        found = (find(policy, book, window.id, wall_us) for window in approved)
        return Plan((), (*one_off, *(_once(window) for window in found if window)), {})
    amended = {
        (window.recurring, window.start_us): window.start_us if window.cancelled else window.end_us
        for window in book.values()
        if window.recurring is not None and (window.cancelled or window.end_us < window.planned_end_us)
    }
    return Plan(policy.windows, tuple(one_off), amended)


def _serves(policy: Policy, window: Window, member: str | None) -> bool:
    if policy.two_people:
        return any(approver != member for approver in window.approved_by)
    return bool(window.approved_by)


def _once(window: Window) -> Occurrence:
    return Occurrence(window.recurring or window.id, window.start_us, window.end_us, window.cameras)


def approvers(policy: Policy, book: Book) -> frozenset[str]:
    """For whom other windows may be in force than for everybody else."""
    if not policy.two_people:
        return frozenset()
    return frozenset(member for window in book.values() for member in window.approved_by)


def span_at(policy: Policy, plan: Plan, camera: str, wall_us: int) -> Span | None:
    """The stretch of that plan that the camera is inside of, or None."""
    return in_window(
        plan.windows, policy.timezone, camera, wall_us, one_off=plan.one_off, amended=plan.amended
    )


def boundary_after(policy: Policy, book: Book, wall_us: int) -> int | None:
    """The next instant at which any window, in force for anybody, begins or ends."""
    plan = in_force(policy, book, None, wall_us)
    return next_boundary(plan.windows, policy.timezone, wall_us, one_off=plan.one_off, amended=plan.amended)


@dataclass(frozen=True, slots=True)
class Listed:
    """A window as the API lists it; `skipped` says why a coming of a recurring one does not open."""

    window: Window
    state: Standing | Literal["skipped"]
    skipped: Skipped | None = None

    @property
    def key(self) -> tuple[int, str]:
        """The order of the list."""
        return self.window.start_us, self.window.id


def listed(
    policy: Policy,
    book: Book,
    cameras: Collection[str],
    wall_us: int,
    *,
    after: tuple[int, str] | None = None,
    until_us: int | None = None,
) -> Iterator[Listed]:
    """What runs and what is to come for any of these cameras, by start: one-offs (those of the last day too),
    and the comings of recurring windows within LIST_AHEAD_US. `after` is the key of the last one seen."""
    one_off = sorted(
        (
            Listed(window, standing(policy, window, wall_us))
            for window in book.values()
            if window.recurring is None and window.end_us > wall_us - LIST_BACK_US
        ),
        key=lambda one: one.key,
    )
    from_us = max(wall_us, after[0] if after else wall_us)
    until_us = wall_us + LIST_AHEAD_US if until_us is None else until_us
    recurring = [_listed_comings(policy, book, each, from_us, until_us, wall_us) for each in policy.windows]
    for one in merge(one_off, *recurring, key=lambda one: one.key):
        if (after is None or one.key > after) and any(camera in cameras for camera in one.window.cameras):
            yield one


def _listed_comings(
    policy: Policy, book: Book, window: RecurringWindow, from_us: int, until_us: int, wall_us: int
) -> Iterator[Listed]:
    for coming in occurrences(window, policy.timezone, from_us, until_us):
        start_us = coming.start_us
        if coming.skipped is None:
            known = as_coming(book, window.name, coming.cameras, start_us, coming.end_us)
            yield Listed(known, standing(policy, known, wall_us))
        else:
            identifier = coming_id(window.name, start_us)
            never = Window(identifier, coming.cameras, start_us, start_us, start_us, window.name)
            yield Listed(never, "skipped", coming.skipped)


@dataclass(frozen=True, slots=True)
class Stretch:
    """What will really happen to these cameras: an unbroken stretch in which they may be opened (overlapping
    and touching windows joined), or what one might expect to open and does not: a proposed window, a coming
    that was cancelled or is skipped."""

    start_us: int
    end_us: int
    cameras: tuple[str, ...]
    names: tuple[str, ...]
    state: Standing | Literal["skipped"]
    skipped: Skipped | None = None


def next_stretches(
    policy: Policy, book: Book, cameras: Collection[str], wall_us: int, count: int
) -> list[Stretch]:
    """The next `count` of them by start, what runs now first; for a person who approved none of them."""
    plan = in_force(policy, book, None, wall_us)
    open_for: dict[tuple[int, int, tuple[str, ...]], list[str]] = {}
    for camera in cameras:
        for span in _spans(policy, plan, camera, wall_us, count):
            open_for.setdefault((span.start_us, span.end_us, span.names), []).append(camera)
    opening = [
        Stretch(start_us, end_us, tuple(sorted(found)), names, "approved")
        for (start_us, end_us, names), found in open_for.items()
    ]
    opening = sorted(opening, key=lambda one: (one.start_us, one.names))[:count]
    joined = any(one.end_us - one.start_us >= JOINS_FOLLOWED * DAY_US for one in opening)
    until_us = opening[-1].end_us if joined or len(opening) == count else wall_us + AHEAD_US
    closed = (
        Stretch(
            one.window.start_us,
            one.window.end_us,
            tuple(camera for camera in one.window.cameras if camera in cameras),
            (one.window.recurring or one.window.id,),
            one.state,
            one.skipped,
        )
        for one in listed(policy, book, cameras, wall_us, until_us=until_us)
        if one.state in ("proposed", "skipped") or (one.state == "cancelled" and one.window.recurring)
    )
    soon: Iterable[Stretch] = islice(takewhile(lambda one: one.start_us < until_us, closed), count)
    return sorted([*opening, *soon], key=lambda one: (one.start_us, one.names))[:count]


def _spans(policy: Policy, plan: Plan, camera: str, wall_us: int, count: int) -> list[Span]:
    mine = tuple(window for window in policy.windows if camera in window.cameras)
    plan = Plan(
        tuple(window for window in plan.windows if window in mine),
        tuple(one for one in plan.one_off if camera in one.cameras),
        plan.amended,
    )
    found: list[Span] = []
    at_us: int | None = wall_us
    joins = 0
    for _ in range(TRIES_PER_STRETCH * count):
        if at_us is None or len(found) > count or joins > JOINS_FOLLOWED:
            break
        span = span_at(policy, plan, camera, at_us)
        if span is None:
            at_us = next_boundary(
                plan.windows, policy.timezone, at_us, one_off=plan.one_off, amended=plan.amended
            )
            continue
        at_us = span.end_us
        if found and span.start_us <= found[-1].end_us:
            joins += 1
            names = tuple(sorted({*found[-1].names, *span.names}))
            found[-1] = Span(found[-1].start_us, span.end_us, names)
        else:
            found.append(span)
    return found[:count]
