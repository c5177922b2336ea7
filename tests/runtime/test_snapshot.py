"""A start takes up the fold from a snapshot, and believes it as far as the log bears it out (S12, S20)."""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import reduce
from itertools import islice
from pathlib import Path

import orjson
import pytest

from orchestrator.core.chain import digest, uuid7
from orchestrator.core.commands import CHECKS
from orchestrator.core.events import LOCKED, READY, Actor, Event, Sealed, observation, transition
from orchestrator.core.frozen_json import Misfit, plain, restored
from orchestrator.core.moment import Moment, rfc3339
from orchestrator.runtime.event_store import (
    EventStore,
    LogTampered,
    NotChecked,
    open_read_only,
    store,
    stream,
    verify,
)
from orchestrator.runtime.event_store.checking import WholeCheck
from orchestrator.runtime.ledger import SiteState, fold
from orchestrator.runtime.site_fold import folding
from tests.bench.sessions import BEGIN_US, BOOT, SITE, sealed_events
from tests.runtime.log_parts import raw, unguarded

pytestmark = pytest.mark.slow
EVERY = 10
APPROVER = Actor("member", "m-0000000000aa")
LOCK = transition(
    "fault", CHECKS, camera="cam1", source=READY, target=LOCKED, data={"fault": "listener-exposed"}
)
Store = EventStore[SiteState]


