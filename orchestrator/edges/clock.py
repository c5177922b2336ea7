"""Both clocks and the kernel's word on the wall clock (S6, S25)."""

from __future__ import annotations

import ctypes
import functools
import time
from pathlib import Path

from orchestrator.core.moment import Moment

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_STA_UNSYNC = 0x0040
_MAX_ERROR_US = 16_000_000


class Timex(ctypes.Structure):
    """`struct timex` of <sys/timex.h>; `modes` 0 asks and sets nothing."""

    _fields_ = (
        ("modes", ctypes.c_uint),
        ("offset", ctypes.c_long),
        ("freq", ctypes.c_long),
        ("maxerror", ctypes.c_long),
        ("esterror", ctypes.c_long),
        ("status", ctypes.c_int),
        ("constant", ctypes.c_long),
        ("precision", ctypes.c_long),
        ("tolerance", ctypes.c_long),
        ("time_s", ctypes.c_long),
        ("time_us", ctypes.c_long),
        ("tick", ctypes.c_long),
        ("ppsfreq", ctypes.c_long),
        ("jitter", ctypes.c_long),
        ("shift", ctypes.c_int),
        ("stabil", ctypes.c_long),
        ("jitcnt", ctypes.c_long),
        ("calcnt", ctypes.c_long),
        ("errcnt", ctypes.c_long),
        ("stbcnt", ctypes.c_long),
        ("tai", ctypes.c_int),
        ("reserved", ctypes.c_int * 11),
    )


@functools.cache
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


@functools.cache
def _boot() -> str:
    try:
        return _BOOT_ID.read_text().strip()
    except OSError:
        return ""


def boottime_us() -> int:
    """CLOCK_BOOTTIME in microseconds: it goes on in suspend and nobody can set it."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1000


def synchronised() -> bool:
    """Whether the kernel calls its clock synchronised (adjtimex); False when it cannot be asked."""
    timex = Timex()
    answer: int = _libc().adjtimex(ctypes.byref(timex))
    return answer >= 0 and trusted(timex)


def trusted(timex: Timex) -> bool:
    """Whether what adjtimex told is a synchronised clock; the limit on the error is systemd's own."""
    return not timex.status & _STA_UNSYNC and timex.maxerror < _MAX_ERROR_US


def now() -> Moment:
    """Both clocks as they stand, in about a microsecond."""
    return Moment(time.time_ns() // 1000, boottime_us(), synchronised(), _boot())
