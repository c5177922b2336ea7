"""What a person asks of a camera: request, extend, close, acknowledge, and what they are answered."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from orchestrator.app.access import admit_act
from orchestrator.app.log_views import LogViews
from orchestrator.app.views import chained, place_now
from orchestrator.core.commands import Acknowledge, Extend, Request, Why
from orchestrator.core.events import Actor, Record
from orchestrator.core.faults import LOCKING
from orchestrator.core.moment import Moment, parse_rfc3339
from orchestrator.core.policy import Policy, Purpose
from orchestrator.core.refusal import Refusal
from orchestrator.core.site_faults import present
from orchestrator.edges.http.ports import Answer, Caller, TransitionWish
from orchestrator.runtime.site import CameraParts, Site

WAIT_DEFAULT_S = 60
CLOSE_WAIT_S = 0.4
"""How long the answer to `close` waits for the log; the gate is shut before (CONTRACT 5)."""
RESUME_WITHIN_US = 600_000_000


class Requests:
    """Turns a validated wish into a command, and the records into an answer."""

    def __init__(
        self,
        site: Site,
        logs: LogViews,
        *,
        look_around: Callable[[], None],
        new_id: Callable[[], str],
        now: Callable[[], Moment],
    ) -> None:
        """`look_around` renews the facts about who could get in; some milliseconds."""
        self._site, self._logs, self._new_id, self._now = site, logs, new_id, now
        self._look_around = look_around

    @property
    def _policy(self) -> Policy:
        return self._site.board.policy

    async def carry_out(self, parts: CameraParts, caller: Caller | None, wish: TransitionWish) -> Answer:
        """The answer to `POST …/transitions`. Raises Refusal."""
        if wish.trigger == "close":
            return await self._close(parts, caller, wish)
        if caller is None:
            raise Refusal("vpn-only", f"{wish.trigger} works over the VPN only")
        if not wish.reason and not (wish.trigger == "request" and wish.resume):
            raise invalid("/reason", "say why, in 1 to 500 characters")
        if wish.trigger == "request":
            return await self._request(parts, caller, wish)
        if wish.trigger == "extend":
            return await self._extend(parts, caller, wish)
        return await self._acknowledge(parts, caller, wish)

    async def _request(self, parts: CameraParts, caller: Caller, wish: TransitionWish) -> Answer:
        admit_act(caller, "request")
        if not self._site.board.config.good:
            raise Refusal("config-invalid", self._site.board.config.detail)
        before = await self._resumed(wish.resume, caller) if wish.resume else {}
        reason, ticket = wish.reason or before.get("reason"), wish.ticket or before.get("ticket")
        purpose = self._purpose(wish.purpose or before.get("purpose"), ticket)
        self._look_around()
        command = Request(
            session=self._new_id(),
            member=caller.member.id,
            device=caller.device,
            purpose=purpose.name,
            duration_s=wish.duration_s,
            wait_s=WAIT_DEFAULT_S if wish.wait_s is None else wish.wait_s,
            person=_person(caller) | {"reason": reason, "ticket": ticket},
            resume=wish.resume,
        )
        return _answer(parts, await parts.actor.ask(command))

    def _purpose(self, name: str | None, ticket: str | None) -> Purpose:
        purpose = self._policy.purpose(name)
        if purpose is None:
            known = ", ".join(each.name for each in self._policy.purposes)
            raise invalid("/purpose", f"no purpose {name!r}; there are: {known}")
        for pattern in (self._policy.require_ticket, purpose.require_ticket):
            if pattern and not re.fullmatch(pattern, ticket or ""):
                raise invalid("/ticket", f"{purpose.name} needs a ticket that matches {pattern}")
        return purpose

    async def _resumed(self, session: str, caller: Caller) -> dict[str, Any]:
        """Purpose, reason and ticket of a session of the same person closed less than 10 minutes ago."""
        if await self._logs.owner(session) != caller.member.id:
            raise invalid("/resume", "no session of yours has that id")
        told = await self._logs.told(session)
        if told is None or told["ended_at"] is None:
            raise invalid("/resume", "that session has not ended")
        if self._now().wall_us - parse_rfc3339(told["ended_at"]) > RESUME_WITHIN_US:
            raise invalid("/resume", "that session ended more than 10 minutes ago; ask anew, with a reason")
        return told

    async def _extend(self, parts: CameraParts, caller: Caller, wish: TransitionWish) -> Answer:
        admit_act(caller, "extend")
        if wish.duration_s is None:
            raise invalid("/duration_s", "say by how many seconds")
        person = _person(caller) | {"reason": wish.reason}
        return _answer(parts, await parts.actor.ask(Extend(caller.member.id, wish.duration_s, person)))

    async def _acknowledge(self, parts: CameraParts, caller: Caller, wish: TransitionWish) -> Answer:
        admit_act(caller, "acknowledge")
        self._look_around()
        lasting = present(parts.actor.facts()) & LOCKING
        person = _person(caller) | {"reason": wish.reason}
        command = Acknowledge(caller.member.id, lasting, person)
        return _answer(parts, await parts.actor.ask(command))

    async def _close(self, parts: CameraParts, caller: Caller | None, wish: TransitionWish) -> Answer:
        admit_act(caller, "close")
        actor = Actor("local", "socket") if caller is None else Actor("member", caller.member.id)
        person = None if caller is None else _person(caller) | {"reason": wish.reason}
        session = parts.actor.state.session
        if parts.actor.close(Why("close", actor, person=person)) is None:
            return Answer(200, _body(parts, []) | {"session": session.id if session else None})
        written = await parts.actor.written(CLOSE_WAIT_S)
        body = _body(parts, parts.actor.closing_records if written else [])
        body["session"] = session.id if session else body["session"]
        return Answer(202, body if written else body | {"pending": True})


def invalid(pointer: str, detail: str) -> Refusal:
    """A member of the body that cannot be used, by its JSON pointer."""
    return Refusal("invalid-body", detail, members={"pointer": pointer})


def _person(caller: Caller) -> dict[str, Any]:
    return {"name": caller.member.name, "device": caller.label, "address": caller.address}


def _answer(parts: CameraParts, records: list[Record]) -> Answer:
    return Answer(202, _body(parts, records))


def _body(parts: CameraParts, records: list[Record]) -> dict[str, Any]:
    place, state = place_now(parts), parts.actor.state
    session = records[0].event.session if records else (state.session.id if state.session else None)
    return {
        "session": session,
        "state": place.state,
        "substate": place.substate,
        "version": state.version,
        "events": chained(records),
    }
