"""Power cuts under the black box, byte by byte: what was synced is there, what is torn is put aside and locks
(CONTRACT 7, L4)."""

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from orchestrator.core.chain import digest
from orchestrator.core.events import Sealed
from orchestrator.runtime.blackbox import BlackBox, Contents
from orchestrator.runtime.event_store import open_read_only, stream
from tests.crash import scenery
from tests.crash.gateway import Place, gateway
from tests.crash.power_cuts import cuts
from tests.runtime.log_parts import closing, note
from tests.runtime.one_gateway import agrees

pytestmark = pytest.mark.slow

LAST_DURABLE = digest(b"the newest event")
HEADER_BYTES, SIZE_BYTES = 4096, 16_384
NEAR_BYTES = 3
"""So close to an end of a line each byte is cut at, elsewhere each seventh."""
SEED = 11


def _written(path: Path, *writes: list[Sealed]) -> bytes:
    box = BlackBox.open(path, SIZE_BYTES)
    try:
        for sealed in writes:
            box.write(sealed, LAST_DURABLE)
    finally:
        box.close()
    return path.read_bytes()


def _found(path: Path, data: bytes) -> tuple[Contents, bytes]:
    """What a start finds there, and what it put aside; a later line still has a place of its own."""
    aside = path.with_name(path.name + ".damaged")
    aside.unlink(missing_ok=True)
    path.write_bytes(data)
    box = BlackBox.open(path, SIZE_BYTES)
    try:
        found = box.entries()
        box.write([note(99)], LAST_DURABLE)
        assert [entry.sealed.id for entry in box.entries().lines][:-1] == [e.sealed.id for e in found.lines]
        put_aside = aside.read_bytes() if aside.exists() else b""
        box.clear()
        assert box.entries().lines == ()
    finally:
        box.close()
    return found, put_aside


SYNCED = [closing(1, reason="by hand"), note(2)]
LAST = [replace(closing(3, reason="by hand"), id="018f-3"), note(4), note(5)]


def test_a_write_that_was_torn_at_any_byte_is_taken_line_by_line(root: Path) -> None:
    path = root / "blackbox"
    before = _written(path, SYNCED)
    after = _written(path, LAST)
    begin = len(before.rstrip(b"\0"))
    end = len(after.rstrip(b"\0"))
    assert end - begin > 1000
    ends = [number for number in range(begin, end) if after[number : number + 1] == b"\n"]
    for at in range(begin, end + 1):
        if at % 7 and all(abs(at - each) > NEAR_BYTES for each in ends):
            continue
        found, aside = _found(path, after[:at] + before[at:])
        # The newline itself may be missing: its line is whole all the same.
        lines = after[begin:at].split(b"\n")
        whole, torn = len(lines) - 1, lines[-1]
        if torn and after[at : at + 1] == b"\n":
            whole, torn = whole + 1, b""
        expected = [one.id for one in (*SYNCED, *LAST[:whole])]
        assert [entry.sealed.id for entry in found.lines] == expected, at
        assert found.damaged == bool(torn), at
        assert aside == (torn + b"\n" if torn else b""), at


def test_sectors_that_were_not_written_never_make_a_line_that_nobody_wrote(root: Path) -> None:
    path = root / "blackbox"
    before = _written(path, SYNCED)
    after = _written(path, LAST)
    known = {one.id: one for one in (*SYNCED, *LAST)}
    synced_bytes = len(before.rstrip(b"\0"))
    for left in cuts(before, after, SEED, synced_bytes=synced_bytes):
        found, _ = _found(path, left.data)
        ids = [entry.sealed.id for entry in found.lines]
        assert ids[:2] == [one.id for one in SYNCED], left.how
        assert all(entry.sealed == known[entry.sealed.id] for entry in found.lines), left.how
        assert found.damaged or ids == [*known][: len(ids)], left.how


def test_a_clearing_that_was_cut_short_is_finished_and_not_taken_for_damage(root: Path) -> None:
    path = root / "blackbox"
    full = _written(path, SYNCED, LAST)
    clearing = b"volet black box 1, being cleared\n".ljust(HEADER_BYTES, b"\0")
    assert len(clearing) == HEADER_BYTES
    for at in range(HEADER_BYTES, len(full.rstrip(b"\0")) + 512, 64):
        found, aside = _found(path, clearing + bytes(at - HEADER_BYTES) + full[at:])
        assert found == Contents((), 0), at
        assert aside == b""


async def _session_left_in_the_box(place: Place) -> None:
    """A session that is closed while the log takes nothing, and the service with it."""
    async with gateway(place) as way:
        await way.opened()
        way.log.refuses = True
        await way.pull("close")
        await way.at("disabled.ready")


async def _starts_locked(place: Place) -> None:
    async with gateway(place, prepare=lambda way: way.clock.wait(600)) as way:
        way.all_is_well()
        await way.at("disabled.locked")
        assert way.actor.state.locks == {"log-tampered"}
        await way.pull("acknowledge")
        await way.opened()
        await way.pull("close")
        await way.at("disabled.ready")
    agrees(place.database)


def test_a_start_on_a_torn_line_locks_until_somebody_has_looked(root: Path) -> None:
    """CONTRACT 7: the whole lines before it are in the log, the torn one beside the box; then it opens."""
    place = scenery.make(root).place("torn")
    asyncio.run(_session_left_in_the_box(place))
    data = place.box.read_bytes()
    end = len(data.rstrip(b"\0"))
    place.box.write_bytes(data[: end - 20].ljust(len(data), b"\0"))
    asyncio.run(_starts_locked(place))
    torn = data[HEADER_BYTES : end - 20].split(b"\n")[-1]
    assert place.box.with_name(place.box.name + ".damaged").read_bytes() == torn + b"\n"
    with open_read_only(place.database) as reader:
        names = [record.event.name for record in stream(reader)]
    assert names[names.index("service_started", 5) :].count("close") == 2
