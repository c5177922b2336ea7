"""Our process tree, and which process holds which socket, as /proc tells (proc(5))."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable, Collection, Iterator
from contextlib import suppress

_SOCKET = "socket:["
_READ_BYTES = 1 << 14
_PR_SET_CHILD_SUBREAPER = 36
_LIBC = ctypes.CDLL(None, use_errno=True)


class Orphans:
    """Makes this process the parent of each descendant whose own parent ends, so that none leaves the tree
    by a double fork and what it listens on is still found (prctl(2), S7); and waits for them at their end.

    Those that somebody here waits for are never taken from them: a process that has ended is reaped when
    two looks found it, and between two the loop turns, which is when a worker is reaped.
    """

    def __init__(self) -> None:
        """OSError when the kernel refuses."""
        if _LIBC.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
            raise OSError(ctypes.get_errno(), "the kernel does not give us the orphans of our children")
        self._ended: frozenset[int] = frozenset()

    def reap(self) -> None:
        """One look; about a second must lie between two, with a turn of the loop."""
        ended = frozenset(child for child in _children()(os.getpid()) if _has_ended(child))
        for child in ended & self._ended:
            with suppress(ChildProcessError):
                os.waitpid(child, os.WNOHANG)
        self._ended = ended - self._ended


def tree(roots: Collection[int]) -> list[int]:
    """The roots and all their descendants, a parent before its children."""
    # One that another process adopted is no longer a descendant: a child that outlives its parent is
    # ours only where the root is its subreaper (`Orphans`).
    found = dict.fromkeys(roots)
    below = _children()
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


def holders_of(inodes: Collection[int]) -> dict[int, int]:
    """A process that holds each of these sockets, by inode, as far as we may look: at all as root."""
    found: dict[int, int] = {}
    for name in os.listdir("/proc") if inodes else ():
        if name.isdigit() and len(found) < len(inodes):
            with suppress(PermissionError):
                found |= {inode: int(name) for inode in sockets_of(int(name)) if inode in inodes}
    return found


def program_of(pid: int) -> str:
    """The name of a process's program, of 15 bytes at most; empty when it has ended."""
    # Never its arguments: they may hold another program's secrets.
    return _read(f"/proc/{pid}/comm").decode(errors="replace").strip()


def _has_ended(pid: int) -> bool:
    return _read(f"/proc/{pid}/stat").rpartition(b")")[2].split()[:1] == [b"Z"]


def _children() -> Callable[[int], list[int]]:
    """Answers with the children of a process."""
    return _children_by_thread if os.path.exists("/proc/thread-self/children") else _children_by_scan()


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
