"""Logs like a site's: whole sessions, with the checks' evidence and the personal rows that real ones have."""

from __future__ import annotations

import asyncio
import os
import sqlite3
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from orchestrator.cli.chart import in_force
from orchestrator.core.canonical import canonical
from orchestrator.core.chain import GENESIS, body, commitment, digest, uuid7
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
from orchestrator.core.moment import Moment, rfc3339
from orchestrator.runtime.event_store import EventStore
from orchestrator.runtime.event_store.rows import columns_of
from orchestrator.runtime.ledger import SiteState, fold

Row = tuple[Any, ...]
INSERT_EVENT = "INSERT INTO events VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
INSERT_DETAILS = "INSERT INTO details VALUES (?, ?, ?)"
SITE = "lot-e2e"
BEGIN_US = 1_767_225_600_000_000
"""The first of January 2026: before any run of these benchmarks."""
EVENT_EVERY_US = 50_000
BATCH_EVENTS = 500
LIVE = Place("streaming", "live")
BOOT = "b0000000-0000-4000-8000-000000000000"
MEMBER, WORKER, CHECKS = (
    Actor("member", "m-5f0c00000000"),
    Actor("worker", "ffmpeg"),
    Actor("check", "checks"),
)
PERSON = {"name": "Maintainer A", "device": "laptop", "address": "127.0.0.2", "reason": "align the camera"}
_CHECK_IDS = (
    *("window", "identity", "vpn-interface", "vpn-listener", "vpn-side-door", "config", "bus-connected"),
    *("bus-trusted", "lane-no-vehicle", "lane-sensor-alive", "lane-sensor-ok", "lane-barrier-still"),
    *("camera", "host", "memory-only", "clock", "log"),
)
_EVIDENCE = {
    "source": "sockets",
    "limit_ms": 12_000,
    "holding_ms": 86_400_123,
    "settle_ms": 3000,
    "missing": 0,
}
EVIDENCE: list[dict[str, Any]] = [
    {
        "id": name,
        "phase": "hold",
        "passed": True,
        "waived": False,
        "fault": None,
        "age_ms": 240,
        "evidence": _EVIDENCE,
    }
    for name in _CHECK_IDS
]


def session_events(session: str, at_us: int) -> tuple[Event, ...]:
    """What one session with one viewer leaves in the log when a vehicle ends it."""

    def step(
        name: str, source: Place, target: Place, actor: Actor, details: Any = None, **data: Any
    ) -> Event:
        ends = {"source": source, "target": target}
        return transition(name, actor, camera="cam1", session=session, data=data, details=details, **ends)

    def note(name: str, actor: Actor, details: Any = None, **data: Any) -> Event:
        return observation(name, actor, camera="cam1", session=session, data=data, details=details)

    asked = {
        "device": "d-976aaa083214",
        "purpose": "alignment",
        "duration_s": 900,
        "wait_s": 60,
        "resume": None,
    }
    end = {"ends_at": rfc3339(at_us), "ends_boottime_us": at_us - BEGIN_US, "limit": "asked"}
    rules = {"barrier-still": True, "no-vehicle": True, "sensor-alive": True, "sensor-ok": True}
    confined = {"empty_environment": True, "idle_io": True, "landlock": True, "landlock_abi": 7, "nice": 19}
    return (
        step("request", READY, REQUESTED, MEMBER, PERSON, **asked),
        note("lane_changed", CHECKS, rules=rules),
        step("checks_passed", REQUESTED, SAFETY_CHECKED, CHECKS, checks=EVIDENCE),
        note("worker_started", WORKER, run=1, pid=4711, confinement=confined),
        step("first_frame", SAFETY_CHECKED, LIVE, WORKER, checks=EVIDENCE, **end),
        note("viewer_joined", MEMBER, PERSON, watch=session, device="d-976aaa083214"),
        step("fault", LIVE, CLOSING, CHECKS, fault="lane-unsafe", checks=EVIDENCE[:1]),
        note("viewer_left", MEMBER, watch=session, seconds=412, bytes=30_900_123, reason="cut"),
        note("worker_exited", WORKER, run=1, exit_code=255, signal=None, failure=None, frames=4944),
        step("closed", CLOSING, READY, WORKER, shut_us=412, gone_ms=38, viewers_cut=1, segments_wiped=True),
    )


def sealed_events() -> Iterator[Sealed]:
    """Sessions without end, an event every 50 ms."""
    chart, config = in_force().digest, digest(b"config")
    at_us = BEGIN_US
    while True:
        session = uuid7(at_us // 1000, os.urandom(10))
        for event in session_events(session, at_us + 900_000_000):
            at = Moment(at_us, at_us - BEGIN_US, synchronised=True, boot=BOOT)
            yield Sealed(event, uuid7(at_us // 1000, os.urandom(10)), at, chart, config)
            at_us += EVENT_EVERY_US


def store_at(path: Path) -> EventStore[SiteState]:
    """The event store as the daemon has it, not open yet."""
    return EventStore(f"sqlite:///{path}", site=SITE, fold=fold, empty=SiteState())


def write_log(path: Path, count: int) -> None:
    """A closed log of so many events. The event store makes the tables; the rows go in in bulk, each with
    the bytes and the hash that the core gives it: a million take a minute or two."""
    asyncio.run(_made(path))
    connection = sqlite3.connect(path, isolation_level=None)
    for pragma in ("journal_mode=OFF", "synchronous=OFF", "cache_size=-200000"):
        connection.execute(f"PRAGMA {pragma}")
    connection.execute("BEGIN")
    rows = rows_of(islice(sealed_events(), count))
    while batch := list(islice(rows, BATCH_EVENTS)):
        connection.executemany(INSERT_EVENT, [row for row, _ in batch])
        connection.executemany(INSERT_DETAILS, [personal for _, personal in batch if personal is not None])
    connection.execute("COMMIT")
    connection.execute("PRAGMA journal_mode=WAL")
    connection.close()


async def _made(path: Path) -> None:
    store = store_at(path)
    await store.open()
    await store.close()


def rows_of(events: Iterable[Sealed]) -> Iterator[tuple[Row, Row | None]]:
    """The row of each event, and of its details."""
    prev = GENESIS
    for seq, sealed in enumerate(events, 1):
        details, salt, committed = sealed.event.details, os.urandom(16), None
        if details is not None:
            committed = commitment(salt, details)
        told = body(sealed, seq, prev, SITE, committed)
        data = canonical(told)
        prev = digest(data)
        yield columns_of(told, data, prev), None if details is None else (sealed.id, salt, canonical(details))
