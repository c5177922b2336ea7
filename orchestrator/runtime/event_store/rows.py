"""Between records and rows: the same mapping for writing, reading and checking."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from sqlalchemy import Connection, select

from orchestrator.core.chain import (
    GENESIS,
    BrokenRecord,
    check_link,
    name_of,
    read_body,
    record_of,
    wall_us_of,
)
from orchestrator.core.events import Record
from orchestrator.runtime.event_store.errors import DAMAGED, LogTampered, code_of
from orchestrator.runtime.event_store.schema import events

STREAM_ROWS = 200
"""How many rows are fetched at a time: a log of any length is read in bounded memory."""


def columns_of(body: Mapping[str, Any], canonical: bytes, digest: str) -> tuple[Any, ...]:
    """The row of table `events` for this event object, in the table's own order."""
    return (
        body["seq"],
        body["id"],
        body["type"],
        name_of(body),
        body["camera"],
        body["session"],
        wall_us_of(body),
        canonical,
        body["prev"],
        digest,
    )


def record_of_row(row: Any) -> Record:
    """The record of a row of `events`; BrokenRecord when the columns say other than the bytes."""
    body = read_body(row.canonical, row.hash)
    check_columns(row, body)
    return record_of(body, row.canonical, row.hash)


def check_columns(row: Any, body: Mapping[str, Any]) -> None:
    """BrokenRecord unless each column says what the bytes say; `row` begins with those of `events`."""
    columns = columns_of(body, row.canonical, row.hash)
    if columns == row[: len(columns)]:
        return
    for column, said in zip(events.columns, columns, strict=True):
        if getattr(row, column.name) != said:
            there = getattr(row, column.name)
            raise BrokenRecord(f"its column {column.name} says {there!r}, its bytes {said!r}")


def chained(connection: Connection, after: Record | None = None) -> Iterator[Record]:
    """Every record after `after`, in order; LogTampered at the first that is not what was written."""
    seq, prev = (0, GENESIS) if after is None else (after.seq, after.hash)
    query = select(events).where(events.c.seq > seq).order_by(events.c.seq)
    try:
        for row in connection.execution_options(yield_per=STREAM_ROWS).execute(query):
            try:
                record = record_of_row(row)
                check_link(prev, seq, record.seq, record.prev)
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
