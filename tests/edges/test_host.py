"""The host and the clocks as this machine tells them, and as machines do that we do not have here."""

from __future__ import annotations

import ctypes
import os
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from orchestrator.app.host_facts import beyond_limits
from orchestrator.core.policy import HostPolicy
from orchestrator.edges import clock, host


class Machine:
    """A `/proc` and a `/sys` with only what a test writes."""

    def __init__(self, folder: Path) -> None:
        self.proc, self.sys = folder / "proc", folder / "sys"
        self.proc.mkdir()
        self.sys.mkdir()

    def write(self, path: str, text: str) -> None:
        file = self.proc.parent / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    def swaps(self, *lines: str) -> None:
        self.write(
            "proc/swaps", "Filename Type Size Used Priority\n" + "".join(f"{line}\n" for line in lines)
        )

    def look(self) -> host.HostReading:
        return host.look(self.proc, self.sys)

    def swap(self) -> host.SwapState:
        return host.swap_state(self.proc, self.sys)


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_this_machine_can_be_read() -> None:
    reading = host.look()
    assert reading.cpus == len(os.sched_getaffinity(0))
    assert reading.load_per_cpu_milli is not None
    assert reading.memory_available_bytes is not None
    assert 0 < reading.memory_available_bytes < os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    assert reading.core_pattern
    assert reading.swap.active_bytes is not None


def test_what_cannot_be_read_is_not_known_and_swap_is_not_private_s5(machine: Machine) -> None:
    reading = machine.look()
    assert reading.load_per_cpu_milli is None
    assert reading.memory_available_bytes is None
    assert reading.core_pattern is None
    assert reading.swap == host.SwapState(None, only_zram=False, cgroup_max_zero=False)
    assert not reading.swap.private


def test_garbage_is_not_known_either(machine: Machine) -> None:
    machine.write("proc/loadavg", "")
    machine.write("proc/meminfo", "MemAvailable: lots kB\n")
    machine.write("proc/swaps", "Filename\n/dev/sda2 partition many 0 -2\n")
    reading = machine.look()
    assert reading.load_per_cpu_milli is None
    assert reading.memory_available_bytes is None
    assert not reading.swap.private


def test_load_and_memory_are_read_in_their_units(machine: Machine) -> None:
    machine.write("proc/loadavg", "1.50 0.80 0.40 2/345 678\n")
    machine.write("proc/meminfo", "MemTotal: 1 kB\nMemAvailable:     204800 kB\n")
    reading = machine.look()
    assert reading.load_per_cpu_milli == round(1500 / reading.cpus)
    assert reading.memory_available_bytes == 200 * 1024 * 1024


def test_the_hottest_sensor_counts_and_a_broken_one_does_not(machine: Machine) -> None:
    for zone, text in enumerate(("48312\n", "61000\n", "-274000\n", "\n")):
        machine.write(f"sys/class/thermal/thermal_zone{zone}/temp", text)
    assert machine.look().highest_temperature_milli == 61_000


def test_without_a_sensor_there_is_no_temperature(machine: Machine) -> None:
    machine.write("sys/class/thermal/cooling_device0/temp", "99000")
    assert machine.look().highest_temperature_milli is None


PRESSURE = (
    "some avg10={some} avg60=0.00 avg300=0.00 total=1\nfull avg10={full} avg60=0.00 avg300=0.00 total=1\n"
)


def test_what_is_lost_by_waiting_is_read_of_the_last_ten_seconds(machine: Machine) -> None:
    machine.write("proc/pressure/cpu", PRESSURE.format(some="73.21", full="0.00"))
    machine.write("proc/pressure/memory", PRESSURE.format(some="50.00", full="12.34"))
    machine.write("proc/pressure/io", PRESSURE.format(some="9.00", full="0.15"))
    assert machine.look().pressure == host.Pressure(732, 123, 2)


@pytest.mark.parametrize(
    "text", [None, "", "some avg10=lots\n", "full avg10=", "full avg10=inf x", "some total=1\n"]
)
def test_a_kernel_that_does_not_say_what_waits_is_not_guessed_at(machine: Machine, text: str | None) -> None:
    for resource in ("cpu", "memory", "io"):
        if text is not None:
            machine.write(f"proc/pressure/{resource}", text)
    assert machine.look().pressure == host.Pressure(None, None, None)


