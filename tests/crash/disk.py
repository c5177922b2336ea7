"""The disk under a daemon's log and black box, and what may be the matter with it."""

from __future__ import annotations

import os
import resource
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from tests.crash.system_calls import WRITES, traced
from tests.e2e.gateway import Gateway

HANGS_US = 60_000_000
"""Longer than any test waits: a disk that hangs goes on when it is let go of."""
Fault = Callable[[Gateway], AbstractContextManager[None]]


def _log(gateway: Gateway) -> list[Path]:
    return [gateway.database, gateway.database.with_name(gateway.database.name + "-wal")]


def _meddled(
    gateway: Gateway, paths: list[Path], calls: tuple[str, ...], how: str
) -> AbstractContextManager[None]:
    inject = [f"{','.join(calls)}:{how}"]
    return traced(gateway.daemon.pid, paths, gateway.folder / "calls", calls=calls, inject=inject)


def cannot_sync(gateway: Gateway) -> AbstractContextManager[None]:
    """What is written never reaches the medium: EIO of every fdatasync."""
    return _meddled(gateway, _log(gateway), ("fdatasync", "fsync"), "error=EIO")


def is_full(gateway: Gateway) -> AbstractContextManager[None]:
    """ENOSPC of every write."""
    return _meddled(gateway, _log(gateway), ("pwrite64",), "error=ENOSPC")


def is_dead(gateway: Gateway) -> AbstractContextManager[None]:
    """EIO whatever is asked, reading too, of the log and of the black box."""
    paths = [*_log(gateway), Path(gateway.values["blackbox"])]
    return _meddled(gateway, paths, (*WRITES, "pread64"), "error=EIO")


def hangs(gateway: Gateway) -> AbstractContextManager[None]:
    """No fdatasync of the log comes back."""
    return _meddled(gateway, _log(gateway), ("fdatasync",), f"delay_enter={HANGS_US}")


@contextmanager
def tears_writes(gateway: Gateway) -> Iterator[None]:
    """The log can grow by some bytes and no more: its next write is torn, the one after fails (EFBIG)."""
    pid, ahead = gateway.daemon.pid, _log(gateway)[1]
    free = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (os.stat(ahead).st_size + 100, free[1]))
    try:
        yield
    finally:
        resource.prlimit(pid, resource.RLIMIT_FSIZE, free)
