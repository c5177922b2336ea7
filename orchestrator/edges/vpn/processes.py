"""Our process tree, and which process holds which socket, as /proc tells (proc(5))."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator

_SOCKET = "socket:["
_READ_BYTES = 1 << 14


def tree(roots: Collection[int]) -> list[int]:
    """The roots and all their descendants, a parent before its children."""
    # One that another process adopted is no longer a descendant: a child that outlives its parent is
    # ours only where the root is its subreaper (PR_SET_CHILD_SUBREAPER).
    found = dict.fromkeys(roots)
    below = _children_by_thread if os.path.exists("/proc/thread-self/children") else _children_by_scan()
    queue = list(found)
    for pid in queue:
        new = [child for child in below(pid) if child not in found]
        found.update(dict.fromkeys(new))
        queue.extend(new)
    return queue


def sockets_of(pid: int) -> Iterator[int]:
    """The inodes of the sockets that a process holds; none when it has ended.

    PermissionError when we may not look: it has other rights, or is between fork and exec.
    """
    folder = f"/proc/{pid}/fd"
    try:
        names = os.listdir(folder)
    except (FileNotFoundError, ProcessLookupError):
        return
    for name in names:
        try:
            target = os.readlink(f"{folder}/{name}")
        except (FileNotFoundError, ProcessLookupError):
            continue
        if target.startswith(_SOCKET):
            yield int(target[len(_SOCKET) : -1])


def _children_by_scan() -> Callable[[int], list[int]]:
    """By every process's parent, for kernels without CONFIG_PROC_CHILDREN."""
    children: dict[int, list[int]] = {}
    for name in os.listdir("/proc"):
        # "pid (name) state parent …", where the name may hold anything.
        fields = _read(f"/proc/{name}/stat").rpartition(b")")[2].split() if name.isdigit() else []
        if len(fields) > 1:
            children.setdefault(int(fields[1]), []).append(int(name))
    return lambda pid: children.get(pid, [])


def _children_by_thread(pid: int) -> list[int]:
    try:
        threads = os.listdir(f"/proc/{pid}/task")
    except (FileNotFoundError, ProcessLookupError):
        return []
    return [
        int(child) for thread in threads for child in _read(f"/proc/{pid}/task/{thread}/children").split()
    ]


def _read(path: str) -> bytes:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except (FileNotFoundError, ProcessLookupError):
        return b""
    try:
        return os.read(descriptor, _READ_BYTES)
    except ProcessLookupError:
        return b""
    finally:
        os.close(descriptor)
