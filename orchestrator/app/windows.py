"""Maintenance windows for those who ask over the VPN: who sees which, who may change it, what they are told.

Narrowing is a kind of closing: a maintainer or an approver of all of a window's cameras may shorten or cancel
it. Widening is not: a maintainer proposes, an approver approves (CONTRACT 5).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from itertools import islice
from typing import Any

from orchestrator.app.access import MAY, admit_act
from orchestrator.app.names import person_of
from orchestrator.core.events import Actor
from orchestrator.core.moment import Moment, rfc3339
from orchestrator.core.policy import Member, Policy
from orchestrator.core.refusal import Refusal
from orchestrator.core.window_book import Window
from orchestrator.core.window_plan import Listed, Stretch, listed, next_stretches
from orchestrator.core.window_rules import (
    AddWindow,
    ApproveWindow,
    CancelWindow,
    Narrowing,
    ShortenWindow,
    find,
    standing,
    unknown,
)
from orchestrator.edges.http.ports import Act, Answer, Caller, WindowWish
from orchestrator.edges.slices import by_slices
from orchestrator.runtime.event_store import EventStore
from orchestrator.runtime.event_store.errors import LogError
from orchestrator.runtime.ledger import SiteState
from orchestrator.runtime.site import Site

WRITTEN_WAIT_S = 0.4
"""How long the answer to a narrowing waits for the log; it counts before (S13)."""
MAY_READ_WORDS = frozenset({"maintainer", "approver", "reviewer"})
"""Who reads the name, reason and ticket of a one-off: free text, which a viewer needs not."""


class WindowDesk:
    """Turns what a person asks into a command for the windows' owner, and what is in force into an answer."""

    def __init__(
        self,
        site: Site,
        store: EventStore[SiteState],
        *,
        new_id: Callable[[], str],
        now: Callable[[], Moment],
    ) -> None:
        self._site, self._store, self._new_id, self._now = site, store, new_id, now

    def admit(self, caller: Caller, act: Act, identifier: str) -> None:
        """Refusal `unknown-window`, then `role-required`, unless this caller may do that to this window."""
        window = self._seen(identifier, caller.member)
        admit_act(caller, act)
        if not all(caller.member.may_see(camera) for camera in window.cameras):
            detail = "this window is for other cameras besides yours; close your camera instead"
            raise Refusal("role-required", detail, members={"roles": sorted(MAY[act])})

    def _seen(self, identifier: str, member: Member) -> Window:
        board = self._site.board
        window = find(board.policy, board.windows, identifier, self._now().wall_us)
        if window is None or not any(member.may_see(camera) for camera in window.cameras):
            raise unknown(identifier)
        return window

    async def page(self, caller: Caller, after: tuple[int, str] | None, limit: int) -> dict[str, Any]:
        """What runs and what is to come, by start: `{items, next}`."""
        board, now = self._site.board, self._now()
        found = listed(board.policy, board.windows, self._cameras(caller.member), now.wall_us, after=after)
        items = await asyncio.to_thread(lambda: list(islice(found, limit + 1)))
        shown = items[:limit]
        told = await self._told(shown, caller.member)
        last = shown[-1].key if len(items) > limit else None
        return {"items": told, "next": None if last is None else f"{last[0]}.{last[1]}"}

    async def coming(self, caller: Caller, count: int) -> dict[str, Any]:
        """The next stretches in which a camera may really be opened, and what will not open."""
        board, cameras, wall_us = self._site.board, self._cameras(caller.member), self._now().wall_us
        found = await asyncio.to_thread(next_stretches, board.policy, board.windows, cameras, wall_us, count)
        return {"items": [_stretch(one) for one in found], "next": None}

    def _cameras(self, member: Member) -> list[str]:
        return [camera for camera in self._site.board.policy.cameras if member.may_see(camera)]

    async def add(self, caller: Caller, wish: WindowWish) -> Answer:
        """A one-off window: in force at once for an approver, else proposed."""
        strangers = [camera for camera in wish.cameras if camera not in self._cameras(caller.member)]
        if strangers:
            raise Refusal("unknown-camera", f"there is no camera {strangers[0][:100]} for you")
        words = {"window_name": wish.name, "reason": wish.reason, "ticket": wish.ticket}
        command = AddWindow(
            id=self._new_id(),
            member=caller.member.id,
            approves="approver" in caller.member.roles,
            cameras=wish.cameras,
            start_us=wish.start_us,
            end_us=wish.end_us,
            ticket=wish.ticket,
            person=person_of(caller) | words,
        )
        await self._site.windows.widen(command)
        return Answer(201, await self._view(command.id, caller.member))

    async def approve(self, caller: Caller, identifier: str) -> Answer:
        """The window is in force for everybody but those who alone approved it."""
        await self._site.windows.widen(ApproveWindow(identifier, caller.member.id, person_of(caller)))
        return Answer(200, await self._view(identifier, caller.member))

    async def shorten(self, caller: Caller, identifier: str, end_us: int) -> Answer:
        """The window ends earlier, at once."""
        actor = Actor("member", caller.member.id)
        return await self._narrow(caller, ShortenWindow(identifier, end_us, actor, person_of(caller)))

    async def cancel(self, caller: Caller, identifier: str) -> Answer:
        """The window is gone, at once."""
        actor = Actor("member", caller.member.id)
        return await self._narrow(caller, CancelWindow(identifier, actor, person_of(caller)))

    async def _narrow(self, caller: Caller, command: Narrowing) -> Answer:
        self._site.windows.narrow(command)
        written = await self._site.windows.settled(WRITTEN_WAIT_S)
        view = await self._view(command.id, caller.member)
        return Answer(200, view) if written else Answer(202, view | {"pending": True})

    async def _view(self, identifier: str, member: Member) -> dict[str, Any]:
        board, wall_us = self._site.board, self._now().wall_us
        window = find(board.policy, board.windows, identifier, wall_us)
        if window is None:
            raise unknown(identifier)
        return (await self._told([Listed(window, standing(board.policy, window, wall_us))], member))[0]

    async def _told(self, found: Sequence[Listed], member: Member) -> list[dict[str, Any]]:
        words: dict[str, Any] = {}
        if MAY_READ_WORDS & member.roles:
            try:
                added = [one.window.added_by_event for one in found]
                words = await self._store.details([event for event in added if event])
            except LogError:
                # The words are for a person; a log that cannot be read must not hide the windows.
                words = {}
        policy = self._site.board.policy

        def told(one: Listed) -> dict[str, Any]:
            mine = words.get(one.window.added_by_event or "") or {}
            return _view(one, member, mine) | {"permitted": permitted(policy, one, member)}

        return await by_slices(told, found)


