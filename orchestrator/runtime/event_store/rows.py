"""Between records and rows: the same mapping for writing, reading and checking."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sqlalchemy import Connection, select

from orchestrator.core.chain import GENESIS, BrokenRecord, check_link, parse
from orchestrator.core.events import Record
from orchestrator.runtime.event_store.errors import DAMAGED, LogTampered, code_of
from orchestrator.runtime.event_store.schema import events

STREAM_ROWS = 1000
"""How many rows are fetched at a time: a log of any length is read in bounded memory."""


def columns_of(record: Record) -> dict[str, Any]:
    """The row of table `events` that belongs to this record, in the table's own order."""
    event = record.event
    return {
        "seq": record.seq,
        "id": record.sealed.id,
        "type": event.type,
        "name": event.name,
        "camera": event.camera,
        "session": event.session,
        "wall_us": record.sealed.at.wall_us,
        "canonical": record.canonical,
        "prev": record.prev,
        "hash": record.hash,
    }


def record_of_row(row: Any) -> Record:
    """The record of a row of `events`; BrokenRecord when the columns say other than the bytes."""
    record = parse(row.canonical, row.hash)
    check_columns(row, record)
    return record


def check_columns(row: Any, record: Record) -> None:
    """BrokenRecord unless each column says what the bytes say; `row` begins with those of `events`."""
    columns = columns_of(record)
    if tuple(columns.values()) == row[: len(columns)]:
        return
    for name, said in columns.items():
        if getattr(row, name) != said:
            raise BrokenRecord(f"its column {name} says {getattr(row, name)!r}, its bytes {said!r}")


def chained(connection: Connection, after: Record | None = None) -> Iterator[Record]:
    """Every record after `after`, in order; LogTampered at the first that is not what was written."""
    seq, prev = (0, GENESIS) if after is None else (after.seq, after.hash)
    query = select(events).where(events.c.seq > seq).order_by(events.c.seq)
    try:
        for row in connection.execution_options(yield_per=STREAM_ROWS).execute(query):
            try:
                record = record_of_row(row)
                check_link(prev, seq, record)
            except BrokenRecord as error:
                raise LogTampered(seq + 1 if row.seq > seq + 1 else row.seq, str(error)) from error
            seq, prev = record.seq, record.hash
            yield record
    except LogTampered:
        raise
    except Exception as error:
        if code_of(error) in DAMAGED:
            raise LogTampered(seq + 1, "the database's pages are damaged from here on") from error
        raise
