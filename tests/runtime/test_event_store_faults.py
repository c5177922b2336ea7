"""The disk, a lock, a hang or a kill comes between: nothing acknowledged is lost or believed too early.

F11, F17, F22, S21.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from orchestrator.runtime.event_store import (
    Fenced,
    LogUnavailable,
    NotAppended,
    OutcomeUnknown,
    open_read_only,
    stream,
    verify,
)
from orchestrator.runtime.event_store import store as event_store
from orchestrator.runtime.event_store.writer import Transaction
from tests.runtime.log_parts import Store, closing, fill_disk, filled, make, note, opened

LOCKER = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("BEGIN " + sys.argv[2])
print("locked", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "events.db"


@contextmanager
def locked(path: Path, how: str) -> Iterator[None]:
    """Another process that holds a lock on the database."""
    arguments = [sys.executable, "-c", LOCKER, str(path), how]
    with subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline() == b"locked\n"
        try:
            yield
        finally:
            process.stdin.close()


@pytest.mark.parametrize("how", ["IMMEDIATE", "EXCLUSIVE"])
async def test_a_lock_of_another_process_appends_nothing_and_passes(path: Path, how: str) -> None:
    """F11."""
    async with opened(path) as store:
        await store.append([note(1)])
        item = note(2)
        with locked(path, how):
            with pytest.raises(NotAppended, match="another process holds a lock"):
                await store.append([item])
            with pytest.raises(NotAppended, match="another process holds a lock"):
                await store.probe()
            assert await store.state() == (1,)
            assert len(await store.read()) == 1
        await store.probe()
        assert (await store.append([item]))[0].seq == 2
        assert await store.state() == (1, 2)


async def test_a_locked_log_cannot_be_opened_and_says_so(path: Path) -> None:
    await filled(path, 1)
    with locked(path, "IMMEDIATE"), pytest.raises(LogUnavailable, match="another process holds a lock"):
        await make(path).open()
    async with opened(path) as store:
        assert await store.state() == (1,)


async def test_an_append_that_hangs_is_unknown_and_state_says_that_it_landed(path: Path) -> None:
    """F22, S21."""
    go_on = threading.Event()
    async with opened(path) as store:
        item = note(1)
        with pytest.raises(OutcomeUnknown):
            await store.append([item], fence=go_on.wait, patience_s=0.05)
        assert store.last is None
        asking = asyncio.create_task(store.state())
        await asyncio.sleep(0)
        assert not asking.done()
        go_on.set()
        assert await asking == (1,)
        assert (await store.append([item]))[0].seq == 1
        assert await store.state() == (1,)


async def test_an_append_that_hangs_and_is_fenced_never_lands(path: Path) -> None:
    """S22: landings 1 → 0."""
    go_on, generation = threading.Event(), [1]

    def fence() -> bool:
        go_on.wait()
        return generation[0] == 1

    async with opened(path) as store:
        with pytest.raises(OutcomeUnknown):
            await store.append([note(1)], fence=fence, patience_s=0.05)
        generation[0] = 2
        go_on.set()
        assert await store.state() == ()
        assert (await store.append([closing(2)]))[0].seq == 1


async def test_what_waits_behind_a_hanging_append_certainly_did_not_land(path: Path) -> None:
    go_on = threading.Event()
    async with opened(path) as store:
        with pytest.raises(OutcomeUnknown):
            await store.append([note(1)], fence=go_on.wait, patience_s=0.05)
        with pytest.raises(NotAppended, match="an earlier write hangs"):
            await store.append([note(2)], patience_s=0.05)
        with pytest.raises(NotAppended, match="an earlier write hangs"):
            await store.probe(patience_s=0.05)
        go_on.set()
        assert await store.state() == (1,)


async def test_a_queue_that_is_full_refuses_at_once(path: Path) -> None:
    """K3."""
    go_on = threading.Event()
    async with opened(path) as store:
        first = asyncio.create_task(store.append([note(0)], fence=go_on.wait))
        rest = [asyncio.create_task(store.append([note(n)])) for n in range(1, 400)]
        outcomes = asyncio.gather(*rest, return_exceptions=True)
        refused, _ = await asyncio.wait(rest, return_when=asyncio.FIRST_COMPLETED)
        assert all(isinstance(task.exception(), NotAppended) for task in refused)
        go_on.set()
        await first
        landed = [outcome for outcome in await outcomes if not isinstance(outcome, BaseException)]
        assert 200 < len(landed) < 399
        assert len(await store.state()) == len(landed) + 1


async def test_a_caller_that_is_cancelled_leaves_its_append_to_land(path: Path) -> None:
    go_on = threading.Event()
    async with opened(path) as store:
        appending = asyncio.create_task(store.append([closing(1)], fence=go_on.wait))
        await asyncio.sleep(0)
        appending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await appending
        go_on.set()
        assert await store.state() == (1,)


async def test_reading_goes_on_while_an_append_hangs(path: Path) -> None:
    go_on = threading.Event()
    async with opened(path) as store:
        await store.append([note(1)])
        with pytest.raises(OutcomeUnknown):
            await store.append([note(2)], fence=go_on.wait, patience_s=0.05)
        assert len(await store.read()) == 1
        go_on.set()


@pytest.mark.slow
async def test_closing_is_bounded_even_when_the_disk_hangs(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """CONTRACT 4: SIGTERM ends within 3 s whatever the log does."""
    assert event_store.CLOSE_PATIENCE_S + event_store.SNAPSHOT_PATIENCE_S < 3
    monkeypatch.setattr(event_store, "CLOSE_PATIENCE_S", 0.5)
    go_on = threading.Event()
    store = make(path)
    await store.open()
    with pytest.raises(OutcomeUnknown):
        await store.append([note(1)], fence=go_on.wait, patience_s=0.05)
    waiting = asyncio.create_task(store.append([note(2)], patience_s=60))
    async with asyncio.timeout(30):
        await store.close()
        with pytest.raises(NotAppended, match="closed"):
            await waiting
    with pytest.raises(LogUnavailable, match="another volet"):
        await make(path).open()
    go_on.set()
    await asyncio.to_thread(store._writing._thread.join)
    async with opened(path) as again:
        assert await again.state() == (1,)


async def test_a_log_file_made_read_only_is_seen_by_the_probe(path: Path) -> None:
    """F11; root's writes would still pass, so the mode itself is looked at."""
    async with opened(path) as store:
        path.chmod(0o400)
        with pytest.raises(NotAppended, match="read-only"):
            await store.probe()
        path.chmod(0o600)
        await store.probe()
        assert await store.append([note(1)])