def _view(one: Listed, member: Member, words: dict[str, Any]) -> dict[str, Any]:
    window = one.window
    return {
        "id": window.id,
        "name": window.recurring or words.get("window_name"),
        "cameras": [camera for camera in window.cameras if member.may_see(camera)],
        "start": rfc3339(window.start_us),
        "end": rfc3339(window.end_us),
        "reason": words.get("reason"),
        "ticket": words.get("ticket"),
        "state": one.state,
        "recurring": window.recurring is not None,
        "proposed_by": window.proposed_by,
        "approved_by": list(window.approved_by),
        "skipped": one.skipped,
    }


def permitted(policy: Policy, one: Listed, member: Member) -> list[str]:
    """What this person may do to it now: `approve` where that would change anything, `shorten`, `cancel`."""
    window = one.window
    if one.state not in ("proposed", "approved") or not all(map(member.may_see, window.cameras)):
        return []
    missing = one.state == "proposed" or (policy.two_people and len(window.approved_by) == 1)
    approves = missing and member.id not in window.approved_by and bool(MAY["approve"] & member.roles)
    narrows = bool(MAY["narrow"] & member.roles)
    return [*(["approve"] if approves else []), *(["shorten", "cancel"] if narrows else [])]


def _stretch(one: Stretch) -> dict[str, Any]:
    return {
        "cameras": list(one.cameras),
        "start": rfc3339(one.start_us),
        "end": rfc3339(one.end_us),
        "state": one.state,
        "windows": list(one.names),
        "skipped": one.skipped,
    }
