"""What a person asks of a camera: request, extend, close, acknowledge, and what they are answered."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from orchestrator.app.access import admit_act
from orchestrator.app.log_views import LogViews
from orchestrator.app.names import person_of
from orchestrator.app.repeats import Marks, Repeats
from orchestrator.app.views import answered, place_now
from orchestrator.core.camera_state import Session
from orchestrator.core.commands import Acknowledge, Extend, Request, Why
from orchestrator.core.events import Actor
from orchestrator.core.faults import LOCKING
from orchestrator.core.moment import Moment, parse_rfc3339
from orchestrator.core.policy import Policy, Purpose
from orchestrator.core.refusal import Refusal
from orchestrator.core.site_faults import present
from orchestrator.edges.http.ports import Act, Answer, Caller, TransitionWish
from orchestrator.runtime.site import CameraParts, Site

WAIT_DEFAULT_S = 60
CLOSE_WAIT_S = 0.4
"""How long the answer to `close` waits for the log; the gate is shut before (CONTRACT 5)."""
RESUME_WITHIN_US = 600_000_000
OVER_THE_VPN: dict[str, Act] = {"request": "request", "extend": "extend", "acknowledge": "acknowledge"}


class Requests:
    """Turns a validated wish into a command, and the records into an answer."""

    def __init__(
        self,
        site: Site,
        logs: LogViews,
        repeats: Repeats,
        *,
        look_around: Callable[[], None],
        new_id: Callable[[], str],
        now: Callable[[], Moment],
    ) -> None:
        """`look_around` renews the facts about who could get in; some milliseconds."""
        self._site, self._logs, self._repeats = site, logs, repeats
        self._new_id, self._now = new_id, now
        self._look_around = look_around

    @property
    def _policy(self) -> Policy:
        return self._site.board.policy

    async def carry_out(self, parts: CameraParts, caller: Caller | None, wish: TransitionWish) -> Answer:
        """The answer to `POST …/transitions`. Raises Refusal."""
        if wish.trigger == "close":
            admit_act(caller, "close")
            actor = _actor(caller)
            return await self._repeats.once(
                actor, parts.actor.camera, wish, lambda marks: self._close(parts, caller, wish, marks)
            )
        if caller is None:
            raise Refusal("vpn-only", f"{wish.trigger} works over the VPN only")
        admit_act(caller, OVER_THE_VPN[wish.trigger])
        if not wish.reason and not (wish.trigger == "request" and wish.resume):
            raise invalid("/reason", "say why, in 1 to 500 characters")
        ways = {"request": self._request, "extend": self._extend, "acknowledge": self._acknowledge}
        way, known = ways[wish.trigger], caller
        return await self._repeats.once(
            _actor(caller), parts.actor.camera, wish, lambda marks: way(parts, known, wish, marks)
        )

    async def _request(
        self, parts: CameraParts, caller: Caller, wish: TransitionWish, marks: Marks
    ) -> Answer:
        before = await self._resumed(wish.resume, caller) if wish.resume else {}
        reason, ticket = wish.reason or before.get("reason"), wish.ticket or before.get("ticket")
        purpose = self._purpose(wish.purpose or before.get("purpose"), ticket)
        parts.actor.expect(wish.versions)
        if not self._site.board.config.good:
            raise Refusal("config-invalid", self._site.board.config.detail)
        self._look_around()
        command = Request(
            session=self._new_id(),
            member=caller.member.id,
            device=caller.device,
            purpose=purpose.name,
            duration_s=wish.duration_s,
            wait_s=WAIT_DEFAULT_S if wish.wait_s is None else wish.wait_s,
            person=person_of(caller) | {"reason": reason, "ticket": ticket, **marks},
            resume=wish.resume,
        )
        return await _asked(parts, command, wish)

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

    async def _extend(self, parts: CameraParts, caller: Caller, wish: TransitionWish, marks: Marks) -> Answer:
        if wish.duration_s is None:
            raise invalid("/duration_s", "say by how many seconds")
        person = person_of(caller) | {"reason": wish.reason, **marks}
        return await _asked(parts, Extend(caller.member.id, wish.duration_s, person), wish)

    async def _acknowledge(
        self, parts: CameraParts, caller: Caller, wish: TransitionWish, marks: Marks
    ) -> Answer:
        self._look_around()
        lasting = present(parts.actor.facts()) & LOCKING
        person = person_of(caller) | {"reason": wish.reason, **marks}
        return await _asked(parts, Acknowledge(caller.member.id, lasting, person), wish)

    async def _close(
        self, parts: CameraParts, caller: Caller | None, wish: TransitionWish, marks: Marks
    ) -> Answer:
        actor = _actor(caller)
        person = {} if caller is None else person_of(caller) | {"reason": wish.reason}
        parts.actor.expect(wish.versions)
        session = parts.actor.state.session
        if parts.actor.close(Why("close", actor, person={**person, **marks} or None)) is None:
            return Answer(200, _body(parts, session))
        written = await parts.actor.written(CLOSE_WAIT_S)
        records = parts.actor.closing_records if written else []
        if records and records[0].event.type == "transition":
            return Answer(202, answered(records))
        return Answer(202, _body(parts, session) | ({} if written else {"pending": True}))


def invalid(pointer: str, detail: str) -> Refusal:
    """A member of the body that cannot be used, by its JSON pointer."""
    return Refusal("invalid-body", detail, members={"pointer": pointer})


def _actor(caller: Caller | None) -> Actor:
    return Actor("local", "socket") if caller is None else Actor("member", caller.member.id)


async def _asked(parts: CameraParts, command: Request | Extend | Acknowledge, wish: TransitionWish) -> Answer:
    return Answer(202, answered(await parts.actor.ask(command, wish.versions)))


def _body(parts: CameraParts, session: Session | None) -> dict[str, Any]:
    """Where the camera is, of which no event tells (yet)."""
    place = place_now(parts)
    return {
        "session": session.id if session else None,
        "state": place.state,
        "substate": place.substate,
        "version": parts.actor.state.version,
        "events": [],
    }
