"""An event of the log as one row for a person."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from orchestrator.cli.terminal import plain

HEADER = ("SEQ", "AT", "CAMERA", "WHAT", "FROM", "TO", "ACTOR", "WHY")


def place(state: object, substate: object) -> str:
    """`streaming` and `live` as `streaming.live`; empty for None."""
    return ".".join(plain(part) for part in (state, substate) if part)


def row(event: Mapping[str, Any]) -> tuple[str, ...]:
    """The cells of one chained event (CONTRACT 7), under HEADER."""
    actor = event.get("actor") or {}
    return (
        plain(event.get("seq")),
        plain(event.get("at")),
        plain(event.get("camera")),
        plain(event.get("trigger") or event.get("name")),
        place(event.get("from"), event.get("from_substate")),
        place(event.get("to"), event.get("to_substate")),
        plain(":".join(str(actor[key]) for key in ("kind", "id") if actor.get(key))),
        why(event),
    )


def why(event: Mapping[str, Any]) -> str:
    """Fault, limit and failure class, the window, and the checks that did not pass."""
    data = event.get("data") or {}
    words = [plain(data[key]) for key in ("fault", "limit", "failure", "code", "window") if data.get(key)]
    failed = [plain(check.get("id")) for check in checks(event) if not check.get("passed")]
    if failed:
        words.append(f"failing: {', '.join(failed)}")
    return ", ".join(words)


def checks(event: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The checks that stand in the event, or none."""
    found = (event.get("data") or {}).get("checks")
    return [check for check in found if isinstance(check, Mapping)] if isinstance(found, list) else []
