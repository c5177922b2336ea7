"""What the gateway says of itself: load, memory, temperature, swap, core files. It judges nothing."""

from __future__ import annotations

import os
import resource
from dataclasses import dataclass
from pathlib import Path

_PROC = Path("/proc")
_SYS = Path("/sys")
_FILE_BYTES = 16 * 1024
_PLAUSIBLE_MILLI = range(-40_000, 200_000)


@dataclass(frozen=True, slots=True)
class SwapState:
    """Where our memory could be swapped to (S11). What cannot be read counts as the worse.

    `active_bytes`: the size of all swap in use by the kernel, None when unreadable. `only_zram`: there is
    swap, and all of it is compressed memory without a disk behind it. `cgroup_max_zero`: our control group,
    or one above it, may swap nothing (`memory.swap.max` is 0).
    """

    active_bytes: int | None
    only_zram: bool
    cgroup_max_zero: bool

    @property
    def private(self) -> bool:
        """Whether no page of ours can reach a disk."""
        return self.active_bytes == 0 or self.only_zram or self.cgroup_max_zero


@dataclass(frozen=True, slots=True)
class Pressure:
    """How much of the last ten seconds was lost by waiting, in thousandths (Linux PSI). None: not told.

    `cpu_milli`: some task waited for a processor. `memory_milli`, `io_milli`: all that had work waited for
    memory, for the disk.
    """

    cpu_milli: int | None
    memory_milli: int | None
    io_milli: int | None


@dataclass(frozen=True, slots=True)
class HostReading:
    """One look at the host. None: it could not be read; a temperature is None without any sensor.

    `load_per_cpu_milli` is the load of the last minute over `cpus`, in thousandths. `core_pattern` says where
    the kernel puts core files; `core_limit_bytes` is our own limit for them (-1: none), which a pattern that
    begins with `|` does not obey. `pressure` is the kernel's own word on who waits for what.
    """

    load_per_cpu_milli: int | None
    memory_available_bytes: int | None
    highest_temperature_milli: int | None
    cpus: int
    swap: SwapState
    core_pattern: str | None
    core_limit_bytes: int
    pressure: Pressure


def look(proc: Path = _PROC, sys: Path = _SYS) -> HostReading:
    """Read the host within a millisecond; never raises. `proc` and `sys` are where these are mounted."""
    cpus = len(os.sched_getaffinity(0))
    return HostReading(
        load_per_cpu_milli=_load_milli(proc, cpus),
        memory_available_bytes=_memory_available_bytes(proc),
        highest_temperature_milli=_highest_temperature_milli(sys),
        cpus=cpus,
        swap=swap_state(proc, sys),
        core_pattern=_text(proc / "sys/kernel/core_pattern"),
        core_limit_bytes=resource.getrlimit(resource.RLIMIT_CORE)[0],
        pressure=Pressure(
            _waited_milli(proc, "cpu", "some"),
            _waited_milli(proc, "memory", "full"),
            _waited_milli(proc, "io", "full"),
        ),
    )


def swap_state(proc: Path = _PROC, sys: Path = _SYS) -> SwapState:
    """Where our memory could be swapped to; never raises."""
    text = _text(proc / "swaps")
    max_zero = _cgroup_max_zero(proc, sys)
    if text is None:
        return SwapState(None, only_zram=False, cgroup_max_zero=max_zero)
    areas = [line.split() for line in text.splitlines()[1:]]
    try:
        active_bytes = sum(int(area[2]) * 1024 for area in areas)
    except (ValueError, IndexError):
        return SwapState(None, only_zram=False, cgroup_max_zero=max_zero)
    only_zram = bool(areas) and all(_is_zram(area[0], sys) for area in areas)
    return SwapState(active_bytes, only_zram, max_zero)


def _is_zram(area: str, sys: Path) -> bool:
    name = area.removeprefix("/dev/")
    if not (name.startswith("zram") and name.removeprefix("zram").isdecimal()):
        return False
    # A zram device may write its pages back to a disk.
    backing = sys / "block" / name / "backing_dev"
    return not backing.exists() or _text(backing) == "none"


def _cgroup_max_zero(proc: Path, sys: Path) -> bool:
    text = _text(proc / "self/cgroup") or ""
    ours = next((line.removeprefix("0::/") for line in text.splitlines() if line.startswith("0::/")), None)
    if ours is None or ".." in ours.split("/"):
        return False
    root = sys / "fs/cgroup"
    groups = [root / ours, *(root / ours).parents]
    return any(_text(group / "memory.swap.max") == "0" for group in groups if group.is_relative_to(root))


def _load_milli(proc: Path, cpus: int) -> int | None:
    text = _text(proc / "loadavg")
    try:
        return round(float(text.split()[0]) * 1000 / cpus) if text else None
    except ValueError:
        return None


def _waited_milli(proc: Path, resource_name: str, who: str) -> int | None:
    for line in (_text(proc / "pressure" / resource_name) or "").splitlines():
        kind, _, rest = line.partition(" avg10=")
        if kind == who:
            try:
                return round(float(rest.split()[0]) * 10)
            except (ValueError, IndexError, OverflowError):
                return None
    return None


def _memory_available_bytes(proc: Path) -> int | None:
    for line in (_text(proc / "meminfo") or "").splitlines():
        if line.startswith("MemAvailable:"):
            amount = line.split()[1]
            return int(amount) * 1024 if amount.isdecimal() else None
    return None


def _highest_temperature_milli(sys: Path) -> int | None:
    zones = sys / "class/thermal"
    try:
        names = [name for name in os.listdir(zones) if name.startswith("thermal_zone")]
    except OSError:
        return None
    found = []
    for name in names:
        text = _text(zones / name / "temp") or ""
        if text.removeprefix("-").isdecimal() and int(text) in _PLAUSIBLE_MILLI:
            found.append(int(text))
    return max(found, default=None)


def _text(path: Path) -> str | None:
    # The files are the kernel's: they answer at once and whole. `open` would take four times as long.
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            return os.read(descriptor, _FILE_BYTES).decode().strip()
        finally:
            os.close(descriptor)
    except (OSError, UnicodeDecodeError):
        return None
