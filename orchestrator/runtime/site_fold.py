"""What a start needs of the whole log, and how it is kept between two starts.

As a program it is the check behind a start: the log folded from nothing, in a process of its own.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from orchestrator.core.canonical import canonical
from orchestrator.core.chain import digest
from orchestrator.core.frozen_json import plain, restored
from orchestrator.resources import folder
from orchestrator.runtime.event_store.errors import LogTampered
from orchestrator.runtime.event_store.rows import chained
from orchestrator.runtime.event_store.schema import compare_with_golden, reading_engine
from orchestrator.runtime.event_store.snapshot import Folding
from orchestrator.runtime.ledger import SiteState, fold

PAGE_EVENTS = 1000
NICE = 19


def folding() -> Folding[SiteState] | None:
    """How the site's state is kept; reads this program's own sources, because what other code folded is not
    ours. None where there are none: then nothing is kept."""
    package = Path(__file__).parent.parent
    sources = [*sorted((package / "core").glob("*.py")), package / "runtime" / "ledger.py"]
    files = [*sources, folder("statecharts") / "camera.toml"]
    try:
        told = [[file.name, digest(file.read_bytes())] for file in files]
    except OSError:
        return None
    return Folding(plain, lambda value: restored(SiteState, value), digest(canonical(told)), __name__)


def check(database: Path, seq: int, found: str, state_digest: str, tell: Callable[[int], None]) -> None:
    """The start's own look at the whole log, from the first event to the last: tables, hashes, links, columns
    and the fold, which after event `seq` with the hash `found` must come to that state. LogTampered else.

    `tell` hears how many events are checked. A page is a transaction: nothing of the log is held meanwhile.
    """
    state, last, more = SiteState(), None, True
    with reading_engine(database).connect() as connection:
        with connection.begin():
            compare_with_golden(connection)
        while more:
            page = 0
            for record in chained(connection, last, PAGE_EVENTS):
                state, last, page = _folded(state, record), record, page + 1
                if record.seq == seq and record.hash != found:
                    raise LogTampered(seq, "it is not the event that the start began from")
                if record.seq == seq and digest(canonical(plain(state))) != state_digest:
                    raise LogTampered(seq, _FORGED)
            more = page == PAGE_EVENTS
            tell(last.seq if last else 0)
    if last is None or last.seq < seq:
        raise LogTampered(seq, "it is not there any more")


_FORGED = (
    "the snapshot said other than the events up to here; it was put aside: restart volet, which folds the log"
)


def _folded(state: SiteState, record: Any) -> SiteState:
    try:
        return fold(state, record)
    except Exception as error:
        raise LogTampered(record.seq, f"it cannot be folded: {type(error).__name__}") from error


def _say(**what: Any) -> None:
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


def main(database: str, seq: str, found: str, state_digest: str) -> None:
    """Say line by line how far it is, and last what was found."""
    os.nice(NICE)
    try:
        check(Path(database), int(seq), found, state_digest, lambda checked: _say(checked=checked))
        _say(whole=True)
    except LogTampered as tampered:
        _say(tampered=tampered.seq, why=tampered.why)
    except BrokenPipeError:
        # Whom it was told to is gone, and nobody else asked.
        os._exit(1)


if __name__ == "__main__":
    main(*sys.argv[1:])