@pytest.mark.parametrize(
    ("what", "over"),
    [
        ({}, False),
        ({"load_per_cpu_milli": 901}, True),
        ({"load_per_cpu_milli": None}, True),
        ({"memory_available_bytes": (200 << 20) - 1}, True),
        ({"highest_temperature_milli": 85_001}, True),
        ({"pressure": host.Pressure(cpu_milli=1000, memory_milli=100, io_milli=1000)}, False),
        ({"pressure": host.Pressure(cpu_milli=0, memory_milli=101, io_milli=0)}, True),
    ],
    ids=str,
)
def test_beyond_any_one_limit_the_gateway_belongs_to_the_parking(what: dict[str, Any], over: bool) -> None:
    """F16, K2: that processors and disks are waited for is evidence alone, for our own worker waits first."""
    calm = host.HostReading(
        load_per_cpu_milli=900,
        memory_available_bytes=200 << 20,
        highest_temperature_milli=None,
        cpus=2,
        swap=host.SwapState(0, only_zram=False, cgroup_max_zero=False),
        core_pattern="core",
        core_limit_bytes=1,
        pressure=host.Pressure(None, None, None),
    )
    assert beyond_limits(replace(calm, **what), HostPolicy()) is over


def test_no_swap_at_all_is_private_s11(machine: Machine) -> None:
    machine.swaps()
    assert machine.swap() == host.SwapState(0, only_zram=False, cgroup_max_zero=False)
    assert machine.swap().private


def test_swap_on_a_disk_is_not_private_f27(machine: Machine) -> None:
    machine.swaps("/dev/zram0 partition 1024 0 100", "/swapfile file 2048 0 -2")
    assert machine.swap() == host.SwapState(3072 * 1024, only_zram=False, cgroup_max_zero=False)
    assert not machine.swap().private


@pytest.mark.parametrize(("backing", "private"), [(None, True), ("none\n", True), ("/dev/sda3\n", False)])
def test_zram_is_private_unless_a_disk_stands_behind_it(
    machine: Machine, backing: str | None, private: bool
) -> None:
    machine.swaps("/dev/zram0 partition 1024 0 100")
    if backing is not None:
        machine.write("sys/block/zram0/backing_dev", backing)
    assert machine.swap().private is private


def test_a_file_that_is_called_like_zram_is_a_file(machine: Machine) -> None:
    machine.swaps("/mnt/zram0 file 1024 0 100")
    assert not machine.swap().private


@pytest.mark.parametrize("group", ["system.slice/volet.service", "system.slice"])
def test_a_control_group_that_may_not_swap_is_private_also_from_above(machine: Machine, group: str) -> None:
    machine.swaps("/swapfile file 2048 0 -2")
    machine.write("proc/self/cgroup", "0::/system.slice/volet.service\n")
    machine.write("sys/fs/cgroup/system.slice/volet.service/memory.swap.max", "max\n")
    machine.write(f"sys/fs/cgroup/{group}/memory.swap.max", "0\n")
    assert machine.swap().private


def test_the_limit_of_another_control_group_is_none_of_ours(machine: Machine) -> None:
    machine.swaps("/swapfile file 2048 0 -2")
    machine.write("proc/self/cgroup", "0::/system.slice/volet.service\n")
    machine.write("sys/fs/cgroup/user.slice/memory.swap.max", "0\n")
    machine.write("sys/memory.swap.max", "0\n")
    assert not machine.swap().private


def test_a_moment_lies_between_the_readings_around_it() -> None:
    wall, boot = time.time_ns() // 1000, clock.boottime_us()
    moment = clock.now()
    assert wall <= moment.wall_us <= time.time_ns() // 1000
    assert boot <= moment.boottime_us <= clock.boottime_us()
    assert moment.boot == Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def test_the_kernel_fills_its_structure_where_we_read_it() -> None:
    timex, before = clock.Timex(), int(time.time())
    assert ctypes.CDLL(None).adjtimex(ctypes.byref(timex)) >= 0
    assert before <= timex.time_s <= time.time()
    assert 9_000 <= timex.tick <= 11_000
    assert clock.synchronised() is clock.trusted(timex)


@pytest.mark.parametrize(
    ("status", "maxerror", "word"),
    [(0x2001, 12_000, True), (0x2041, 12_000, False), (0x0001, 16_000_000, False)],
)
def test_an_unsynchronised_clock_and_a_wide_error_are_not_trusted_s25(
    status: int, maxerror: int, word: bool
) -> None:
    assert clock.trusted(clock.Timex(status=status, maxerror=maxerror)) is word