def sealed(event: Event, n: int) -> Sealed:
    at = Moment(BEGIN_US + n, n, boot=BOOT)
    return Sealed(event, uuid7(at.wall_us // 1000, os.urandom(10)), at, digest(b"chart"), digest(b"config"))


def window(name: str, identifier: str, **data: object) -> Event:
    told = {
        "window": identifier,
        "cameras": ["cam1"],
        "start": rfc3339(BEGIN_US),
        "planned_end": rfc3339(BEGIN_US + 10**12),
        "recurring": None,
        "by": None,
    }
    return observation(name, APPROVER, data=told | data)


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each few events a snapshot; and a stop waits for the last one, however slow the disk is."""
    monkeypatch.setattr(store, "SNAPSHOT_EVERY_EVENTS", EVERY)
    monkeypatch.setattr(store, "SNAPSHOT_PATIENCE_S", 30)
    monkeypatch.setattr(store, "CLOSE_PATIENCE_S", 30)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "log" / "events.db"


def file_of(path: Path) -> Path:
    return path.with_name(path.name + ".snapshot")


def make(path: Path, *, check: str | None = None) -> Store:
    how = folding()
    assert how is not None
    if check is not None:
        how = replace(how, check=check)
    return EventStore(str(path), site=SITE, fold=fold, empty=SiteState(), folding=how)


@asynccontextmanager
async def opened(path: Path, *, check: str | None = None) -> AsyncIterator[Store]:
    made = make(path, check=check)
    await made.open()
    try:
        yield made
    finally:
        await made.close()


async def written(path: Path, events: list[Sealed]) -> None:
    async with opened(path) as log:
        for event in events:
            await log.append([event])
        await log.checked()


def sessions(count: int) -> list[Sealed]:
    return list(islice(sealed_events(), count))


def folded(path: Path) -> SiteState:
    """By a reader of its own, from nothing."""
    with open_read_only(path) as reader:
        return reduce(fold, stream(reader), SiteState())


def began_after(log: Store) -> int:
    begun = log._writer.begun
    return begun.record.seq if begun else 0


async def test_a_start_goes_on_from_the_snapshot_with_the_state_of_the_whole_log(path: Path) -> None:
    windows = [window("window_added", "w1"), window("window_cancelled", "w1"), window("window_added", "w2")]
    await written(path, [*sessions(23), *(sealed(each, n) for n, each in enumerate(windows))])
    async with opened(path) as log:
        assert began_after(log) == 26
        state = await log.state()
        assert state == folded(path)
        assert (list(state.windows), state.windows["w1"].cancelled) == (["w1", "w2"], True)
        assert log.last is not None
        assert log.last.seq == 26
        await log.checked()
        await log.probe()
        [record] = await log.append([sealed(LOCK, 99)])
        assert record.seq == 27
    with open_read_only(path) as reader:
        assert verify(reader).word == "consistent"


def test_what_is_kept_of_a_state_is_all_of_it_after_any_event(tmp_path: Path) -> None:
    """In the middle of sessions, with viewers, failures, locks and windows."""
    state, log = SiteState(), tmp_path / "events.db"

    async def write() -> None:
        changes = [window("window_added", "w1", by="m-1"), window("window_approved", "w1", by="m-2"), LOCK]
        await written(log, [*sessions(37), *(sealed(each, n) for n, each in enumerate(changes))])

    import asyncio

    asyncio.run(write())
    with open_read_only(log) as reader:
        for record in stream(reader):
            state = fold(state, record)
            assert restored(SiteState, orjson.loads(orjson.dumps(plain(state)))) == state
    assert state.cameras["cam1"].locks == {"listener-exposed"}


@pytest.mark.parametrize(
    "value",
    [[], {"cameras": []}, {"cameras": {}, "windows": [], "latest_wall_us": 1, "latest_synchronised_us": 1}],
)
def test_what_is_no_state_is_refused(value: object) -> None:
    with pytest.raises(Misfit):
        restored(SiteState, value)


async def test_a_short_log_has_no_snapshot_and_nothing_is_checked_behind_its_start(path: Path) -> None:
    await written(path, sessions(EVERY - 1))
    assert not file_of(path).exists()
    async with opened(path) as log:
        await log.probe()


async def test_the_file_is_ours_alone_and_is_written_now_and_then_and_at_a_stop(path: Path) -> None:
    async with opened(path) as log:
        for event in sessions(EVERY + 3):
            await log.append([event])
        while not file_of(path).exists():
            await log._keeping.run(lambda: None)
        assert file_of(path).stat().st_mode & 0o777 == 0o600
    async with opened(path) as log:
        assert began_after(log) == EVERY + 3


async def test_a_stale_snapshot_is_taken_up_and_what_came_after_it_is_folded(path: Path) -> None:
    """A lock that came after it stands (S16)."""
    await written(path, sessions(EVERY))
    shutil.copyfile(file_of(path), path.with_name("old"))
    await written(path, [sealed(LOCK, 1)])
    shutil.copyfile(path.with_name("old"), file_of(path))
    async with opened(path) as log:
        assert began_after(log) == EVERY
        assert (await log.state()).cameras["cam1"].locks == {"listener-exposed"}
        await log.checked()
        await log.probe()


def cut(file: Path) -> None:
    os.truncate(file, file.stat().st_size - 1)


def change_a_byte(file: Path) -> None:
    file.write_bytes(file.read_bytes().replace(b"cam1", b"cam2"))


def empty(file: Path) -> None:
    os.truncate(file, 0)


def open_to_others(file: Path) -> None:
    file.chmod(0o660)


def make_a_link(file: Path) -> None:
    file.rename(file.with_name("elsewhere"))
    file.symlink_to(file.with_name("elsewhere"))


def make_a_folder(file: Path) -> None:
    file.unlink()
    file.mkdir()


def make_a_pipe(file: Path) -> None:
    file.unlink()
    os.mkfifo(file, 0o600)


def grow(file: Path) -> None:
    with file.open("ab") as end:
        end.write(b" ")


def retold(file: Path, change: Callable[[dict[str, object]], object]) -> None:
    """Somebody who knows the form writes another one, whole."""
    told = orjson.loads(file.read_bytes().partition(b"\n")[2])
    change(told)
    data = orjson.dumps(told, option=orjson.OPT_SORT_KEYS)
    file.write_bytes(digest(data).encode() + b"\n" + data)


DAMAGE: dict[str, Callable[[Path], object]] = {
    "cut": cut,
    "a byte changed": change_a_byte,
    "empty": empty,
    "longer": grow,
    "others may write it": open_to_others,
    "a link": make_a_link,
    "a folder": make_a_folder,
    "a pipe": make_a_pipe,
    "not JSON": lambda file: file.write_bytes(digest(b"x").encode() + b"\nx"),
    "another program's": lambda file: retold(file, lambda told: told.update(fold=digest(b"other"))),
    "another form": lambda file: retold(file, lambda told: told.update(format=2)),
    "no state": lambda file: retold(file, lambda told: told.update(state={})),
    "no number": lambda file: retold(file, lambda told: told.update(seq="many")),
    "newer than the log": lambda file: retold(file, lambda told: told.update(seq=999)),
    "before the first event": lambda file: retold(file, lambda told: told.update(seq=0)),
    "of another event": lambda file: retold(file, lambda told: told.update(seq=EVERY - 1)),
}


@pytest.mark.parametrize("damage", DAMAGE)
async def test_a_doubtful_snapshot_is_not_used_and_the_log_is_folded_from_nothing(
    path: Path, damage: str
) -> None:
    await written(path, [*sessions(EVERY), sealed(LOCK, 1)])
    DAMAGE[damage](file_of(path))
    async with opened(path) as log:
        assert began_after(log) == 0
        assert await log.state() == folded(path)
        assert (await log.state()).cameras["cam1"].locks == {"listener-exposed"}
        await log.probe()


async def test_a_snapshot_of_another_log_is_not_used(path: Path, tmp_path: Path) -> None:
    await written(path, [*sessions(EVERY), sealed(LOCK, 1)])
    await written(tmp_path / "other" / "events.db", sessions(EVERY + 1))
    shutil.copyfile(file_of(tmp_path / "other" / "events.db"), file_of(path))
    async with opened(path) as log:
        assert began_after(log) == 0
        assert (await log.state()).cameras["cam1"].locks == {"listener-exposed"}


async def test_a_snapshot_newer_than_yesterdays_log_is_not_used(path: Path) -> None:
    """F23: the state is that of the log that is there."""
    await written(path, sessions(EVERY))
    yesterday = path.read_bytes()
    await written(path, [sealed(LOCK, 1)])
    path.write_bytes(yesterday)
    async with opened(path) as log:
        assert began_after(log) == 0
        assert await log.state() == folded(path)


async def test_a_forged_snapshot_opens_nothing_and_is_found_out(path: Path) -> None:
    """It is whole and stands on a true event, but has lost the lock (S16, S20)."""
    await written(path, [*sessions(EVERY), sealed(LOCK, 1)])
    retold(file_of(path), _without_locks)
    async with opened(path) as log:
        assert (await log.state()).cameras["cam1"].locks == frozenset()
        await log.checked()
        with pytest.raises(LogTampered, match="snapshot said other") as found:
            await log.probe()
        assert found.value.seq == EVERY + 1
        with pytest.raises(LogTampered):
            await log.probe()
    assert file_of(path).with_name("events.db.snapshot.refused").exists()
    async with opened(path) as log:
        assert began_after(log) == 0
        assert (await log.state()).cameras["cam1"].locks == {"listener-exposed"}
        await log.probe()


def _without_locks(told: dict[str, object]) -> None:
    state = restored(SiteState, told["state"])
    cameras = {
        name: replace(camera, locks=frozenset(), place=READY) for name, camera in state.cameras.items()
    }
    told["state"] = plain(replace(state, cameras=cameras))


def change_an_old_event(outside: sqlite3.Connection) -> None:
    (data,) = outside.execute("SELECT canonical FROM events WHERE seq = 4").fetchone()
    outside.execute("UPDATE events SET canonical = ? WHERE seq = 4", (data.replace(b"4711", b"4712"),))


def take_one_out(outside: sqlite3.Connection) -> None:
    outside.execute("DELETE FROM events WHERE seq = 4")


def edit_a_column(outside: sqlite3.Connection) -> None:
    outside.execute("UPDATE events SET camera = 'cam2' WHERE seq = 4")


@pytest.mark.parametrize("crime", [change_an_old_event, take_one_out, edit_a_column])
async def test_an_old_event_changed_before_the_start_is_found_behind_it(
    path: Path, crime: Callable[[sqlite3.Connection], None]
) -> None:
    """F12: the start does not look there, so nothing opens before somebody has."""
    await written(path, sessions(EVERY))
    with unguarded(path) as outside:
        crime(outside)
    async with opened(path) as log:
        assert began_after(log) == EVERY
        await log.checked()
        with pytest.raises(LogTampered) as found:
            await log.probe()
        assert found.value.seq == 4
    with pytest.raises(LogTampered):
        await make(path).open()


async def test_until_all_is_checked_the_log_takes_events_and_nothing_may_open(path: Path) -> None:
    """S13: a closing does not wait for the check; and no snapshot is kept on the strength of this one."""
    await written(path, sessions(EVERY))
    before = file_of(path).read_bytes()
    async with opened(path, check="orchestrator.no_such_module") as log:
        for _ in range(2):
            with pytest.raises(NotChecked, match="0 of 10 events are checked so far"):
                await log.probe()
            await log.append([sealed(LOCK, n) for n in range(EVERY)])
    assert file_of(path).read_bytes() == before


async def test_a_check_that_ended_early_comes_again(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("orchestrator.runtime.event_store.checking.AGAIN_S", 0.01)
    await written(path, sessions(EVERY))
    async with opened(path, check="orchestrator.no_such_module") as log:
        with pytest.raises(NotChecked):
            await log.probe()
        check = log._check
        assert isinstance(check, WholeCheck)
        check._asked = ("orchestrator.runtime.site_fold", *check._asked[1:])
        await log.checked()
        await log.probe()


async def test_a_snapshot_that_cannot_be_written_is_no_fault(path: Path) -> None:
    path.parent.mkdir(mode=0o700)
    file_of(path).with_name("events.db.snapshot.new").mkdir()
    await written(path, sessions(EVERY + 1))
    assert not file_of(path).exists()
    async with opened(path) as log:
        await log.probe()


async def test_what_is_written_while_the_check_runs_is_no_tampering(path: Path) -> None:
    await written(path, sessions(EVERY))
    async with opened(path) as log:
        for n in range(30):
            await log.append([sealed(LOCK, n)])
        await log.checked()
        await log.probe()
    with raw(path) as outside:
        assert outside.execute("SELECT count(*) FROM events").fetchone() == (EVERY + 30,)
