"""Power cuts under the log, sector by sector: the chain is whole, and what was synced is there (S12, F17)."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from orchestrator.runtime.event_store import LogTampered, open_read_only, verify
from orchestrator.runtime.event_store.writer import LogWriter
from tests.crash.power_cuts import Left, cuts
from tests.runtime.log_parts import SITE, closing, fold, note, raw

pytestmark = pytest.mark.slow

SEED = 7
EVERY = 5
"""Sectors: eight make a page, so that each part of one is cut in turn."""
SYNCED = tuple(range(1, 13))
Numbers = tuple[int, ...]


def _writer(path: Path) -> LogWriter[Numbers]:
    return LogWriter(
        path, site=SITE, fold=fold, empty=(), random=lambda size: b"s" * size, committed=lambda: None
    )


@dataclass(frozen=True)
class Files:
    """The log's files at one moment."""

    database: bytes
    ahead: bytes

    @classmethod
    def of(cls, path: Path) -> "Files":
        ahead = path.with_name(path.name + "-wal")
        return cls(path.read_bytes(), ahead.read_bytes() if ahead.exists() else b"")

    def laid(self, path: Path) -> None:
        """There, as after a power cut: the index of the write-ahead log is in memory and gone."""
        for end in ("-shm", ".lock"):
            path.with_name(path.name + end).unlink(missing_ok=True)
        path.write_bytes(self.database)
        path.with_name(path.name + "-wal").write_bytes(self.ahead)


def _checkpointed(path: Path, mode: str) -> None:
    with raw(path) as connection:
        assert connection.execute(f"PRAGMA wal_checkpoint({mode})").fetchone()[0] == 0


@pytest.fixture(params=["the write-ahead log grows", "the write-ahead log begins anew"])
def last_write(request: pytest.FixtureRequest, root: Path) -> tuple[Files, Files]:
    """The files before and after a transaction of a closing and what followed it; all before is synced."""
    path = root / "made" / "events.db"
    writer = _writer(path)
    writer.open()
    for n in SYNCED:
        writer.append([note(n, reason="because " * 40)], None)
    if request.param == "the write-ahead log begins anew":
        _checkpointed(path, "RESTART")
    before = Files.of(path)
    last = len(SYNCED) + 1
    writer.append([closing(last, reason="by hand " * 40), note(last + 1), note(last + 2)], None)
    after = Files.of(path)
    writer.close()
    return before, after


def _found(root: Path, files: Files) -> Numbers:
    """What a start finds; it takes events again, and all of it is whole."""
    path = root / "found" / "events.db"
    path.parent.mkdir(exist_ok=True)
    files.laid(path)
    writer = _writer(path)
    writer.open()
    try:
        found = writer.state()
        writer.append([note(found[-1] + 1)], None)
        writer.probe()
    finally:
        writer.close()
    with open_read_only(path) as reader:
        verdict = verify(reader)
    assert (verdict.word, verdict.events) == ("consistent", len(found) + 1), verdict.sentences
    shutil.rmtree(path.parent)
    return found


def test_a_transaction_that_was_being_written_is_there_wholly_or_not_at_all(
    root: Path, last_write: tuple[Files, Files]
) -> None:
    before, after = last_write
    grows = after.ahead.startswith(before.ahead)
    synced_bytes = len(before.ahead) if grows else 0
    three = (*SYNCED, *(len(SYNCED) + more for more in (1, 2, 3)))
    outcomes = set()
    for left in cuts(before.ahead, after.ahead, SEED, synced_bytes=synced_bytes, every=EVERY):
        found = _found(root, Files(before.database, left.data))
        assert found in (SYNCED, three), left.how
        assert found == three or not left.whole
        outcomes.add(found)
    assert outcomes == {SYNCED, three}


def _of_a_checkpoint(path: Path) -> Iterator[tuple[Files, Left]]:
    """Its write-ahead log is synced; the pages are being copied into the database."""
    writer = _writer(path)
    writer.open()
    for n in SYNCED:
        writer.append([note(n, reason="because " * 40)], None)
    before = Files.of(path)
    _checkpointed(path, "FULL")
    after = Files.of(path)
    writer.close()
    for left in cuts(before.database, after.database, SEED, synced_bytes=0, every=EVERY):
        yield before, left


def test_a_checkpoint_that_was_cut_short_loses_nothing(root: Path) -> None:
    for before, left in _of_a_checkpoint(root / "made" / "events.db"):
        assert _found(root, Files(left.data, before.ahead)) == SYNCED, left.how


def test_a_synced_page_that_the_disk_lost_is_never_taken_for_the_log(root: Path) -> None:
    """The counter-test: a disk that loses what it said was synced is noticed, where pages were damaged."""
    path = root / "made" / "events.db"
    writer = _writer(path)
    writer.open()
    for n in SYNCED:
        writer.append([note(n)], None)
    writer.close()
    whole = Files.of(path)
    with pytest.raises((LogTampered, AssertionError)):
        _found(root, Files(whole.database[:8192] + bytes(len(whole.database) - 8192), b""))
