"""Is this log what was written? One of three words, and why (CONTRACT 2 `volet verify`)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import Connection, select

from orchestrator.core.chain import (
    GENESIS,
    BrokenRecord,
    check_canonical,
    check_link,
    digest,
    shaped,
)
from orchestrator.runtime.event_store.errors import DAMAGED, LogTampered, LogUnavailable, code_of, sentence
from orchestrator.runtime.event_store.reader import LogReader
from orchestrator.runtime.event_store.rows import Row, columns_of, compare_columns
from orchestrator.runtime.event_store.schema import compare_with_golden, details, driver_of, events, statement

Word = Literal["proven", "consistent", "broken"]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What `verify` found.

    `events` counts those that are whole, from the first on; `last_seq`, `last_hash` and `last_at` (RFC 3339)
    are of the newest of them, 0 and None when there is none. `why` says what is broken, `hint` what that
    could mean. `first_bad_seq` is None when the fault belongs to no single event. `details_erased` counts
    personal rows that events commit to and that are gone, which is no fault. `checkpoint_seq` is the newest
    checkpoint that vouches, and `not_covered` how many events came after it.
    """

    word: Word
    events: int
    last_seq: int
    last_hash: str | None
    last_at: str | None
    details_kept: int
    details_erased: int
    first_bad_seq: int | None = None
    why: str | None = None
    hint: str | None = None
    checkpoint_seq: int | None = None
    not_covered: int = 0

    @property
    def sentences(self) -> tuple[str, ...]:
        """The verdict for a person, a line each: the word first, then the tail and who vouches for it."""
        lines = [f"{self.word}: {_MEANS[self.word]}"]
        if self.why is not None:
            where = "" if self.first_bad_seq is None else f"event {self.first_bad_seq}: "
            lines.append(where + self.why)
        if self.hint is not None:
            lines.append(f"It could mean that {self.hint}.")
        lines.append(
            "last event: none"
            if self.last_hash is None
            else f"last event: {self.last_seq} of {self.last_at}, {self.last_hash}"
        )
        lines.append(f"details: {self.details_kept} kept and matching, {self.details_erased} erased")
        if self.checkpoint_seq is None:
            lines.append(f"newest checkpoint: none; it leaves {self.not_covered} events uncovered")
        else:
            lines.append(f"newest checkpoint: event {self.checkpoint_seq}, {self.not_covered} came after it")
        return tuple(lines)


_MEANS = {
    "proven": "the chain is whole and signed checkpoints match it",
    "consistent": "the chain is whole, but nothing outside vouches for its tail",
    "broken": "this is not the log that was written",
}


class _Broken(Exception):
    def __init__(self, seq: int | None, why: str, hint: str) -> None:
        super().__init__(why)
        self.seq, self.why, self.hint = seq, why, hint


class _Count:
    """How far the check has come."""

    def __init__(self) -> None:
        self.last: Mapping[str, Any] | None = None
        self.last_hash = GENESIS
        self.events = self.kept = self.erased = 0


def verify(reader: LogReader) -> Verdict:
    """Check the whole log: links, hashes, canonical form, columns, details and what guards the tables.

    Without signed checkpoints the best word is `consistent`. LogUnavailable when the file cannot be read.
    """
    count = _Count()
    broken: _Broken | None = None
    try:
        with reader.connect() as connection:
            _check_rows(connection, count)
            _check_database(connection)
    except _Broken as found:
        broken = found
    except Exception as error:
        if code_of(error) not in DAMAGED:
            raise LogUnavailable(sentence(error, reader.path)) from error
        broken = _Broken(count.events + 1, "the database's pages are damaged from here on", _HINT_PAGES)
    last = count.last
    return Verdict(
        "consistent" if broken is None else "broken",
        count.events,
        last["seq"] if last else 0,
        count.last_hash if last else None,
        last["at"] if last else None,
        count.kept,
        count.erased,
        broken.seq if broken else None,
        broken.why if broken else None,
        broken.hint if broken else None,
        None,
        count.events,
    )


_ROWS = statement(
    select(events, details.c.salt, details.c.row)
    .outerjoin(details, details.c.id == events.c.id)
    .order_by(events.c.seq)
)


def _check_rows(connection: Connection, count: _Count) -> None:
    for row in driver_of(connection).execute(_ROWS):
        count.last = _check_row(row, count)
        count.last_hash = row[9]
        count.events += 1


def _check_row(row: Row, count: _Count) -> Mapping[str, Any]:
    previous_seq = count.events
    seq, canonical, found, salt, personal = row[0], row[7], row[9], row[10], row[11]
    if seq != previous_seq + 1:
        why = f"it is missing; the event after {previous_seq} is {seq}"
        raise _Broken(previous_seq + 1, why, "rows were deleted, or put back from an older copy")
    if digest(canonical) != found:
        why = "its bytes do not have the hash that is written beside them"
        raise _Broken(seq, why, "its bytes, or the hash beside them, were changed after it was written")
    hint = "another program wrote it, or it was forged with a fitting hash"
    try:
        body = shaped(canonical)
        check_canonical(canonical, body)
        columns = columns_of(body, canonical, found)
        hint = "events were reordered or put in between, or the one before was rewritten"
        check_link(count.last_hash, previous_seq, body["seq"], body["prev"])
        hint = "the columns that queries use were edited; the chained bytes are whole"
        compare_columns(row, columns)
    except BrokenRecord as error:
        raise _Broken(seq, str(error), hint) from error
    _check_details(seq, salt, personal, body["details"], count)
    return body


def _check_details(
    seq: int, salt: bytes | None, personal: bytes, committed: str | None, count: _Count
) -> None:
    if salt is None:
        count.erased += committed is not None
        return
    if committed is None:
        raise _Broken(seq, "it has details, but commits to none", "somebody else put them there")
    if digest(salt + personal) != committed:
        raise _Broken(seq, "its details are not those it commits to", "names or reasons were edited")
    count.kept += 1


def _check_database(connection: Connection) -> None:
    try:
        compare_with_golden(connection)
    except LogTampered as error:
        raise _Broken(None, error.why, "a tool rebuilt its tables, or what followed was forged") from error
    said = connection.exec_driver_sql("PRAGMA integrity_check(1)").scalar_one()
    if said != "ok":
        raise _Broken(None, f"SQLite's own check says: {said}", _HINT_PAGES)
    query = "SELECT id FROM details WHERE id NOT IN (SELECT id FROM events)"
    orphan = connection.exec_driver_sql(query).scalar()
    if orphan is not None:
        why = f"there are details of an event {orphan}, which is not in the log"
        raise _Broken(None, why, "its event was deleted, or somebody else put them there")


_HINT_PAGES = "the disk failed, or the file was edited outside SQLite"
