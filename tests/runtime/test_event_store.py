"""The durable log in daily use: append, fold, read, follow (CONTRACT 7, S12, S22)."""

from __future__ import annotations

import asyncio
import stat
from pathlib import Path

import pytest

from orchestrator.core.chain import GENESIS, commitment, digest
from orchestrator.core.events import REQUESTED, Actor, Record, observation
from orchestrator.runtime.event_store import (
    EventStore,
    Fenced,
    LogTampered,
    LogUnavailable,
    NotAppended,
)
from orchestrator.runtime.event_store.schema import HEAD, VERSION_1
from tests.runtime.log_parts import SITE, closing, make, note, opened, raw


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "log" / "events.db"


async def test_the_chain_begins_at_genesis_and_links_every_event(path: Path) -> None:
    """S12, CONTRACT 7: `seq` from 1, gapless; each `prev` is the hash before it."""
    async with opened(path) as store:
        first, second = await store.append([note(1), closing(2)])
        (third,) = await store.append([note(3)])
        assert [record.seq for record in (first, second, third)] == [1, 2, 3]
        assert (first.prev, second.prev, third.prev) == (GENESIS, first.hash, second.hash)
        assert all(digest(record.canonical) == record.hash for record in (first, second, third))
        assert store.last == third
        assert await store.read() == [first, second, third]


async def test_what_was_folded_live_is_what_a_restart_folds(path: Path) -> None:
    """S12."""
    async with opened(path) as store:
        for n in range(5):
            await store.append([note(n)])
        live, last = await store.state(), store.last
    async with opened(path) as store:
        assert await store.state() == live == (0, 1, 2, 3, 4)
        assert store.last == last


async def test_an_id_that_is_there_is_a_success_and_adds_nothing(path: Path) -> None:
    """CONTRACT 7."""
    async with opened(path) as store:
        one, two, three = note(1), note(2), note(3)
        (first,) = await store.append([one])
        again = await store.append([two, one, two, three])
        assert [record.seq for record in again] == [2, 1, 2, 3]
        assert again[1] == first
        assert await store.append([three], fence=lambda: False) == [again[3]]
        assert await store.state() == (1, 2, 3)


async def test_a_fence_that_fell_takes_the_append_back(path: Path) -> None:
    """S22: the writer looks at it between INSERT and COMMIT."""
    seen: list[int] = []

    def fence() -> bool:
        with raw(path) as outside:
            seen.append(outside.execute("SELECT count(*) FROM events").fetchone()[0])
        return False

    async with opened(path) as store:
        await store.append([note(1)])
        with pytest.raises(Fenced):
            await store.append([note(2), note(3)], fence=fence)
        assert seen == [1]
        assert await store.state() == (1,)
        assert (await store.append([note(4)], fence=lambda: True))[0].seq == 2


async def test_a_fence_that_raises_takes_the_append_back(path: Path) -> None:
    def fence() -> bool:
        raise ZeroDivisionError("the fence is broken")

    async with opened(path) as store:
        with pytest.raises(NotAppended, match="the fence is broken"):
            await store.append([note(1)], fence=fence)
        assert await store.state() == ()
        await store.append([note(2)])


async def test_an_event_without_canonical_form_is_refused_whole_with_its_batch(path: Path) -> None:
    async with opened(path) as store:
        bad = observation("worker_exited", Actor("worker", "w"), data={"n": 1, "age": 0.5})
        wrong = note(2)
        with pytest.raises(NotAppended, match=r"\$\.data\.age"):
            await store.append([note(1), type(wrong)(bad, wrong.id, wrong.at, wrong.chart, wrong.config)])
        assert await store.state() == ()


async def test_many_appends_at_once_make_one_gapless_chain(path: Path) -> None:
    async with opened(path) as store:
        records = await asyncio.gather(*(store.append([note(n)]) for n in range(100)))
        assert sorted(record.seq for (record,) in records) == list(range(1, 101))
        assert [record.event.data["n"] for record in await store.read(limit=1000)] == list(
            await store.state()
        )


