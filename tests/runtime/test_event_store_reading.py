"""A log on a laptop: read, verified and copied without the daemon and without changing it (CONTRACT 2)."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.runtime.event_store import (
    LogTampered,
    LogUnavailable,
    backup,
    details_of,
    open_read_only,
    stream,
    verify,
)
from tests.runtime.log_parts import filled, note, opened, raw, unguarded


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "events.db"


def contents(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def numbers(path: Path | str, **narrowed: object) -> list[int]:
    with open_read_only(path) as reader:
        return [record.event.data["n"] for record in stream(reader, **narrowed)]  # type: ignore[arg-type]


@pytest.mark.parametrize("form", ["{}", "sqlite:///{}", "sqlite+pysqlite:///{}"])
async def test_a_log_is_opened_by_path_or_url_and_left_as_it_was(path: Path, form: str) -> None:
    await filled(path, 5)
    before = contents(path.parent)
    assert numbers(form.format(path)) == [1, 2, 3, 4, 5]
    assert numbers(path, after=3) == [4, 5]
    assert numbers(path, camera="cam9") == []
    with open_read_only(path) as reader:
        assert verify(reader).word == "consistent"
    assert contents(path.parent) == before


async def test_a_log_that_is_being_written_can_be_read_and_verified(path: Path) -> None:
    async with opened(path) as store:
        await store.append([note(1)])
        with open_read_only(path) as reader:
            assert [record.seq for record in stream(reader)] == [1]
            await store.append([note(2)])
            assert [record.seq for record in stream(reader)] == [1, 2]
            assert verify(reader).events == 2
        await store.append([note(3)])
        await store.probe()


async def killed_copy(path: Path, folder: Path, *names: str) -> Path:
    """What a daemon that lost its power leaves: the last events are in the write-ahead log alone."""
    folder.mkdir()
    async with opened(path) as store:
        await store.append([note(n, reason="why") for n in range(1, 6)])
        subprocess.run(["cp", *(path.with_name(name) for name in names), folder], check=True)
    return folder / "events.db"


async def test_events_in_the_write_ahead_log_beside_a_copy_are_read(path: Path, tmp_path: Path) -> None:
    copy = await killed_copy(path, tmp_path / "copy", "events.db", "events.db-wal")
    before = contents(copy.parent)
    assert numbers(copy) == [1, 2, 3, 4, 5]
    assert contents(copy.parent) == before


@pytest.mark.slow
@pytest.mark.parametrize(
    "names",
    [
        ("events.db", "events.db-wal"),
        ("events.db", "events.db-wal", "events.db-shm"),
    ],
)
async def test_a_copy_in_a_read_only_folder_is_read_whole(
    path: Path, tmp_path: Path, read_only: Path, names: tuple[str, ...]
) -> None:
    copy = await killed_copy(path, tmp_path / "copy", *names)
    subprocess.run(["mount", "-o", "remount,rw", read_only], check=True)
    for file in copy.parent.iterdir():
        shutil.copy(file, read_only)
    subprocess.run(["mount", "-o", "remount,ro", read_only], check=True)
    assert numbers(read_only / "events.db") == [1, 2, 3, 4, 5]
    with open_read_only(read_only / "events.db") as reader:
        assert verify(reader).details_kept == 5


@pytest.fixture
def read_only(tmp_path: Path) -> Iterator[Path]:
    if os.geteuid() != 0:
        pytest.skip("mounting needs root")
    folder = tmp_path / "mounted"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m,ro", "volet-test", folder], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", folder], check=True)


async def test_details_are_read_by_event(path: Path) -> None:
    await filled(path, 1200, reason="why")
    with open_read_only(path) as reader:
        ids = [record.sealed.id for record in stream(reader)]
        found = details_of(reader, ids)
        assert list(found) == ids
        assert all(row == {"reason": "why"} for row in found.values())


async def test_a_changed_row_ends_the_stream_with_its_number(path: Path) -> None:
    await filled(path, 5)
    with unguarded(path) as outside:
        outside.execute("UPDATE events SET name = 'viewer_left' WHERE seq = 3")
    with open_read_only(path) as reader:
        reading = stream(reader)
        assert [next(reading).seq, next(reading).seq] == [1, 2]
        with pytest.raises(LogTampered) as refused:
            next(reading)
        assert refused.value.seq == 3


def test_what_is_no_log_is_explained(tmp_path: Path) -> None:
    with pytest.raises(LogUnavailable, match="there is no log at"):
        open_read_only(tmp_path / "events.db")
    (tmp_path / "notes.txt").write_text("buy screws" * 200)
    with pytest.raises(LogUnavailable, match="not an SQLite database"):
        open_read_only(tmp_path / "notes.txt")
    with raw(tmp_path / "other.db") as outside:
        outside.execute("CREATE TABLE birds (x)")
    with pytest.raises(LogUnavailable, match="not a log"):
        open_read_only(tmp_path / "other.db")


async def test_a_backup_of_a_living_log_is_whole_and_private(path: Path, tmp_path: Path) -> None:
    async with opened(path) as store:
        await store.append([note(n) for n in range(1, 4)])
        backup(f"sqlite:///{path}", tmp_path / "copy.db")
        await store.append([note(4)])
        await store.probe()
    assert numbers(tmp_path / "copy.db") == [1, 2, 3]
    assert (tmp_path / "copy.db").stat().st_mode & 0o777 == 0o600
    assert not list(tmp_path.glob("copy.db-*"))
    async with opened(tmp_path / "copy.db") as store:
        assert (await store.append([note(4)]))[0].seq == 4


async def test_a_backup_never_overwrites(path: Path, tmp_path: Path) -> None:
    await filled(path, 1)
    (tmp_path / "copy.db").write_text("mine")
    with pytest.raises(LogUnavailable, match="is there already"):
        backup(path, tmp_path / "copy.db")
    assert (tmp_path / "copy.db").read_text() == "mine"
    with pytest.raises(LogUnavailable, match="cannot be made"):
        backup(path, tmp_path / "none" / "copy.db")
