"""What holds a worker down: measures that its process takes between fork and exec (S6, S10, S11, S26)."""

from __future__ import annotations

import ctypes
import os
import platform
import resource
import signal
import struct
from pathlib import Path
from typing import Any

PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_SET_NO_NEW_PRIVS = 1, 4, 38
LANDLOCK_CREATE_RULESET, LANDLOCK_ADD_RULE, LANDLOCK_RESTRICT_SELF = 444, 445, 446
RULE_PATH_BENEATH = 1
IOPRIO_SET = {"x86_64": 251, "aarch64": 30, "riscv64": 30, "armv7l": 314, "armv6l": 314, "i686": 289}
IOPRIO_IDLE = 3 << 13

WRITE_FILE, REMOVE_FILE, MAKE_REGULAR, REFER, TRUNCATE = 1 << 1, 1 << 5, 1 << 8, 1 << 13, 1 << 14
# Everything of ABI 1 that changes a file system: writing, removing (4, 5), making (6–12).
CHANGES = WRITE_FILE | sum(1 << bit for bit in range(4, 13))
BIND_TCP = 1
ABSTRACT_SOCKETS_AND_SIGNALS = 3

MAX_MEMORY_BYTES = 1 << 30
MAX_ADDRESS_SPACE_BYTES = 8 << 30
MAX_FILE_BYTES = 16 << 20
MAX_OPEN_FILES = 64

MEASURES = ("memory_limit", "file_size_limit", "nice", "idle_io", "landlock")
ALWAYS = (
    "own_session",
    "parent_death_signal",
    "life_timer",
    "no_core_file",
    "no_new_privileges",
    "no_inherited_descriptors",
    "empty_environment",
)

_libc = ctypes.CDLL(None, use_errno=True)
_prctl = _libc.prctl
_syscall = _libc.syscall
_long = ctypes.c_long


class Confinement:
    """The measures for one child; all that can be made ready is, so that the child makes system calls only.

    Give `apply` to the spawn as what runs between fork and exec. If one of the measures that nothing else
    stands in for fails there (death with the parent, the life timer, no core file, no new privileges), the
    spawn fails; the rest degrade, and `in_force` tells.
    """

    def __init__(self, folder: Path, *, nice: int, life_s: float, device: str | None = None) -> None:
        self._parent = os.getpid()
        self._nice = nice
        self._life_s = life_s
        self._idle_io = IOPRIO_SET.get(platform.machine())
        self._abi, self._ruleset = _ruleset(folder, device)
        self._read, self._write = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)

    def apply(self) -> None:
        """In the child: takes every measure, in the order in which none undoes another."""
        if _prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:
            raise OSError(ctypes.get_errno(), "no death with the parent")
        if os.getppid() != self._parent:
            # The parent died before it could be tied to: nobody is left to report to.
            os._exit(1)
        _prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)
        for number in (signal.SIGALRM, signal.SIGTERM, signal.SIGINT, signal.SIGPIPE, signal.SIGXFSZ):
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        signal.setitimer(signal.ITIMER_REAL, self._life_s)
        _no_core_file()
        data = _limit(resource.RLIMIT_DATA, MAX_MEMORY_BYTES)
        space = _limit(resource.RLIMIT_AS, MAX_ADDRESS_SPACE_BYTES)
        done = [
            data and space,
            _limit(resource.RLIMIT_FSIZE, MAX_FILE_BYTES),
            self._be_nice(),
            self._be_idle(),
        ]
        if _prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
            raise OSError(ctypes.get_errno(), "no promise of no new privileges")
        done.append(self._restrict())
        os.write(self._write, bytes(done))

    def in_force(self, pid: int) -> dict[str, bool | int | str]:
        """In the parent, after the spawn of `pid`: each measure by name, and whether it holds."""
        try:
            done = os.read(self._read, len(MEASURES))
        except BlockingIOError:
            done = b""
        optional = dict(zip(MEASURES, map(bool, done.ljust(len(MEASURES), b"\0")), strict=True))
        return {
            **dict.fromkeys(ALWAYS, True),
            **optional,
            "landlock_abi": self._abi if optional["landlock"] else 0,
            "open_files_limit": _limit_open_files(pid),
        }

    def close(self) -> None:
        """In the parent: gives back the descriptors."""
        for descriptor in (self._read, self._write, self._ruleset):
            if descriptor >= 0:
                os.close(descriptor)
        self._read = self._write = self._ruleset = -1

    def _be_nice(self) -> bool:
        try:
            os.setpriority(os.PRIO_PROCESS, 0, self._nice)
        except OSError:
            return False
        return True

    def _be_idle(self) -> bool:
        return self._idle_io is not None and _call(self._idle_io, _long(1), _long(0), _long(IOPRIO_IDLE)) == 0

    def _restrict(self) -> bool:
        return self._ruleset >= 0 and _call(LANDLOCK_RESTRICT_SELF, _long(self._ruleset), _long(0)) == 0


