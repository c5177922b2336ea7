"""A process under strace: it is killed at a system call, or its disk fails in a way that is asked for."""

from __future__ import annotations

import shutil
import signal
import subprocess
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

WRITES = ("pwrite64", "fdatasync", "fsync", "ftruncate", "rename", "unlink")
"""What the log and the black box do to the disk."""
ATTACHED_S = 30.0


def needs_strace() -> None:
    """Skip, with the reason, where it is not installed."""
    if shutil.which("strace") is None:
        pytest.skip("strace is not installed")


@contextmanager
def traced(
    pid: int,
    paths: Sequence[Path],
    output: Path,
    *,
    calls: Sequence[str] = WRITES,
    inject: Sequence[str] = (),
) -> Iterator[None]:
    """Every thread and child of that process: those `calls` that concern one of these `paths` are written to
    `output`, and meddled with as `inject` says (strace(1)). Let go of at the end, as if nothing had been."""
    argv = ["strace", "-f", "-p", str(pid), "-o", str(output), "-e", f"trace={','.join(calls)}"]
    for path in paths:
        argv += ["-P", str(path)]
    for each in inject:
        argv += ["-e", f"inject={each}"]
    tracer = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    try:
        assert _has_attached(tracer), f"strace could not attach to {pid}"
        yield
    finally:
        if tracer.poll() is None:
            tracer.send_signal(signal.SIGINT)
        tracer.communicate(timeout=ATTACHED_S)


def _has_attached(tracer: subprocess.Popen[str]) -> bool:
    assert tracer.stderr is not None
    return any("attached" in line for line in tracer.stderr)


def counted(output: Path) -> dict[str, int]:
    """How often one thread made each call at most: an `inject` counts for each thread anew."""
    times: Counter[tuple[str, str]] = Counter()
    for line in output.read_text().splitlines():
        thread, _, call = line.partition(" ")
        name = call.strip().partition("(")[0]
        if name in WRITES:
            times[thread, name] += 1
    most: dict[str, int] = {}
    for (_, name), count in times.items():
        most[name] = max(most.get(name, 0), count)
    return most
