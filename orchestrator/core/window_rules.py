"""What people may do to maintenance windows: add, approve, shorten, cancel → an event, nothing, or a refusal.

Adding and approving widen, so they wait for the log; shortening and cancelling narrow, so they count at once
(S13). Who may ask at all (roles, cameras) is settled before, as for a camera's triggers.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Any, Literal

from orchestrator.core.events import Actor, Event, Json, observation
from orchestrator.core.moment import SECOND_US, rfc3339
from orchestrator.core.policy import Policy
from orchestrator.core.refusal import Refusal
from orchestrator.core.window import DAY_US, occurrences
from orchestrator.core.window_book import (
    ADDED,
    APPROVED,
    CANCELLED,
    SHORTENED,
    Book,
    Window,
    coming_id,
    read_coming_id,
)

LONGEST_US = 31 * DAY_US
"""As long as a window of the configuration may be."""
AHEAD_US = 366 * DAY_US
"""How far ahead a window may begin, and a coming may be spoken of."""
LATE_US = 300 * SECOND_US
"""A start this far back is "from now": clocks differ, and typing takes time."""
ONE_OFF_AHEAD = 100
"""How many one-off windows may stand ahead or open at a time."""
CHANGED_AHEAD = 1000
"""How many comings of recurring windows may be approved, shortened or cancelled ahead of time."""

Standing = Literal["proposed", "approved", "cancelled", "over"]


@dataclass(frozen=True, slots=True)
class AddWindow:
    """Somebody wants a one-off window. `approves`: they are an approver, so it needs no other.

    `person` is free text and names, window name, reason and ticket among them: it goes to `details` (S19).
    """

    id: str
    member: str
    approves: bool
    cameras: tuple[str, ...]
    start_us: int
    end_us: int
    ticket: str | None
    person: Json


@dataclass(frozen=True, slots=True)
class ApproveWindow:
    """An approver approves a one-off that was proposed, or a coming where two people are needed."""

    id: str
    member: str
    person: Json


@dataclass(frozen=True, slots=True)
class ShortenWindow:
    """Somebody wants the window to end earlier; an end that has passed means now."""

    id: str
    end_us: int
    actor: Actor
    person: Json | None = None


@dataclass(frozen=True, slots=True)
class CancelWindow:
    """Somebody wants the window gone, all of it. `data` stands in the event besides."""

    id: str
    actor: Actor
    person: Json | None = None
    data: Json | None = None


Widening = AddWindow | ApproveWindow
Narrowing = ShortenWindow | CancelWindow


def find(policy: Policy, book: Book, identifier: str, wall_us: int) -> Window | None:
    """The window of that id as it stands: a one-off, or a coming of a recurring one that does open."""
    known = book.get(identifier)
    if known is not None and known.recurring is None:
        return known
    read = read_coming_id(identifier, (window.name for window in policy.windows))
    if read is None or not 0 <= read[1] <= wall_us + AHEAD_US:
        return None
    name, start_us = read
    window = next(window for window in policy.windows if window.name == name)
    for coming in occurrences(window, policy.timezone, start_us, start_us + 1):
        if coming.start_us == start_us and coming.skipped is None:
            return as_coming(book, name, coming.cameras, start_us, coming.end_us)
    return None


def as_coming(book: Book, name: str, cameras: tuple[str, ...], start_us: int, end_us: int) -> Window:
    """A coming as the configuration plans it now, with what people said of it."""
    identifier = coming_id(name, start_us)
    known = book.get(identifier)
    if known is None:
        return Window(identifier, cameras, start_us, end_us, end_us, name)
    return replace(known, cameras=cameras, end_us=min(end_us, known.end_us), planned_end_us=end_us)


def standing(policy: Policy, window: Window, wall_us: int) -> Standing:
    """How the window stands at that time."""
    if window.cancelled:
        return "cancelled"
    if window.end_us <= wall_us:
        return "over"
    by_itself = window.recurring is not None and not policy.two_people
    return "approved" if by_itself or window.approved_by else "proposed"


def decide(policy: Policy, book: Book, command: Widening | Narrowing, wall_us: int) -> Event | Refusal | None:
    """The event that `command` leads to at that time; None when all is so already. Pure."""
    if isinstance(command, AddWindow):
        return _add(policy, book, command, wall_us)
    window = find(policy, book, command.id, wall_us)
    if window is None:
        return unknown(command.id)
    now = standing(policy, window, wall_us)
    if now == "over":
        return Refusal("not-permitted", f"the window was over at {rfc3339(window.end_us)}", members=_NOTHING)
    match command:
        case ApproveWindow():
            return _approve(policy, book, window, now, command, wall_us)
        case ShortenWindow():
            return _shorten(book, window, now, command, wall_us)
        case CancelWindow():
            if now == "cancelled":
                return None
            many = _too_many_changed(book, window, wall_us)
            return many or _event(CANCELLED, window, command.actor, command.person, command.data)
    raise TypeError(f"no rule for {command!r}")


_NOTHING: dict[str, Any] = {"permitted": []}


def unknown(identifier: str) -> Refusal:
    """There is no such window, or none for this person."""
    return Refusal("unknown-window", f"there is no window {identifier[:100]} for you")


def ticket_missing(pattern: str, ticket: str | None) -> Refusal | None:
    """The refusal of a ticket that the site's pattern does not match (CONTRACT 3 `require_ticket`)."""
    if not pattern or re.fullmatch(pattern, ticket or ""):
        return None
    return _invalid("/ticket", f"the site needs a ticket that matches {pattern}")


