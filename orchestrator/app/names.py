"""What names a person beside the log: put there with what they do, shown to a reviewer who asks (S19)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any

from orchestrator.core.events import Actor, Event, Json, Record, observation
from orchestrator.core.refusal import Refusal
from orchestrator.edges.http.ports import Caller
from orchestrator.runtime.event_store.errors import LogError

NAMING = frozenset({"name", "device", "address", "members", "mqtt_username"})
"""The members of a row of details that name a person or a device; the rest is what was said."""


def person_of(caller: Caller) -> dict[str, Any]:
    """Whose deed it is, for the details of an event."""
    return {"name": caller.member.name, "device": caller.label, "address": caller.address}


def without_names(row: Json) -> dict[str, Any]:
    """The row as it shows to somebody who did not ask for names: null where one would stand."""
    return {key: None if key in NAMING else value for key, value in row.items()}


def names_in(records: Iterable[Record], rows: Mapping[str, Json]) -> dict[str, str]:
    """Each member's name by id, as the last of their deeds in `records` tells it; erased rows tell none."""
    found = ((record.event.actor, rows.get(record.sealed.id) or {}) for record in records)
    return {actor.id: str(row["name"]) for actor, row in found if actor.kind == "member" and row.get("name")}


class Revealing:
    """Writes down that a reviewer looks at names, before they see one. `write` makes an event durable, or
    raises LogError."""

    def __init__(self, write: Callable[[Event], Awaitable[None]]) -> None:
        self._write = write

    async def look(self, caller: Caller, records: Iterable[Record]) -> None:
        """These events' names are about to be shown. Refusal `log-unwritable` when the log does not take it:
        nobody looks unseen."""
        shown = [record.seq for record in records]
        if not shown:
            return
        span = {"first_seq": min(shown), "last_seq": max(shown), "events": len(shown)}
        event = observation("revealed", Actor("member", caller.member.id), data=span)
        try:
            await self._write(event)
        except LogError as problem:
            detail = f"{problem}; names are shown only once the log says who looked"
            raise Refusal("log-unwritable", detail, retry_after_s=1) from None