async def test_details_lie_beside_the_chain_and_can_be_erased(path: Path) -> None:
    """S19: the event commits to SHA-256(salt ‖ row); erasing the row leaves the chain whole."""
    async with opened(path) as store:
        records = await store.append([note(1, reason="schief, sagt Frau Weiß"), note(2)])
        ids = [record.sealed.id for record in records]
        assert await store.details([*ids, "unknown"]) == {ids[0]: {"reason": "schief, sagt Frau Weiß"}}
        assert "Weiß".encode() not in records[0].canonical
        with raw(path) as outside:
            salt, row = outside.execute("SELECT salt, row FROM details").fetchone()
            assert commitment(salt, {"reason": "schief, sagt Frau Weiß"}).encode() in records[0].canonical
            assert row == '{"reason":"schief, sagt Frau Weiß"}'.encode()
            outside.execute("DELETE FROM details")
        assert await store.details(ids) == {}
        await store.probe()
    async with opened(path) as store:
        assert await store.state() == (1, 2)


async def test_two_events_with_the_same_details_commit_to_different_digests(path: Path) -> None:
    async with opened(path) as store:
        one, two = await store.append([note(1, reason="x"), note(1, reason="x")])
        digests = {record.canonical.split(b'"details":')[1][:73] for record in (one, two)}
        assert len(digests) == 2


async def test_reading_can_be_narrowed_and_paged(path: Path) -> None:
    async with opened(path) as store:
        await store.append(
            [note(n, camera=f"cam{n % 2}", session=f"s{n % 3}" if n % 3 else None) for n in range(12)]
        )
        assert await numbers(store.read(limit=3)) == [0, 1, 2]
        assert await numbers(store.read(after=10)) == [10, 11]
        assert await numbers(store.read(camera="cam1")) == [1, 3, 5, 7, 9, 11]
        assert await numbers(store.read(camera="cam1", session="s2", after=6)) == [11]
        assert await numbers(store.read(session="none")) == []


async def numbers(reading: object) -> list[int]:
    records: list[Record] = await reading  # type: ignore[misc]
    return [record.event.data["n"] for record in records]


async def test_pseudonyms_are_random_stable_and_apart(path: Path) -> None:
    """S19: a member's id is random."""
    async with opened(path) as store:
        made = await store.pseudonyms("m", ["Ada", "Bo", "Ada"])
        devices = await store.pseudonyms("d", ["Ada"])
        assert set(made) == {"Ada", "Bo"}
        assert made["Ada"] != made["Bo"]
        assert made["Ada"].startswith("m-")
        assert len(made["Ada"]) == 14
        assert devices["Ada"].startswith("d-")
    async with opened(path) as store:
        assert await store.pseudonyms("m", ["Bo", "Ada", "Cy"]) == made | {
            "Cy": (await store.pseudonyms("m", ["Cy"]))["Cy"]
        }
        assert await store.pseudonyms("m", []) == {}


async def test_all_followers_wake_at_the_next_commit(path: Path) -> None:
    async with opened(path) as store:
        await store.append([note(1)])
        await store.wait_for(0)
        followers = [asyncio.create_task(store.wait_for(seq)) for seq in (1, 1, 2)]
        await store.append([note(2)])
        await asyncio.gather(*followers[:2])
        assert not followers[2].done()
        await store.append([note(3)])
        await followers[2]


async def test_closing_wakes_a_follower_with_a_sentence(path: Path) -> None:
    async with opened(path) as store:
        follower = asyncio.create_task(store.wait_for(0))
        await asyncio.sleep(0)
    with pytest.raises(LogUnavailable, match="closed"):
        await follower


async def test_appends_that_were_queued_land_before_the_log_closes(path: Path) -> None:
    store = make(path)
    await store.open()
    appends = [asyncio.create_task(store.append([note(n)])) for n in range(20)]
    await asyncio.sleep(0)
    await store.close()
    await asyncio.gather(*appends)
    with pytest.raises(NotAppended, match="closed"):
        await store.append([note(99)])
    async with opened(path) as again:
        assert await again.state() == tuple(range(20))


