"""The black box keeps what the log could not take, whatever the disk does (S13, L4)."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.core.chain import GENESIS, digest
from orchestrator.core.events import READY, REQUESTED, Actor, Place, Sealed, transition
from orchestrator.runtime.blackbox import BlackBox, BlackBoxFull, BlackBoxUnusable
from tests.runtime.log_parts import closing, fill_disk, note

SIZE_BYTES = 16 * 1024
HEADER_BYTES = 4096
DURABLE = digest(b"the newest event of the log")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "blackbox"


@pytest.fixture
def box(path: Path) -> Iterator[BlackBox]:
    box = BlackBox.open(path, SIZE_BYTES)
    yield box
    box.close()


def reopened(path: Path) -> tuple[list[Sealed], int]:
    box = BlackBox.open(path, SIZE_BYTES)
    try:
        contents = box.entries()
        return [entry.sealed for entry in contents.lines], contents.damaged
    finally:
        box.close()


def test_a_box_is_filled_when_it_is_made_and_for_its_owner_alone(path: Path) -> None:
    """CONTRACT 7: a full disk cannot stop it, because every byte is there already."""
    BlackBox.open(path).close()
    found = path.stat()
    assert found.st_size == 1 << 20
    assert found.st_blocks * 512 >= 1 << 20
    assert stat.S_IMODE(found.st_mode) == 0o600
    assert not list(path.parent.glob("*.new"))


def test_closings_and_observations_come_back_in_order_with_their_details(path: Path, box: BlackBox) -> None:
    one, two, three = closing(1), note(2, reason="Straße\nzu"), closing(3, name="Ada")
    box.write([one], GENESIS)
    box.write([two, three], DURABLE)
    contents = box.entries()
    assert [entry.sealed for entry in contents.lines] == [one, two, three]
    assert [entry.last_durable for entry in contents.lines] == [GENESIS, DURABLE, DURABLE]
    assert contents.damaged == 0
    box.close()
    assert reopened(path) == ([one, two, three], 0)
    box._descriptor = os.open(os.devnull, os.O_RDONLY)


@pytest.mark.parametrize("name", ["close", "fault", "expire", "start_failed", "closed"])
def test_every_closing_is_taken(box: BlackBox, name: str) -> None:
    sealed = closing(1)
    event = transition(name, Actor("clock", "end"), camera="cam1", target=Place("disabled", "closing"))
    box.write([Sealed(event, sealed.id, sealed.at, sealed.chart, sealed.config)], GENESIS)
    assert box.entries().lines[0].sealed.event == event


@pytest.mark.parametrize("name", ["request", "checks_passed", "first_frame", "extend", "acknowledge"])
def test_nothing_that_opens_is_taken(box: BlackBox, name: str) -> None:
    """CONTRACT 7: only closings and observations."""
    sealed = closing(1)
    event = transition(name, Actor("member", "m-1"), camera="cam1", source=READY, target=REQUESTED)
    with pytest.raises(ValueError, match="it would open"):
        box.write([closing(2), Sealed(event, sealed.id, sealed.at, sealed.chart, sealed.config)], GENESIS)
    assert box.entries().lines == ()


def test_an_opening_that_somebody_planted_is_damage(path: Path, box: BlackBox) -> None:
    box.write([closing(1)], GENESIS)
    line = used(path).rstrip(b"\n")
    text = line.partition(b" ")[2].replace(b'"name":"fault"', b'"name":"first_frame"')
    put(path, digest(text).encode() + b" " + text + b"\n")
    contents = box.entries()
    assert (contents.lines, contents.damaged) == ((), 1)


def used(path: Path) -> bytes:
    return path.read_bytes()[HEADER_BYTES:].rstrip(b"\0")


def put(path: Path, data: bytes, offset: int = HEADER_BYTES) -> None:
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(data)


def test_a_torn_last_line_is_kept_aside_and_the_rest_is_read(path: Path) -> None:
    box = BlackBox.open(path, SIZE_BYTES)
    one, two, three = closing(1), closing(2), closing(3)
    box.write([one], GENESIS)
    box.write([two], GENESIS)
    box.close()
    whole = used(path)
    put(path, bytes(200), HEADER_BYTES + len(whole) - 200)
    assert reopened(path) == ([one], 1)
    aside = path.with_name("blackbox.damaged")
    assert aside.read_bytes() == whole.split(b"\n")[1][:-199] + b"\n"
    assert stat.S_IMODE(aside.stat().st_mode) == 0o600
    box = BlackBox.open(path, SIZE_BYTES)
    box.write([three], GENESIS)
    box.close()
    assert reopened(path) == ([one, three], 1)
    assert aside.read_bytes().count(b"\n") == 1


def test_a_write_that_lost_a_sector_in_its_middle_is_one_damaged_line(path: Path) -> None:
    box = BlackBox.open(path, SIZE_BYTES)
    box.write([closing(1), closing(2, reason="x" * 1500), closing(3)], GENESIS)
    box.close()
    put(path, bytes(512), HEADER_BYTES + 1024)
    sealed, damaged = reopened(path)
    assert ([item.event.data["n"] for item in sealed], damaged) == ([1, 3], 1)


def test_one_changed_byte_costs_its_own_line_alone(path: Path, box: BlackBox) -> None:
    box.write([closing(n) for n in range(3)], GENESIS)
    whole = used(path)
    line = whole.split(b"\n")[1]
    put(path, line.replace(b"lane-unsafe", b"lane-unSafe"), HEADER_BYTES + whole.index(line))
    contents = box.entries()
    assert [entry.sealed.event.data["n"] for entry in contents.lines] == [0, 2]
    assert contents.damaged == 1


def test_a_full_box_takes_nothing_more_and_loses_nothing(path: Path, box: BlackBox) -> None:
    written: list[Sealed] = []

    def write_for_ever() -> None:
        while True:
            item = closing(len(written))
            box.write([item], GENESIS)
            written.append(item)

    with pytest.raises(BlackBoxFull, match="full"):
        write_for_ever()
    with pytest.raises(BlackBoxFull):
        box.write([note(n) for n in range(50)], GENESIS)
    assert len(written) > 10
    assert [entry.sealed for entry in box.entries().lines] == written
    assert path.stat().st_size == SIZE_BYTES


def test_clearing_overwrites_what_was_personal(path: Path, box: BlackBox) -> None:
    """S19."""
    box.write([closing(1, name="Ada Lovelace")], GENESIS)
    assert b"Ada Lovelace" in path.read_bytes()
    box.clear()
    assert b"Ada" not in path.read_bytes()
    assert box.entries().lines == ()
    box.write([closing(2)], GENESIS)
    assert [entry.sealed.event.data["n"] for entry in box.entries().lines] == [2]


def test_a_clearing_that_was_cut_short_is_finished_and_is_no_damage(path: Path) -> None:
    box = BlackBox.open(path, SIZE_BYTES)
    box.write([closing(n) for n in range(4)], GENESIS)
    box.close()
    put(path, b"volet black box 1, being cleared\n", 0)
    put(path, bytes(900))
    assert reopened(path) == ([], 0)
    assert used(path) == b""
    assert path.read_bytes().startswith(b"volet black box 1\n\0")


def test_what_a_failed_write_left_behind_is_wiped_by_the_next(
    path: Path, box: BlackBox, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(descriptor: int) -> None:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as failing:
        failing.setattr(os, "fdatasync", fail)
        with pytest.raises(OSError, match="Input/output error"):
            box.write([closing(1), closing(2), closing(3)], GENESIS)
    box.write([closing(4)], GENESIS)
    contents = box.entries()
    assert [entry.sealed.event.data["n"] for entry in contents.lines] == [4]
    assert contents.damaged == 0


@pytest.mark.parametrize(
    ("found", "why"),
    [
        (b"", "not one of ours"),
        (b"shopping list" * 5000, "not one of ours"),
        (b"volet black box 1\n".ljust(8192, b"\0"), "has 8192 bytes and needs 16384"),
    ],
)
def test_a_foreign_or_small_file_is_explained_and_left_alone(path: Path, found: bytes, why: str) -> None:
    path.write_bytes(found)
    with pytest.raises(BlackBoxUnusable, match=why):
        BlackBox.open(path, SIZE_BYTES)
    assert path.read_bytes() == found


def test_neither_a_link_nor_a_folder_nor_a_pipe_is_a_box(path: Path, tmp_path: Path) -> None:
    path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(BlackBoxUnusable):
        BlackBox.open(path, SIZE_BYTES)
    path.unlink()
    path.mkdir()
    with pytest.raises(BlackBoxUnusable):
        BlackBox.open(path, SIZE_BYTES)
    path.rmdir()
    os.mkfifo(path)
    with pytest.raises(BlackBoxUnusable, match="not a file"):
        BlackBox.open(path, SIZE_BYTES)


def test_a_box_has_one_owner(path: Path, box: BlackBox) -> None:
    with pytest.raises(BlackBoxUnusable, match="another process"):
        BlackBox.open(path, SIZE_BYTES)


def test_a_larger_box_of_earlier_settings_is_kept(path: Path) -> None:
    box = BlackBox.open(path, 4 * SIZE_BYTES)
    box.write([closing(n) for n in range(30)], GENESIS)
    box.close()
    assert len(reopened(path)[0]) == 30


def test_a_making_that_was_cut_short_is_made_anew(path: Path) -> None:
    path.with_name("blackbox.new").write_bytes(b"volet")
    assert reopened(path) == ([], 0)
    assert not path.with_name("blackbox.new").exists()


def test_memory_is_told_apart_from_a_disk(tmp_path: Path, box: BlackBox) -> None:
    """CONTRACT 7: on the disk and not on tmpfs."""
    shared = Path("/dev/shm") / f"volet-test-{os.getpid()}"
    try:
        volatile = BlackBox.open(shared, SIZE_BYTES)
        assert not volatile.on_disk
        volatile.close()
    finally:
        shared.unlink(missing_ok=True)
    filesystem = subprocess.run(
        ["stat", "-f", "-c", "%T", tmp_path], check=True, capture_output=True, text=True
    ).stdout.strip()
    assert box.on_disk == (filesystem not in ("tmpfs", "ramfs"))


@pytest.mark.slow
def test_a_full_disk_cannot_stop_it(tmp_path: Path) -> None:
    """S13."""
    if os.geteuid() != 0:
        pytest.skip("mounting needs root")
    disk, image = tmp_path / "disk", tmp_path / "image"
    disk.mkdir()
    image.write_bytes(bytes(4 << 20))
    subprocess.run(["mkfs.ext4", "-q", "-O", "^has_journal", image], check=True)
    subprocess.run(["mount", "-o", "loop", image, disk], check=True)
    try:
        box = BlackBox.open(disk / "blackbox", SIZE_BYTES)
        assert box.on_disk
        fill_disk(disk)
        items = [closing(n, reason="disk full") for n in range(15)]
        for item in items:
            box.write([item], DURABLE)
        assert [entry.sealed for entry in box.entries().lines] == items
        box.clear()
        box.close()
        with pytest.raises(BlackBoxUnusable, match="No space left"):
            BlackBox.open(disk / "another", SIZE_BYTES)
        assert not (disk / "another.new").exists()
    finally:
        subprocess.run(["umount", disk], check=True)


WRITER = """
import sys
from pathlib import Path
from orchestrator.runtime.blackbox import BlackBox, BlackBoxFull
from tests.runtime.log_parts import closing

box = BlackBox.open(Path(sys.argv[1]))
n = 0
while True:
    box.write([closing(n)], "sha256:" + "0" * 64)
    print(n, flush=True)
    n += 1
"""


@pytest.mark.slow
def test_a_killed_daemon_finds_every_closing_it_was_told_is_kept(path: Path) -> None:
    """F17."""
    arguments = [sys.executable, "-c", WRITER, str(path)]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        while int(writer.stdout.readline()) < 40:
            pass
        writer.kill()
        kept = 40 + len([line for line in writer.stdout.read().splitlines(keepends=True) if line[-1] == "\n"])
    box = BlackBox.open(path)
    try:
        found = [entry.sealed.event.data["n"] for entry in box.entries().lines]
    finally:
        box.close()
    assert found[: kept + 1] == list(range(kept + 1))