def _call(number: int, *values: Any) -> int:
    """One system call that the C library has no name for; below zero: it failed, and errno says why."""
    return int(_syscall(_long(number), *values))


def _no_core_file() -> None:
    # A limit of one byte, and not of none: the kernel ignores none for a core pattern that is a pipe,
    # and refuses one for both (fs/coredump.c). A hard limit of none cannot be raised to one.
    try:
        resource.setrlimit(resource.RLIMIT_CORE, (1, 1))
    except (OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _limit(what: int, most: int) -> bool:
    hard = resource.getrlimit(what)[1]
    if hard != resource.RLIM_INFINITY:
        most = min(most, hard)
    try:
        resource.setrlimit(what, (most, most))
    except (OSError, ValueError, OverflowError):
        return False
    return True


def _limit_open_files(pid: int) -> bool:
    # Not in the child: between fork and exec it needs a free descriptor to close the inherited ones.
    try:
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (MAX_OPEN_FILES, MAX_OPEN_FILES))
    except OSError:
        return False
    return True


def _ruleset(folder: Path, device: str | None) -> tuple[int, int]:
    """The kernel's Landlock ABI and a rule set that permits changes below `folder` alone; (0, -1) without.

    Also, where the kernel knows how: no TCP port may be bound, no abstract socket or foreign process be
    reached. Reading stays permitted.
    """
    abi = _call(LANDLOCK_CREATE_RULESET, None, _long(0), _long(1))
    if abi < 1:
        return 0, -1
    handled = CHANGES | (REFER if abi >= 2 else 0) | (TRUNCATE if abi >= 3 else 0)
    truncate = TRUNCATE if abi >= 3 else 0
    attributes = struct.pack("=QQQ", handled, BIND_TCP, ABSTRACT_SOCKETS_AND_SIGNALS)
    size = 24 if abi >= 6 else 16 if abi >= 4 else 8
    ruleset = _call(LANDLOCK_CREATE_RULESET, attributes, _long(size), _long(0))
    if ruleset < 0:
        return 0, -1
    permitted = [(str(folder), WRITE_FILE | REMOVE_FILE | MAKE_REGULAR | truncate), (os.devnull, WRITE_FILE)]
    if device is not None:
        permitted.append((device, WRITE_FILE))
    for path, access in permitted:
        if not _permit(ruleset, path, access) and path == str(folder):
            os.close(ruleset)
            raise OSError(ctypes.get_errno(), f"{folder} cannot be made the worker's only place to write")
    return abi, ruleset


def _permit(ruleset: int, path: str, access: int) -> bool:
    try:
        beneath = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        rule = struct.pack("=Qi", access, beneath)
        return _call(LANDLOCK_ADD_RULE, _long(ruleset), _long(RULE_PATH_BENEATH), rule, _long(0)) == 0
    finally:
        os.close(beneath)