@pytest.mark.parametrize("landed", [True, False])
async def test_a_commit_that_fails_is_unknown_until_the_file_was_read_again(
    path: Path, landed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """S21: after a failed fsync whole frames may stand in the write-ahead log."""
    async with opened(path) as store:
        await store.append([note(1)])
        real = Transaction.commit

        def failing(transaction: Transaction) -> None:
            monkeypatch.setattr(Transaction, "commit", real)
            if landed:
                real(transaction)
            raise OSError(5, "Input/output error")

        monkeypatch.setattr(Transaction, "commit", failing)
        item = note(2)
        with pytest.raises(OutcomeUnknown, match="the commit itself failed"):
            await store.append([item])
        assert await store.state() == ((1, 2) if landed else (1,))
        assert [record.seq for record in await store.append([item, note(3)])] == [2, 3]
        await store.probe()
        assert await store.state() == (1, 2, 3)
    with open_read_only(path) as reader:
        assert verify(reader).word == "consistent"


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 3 MiB."""
    if os.geteuid() != 0:
        pytest.skip("mounting needs root")
    folder = tmp_path / "disk"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3m", "volet-test", folder], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", folder], check=True)


async def append_for_ever(store: Store, n: int) -> None:
    while True:
        await store.append([note(n, reason="x" * 5000)])
        n += 1


@pytest.mark.slow
async def test_a_full_disk_appends_nothing_and_the_log_goes_on_when_there_is_room(small_disk: Path) -> None:
    """F11, L3."""
    async with opened(small_disk / "events.db") as store:
        await store.append([note(n) for n in range(10)])
        await store.probe()
        ballast = fill_disk(small_disk)
        with pytest.raises(NotAppended, match="free"):
            await store.probe()
        with pytest.raises(NotAppended, match="the disk is full"):
            await append_for_ever(store, 10)
        written = len(await store.state())
        assert len(await store.read(limit=1000)) == written
        assert await store.state() == tuple(range(written))
        ballast.unlink()
        await store.probe()
        assert (await store.append([note(written)]))[0].seq == written + 1
    with open_read_only(small_disk / "events.db") as reader:
        assert (verify(reader).word, verify(reader).events) == ("consistent", written + 1)


@pytest.mark.slow
async def test_a_disk_remounted_read_only_is_seen_by_the_probe(small_disk: Path) -> None:
    """F11."""
    path = small_disk / "events.db"
    await filled(path, 3)
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    try:
        with pytest.raises(LogUnavailable):
            await make(path).open()
        with open_read_only(path) as reader:
            assert verify(reader).events == 3
    finally:
        subprocess.run(["mount", "-o", "remount,rw", small_disk], check=True)


WRITER = """
import asyncio, os, sys
import alembic.command
from pathlib import Path
from tests.runtime.log_parts import make, note

async def main():
    store = make(Path(sys.argv[1]))
    await store.open()
    n = len(await store.state())
    while True:
        records = await store.append([note(n, reason="because"), note(n + 1)])
        n += 2
        # One write a line, however Python buffers: a kill must not cut it.
        os.write(1, (" ".join(record.hash for record in records) + "\\n").encode())

for line in sys.stdin:
    child = os.fork()
    if child == 0:
        asyncio.run(main())
    os.write(1, f"child {child}\\n".encode())
    os.waitpid(child, 0)
    os.write(1, b"dead\\n")
"""


@pytest.mark.slow
def test_a_killed_daemon_loses_nothing_that_was_acknowledged(path: Path) -> None:
    """F17: SIGKILL at any instruction, 60 times."""
    acknowledged: list[str] = []
    chance = random.Random(17)
    arguments = [sys.executable, "-c", WRITER, str(path)]
    with subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as nursery:
        assert nursery.stdin is not None
        assert nursery.stdout is not None
        for _ in range(60):
            print("go", file=nursery.stdin, flush=True)
            child, lines = 0, chance.randrange(1, 8)
            while (words := nursery.stdout.readline().split()) != ["dead"]:
                if words[0] == "child":
                    child = int(words[1])
                else:
                    acknowledged += words
                    lines -= 1
                if child and lines == 0:
                    threading.Event().wait(chance.random() * 0.004)
                    os.kill(child, signal.SIGKILL)
        nursery.stdin.close()
    with open_read_only(path) as reader:
        found = verify(reader)
        assert (found.word, found.events % 2) == ("consistent", 0)
        there = {record.hash for record in stream(reader)}
    assert len(acknowledged) >= 120
    assert set(acknowledged) <= there


async def test_an_open_that_was_fenced_tells_the_caller_apart_from_a_failure(path: Path) -> None:
    async with opened(path) as store:
        with pytest.raises(Fenced) as fenced:
            await store.append([note(1)], fence=lambda: False)
        assert not isinstance(fenced.value, NotAppended)
