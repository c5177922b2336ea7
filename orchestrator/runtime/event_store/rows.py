"""Between records and rows: the same mapping for writing, reading and checking."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, bindparam, select

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
from orchestrator.runtime.event_store.schema import driver_of, events, statement

STREAM_ROWS = 200
"""How many rows are fetched at a time: a log of any length is read in bounded memory."""
Row = Sequence[Any]
"""What SQLite gives: the columns of `events` in their order, and perhaps more behind them."""
_SEQ, _CANONICAL, _HASH = (
    list(events.columns).index(column) for column in (events.c.seq, events.c.canonical, events.c.hash)
)
_FOLLOWING = (
    f"{statement(select(events).where(events.c.seq > bindparam('seq')).order_by(events.c.seq))} LIMIT ?"
)


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


def record_of_row(row: Row) -> Record:
    """The record of a row of `events`; BrokenRecord when the columns say other than the bytes."""
    canonical, digest = row[_CANONICAL], row[_HASH]
    body = read_body(canonical, digest)
    compare_columns(row, columns_of(body, canonical, digest))
    return record_of(body, canonical, digest)


def compare_columns(row: Row, columns: tuple[Any, ...]) -> None:
    """BrokenRecord unless each column says what the bytes say, which is `columns`."""
    if columns == row[: len(columns)]:
        return
    for column, there, said in zip(events.columns, row, columns, strict=False):
        if there != said:
            raise BrokenRecord(f"its column {column.name} says {there!r}, its bytes {said!r}")


def chained(connection: Connection, after: Record | None = None, limit: int = -1) -> Iterator[Record]:
    """Every record (at most `limit`) after `after`, in order; LogTampered at the first that is not what was
    written."""
    seq, prev = (0, GENESIS) if after is None else (after.seq, after.hash)
    try:
        # The driver's own cursor: it fetches row by row, and lets other threads run meanwhile.
        for row in driver_of(connection).execute(_FOLLOWING, (seq, limit)):
            try:
                record = record_of_row(row)
                check_link(prev, seq, record.seq, record.prev)
            except BrokenRecord as error:
                raise LogTampered(seq + 1 if row[_SEQ] > seq + 1 else row[_SEQ], str(error)) from error
            seq, prev = record.seq, record.hash
            yield record
    except LogTampered:
        raise
    except Exception as error:
        if code_of(error) in DAMAGED:
            raise LogTampered(seq + 1, "the database's pages are damaged from here on") from error
        raise
