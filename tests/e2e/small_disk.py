"""A file system of its own that a test can fill: tmpfs, or ext4 on a loop device."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

_FILLING = "filling"
LIMIT_S = 30


def needs_root() -> None:
    """Skip, with the reason, where nobody may mount."""
    if os.geteuid() != 0:
        pytest.skip("mounting a small disk needs root")


@contextmanager
def memory_disk(folder: Path, size_mib: int) -> Iterator[Path]:
    """A new tmpfs of that size, mounted at a folder."""
    with _mounted(folder, ["-t", "tmpfs", "-o", f"size={size_mib}m,mode=700", "tmpfs"]) as place:
        yield place


@contextmanager
def ext4_disk(folder: Path, image: Path, size_mib: int = 16) -> Iterator[Path]:
    """An ext4 file system in an image file, made if there is none, mounted at a folder."""
    needs_root()
    if not image.exists():
        with image.open("wb") as file:
            file.truncate(size_mib << 20)
        subprocess.run(["mkfs.ext4", "-q", "-m", "0", str(image)], check=True, timeout=LIMIT_S)
    with _mounted(folder, ["-o", "loop", str(image)]) as place:
        place.chmod(0o700)
        yield place


@contextmanager
def _mounted(folder: Path, what: list[str]) -> Iterator[Path]:
    needs_root()
    folder.mkdir(exist_ok=True)
    subprocess.run(["mount", *what, str(folder)], check=True, timeout=LIMIT_S)
    try:
        yield folder
    finally:
        # Lazily: a test that failed may have left a process behind that its own clean-up ends later.
        subprocess.run(["umount", "-l", str(folder)], check=True, timeout=LIMIT_S)


def fill(disk: Path) -> None:
    """Leave not a byte free, durably."""
    with (disk / _FILLING).open("ab", buffering=0) as file:
        for size_bytes in (1 << 20, 4096, 1):
            try:
                while file.write(b"\1" * size_bytes) == size_bytes:
                    pass
            except OSError:
                continue
        os.fsync(file.fileno())


def make_room(disk: Path) -> None:
    """Take away what `fill` wrote."""
    (disk / _FILLING).unlink()
