"""What the kernel says of a process: its share of a core, its memory, its descriptors."""

from __future__ import annotations

import os
from pathlib import Path


def cpu_ns(pid: int) -> int:
    """What all threads have run so far, from the scheduler's own account."""
    return sum(threads_ns(pid).values())


def threads_ns(pid: int) -> dict[str, int]:
    """Nanoseconds run by each thread, by its id in the order of birth."""
    tasks = sorted(Path(f"/proc/{pid}/task").iterdir(), key=lambda task: int(task.name))
    return {task.name: int((task / "schedstat").read_text().split()[0]) for task in tasks}


def memory_kib(pid: int) -> dict[str, int]:
    """Resident memory, of which anonymous and of files; and the share that is nobody else's too."""
    fields = _fields(Path(f"/proc/{pid}/status")) | _fields(Path(f"/proc/{pid}/smaps_rollup"))
    return {name: int(fields[name].split()[0]) for name in ("VmRSS", "RssAnon", "RssFile", "Pss")}


def descriptors(pid: int) -> int:
    """How many are open."""
    return len(os.listdir(f"/proc/{pid}/fd"))


def _fields(path: Path) -> dict[str, str]:
    lines = path.read_text().splitlines()
    return dict(line.split(":", 1) for line in lines if ":" in line)
