"""One durable event: the event store beside sqlite3 with the same pragmas, tables, triggers and rows."""

from __future__ import annotations

import asyncio
import os
import shutil
import sqlite3
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

from orchestrator.core.canonical import canonical
from orchestrator.core.chain import GENESIS, body, digest, read_body, record_of, shaped
from orchestrator.core.events import Record, Sealed
from orchestrator.runtime.event_store.files import LogFiles
from orchestrator.runtime.event_store.rows import columns_of
from orchestrator.runtime.event_store.schema import VERSION_1
from orchestrator.runtime.event_store.thread import LogThread
from orchestrator.runtime.event_store.writer import LogWriter
from orchestrator.runtime.ledger import SiteState, fold
from tests.bench.figures import Aim, Report, Row, microseconds
from tests.bench.sessions import INSERT_DETAILS, INSERT_EVENT, SITE, sealed_events, store_at
from tests.e2e.parts import segment_root

APPENDS = 1000
WARM_UP = 50
PRAGMAS = (
    *("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "recursive_triggers=ON"),
    *("secure_delete=ON", "trusted_schema=OFF"),
)


class Raw:
    """The other side: what the rows alone cost."""

    def __init__(self, path: Path) -> None:
        self.connection = sqlite3.connect(path, isolation_level=None)
        for pragma in PRAGMAS:
            self.connection.execute(f"PRAGMA {pragma}")
        for statement in VERSION_1:
            self.connection.execute(statement)

    def append(self, row: tuple[Any, ...], personal: tuple[Any, ...] | None) -> None:
        """One transaction, as the store makes one."""
        self.connection.execute("BEGIN IMMEDIATE")
        self.connection.execute(INSERT_EVENT, row)
        if personal is not None:
            self.connection.execute(INSERT_DETAILS, personal)
        self.connection.execute("COMMIT")

    def count(self) -> int:
        """How many events there are."""
        return int(self.connection.execute("SELECT count(*) FROM events").fetchone()[0])


def personal_row(sealed: Sealed) -> tuple[Any, ...] | None:
    details = sealed.event.details
    return None if details is None else (sealed.id, os.urandom(16), canonical(details))


def spent(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


@dataclass(slots=True)
class Sides:
    """Seconds of each append: through the store, through its writer in the calling thread, by sqlite3."""

    ours: list[float] = field(default_factory=list)
    inline: list[float] = field(default_factory=list)
    raw: list[float] = field(default_factory=list)
    records: list[Record] = field(default_factory=list)


async def side_by_side(folder: Path, events: list[Sealed]) -> Sides:
    """Each event to all three, one after the other, in the same folder."""
    sides, store, other = Sides(), store_at(folder / "ours.db"), Raw(folder / "raw.db")
    writer: LogWriter[SiteState] = LogWriter(
        folder / "inline.db",
        site=SITE,
        fold=fold,
        empty=SiteState(),
        random=os.urandom,
        committed=lambda: None,
    )
    await store.open()
    writer.open()
    try:
        for sealed in events:
            began = time.perf_counter()
            [record] = await store.append([sealed])
            sides.ours.append(time.perf_counter() - began)
            sides.inline.append(spent(partial(writer.append, [sealed], None)))
            row = columns_of(shaped(record.canonical), record.canonical, record.hash)
            personal = personal_row(sealed)
            sides.raw.append(spent(partial(other.append, row, personal)))
            sides.records.append(record)
        assert store.last is not None
        assert (store.last.seq, other.count()) == (len(events), len(events))
    finally:
        await store.close()
        writer.close()
        other.connection.close()
    for values in (sides.ours, sides.inline, sides.raw):
        del values[:WARM_UP]
    return sides


async def hops() -> list[float]:
    """A job that does nothing, to the log's thread and back."""
    thread = LogThread("bench-hop")
    thread.start()
    taken = []
    for _ in range(APPENDS):
        began = time.perf_counter()
        await thread.run(lambda: None)
        taken.append(time.perf_counter() - began)
    await thread.stop(lambda: None, patience_s=1)
    return taken


def read_back(record: Record) -> Record:
    return record_of(read_body(record.canonical, record.hash), record.canonical, record.hash)


def pieces(path: Path, records: list[Record]) -> Iterator[tuple[str, list[float]]]:
    """What an append computes beside the database, each alone."""
    bodies = [body(r.sealed, r.seq, r.prev, SITE, None) for r in records]
    yield "body", [spent(partial(body, r.sealed, r.seq, GENESIS, SITE, None)) for r in records]
    yield "canonical JSON", [spent(partial(canonical, each)) for each in bodies]
    yield "SHA-256", [spent(partial(digest, r.canonical)) for r in records]
    yield "parse it back", [spent(partial(read_back, r)) for r in records]
    files = LogFiles(path)
    files.remember()

    def look() -> None:
        files.look()
        files.remember()

    yield "looks at the files", [spent(look) for _ in records]


def row_of(where: str, sides: Sides, aim: Aim | None, medians: dict[str, float]) -> Row:
    inline = {"the same in the calling thread": microseconds("", sides.inline).p50}
    ours, raw = microseconds("EventStore", sides.ours), microseconds("sqlite3", sides.raw)
    return Row(f"durable append of one event, {where}", ours, raw, aim, {"medians in us": inline | medians})


def test_durable_append(tmp_path: Path, report: Report) -> None:
    events = list(islice(sealed_events(), APPENDS + WARM_UP))
    sides = asyncio.run(side_by_side(tmp_path, events))
    parts = {"thread hop alone": microseconds("", asyncio.run(hops())).p50}
    for name, values in pieces(tmp_path / "ours.db", sides.records):
        parts[name] = microseconds("", values).p50
    report.add(row_of("on disk", sides, Aim("ratio", 2.0), parts))


def test_the_same_in_memory(report: Report) -> None:
    """No fsync: what is left is what both sides compute."""
    folder = segment_root()
    try:
        sides = asyncio.run(side_by_side(folder, list(islice(sealed_events(), APPENDS + WARM_UP))))
        report.add(row_of("on tmpfs", sides, None, {}))
    finally:
        shutil.rmtree(folder)
