"""The folder of one run: private, in memory, wiped whole."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from orchestrator.edges.worker.segments import (
    MAX_SEGMENT_BYTES,
    SegmentReader,
    is_memory_backed,
    prepare,
    wipe,
    wipe_all,
)

Segment = tuple[int, bytes, int]


def publish(folder: Path, *entries: tuple[int, str]) -> None:
    """A playlist put in place as ffmpeg does it: written aside, then renamed."""
    lines = ["#EXTM3U", "#EXT-X-TARGETDURATION:1"]
    lines += [f"#EXTINF:{seconds},\n{number}.ts" for number, seconds in entries]
    aside = folder / "index.m3u8.tmp"
    aside.write_text("\n".join(lines) + "\n")
    aside.rename(folder / "index.m3u8")


def test_every_run_has_a_folder_of_its_own_for_our_eyes_only_s11(root: Path) -> None:
    folder = prepare(root, "cam1", "s1", 1)
    assert folder.stat().st_mode & 0o777 == 0o700
    assert prepare(root, "cam1", "s1", 2) != folder
    with pytest.raises(FileExistsError):
        prepare(root, "cam1", "s1", 1)


def test_a_root_that_is_a_symlink_is_refused_f15(root: Path, tmp_path: Path) -> None:
    link = tmp_path / "segments"
    link.symlink_to(root)
    with pytest.raises(OSError, match=r"Not a directory|Too many levels"):
        prepare(link, "cam1", "s1", 1)
    assert is_memory_backed(link) == (False, "symlink")


def test_a_planted_symlink_in_the_place_of_a_run_is_refused_f15(root: Path, tmp_path: Path) -> None:
    (root / "cam1.s1.1").symlink_to(tmp_path)
    with pytest.raises(FileExistsError):
        prepare(root, "cam1", "s1", 1)


@pytest.mark.parametrize("camera", ["../cam1", "", "a/b", ".hidden"])
def test_no_name_leads_out_of_the_root_s26(root: Path, camera: str) -> None:
    with pytest.raises(ValueError, match="name"):
        prepare(root, camera, "s1", 1)


def test_wiping_leaves_nothing_and_follows_no_symlink_s11(root: Path, tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    kept.write_text("not ours")
    folder = prepare(root, "cam1", "s1", 1)
    (folder / "0.ts").write_bytes(b"picture")
    (folder / "link").symlink_to(tmp_path)
    assert wipe(folder)
    assert list(root.iterdir()) == []
    (root / "cam1.s1.2").symlink_to(tmp_path)
    assert wipe(root / "cam1.s1.2")
    assert kept.read_text() == "not ours"


def test_wiping_what_is_gone_already_is_success(root: Path) -> None:
    assert wipe(root / "cam1.s1.1")


def test_a_start_wipes_the_runs_of_an_earlier_life_and_leaves_the_socket(root: Path) -> None:
    (prepare(root, "cam1", "0199-a", 3) / "0.ts").write_bytes(b"picture")
    (root / "volet.sock").touch()
    assert wipe_all(root)
    assert [path.name for path in root.iterdir()] == ["volet.sock"]
    assert wipe_all(root / "missing")


def test_memory_is_told_from_a_disk_f15(root: Path) -> None:
    assert is_memory_backed(root) == (True, "tmpfs")
    assert is_memory_backed(Path("/proc"))[0] is False
    assert is_memory_backed(root / "missing")[0] is False


@pytest.fixture
def folder(root: Path) -> Path:
    return prepare(root, "cam1", "s1", 1)


PACKET = bytes([0x47]) + bytes(187)


def read_all(folder: Path) -> tuple[SegmentReader, list[Segment]]:
    found: list[Segment] = []
    return SegmentReader(folder, lambda *segment: found.append(segment)), found


def test_each_segment_is_read_once_when_the_playlist_first_names_it(folder: Path) -> None:
    reader, found = read_all(folder)
    (folder / "0.ts").write_bytes(PACKET)
    reader.read_ready()
    assert found == []
    publish(folder, (0, "0.250000"))
    reader.read_ready()
    (folder / "1.ts").write_bytes(PACKET * 2)
    publish(folder, (0, "0.250000"), (1, "1.0"))
    reader.read_ready()
    reader.read_ready()
    reader.close()
    assert found == [(0, PACKET, 250), (1, PACKET * 2, 1000)]


def make_gone(path: Path) -> None:
    assert not path.exists()


def make_link(path: Path) -> None:
    path.symlink_to("/etc/hostname")


def make_huge(path: Path) -> None:
    path.touch()
    os.truncate(path, (MAX_SEGMENT_BYTES // 188 + 1) * 188)


def make_cut(path: Path) -> None:
    path.write_bytes((PACKET * 30)[:4096])


@pytest.mark.parametrize("make", [make_gone, make_link, make_huge, make_cut, Path.touch, os.mkfifo])
def test_a_segment_that_is_named_but_not_whole_is_an_error_f15(
    folder: Path, make: Callable[[Path], None]
) -> None:
    reader, found = read_all(folder)
    (folder / "0.ts").write_bytes(PACKET)
    make(folder / "1.ts")
    publish(folder, (0, "1.0"), (1, "1.0"))
    with pytest.raises(OSError, match="segment 1 is not whole"):
        reader.read_ready()
    reader.close()
    assert found == [(0, PACKET, 1000)]


@pytest.mark.parametrize(
    "text", [b"", b"#EXTM3U\n", b"\xff\x00#EXTINF:1,\n../../etc/passwd\n#EXTINF:x,\n1.ts\n"]
)
def test_a_playlist_that_names_no_segment_is_an_error_f15(folder: Path, text: bytes) -> None:
    reader, found = read_all(folder)
    (folder / "index.m3u8").write_bytes(text)
    with pytest.raises(OSError, match="names no segment"):
        reader.read_ready()
    reader.close()
    assert found == []


def test_a_folder_that_is_removed_is_an_error_f15(folder: Path) -> None:
    reader, _ = read_all(folder)
    assert wipe(folder)
    with pytest.raises(FileNotFoundError, match="removed"):
        reader.read_ready()
    reader.close()
