"""Events and stores that the tests of the log are made of."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from io import FileIO
from pathlib import Path
from typing import Any

import pytest

from orchestrator.core.chain import digest, uuid7
from orchestrator.core.events import CLOSING, Actor, Place, Record, Sealed, observation, transition
from orchestrator.core.moment import Moment
from orchestrator.runtime.event_store import EventStore

SITE = "lot-12"
BEGIN_US = 1_795_341_600_000_000
LIVE = Place("streaming", "live")
CHART, CONFIG = digest(b"chart"), digest(b"config")

Store = EventStore[tuple[int, ...]]


def fold(state: tuple[int, ...], record: Record) -> tuple[int, ...]:
    """The numbers of all events: what a lost, doubled or reordered one would show in."""
    return (*state, record.event.data["n"])


def note(n: int, *, camera: str | None = "cam1", session: str | None = None, **details: Any) -> Sealed:
    """An observation with the number `n`."""
    event = observation(
        "worker_exited",
        Actor("worker", "w"),
        camera=camera,
        session=session,
        data={"n": n},
        details=details or None,
    )
    return _sealed(event, n)


def closing(n: int, **details: Any) -> Sealed:
    """A closing transition with the number `n`."""
    event = transition(
        "fault",
        Actor("check", "lane"),
        camera="cam1",
        session="s-1",
        source=LIVE,
        target=CLOSING,
        data={"n": n, "fault": "lane-unsafe"},
        details=details or None,
    )
    return _sealed(event, n)


def _sealed(event: Any, n: int) -> Sealed:
    at = Moment(BEGIN_US + n * 1000, n, boot="b0")
    return Sealed(event, uuid7(at.wall_us // 1000, os.urandom(10)), at, CHART, CONFIG)


def make(url_or_path: Path | str) -> Store:
    """A store that is not open yet."""
    return Store(str(url_or_path), site=SITE, fold=fold, empty=())


@asynccontextmanager
async def opened(path: Path) -> AsyncIterator[Store]:
    """An open store, closed at the end."""
    store = make(path)
    await store.open()
    try:
        yield store
    finally:
        await store.close()


async def filled(path: Path, count: int, **details: Any) -> None:
    """A closed log of `count` events, numbered from 1."""
    async with opened(path) as store:
        await store.append([note(n, **details) for n in range(1, count + 1)])


@contextmanager
def raw(path: Path) -> Iterator[sqlite3.Connection]:
    """A connection of somebody who has the file, in autocommit and without our pragmas."""
    connection = sqlite3.connect(path, isolation_level=None)
    try:
        yield connection
    finally:
        connection.close()


def fill_disk(folder: Path) -> Path:
    """A file that takes every free byte of the file system that `folder` is on."""
    ballast = folder / "ballast"
    with ballast.open("wb", buffering=0) as file, pytest.raises(OSError, match="No space left"):
        _write_for_ever(file)
    return ballast


def _write_for_ever(file: FileIO) -> None:
    while True:
        file.write(bytes(1024))


@contextmanager
def unguarded(path: Path) -> Iterator[sqlite3.Connection]:
    """The same, with the triggers dropped, and put back at the end word for word."""
    with raw(path) as connection:
        triggers = connection.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'").fetchall()
        for name, _ in triggers:
            connection.execute(f"DROP TRIGGER {name}")
        yield connection
        for _, sql in triggers:
            connection.execute(sql)
