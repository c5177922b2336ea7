"""Somebody changes the log: refused by the database, seen by every look at it (F12, F23, S12)."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from orchestrator.core.canonical import canonical
from orchestrator.core.chain import digest
from orchestrator.runtime.event_store import LogTampered, NotAppended, Verdict, open_read_only, verify
from tests.runtime.log_parts import filled, make, note, opened, raw, unguarded

Crime = Callable[[sqlite3.Connection], object]


@pytest.fixture
async def path(tmp_path: Path) -> Path:
    path = tmp_path / "events.db"
    await filled(path, 9, reason="focus")
    return path


def verdict(path: Path) -> Verdict:
    with open_read_only(path) as reader:
        return verify(reader)


def test_a_whole_log_is_consistent_and_says_what_that_is_worth(path: Path) -> None:
    found = verdict(path)
    assert (found.word, found.events, found.last_seq, found.first_bad_seq) == ("consistent", 9, 9, None)
    assert (found.details_kept, found.details_erased) == (9, 0)
    assert (found.checkpoint_seq, found.not_covered) == (None, 9)
    assert found.sentences[0].startswith("consistent: the chain is whole, but nothing outside vouches")
    assert found.last_at == "2026-11-22T10:00:00.009000Z"


async def test_an_empty_log_is_consistent(tmp_path: Path) -> None:
    await filled(tmp_path / "empty.db", 0)
    found = verdict(tmp_path / "empty.db")
    assert (found.word, found.events, found.last_hash) == ("consistent", 0, None)


COPY_OF_THE_LAST = "SELECT {} , type, name, camera, session, wall_us, canonical, {} FROM events WHERE seq = 9"
NEXT = "INSERT INTO events " + COPY_OF_THE_LAST.format("10, 'x'", "hash, hash")
FORGED = {
    "a replacement": "REPLACE INTO events " + COPY_OF_THE_LAST.format("9, id", "prev, hash"),
    "a replacement by id": "REPLACE INTO events " + COPY_OF_THE_LAST.format("10, id", "hash, hash"),
    "a gap": "INSERT INTO events " + COPY_OF_THE_LAST.format("11, 'x'", "hash, hash"),
    "a wrong link": "INSERT OR IGNORE INTO events " + COPY_OF_THE_LAST.format("10, 'x'", "prev, hash"),
    "no number": "INSERT INTO events " + COPY_OF_THE_LAST.format("NULL, 'x'", "hash, hash"),
    "no digest": "INSERT INTO events " + COPY_OF_THE_LAST.format("10, 'x'", "hash, 'none'"),
    "an upsert": "INSERT INTO events "
    + COPY_OF_THE_LAST.format("9, id", "prev, hash")
    + " ON CONFLICT DO UPDATE SET camera = 'cam2'",
    "an update": "UPDATE events SET camera = 'cam2' WHERE seq = 3",
    "another number": "UPDATE OR IGNORE events SET seq = 20 WHERE seq = 9",
    "a deletion": "DELETE FROM events WHERE seq = 9",
    "deletion of all": "DELETE FROM events",
    "other details": "UPDATE details SET row = CAST('{}' AS BLOB)",
}


@pytest.mark.parametrize("forgery", FORGED)
def test_the_database_itself_refuses_to_change_what_is_written(path: Path, forgery: str) -> None:
    """Also on a connection without our pragmas."""
    with raw(path) as outside, pytest.raises(sqlite3.IntegrityError):
        outside.execute(FORGED[forgery])
    assert verdict(path).word == "consistent"


def test_the_next_event_may_be_written_by_nobody_but_it_is_not_refused_for_its_form(path: Path) -> None:
    """The trigger guards the order alone: an honest next row passes, so the refusals above are its work."""
    with raw(path) as outside:
        outside.execute(NEXT)


def change_byte(outside: sqlite3.Connection) -> None:
    (data,) = outside.execute("SELECT canonical FROM events WHERE seq = 4").fetchone()
    outside.execute("UPDATE events SET canonical = ? WHERE seq = 4", (data.replace(b'"n":4', b'"n":5'),))


def change_byte_and_hash(outside: sqlite3.Connection) -> None:
    change_byte(outside)
    (data,) = outside.execute("SELECT canonical FROM events WHERE seq = 4").fetchone()
    outside.execute("UPDATE events SET hash = ? WHERE seq = 4", (digest(data),))


def swap(outside: sqlite3.Connection) -> None:
    outside.execute("UPDATE events SET seq = 100 WHERE seq = 4")
    outside.execute("UPDATE events SET seq = 4 WHERE seq = 5")
    outside.execute("UPDATE events SET seq = 5 WHERE seq = 100")


def respell(outside: sqlite3.Connection) -> None:
    (data,) = outside.execute("SELECT canonical FROM events WHERE seq = 9").fetchone()
    data = data.replace(b'"n":9', b'"n": 9')
    outside.execute("UPDATE events SET canonical = ?, hash = ? WHERE seq = 9", (data, digest(data)))


def swap_details(outside: sqlite3.Connection) -> None:
    (identifier,) = outside.execute("SELECT id FROM events WHERE seq = 4").fetchone()
    row = canonical({"reason": "lunch"})
    outside.execute("UPDATE details SET row = ? WHERE id = ?", (row, identifier))


CRIMES: dict[str, tuple[Crime, int | None, str]] = {
    "a byte": (change_byte, 4, "hash"),
    "a byte and its hash": (change_byte_and_hash, 5, "follows"),
    "a row in the middle": (lambda c: c.execute("DELETE FROM events WHERE seq = 4"), 4, "missing"),
    "the first row": (lambda c: c.execute("DELETE FROM events WHERE seq = 1"), 1, "missing"),
    "the order": (swap, 4, "gap"),
    "a column": (lambda c: c.execute("UPDATE events SET camera = 'cam2' WHERE seq = 4"), 4, "column camera"),
    "a time": (lambda c: c.execute("UPDATE events SET wall_us = 1 WHERE seq = 4"), 4, "column wall_us"),
    "the spelling": (respell, 9, "canonical"),
    "a reason": (swap_details, 4, "details"),
}


@pytest.mark.parametrize("crime", CRIMES)
def test_verify_names_the_first_event_that_is_not_as_written(path: Path, crime: str) -> None:
    """F12."""
    commit, seq, why = CRIMES[crime]
    with unguarded(path) as outside:
        commit(outside)
    found = verdict(path)
    assert (found.word, found.first_bad_seq) == ("broken", seq)
    assert found.why is not None
    assert why in found.why
    assert found.hint is not None
    assert found.last_seq == (seq or 0) - 1
    assert f"event {seq}" in "\n".join(found.sentences)


@pytest.mark.parametrize("crime", [name for name in CRIMES if name not in ("the spelling", "a reason")])
async def test_a_start_refuses_a_changed_chain(path: Path, crime: str) -> None:
    commit, seq, _ = CRIMES[crime]
    with unguarded(path) as outside:
        commit(outside)
    with pytest.raises(LogTampered) as refused:
        await make(path).open()
    assert refused.value.seq == seq


@pytest.mark.parametrize("crime", [name for name in CRIMES if name not in ("the spelling", "a reason")])
async def test_a_probe_sees_a_chain_that_changes_under_the_daemon(path: Path, crime: str) -> None:
    """F12: within the second between two probes."""
    commit, seq, _ = CRIMES[crime]
    async with opened(path) as store:
        await store.probe()
        with unguarded(path) as outside:
            commit(outside)
        with pytest.raises(LogTampered) as refused:
            await store.probe()
        assert refused.value.seq == seq


async def test_an_append_in_between_does_not_hide_the_change_from_the_probe(path: Path) -> None:
    async with opened(path) as store:
        with unguarded(path) as outside:
            change_byte(outside)
        await store.append([note(10)])
        with pytest.raises(LogTampered):
            await store.probe()
        with pytest.raises(LogTampered):
            await store.probe()


async def test_a_probe_sees_an_event_that_somebody_else_wrote(path: Path) -> None:
    async with opened(path) as store:
        with raw(path) as outside:
            outside.execute(NEXT)
        with pytest.raises(NotAppended, match="does not follow"):
            await store.append([note(10)])
        with pytest.raises(LogTampered):
            await store.probe()


async def test_erasing_details_is_no_tampering(path: Path) -> None:
    async with opened(path) as store:
        with raw(path) as outside:
            outside.execute("DELETE FROM details WHERE id IN (SELECT id FROM events WHERE seq < 4)")
        await store.probe()
    found = verdict(path)
    assert (found.word, found.details_kept, found.details_erased) == ("consistent", 6, 3)


async def test_our_own_readers_are_no_strangers(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A probe that took them for some would read the whole log again, each time."""

    def again(_: object) -> None:
        raise AssertionError("the whole log is read again")

    async with opened(path) as store:
        monkeypatch.setattr(store._writer, "_check_again", again)
        await store.probe()
        for _ in range(2):
            assert len(await store.read()) == 9
            assert verdict(path).word == "consistent"
            await store.probe()


