"""A loop on each core, as the site's vision service has: what it manages is what its neighbours leave it.

As a program it is one such loop: `python -m tests.bench.loops FILE INDEX CPU` counts its rounds in FILE.
"""

from __future__ import annotations

import mmap
import os
import signal
import struct
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.e2e.processes import Process, python

PICTURE = bytes(range(256)) * 225
"""One grey picture of 320×180."""
LIFTED = bytes(min(255, value + 16) for value in range(256))
COUNT = struct.Struct("Q")
LIMIT_S = 20.0
RUNNING_S = 0.1
"""After this long a loop that was let go on has its core."""


class Loops:
    """One process on each core that we may use, at the usual niceness; each can be held and let go on."""

    def __init__(self, folder: Path) -> None:
        file = folder / "rounds"
        cpus = sorted(os.sched_getaffinity(0))
        file.write_bytes(bytes(COUNT.size * len(cpus)))
        with file.open("rb") as opened:
            self._counts = mmap.mmap(opened.fileno(), 0, prot=mmap.PROT_READ)
        self._processes: list[Process] = []
        for index, cpu in enumerate(cpus):
            command = python("-m", __name__, str(file), str(index), str(cpu))
            self._processes.append(Process(f"loop-{cpu}", command, folder))
        until = time.monotonic() + LIMIT_S
        while not all(self.rounds()):
            assert time.monotonic() < until, [process.text() for process in self._processes]
            time.sleep(RUNNING_S)

    def rounds(self) -> tuple[int, ...]:
        """How many rounds each has done so far."""
        return tuple(COUNT.unpack_from(self._counts, index * COUNT.size)[0] for index in self._indices)

    @property
    def _indices(self) -> range:
        return range(len(self._processes))

    def hold(self) -> None:
        """They use no core until they go on."""
        for process in self._processes:
            process.kill(signal.SIGSTOP)

    def go_on(self) -> None:
        """They use every core again, from now on."""
        for process in self._processes:
            process.kill(signal.SIGCONT)
        time.sleep(RUNNING_S)

    def stop(self) -> None:
        """End them, by their ids."""
        for process in self._processes:
            process.stop()
        self._counts.close()


@contextmanager
def loops_in(folder: Path) -> Iterator[Loops]:
    """Loops that run, and have ended afterwards."""
    folder.mkdir()
    loops = Loops(folder)
    try:
        yield loops
    finally:
        loops.stop()


def one_round() -> int:
    """About as long as a small filter on one picture."""
    return sum(PICTURE.translate(LIFTED)[::7])


def main() -> None:
    """Rounds without an end."""
    file, index, cpu = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    os.sched_setaffinity(0, {cpu})
    with file.open("r+b") as opened:
        counts = mmap.mmap(opened.fileno(), 0)
    done = 0
    while True:
        one_round()
        done += 1
        COUNT.pack_into(counts, index * COUNT.size, done)


if __name__ == "__main__":
    main()
