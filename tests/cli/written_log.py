"""Real logs in a folder: events put into the chain through the event store, as the daemon does."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from orchestrator.cli.chart import in_force
from orchestrator.core.chain import uuid7
from orchestrator.core.events import (
    CLOSING,
    READY,
    REQUESTED,
    SAFETY_CHECKED,
    Actor,
    Event,
    Place,
    Sealed,
    observation,
    transition,
)
from orchestrator.core.moment import SECOND_US, Moment, parse_rfc3339
from orchestrator.core.statechart import Chart
from orchestrator.runtime.event_store import EventStore

SESSION = "01930000-0000-7000-8000-000000000001"
LIVE = Place("streaming", "live")
BEGIN = parse_rfc3339("2026-11-22T10:00:00Z")
MEMBER = Actor("member", "m-5f0c00000000")
WORKER = Actor("worker", "cam1")
CHECK = {
    "id": "lane-no-vehicle",
    "phase": "open",
    "passed": True,
    "waived": False,
    "fault": None,
    "age_ms": 40,
    "evidence": {"equals": "<b>0</b>"},
}
END: dict[str, Any] = {
    "ends_at": "2026-11-22T10:15:00.000000Z",
    "ends_boottime_us": 900 * SECOND_US,
    "limit": "asked",
}


def step(trigger: str, source: Place, target: Place, actor: Actor = WORKER, **data: Any) -> Event:
    """A transition of cam1 in the session."""
    return transition(trigger, actor, camera="cam1", session=SESSION, source=source, target=target, data=data)


REQUEST = step(
    "request", READY, REQUESTED, MEMBER, device="d-1", purpose="alignment", wait_s=60, duration_s=900
)
PASSED = step("checks_passed", REQUESTED, SAFETY_CHECKED, Actor("check", "checks"), checks=[CHECK])
FIRST = step("first_frame", SAFETY_CHECKED, LIVE, checks=[CHECK], **END)
FAULT = step("fault", LIVE, CLOSING, Actor("check", "checks"), fault="lane-unsafe")
CLOSED = step("closed", CLOSING, READY, shut_us=120, viewers_cut=1)
STARTED = observation("service_started", Actor("service", "volet"), details={"version": "0.1.0"})
WHOLE = (STARTED, REQUEST, PASSED, FIRST, FAULT, CLOSED)
"""A session that a fault ended, from nothing to nothing."""


def write(folder: Path, events: Sequence[Event], chart: str = "") -> Path:
    """A log of these events, one a second from 10:00:00 on."""
    path = folder / "events.db"
    asyncio.run(_write(path, [_sealed(number, event, chart) for number, event in enumerate(events)]))
    return path


def _sealed(number: int, event: Event, chart: str) -> Sealed:
    at = Moment(BEGIN + number * SECOND_US, number * SECOND_US, boot="b0000000-0000-4000-8000-000000000000")
    identifier = uuid7(at.wall_us // 1000, number.to_bytes(10, "big"))
    return Sealed(event, identifier, at, chart or in_force_digest(), "sha256:" + "c" * 64)


def in_force_digest() -> str:
    """The digest of the statechart in force."""
    chart: Chart = in_force()
    return chart.digest


async def _write(path: Path, sealed: list[Sealed]) -> None:
    store: EventStore[int] = EventStore(
        f"sqlite:///{path}", site="lot-12", fold=lambda count, record: count + 1, empty=0
    )
    await store.open()
    try:
        await store.append(sealed)
    finally:
        await store.close()