GUARDS = (
    "DROP TRIGGER events_never_updated",
    "DROP TRIGGER events_never_deleted",
    "DROP TRIGGER events_follow",
    "DROP TRIGGER details_never_updated",
    "DROP INDEX events_by_camera",
    "CREATE TRIGGER spy AFTER INSERT ON events BEGIN SELECT 1; END",
    "CREATE TABLE shadow (x)",
)


@pytest.mark.parametrize("statement", GUARDS)
async def test_a_dropped_or_added_guard_is_seen(path: Path, statement: str) -> None:
    """F12: someone prepared to change the log."""
    async with opened(path) as store:
        with raw(path) as outside:
            outside.execute(statement)
        with pytest.raises(LogTampered, match="someone prepared to change the log"):
            await store.probe()
    found = verdict(path)
    assert (found.word, found.first_bad_seq, found.events) == ("broken", None, 9)
    with pytest.raises(LogTampered, match="someone prepared to change the log"):
        await make(path).open()


def test_a_cut_tail_is_still_consistent_for_nothing_outside_vouches(path: Path) -> None:
    """FIELD 6: the reason for checkpoints."""
    with unguarded(path) as outside:
        outside.execute("DELETE FROM details")
        outside.execute("DELETE FROM events WHERE seq > 6")
    assert verdict(path).word == "consistent"


