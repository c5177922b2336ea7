"""One session told from its events: who, what for, when it opened, how and by what it ended."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from orchestrator.core.events import Json, Record
from orchestrator.core.moment import rfc3339

ENDINGS = frozenset({"checks_failed", "start_failed", "close", "fault", "expire"})


def session_view(records: Iterable[Record], details: Mapping[str, Json]) -> dict[str, Any] | None:
    """The session of CONTRACT 5, or None when `records` hold no request. `details` by event id; an
    erased one leaves nulls."""
    view: dict[str, Any] | None = None
    for record in records:
        event, at = record.event, rfc3339(record.sealed.at.wall_us)
        if event.type == "transition" and event.name == "request":
            view = _asked(record, details.get(record.sealed.id) or {}, at)
        elif view is not None:
            _went_on(view, record, at)
    return view


def _asked(record: Record, person: Json, at: str) -> dict[str, Any]:
    event = record.event
    return {
        "id": event.session,
        "camera": event.camera,
        "requester": event.actor.id,
        "purpose": event.data.get("purpose"),
        "reason": person.get("reason"),
        "ticket": person.get("ticket"),
        "state": event.target.state if event.target else None,
        "requested_at": at,
        "opened_at": None,
        "ended_at": None,
        "end": None,
        "deadline": None,
        "checks": [],
        "viewers": [],
        "closing": None,
    }


def _went_on(view: dict[str, Any], record: Record, at: str) -> None:
    event = record.event
    data: Mapping[str, Any] = event.data
    if event.type == "observation":
        if event.name == "deadline_shortened":
            view["deadline"] = data["ends_at"]
        elif event.name == "viewer_joined":
            joined = {"watch": data["watch"], "member": event.actor.id, "joined_at": at}
            view["viewers"].append(joined | {"left_at": None, "seconds": None, "bytes": None})
        elif event.name == "viewer_left":
            for viewer in view["viewers"]:
                if viewer["watch"] == data["watch"]:
                    viewer |= {"left_at": at, "seconds": data["seconds"], "bytes": data["bytes"]}
        return
    if event.target is not None:
        view["state"] = event.target.state
    if event.name in ("checks_passed", "checks_failed", "first_frame"):
        view["checks"] = data.get("checks", [])
    if event.name == "first_frame":
        view["opened_at"] = at
    if event.name in ("first_frame", "extend"):
        view["deadline"] = data.get("ends_at")
    if event.name in ENDINGS and view["end"] is None:
        view["ended_at"] = at
        end = {"trigger": event.name, "fault": data.get("fault"), "limit": data.get("limit")}
        view["end"] = end | {key: data[key] for key in ("failure", "checks") if data.get(key)}
    if event.name == "closed":
        view["closing"] = dict(data)
