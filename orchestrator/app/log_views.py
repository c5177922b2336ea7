"""The log for those who may read it: reviewers all of it, maintainers their own sessions (CONTRACT 8)."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import Any

from orchestrator.app.access import admit_act
from orchestrator.app.log_reading import read_for_caller
from orchestrator.app.names import Revealing, names_in, without_names
from orchestrator.app.views import chained
from orchestrator.core.events import Record
from orchestrator.core.refusal import Refusal
from orchestrator.core.session_view import session_view
from orchestrator.edges.http.ports import Caller, EventQuery
from orchestrator.edges.slices import by_slices
from orchestrator.runtime.event_store import EventStore
from orchestrator.runtime.ledger import SiteState

OWNERS_KEPT = 4096
PAGE = 500
SESSION_EVENTS = 10_000


class LogViews:
    """Pages of events, transitions and sessions, each only what this caller may read."""

    def __init__(self, store: EventStore[SiteState], revealing: Revealing) -> None:
        self._store, self._revealing = store, revealing
        self._owners: OrderedDict[str, str] = OrderedDict()

    async def events(self, caller: Caller, wanted: EventQuery) -> dict[str, Any]:
        """A page of the log: `{items, next}`."""
        admit_act(caller, "reveal" if wanted.names else "log")
        found: list[Record] = []
        position, more, limit = wanted.after, True, wanted.limit
        while len(found) <= limit and more:
            page = await read_for_caller(
                self._store.read(after=position, limit=PAGE, camera=wanted.camera, session=wanted.session)
            )
            more = len(page) == PAGE
            for record in page:
                position = record.seq
                if await self.readable(record, caller):
                    found.append(record)
        shown = found[:limit]
        items: list[Any] = await by_slices(chained, shown)
        if wanted.names:
            await self._revealing.look(caller, shown)
        if wanted.details or wanted.names:
            rows = await self._rows(shown, caller, names=wanted.names)
            items = [
                {"event": item, "details": rows.get(record.sealed.id)}
                for item, record in zip(items, shown, strict=True)
            ]
        return {"items": items, "next": shown[-1].seq if len(found) > limit and shown else None}

    async def _rows(
        self, records: Sequence[Record], caller: Caller, *, names: bool
    ) -> dict[str, dict[str, Any]]:
        """The details of these events by id: of one's own deeds all, of others' for a reviewer alone, and
        without names unless they are asked for."""
        own = {record.sealed.id for record in records if record.event.actor.id == caller.member.id}
        told = [record.sealed.id for record in records] if "reviewer" in caller.member.roles else list(own)
        rows = await read_for_caller(self._store.details(told))
        return {key: dict(row) if names or key in own else without_names(row) for key, row in rows.items()}

    async def transitions(self, camera: str, after: int, limit: int) -> dict[str, Any]:
        """A page of one camera's transitions."""
        found: list[Record] = []
        position, more = after, True
        while len(found) <= limit and more:
            page = await read_for_caller(self._store.read(after=position, limit=PAGE, camera=camera))
            more = len(page) == PAGE
            found += [record for record in page if record.event.type == "transition"]
            position = page[-1].seq if page else position
        shown = found[:limit]
        items = await by_slices(chained, shown)
        return {"items": items, "next": shown[-1].seq if len(found) > limit and shown else None}

    async def readable(self, record: Record, caller: Caller) -> bool:
        """Whether this caller may read this event."""
        if "reviewer" in caller.member.roles:
            return True
        session = record.event.session
        return session is not None and await self.owner(session) == caller.member.id

    async def owner(self, session: str) -> str | None:
        """The member who asked for that session."""
        if session not in self._owners:
            first = await read_for_caller(self._store.read(session=session, limit=1))
            if not first or first[0].event.name != "request":
                return None
            self._owners[session] = first[0].event.actor.id
            if len(self._owners) > OWNERS_KEPT:
                self._owners.popitem(last=False)
        return self._owners[session]

    async def sessions(self, caller: Caller, after: int, limit: int, names: bool) -> dict[str, Any]:
        """A page of sessions, newest last; `after` is the sequence number of a request."""
        admit_act(caller, "reveal" if names else "log")
        found: list[Record] = []
        position, more = after, True
        while len(found) <= limit and more:
            page = await read_for_caller(self._store.read(after=position, limit=PAGE, requests_only=True))
            more = len(page) == PAGE
            for record in page:
                position = record.seq
                if await self.readable(record, caller):
                    found.append(record)
        shown = found[:limit]
        if names:
            await self._revealing.look(caller, shown)
        items = [await self._told(record.event.session or "", names) for record in shown]
        return {"items": items, "next": shown[-1].seq if len(found) > limit and shown else None}

    async def admit(self, caller: Caller, session: str) -> None:
        """Refusal `unknown-session` unless this caller may read it: it comes before `role-required`
        (CONTRACT 8)."""
        owner, roles = await self.owner(session), caller.member.roles
        own = owner == caller.member.id and "maintainer" in roles
        if owner is None or not (own or "reviewer" in roles):
            raise Refusal("unknown-session", f"there is no session {session} for you")

    async def session(self, session: str, caller: Caller, names: bool) -> Mapping[str, Any]:
        """One session, told from its events; `names`: also by whom."""
        await self.admit(caller, session)
        if names:
            admit_act(caller, "reveal")
            await self._revealing.look(
                caller, await read_for_caller(self._store.read(session=session, limit=SESSION_EVENTS))
            )
        view = await self._told(session, names)
        assert view is not None
        return view

    async def told(self, session: str) -> dict[str, Any] | None:
        """One session told from its events, whoever asks."""
        return await self._told(session, names=False)

    async def _told(self, session: str, names: bool) -> dict[str, Any] | None:
        records = await read_for_caller(self._store.read(session=session, limit=SESSION_EVENTS))
        rows = await read_for_caller(self._store.details([record.sealed.id for record in records]))
        view = session_view(records, rows)
        return view | {"names": names_in(records, rows)} if view and names else view

    async def follow(
        self, caller: Caller, after: int | None
    ) -> AsyncGenerator[tuple[int, dict[str, Any]], None]:
        """Events as they become durable, with their sequence numbers."""
        admit_act(caller, "log")
        last = self._store.last
        position = after if after is not None else (last.seq if last else 0)
        while True:
            page = await read_for_caller(self._store.read(after=position, limit=PAGE))
            for record in page:
                position = record.seq
                if await self.readable(record, caller):
                    yield position, chained(record)
            if not page:
                await self._store.wait_for(position)