async def test_a_tail_cut_under_the_daemon_is_seen(path: Path) -> None:
    async with opened(path) as store:
        with unguarded(path) as outside:
            outside.execute("DELETE FROM details")
            outside.execute("DELETE FROM events WHERE seq > 6")
        with pytest.raises(LogTampered) as refused:
            await store.probe()
        assert refused.value.seq == 7


def edit_file(path: Path) -> None:
    """Change one byte of the file as another process: SQLite's locks die with a descriptor of our own."""
    script = (
        "import sys; p = sys.argv[1]; d = open(p, 'rb').read(); i = d.index(b'\"n\":4');"
        "f = open(p, 'r+b'); f.seek(i + 4); f.write(b'7'); f.close()"
    )
    subprocess.run([sys.executable, "-c", script, str(path)], check=True)


async def test_a_byte_edited_past_sqlite_under_the_daemon_is_seen(path: Path) -> None:
    async with opened(path) as store:
        await store.probe()
        edit_file(path)
        with pytest.raises(LogTampered) as refused:
            await store.probe()
        assert refused.value.seq == 4
    assert verdict(path).first_bad_seq == 4


async def test_a_deleted_file_is_seen_and_nothing_is_written_to_where_nobody_looks(path: Path) -> None:
    async with opened(path) as store:
        path.rename(path.with_name("away.db"))
        with pytest.raises(LogTampered, match="gone"):
            await store.probe()
        with pytest.raises(NotAppended, match="gone"):
            await store.append([note(10)])
        path.with_name("away.db").rename(path)
        await store.probe()
        assert (await store.append([note(10)]))[0].seq == 10


async def test_a_replaced_file_is_seen(path: Path, tmp_path: Path) -> None:
    """F12, F23."""
    await filled(tmp_path / "other.db", 9)
    async with opened(path) as store:
        path.rename(tmp_path / "original.db")
        (tmp_path / "other.db").rename(path)
        with pytest.raises(LogTampered, match="replaced"):
            await store.probe()
        with pytest.raises(NotAppended, match="replaced"):
            await store.append([note(10)])
        path.rename(tmp_path / "other.db")
        (tmp_path / "original.db").rename(path)
        await store.probe()
        assert await store.append([note(10)])


async def test_a_deleted_write_ahead_log_is_seen(path: Path) -> None:
    async with opened(path) as store:
        await store.append([note(10)])
        path.with_name("events.db-wal").unlink()
        with pytest.raises(LogTampered, match="wal is gone"):
            await store.probe()
        with pytest.raises(NotAppended, match="wal is gone"):
            await store.append([note(11)])


@pytest.mark.parametrize("name", ["events.db", "events.db-wal"])
async def test_a_file_that_was_cut_is_seen(path: Path, name: str) -> None:
    async with opened(path) as store:
        await store.append([note(n) for n in range(10, 40)])
        file = path.with_name(name)
        subprocess.run(["truncate", "-s", str(file.stat().st_size - 4096), file], check=True)
        with pytest.raises(LogTampered, match="4096 bytes shorter"):
            await store.probe()


def test_a_file_cut_at_rest_is_broken(path: Path) -> None:
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size - 4096)
    assert verdict(path).word == "broken"


async def test_yesterdays_copy_put_over_the_file_is_seen(path: Path, tmp_path: Path) -> None:
    """F23, while running: the same inode, older contents."""
    yesterday = path.read_bytes()
    async with opened(path) as store:
        await store.append([note(10)])
        await store.probe()
    async with opened(path) as store:
        (tmp_path / "yesterday.db").write_bytes(yesterday)
        subprocess.run(["cp", tmp_path / "yesterday.db", path], check=True)
        with pytest.raises(LogTampered):
            await store.probe()