def _add(policy: Policy, book: Book, command: AddWindow, wall_us: int) -> Event | Refusal:
    strangers = [camera for camera in command.cameras if camera not in policy.cameras]
    if strangers or not command.cameras:
        return Refusal("unknown-camera", f"there is no camera {', '.join(strangers) or 'named'} for you")
    start_us = max(command.start_us, wall_us)
    if command.start_us < wall_us - LATE_US:
        past = f"{rfc3339(command.start_us)} has passed; begin now ({rfc3339(wall_us)}) or later"
        return _invalid("/start", past)
    if command.start_us > wall_us + AHEAD_US:
        return _invalid("/start", f"a window begins at most {AHEAD_US // DAY_US} days from now")
    if command.end_us <= start_us:
        return _invalid("/end", f"the end must come after {rfc3339(start_us)}")
    if command.end_us - start_us > LONGEST_US:
        return _invalid("/end", f"a window is at most {LONGEST_US // DAY_US} days long")
    missing = ticket_missing(policy.require_ticket, command.ticket)
    if missing is not None:
        return missing
    ahead = sum(1 for w in book.values() if w.recurring is None and not w.cancelled and w.end_us > wall_us)
    if ahead >= ONE_OFF_AHEAD:
        return _limit("one_off_ahead", ONE_OFF_AHEAD, f"{ahead} one-off windows stand ahead")
    cameras = tuple(dict.fromkeys(command.cameras))
    window = Window(command.id, cameras, start_us, command.end_us, command.end_us)
    by = command.member if command.approves else None
    return _event(ADDED, window, Actor("member", command.member), command.person, {"by": by})


def _approve(
    policy: Policy, book: Book, window: Window, now: Standing, command: ApproveWindow, wall_us: int
) -> Event | Refusal | None:
    if now == "cancelled":
        return Refusal("not-permitted", "the window was cancelled; add another one", members=_NOTHING)
    if command.member in window.approved_by or (now == "approved" and not policy.two_people):
        return None
    many = _too_many_changed(book, window, wall_us)
    actor = Actor("member", command.member)
    return many or _event(APPROVED, window, actor, command.person, {"by": command.member})


def _shorten(
    book: Book, window: Window, now: Standing, command: ShortenWindow, wall_us: int
) -> Event | Refusal:
    if now == "cancelled":
        return Refusal("not-permitted", "the window was cancelled", members=_NOTHING)
    if command.end_us >= window.end_us:
        return _invalid("/end", f"it ends {rfc3339(window.end_us)}, and a window only ever moves earlier")
    end_us = max(command.end_us, wall_us)
    if end_us <= window.start_us:
        return _invalid("/end", f"it begins {rfc3339(window.start_us)}; cancel it to be rid of all of it")
    if end_us >= window.end_us:
        return Refusal("not-permitted", "the window ends at this moment", members=_NOTHING)
    many = _too_many_changed(book, window, wall_us)
    return many or _event(SHORTENED, window, command.actor, command.person, {"end": rfc3339(end_us)})


def _too_many_changed(book: Book, window: Window, wall_us: int) -> Refusal | None:
    """Only what lies ahead is counted and refused: a window that is open can always be narrowed."""
    if window.recurring is None or window.start_us <= wall_us or window.id in book:
        return None
    ahead = sum(1 for other in book.values() if other.recurring is not None and other.start_us > wall_us)
    if ahead < CHANGED_AHEAD:
        return None
    return _limit("changed_ahead", CHANGED_AHEAD, f"{ahead} comings of recurring windows are changed ahead")


def _limit(name: str, most: int, found: str) -> Refusal:
    detail = f"{found}, the most allowed ({name} = {most}); cancel one, or change [[windows]]"
    return Refusal("not-permitted", detail, members={"limit": name, **_NOTHING})


def _invalid(pointer: str, detail: str) -> Refusal:
    return Refusal("invalid-body", f"{pointer}: {detail}", members={"pointer": pointer})


def _event(name: str, window: Window, actor: Actor, person: Json | None, more: Json | None = None) -> Event:
    """Each event tells the whole window, so that the first one about a coming is enough to know it."""
    data = {
        "window": window.id,
        "recurring": window.recurring,
        "cameras": list(window.cameras),
        "start": rfc3339(window.start_us),
        "end": rfc3339(window.end_us),
        "planned_end": rfc3339(window.planned_end_us),
        **(more or {}),
    }
    return observation(name, actor, data=data, details=person)