async def test_files_are_for_their_owner_alone(path: Path) -> None:
    async with opened(path) as store:
        await store.append([note(1)])
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
        modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()}
        assert modes == dict.fromkeys(
            ["events.db", "events.db-wal", "events.db-shm", "events.db.lock"], 0o600
        )


async def test_the_pragmas_are_those_that_lose_nothing(path: Path) -> None:
    """FIELD 5: WAL and FULL make one fsync a commit."""
    async with opened(path) as store:
        await store.append([note(1)])
        connection = store._writer._connection
        assert connection is not None

        def asked() -> dict[str, object]:
            with connection.begin():
                return {
                    name: connection.exec_driver_sql(f"PRAGMA {name}").scalar()
                    for name in (
                        "journal_mode",
                        "synchronous",
                        "foreign_keys",
                        "recursive_triggers",
                        "trusted_schema",
                        "secure_delete",
                        "busy_timeout",
                    )
                }

        assert await store._writing.run(asked) == {
            "journal_mode": "wal",
            "synchronous": 2,
            "foreign_keys": 1,
            "recursive_triggers": 1,
            "trusted_schema": 0,
            "secure_delete": 1,
            "busy_timeout": 250,
        }


async def test_the_migrated_database_is_the_golden_one_at_the_newest_revision(path: Path) -> None:
    async with opened(path):
        pass
    with raw(path) as outside:
        found = outside.execute("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL").fetchall()
        assert set(VERSION_1) == {sql for (sql,) in found if "alembic_version" not in sql}
        assert outside.execute("SELECT version_num FROM alembic_version").fetchall() == [(HEAD,)]


async def test_a_log_of_a_newer_program_is_left_alone(path: Path) -> None:
    async with opened(path):
        pass
    with raw(path) as outside:
        outside.execute("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(LogUnavailable, match="newer volet"):
        await make(path).open()


async def test_a_second_daemon_is_refused_the_log(path: Path) -> None:
    """FIELD 5: exactly one read-write connection in the whole system."""
    async with opened(path) as store:
        with pytest.raises(LogUnavailable, match="another volet has it open"):
            await make(path).open()
        await store.append([note(1)])
    async with opened(path) as store:
        assert await store.state() == (1,)


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("sqlite://", "no plain file"),
        ("sqlite:///:memory:", "no plain file"),
        ("sqlite:////tmp/x.db?mode=ro", "no plain file"),
        ("postgresql://db/volet", "only sqlite"),
        ("://", "not a URL"),
    ],
)
def test_a_url_that_is_no_file_of_ours_is_explained(url: str, why: str) -> None:
    with pytest.raises(LogUnavailable, match=why):
        make(url)


async def test_a_folder_that_cannot_be_made_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(LogUnavailable, match=r"events\.db"):
        await make(tmp_path / "file" / "events.db").open()


async def test_a_file_that_is_no_database_is_not_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "events.db"
    path.write_bytes(b"minutes of the meeting\n" * 500)
    with pytest.raises(LogTampered, match="not an SQLite database"):
        await make(path).open()
    assert path.read_bytes().startswith(b"minutes")


async def test_a_path_with_odd_signs_is_a_path(tmp_path: Path) -> None:
    path = tmp_path / "lot 12 #3?x=%41 é" / "events.db"
    async with opened(path) as store:
        await store.append([note(1)])
    assert path.is_file()


async def test_a_fold_that_fails_costs_no_event(path: Path) -> None:
    def broken(state: int, record: Record) -> int:
        raise KeyError("deadline")

    store: EventStore[int] = EventStore(str(path), site=SITE, fold=broken, empty=0)
    await store.open()
    assert [record.seq for record in await store.append([note(1)])] == [1]
    with pytest.raises(LogUnavailable, match="event 1 cannot be folded: KeyError"):
        await store.state()
    await store.close()


async def test_a_transition_comes_back_with_both_its_ends(path: Path) -> None:
    async with opened(path) as store:
        await store.append([closing(1)])
        (record,) = await store.read()
        assert (str(record.event.source), str(record.event.target)) == ("streaming.live", "disabled.closing")
        assert record.event.source != REQUESTED
