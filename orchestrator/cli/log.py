"""`volet verify` and `volet export`, and how every command that needs no daemon opens a log."""

from __future__ import annotations

import argparse
import csv
import json
import sys
from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, cast

from orchestrator.cli.outcome import DONE, NO, USAGE, Failure
from orchestrator.cli.terminal import coloured, plain, show_json
from orchestrator.core.events import Record
from orchestrator.runtime import event_store

COLUMNS = (
    *(
        "seq",
        "at",
        "type",
        "camera",
        "session",
        "trigger",
        "name",
        "from",
        "from_substate",
        "to",
        "to_substate",
    ),
    *("actor_kind", "actor_id", "data", "id", "site", "schema", "clock_synchronised", "boot", "boottime_us"),
    *("details", "chart", "config", "prev", "hash"),
)
_COLOURS = {"proven": "green", "consistent": "yellow", "broken": "red"}


def arguments(verb: str, parser: argparse.ArgumentParser) -> None:
    """The words after one of the two."""
    add_log(parser)
    if verb == "verify":
        parser.add_argument("--public-key", metavar="FILE", help="not built yet")
        parser.add_argument("--checkpoint", metavar="FILE", nargs="+", help="not built yet")
        parser.add_argument("--json", action="store_true", help="the machine form, and nothing else")
        parser.set_defaults(run=_verify)
        return
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--format", choices=("jsonl", "csv"), default="jsonl", help="default: jsonl")
    form.add_argument("--json", action="store_true", help="the same as --format jsonl")
    form.add_argument(
        "--database", type=Path, metavar="FILE", help="a proper copy of the database into a new file"
    )
    parser.set_defaults(run=_export)


def add_log(parser: argparse.ArgumentParser) -> None:
    """The option that says which log; it is opened read-only."""
    parser.add_argument(
        "--log", required=True, metavar="URL", help="SQLAlchemy URL or path of events.db, or of a copy of it"
    )


@contextmanager
def told_on_one_line() -> Iterator[None]:
    """Failure where the log cannot be read, or is not what was written."""
    try:
        yield
    except event_store.LogTampered as tampered:
        raise Failure(f"the log is broken: {tampered}; `volet verify` says what it could mean") from None
    except event_store.LogError as error:
        raise Failure(str(error)) from None


@contextmanager
def records(log: str, *, camera: str | None = None) -> Iterator[Iterator[Record]]:
    """The records of a log (of one camera, or all), oldest first, in bounded memory."""
    with (
        told_on_one_line(),
        event_store.open_read_only(log) as reader,
        closing(cast("Generator[Record]", event_store.stream(reader, camera=camera))) as found,
    ):
        yield found


def event_of(record: Record) -> dict[str, Any]:
    """The chained event as JSON, its hash included (CONTRACT 7)."""
    return {**json.loads(record.canonical), "hash": record.hash}


def _verify(values: argparse.Namespace) -> int:
    for option, given in (("--public-key", values.public_key), ("--checkpoint", values.checkpoint)):
        if given is not None:
            raise Failure(
                f"`verify {option}` is not built yet; without it the best word is consistent", USAGE
            )
    with told_on_one_line(), event_store.open_read_only(values.log) as reader:
        verdict = event_store.verify(reader)
    if values.json:
        show_json(asdict(verdict))
    else:
        first, *rest = map(plain, verdict.sentences)
        print("\n".join((coloured(first, _COLOURS[verdict.word]), *rest)))
    return NO if verdict.word == "broken" else DONE


def _export(values: argparse.Namespace) -> int:
    if values.database is not None:
        with told_on_one_line():
            event_store.backup(values.log, values.database)
        print(f"{plain(values.database)} is a copy of the log; `volet verify --log` looks at it")
        return DONE
    with records(values.log) as found:
        if values.format == "csv":
            _write_csv(found)
        else:
            for record in found:
                sys.stdout.write(json.dumps(event_of(record), separators=(",", ":")) + "\n")
    return DONE


def _write_csv(found: Iterator[Record]) -> None:
    table = csv.writer(sys.stdout, lineterminator="\n")
    table.writerow(COLUMNS)
    for record in found:
        event = event_of(record)
        actor, data = event.pop("actor"), json.dumps(event.pop("data"), separators=(",", ":"))
        cells = {**event, "actor_kind": actor["kind"], "actor_id": actor["id"], "data": data}
        table.writerow(_cell(cells.get(column)) for column in COLUMNS)


def _cell(value: object) -> object:
    return {True: "true", False: "false"}[value] if isinstance(value, bool) else value
