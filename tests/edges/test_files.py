"""The watch sees whatever may have changed the configuration, by real files in a real folder."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from orchestrator.edges.files import ConfigWatch

NEVER_S = 3600.0


class Told:
    """Counts the calls of `on_change` and lets a test await the next."""

    def __init__(self) -> None:
        self.times = 0
        self._news = asyncio.Event()

    def __call__(self) -> None:
        self.times += 1
        self._news.set()

    async def until(self, times: int) -> None:
        while self.times < times:
            self._news.clear()
            await asyncio.wait_for(self._news.wait(), 20)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    folder = tmp_path / "etc"
    folder.mkdir(mode=0o755)
    file = folder / "volet.toml"
    file.write_text("a")
    file.chmod(0o644)
    return file


@asynccontextmanager
async def watching(path: Path, poll_s: float = NEVER_S) -> AsyncIterator[Told]:
    """A running watch that is surely in place: it has seen a first change."""
    told = Told()
    task = asyncio.create_task(ConfigWatch(path, told, poll_s).run())
    while told.times == 0:
        os.utime(path)
        with suppress(TimeoutError):
            await asyncio.wait_for(told.until(1), 0.05)
    await settled(told)
    yield told
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


async def settled(told: Told) -> None:
    """Wait until the events of what was already done have all been told."""
    before = -1
    while before != told.times:
        before = told.times
        await asyncio.sleep(0.02)


def rewrite(path: Path) -> None:
    path.write_text("b")


def rename_over(path: Path) -> None:
    fresh = path.with_name("volet.toml.new")
    fresh.write_text("b")
    fresh.rename(path)


def truncate(path: Path) -> None:
    with path.open("w"):
        pass


def world_writable_folder(path: Path) -> None:
    path.parent.chmod(0o777)


def move_away(path: Path) -> None:
    path.rename(path.with_name("volet.toml.old"))


def move_the_folder_away(path: Path) -> None:
    path.parent.rename(path.parent.with_name("gone"))


@pytest.mark.parametrize(
    "change",
    [
        rewrite,
        rename_over,
        truncate,
        Path.unlink,
        move_away,
        lambda path: path.chmod(0o666),
        world_writable_folder,
        move_the_folder_away,
    ],
)
async def test_each_way_a_file_can_change_is_told_at_once_f13(
    path: Path, change: Callable[[Path], None]
) -> None:
    async with watching(path) as told:
        before = told.times
        change(path)
        await told.until(before + 1)


async def test_another_file_of_the_folder_is_nobodys_business(path: Path) -> None:
    async with watching(path) as told:
        before = told.times
        path.with_name("other.toml").write_text("b")
        path.with_name("other.toml").unlink()
        await settled(told)
        assert told.times == before
        rewrite(path)
        await told.until(before + 1)


async def test_writing_that_is_not_finished_is_not_told(path: Path) -> None:
    async with watching(path) as told:
        before = told.times
        with path.open("r+") as file:
            file.write("half")
            file.flush()
            await settled(told)
            assert told.times == before
        await told.until(before + 1)


async def test_a_folder_that_goes_and_comes_back_is_watched_again(path: Path) -> None:
    async with watching(path, poll_s=0.05) as told:
        before = told.times
        move_the_folder_away(path)
        await told.until(before + 1)
        await settled(told)
        before = told.times
        path.parent.mkdir()
        path.write_text("c")
        await told.until(before + 1)
        await settled(told)
        before = told.times
        rename_over(path)
        await told.until(before + 1)


async def test_a_change_without_an_event_is_found_by_looking(path: Path, tmp_path: Path) -> None:
    # A link's target lies in a folder that is not watched.
    target = tmp_path / "target.toml"
    target.write_text("a")
    path.unlink()
    path.symlink_to(target)
    told = Told()
    task = asyncio.create_task(ConfigWatch(path, told, poll_s=0.02).run())
    target.write_text("longer")
    await told.until(1)
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


async def test_it_begins_in_a_folder_that_is_not_there_yet(tmp_path: Path) -> None:
    path = tmp_path / "later" / "volet.toml"
    told = Told()
    task = asyncio.create_task(ConfigWatch(path, told, poll_s=0.02).run())
    await asyncio.sleep(0)
    path.parent.mkdir()
    path.write_text("a")
    await told.until(1)
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


async def test_a_change_between_reading_and_watching_is_not_lost(path: Path) -> None:
    told = Told()
    watch = ConfigWatch(path, told, NEVER_S)
    path.write_text("changed before the watch runs")
    task = asyncio.create_task(watch.run())
    await told.until(1)
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
