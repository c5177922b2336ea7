"""Who watches what, for how long, and how often somebody may begin (CONTRACT 3 and 5, S9, K3)."""

from __future__ import annotations

import pytest

from orchestrator.core.commands import Cut
from orchestrator.runtime.watches import MEMBERS_COUNTED, Watches
from tests.runtime.one_gateway import Clock


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def watches(clock: Clock) -> Watches:
    return Watches(clock.boottime_us)


def test_a_watch_that_nobody_reads_for_ten_seconds_has_left(watches: Watches, clock: Clock) -> None:
    read, unread = (watches.add(name, "cam1", "m-1", "d-1") for name in ("w-1", "w-2"))
    clock.wait(9.999)
    assert watches.unread("cam1") == []
    read.read_us = clock.boottime_us()
    clock.wait(0.001)
    assert watches.unread("cam1") == [unread]
    assert watches.unread("cam2") == []


def test_one_who_is_being_read_has_not_left_however_long_a_chunk_takes(
    watches: Watches, clock: Clock
) -> None:
    watches.add("w-1", "cam1", "m-1", "d-1").reading = 1
    clock.wait(3_600)
    assert watches.unread("cam1") == []


def test_time_in_reconnecting_does_not_count(watches: Watches, clock: Clock) -> None:
    watches.add("w-1", "cam1", "m-1", "d-1")
    clock.wait(60)
    watches.touch("cam1")
    clock.wait(9)
    assert watches.unread("cam1") == []


def test_what_the_log_no_longer_knows_is_forgotten_on_that_camera_alone(watches: Watches) -> None:
    for name, camera in (("w-1", "cam1"), ("w-2", "cam1"), ("w-3", "cam2")):
        watches.add(name, camera, "m-1", "d-1")
    watches.keep_only("cam1", ["w-2"])
    assert [name for name in ("w-1", "w-2", "w-3") if watches.find(name)] == ["w-2", "w-3"]


def test_the_sums_tell_how_long_and_how_much(watches: Watches, clock: Clock) -> None:
    watches.add("w-1", "cam1", "m-1", "d-1").size_bytes = 70_000
    clock.wait(31.9)
    assert watches.sums("cam1") == (Cut("w-1", 31, 70_000),)


def test_a_member_may_begin_so_often_a_minute_and_is_told_how_long_to_wait(
    watches: Watches, clock: Clock
) -> None:
    for _ in range(3):
        assert watches.too_soon_s("m-1", 3) == 0
        clock.wait(10)
    assert watches.too_soon_s("m-1", 3) == 31
    assert watches.too_soon_s("m-2", 3) == 0
    clock.wait(30)
    assert watches.too_soon_s("m-1", 3) == 0
    assert watches.too_soon_s("m-1", 3) == 11


def test_a_limit_that_a_reload_has_raised_still_limits(watches: Watches) -> None:
    assert watches.too_soon_s("m-1", 1) == 0
    assert watches.too_soon_s("m-1", 1) > 0
    assert [watches.too_soon_s("m-1", 3) == 0 for _ in range(4)] == [True, True, False, False]


def test_however_many_members_ask_a_bounded_number_is_counted(watches: Watches) -> None:
    """K3."""
    for number in range(MEMBERS_COUNTED + 100):
        watches.too_soon_s(f"m-{number}", 3)
    assert len(watches._joins) <= MEMBERS_COUNTED
