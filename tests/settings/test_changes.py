"""What a reload does follows from what differs (the table under Reload in CONTRACT 3)."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator.settings import Changes, changes
from tests.settings.configuration import SMALL, loaded

TWO = (
    SMALL
    + """\
[lanes.exit]
[[lanes.exit.rules]]
id = "alive"
topic = "parking/exit"
heartbeat = "epoch"
phase = "hold"

[cameras.cam2]
lane = "exit"
source = "/dev/video0"

[policy]
[worker]
[host]
[viewers]
[log]
[local]
"""
)


def reloaded(folder: Path, old: str, new: str) -> Changes:
    assert old in TWO
    return changes(loaded(folder, TWO), loaded(folder, TWO.replace(old, new)))


def test_the_same_configuration_changes_nothing(tmp_path: Path) -> None:
    assert reloaded(tmp_path, "[policy]", "[policy] # a remark").nothing


@pytest.mark.parametrize(
    ("old", "new", "part"),
    [
        ('"127.0.0.77"', '"127.0.0.78"', "vpn"),
        ('trust = "open"', 'trust = "acl"', "mqtt"),
        ("[local]", '[local]\nsocket = "/run/other.sock"', "local"),
    ],
)
def test_a_part_that_is_rebuilt_closes_every_camera(tmp_path: Path, old: str, new: str, part: str) -> None:
    found = reloaded(tmp_path, old, new)
    assert found.close == {"cam1", "cam2"}
    assert found.rebuild == {part}


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('[cameras.cam1]\nlane = "entry"', '[cameras.cam1]\nlane = "exit"'),
        ('source = "http', 'max_session = "10m"\nsource = "http'),
        ('source = "http', 'watermark = false\nsource = "http'),
        ('equals = "0"', 'equals = "1"'),
        ("[lanes.entry]", '[lanes.entry]\nsettle = "9s"'),
    ],
)
def test_a_camera_or_its_lane_closes_its_own_cameras_alone(tmp_path: Path, old: str, new: str) -> None:
    found = reloaded(tmp_path, old, new)
    assert found.close == {"cam1"}
    assert not found.rebuild
    assert not found.later


def test_a_purpose_closes_every_camera(tmp_path: Path) -> None:
    assert reloaded(tmp_path, 'name = "alignment"', 'name = "focus"').close == {"cam1", "cam2"}


def test_a_camera_that_is_gone_is_closed_and_a_new_one_disturbs_nobody(tmp_path: Path) -> None:
    with_two, with_one = loaded(tmp_path, TWO), loaded(tmp_path, SMALL)
    gone, come = changes(with_two, with_one), changes(with_one, with_two)
    assert [sorted(names) for names in (gone.close, gone.removed, gone.added)] == [["cam2"], ["cam2"], []]
    assert [sorted(names) for names in (come.close, come.removed, come.added)] == [[], [], ["cam2"]]


def test_members_and_windows_close_no_camera_by_themselves(tmp_path: Path) -> None:
    members = reloaded(tmp_path, '"127.0.0.2"', '"127.0.0.3"')
    windows = reloaded(tmp_path, 'duration = "2h"', 'duration = "1h"')
    assert (members.members, members.windows, members.close) == (True, False, frozenset())
    assert (windows.members, windows.windows, windows.close) == (False, True, frozenset())


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("[policy]", '[policy]\nrequire_ticket = ".+"'),
        ("[worker]", '[worker]\nstall = "4s"'),
        ("[worker]", "[worker]\nnice = 10"),
        ("[host]", "[host]\nmax_load_per_cpu = 0.5"),
        ("[viewers]", "[viewers]\nmax_per_camera = 1"),
    ],
)
def test_the_rest_counts_from_the_next_use_on(tmp_path: Path, old: str, new: str) -> None:
    found = reloaded(tmp_path, old, new)
    assert (found.later, found.close, found.rebuild, found.restart) == (True, frozenset(), frozenset(), ())


@pytest.mark.parametrize(
    ("old", "new", "path"),
    [
        ('"lot-12"', '"lot-13"', "site"),
        ('"Europe/Paris"', '"UTC"', "timezone"),
        ("[log]", '[log]\nurl = "sqlite:////tmp/x.db"\nblackbox = "/var/lib/volet/blackbox"', "log.url"),
        ("[log]", '[log]\npatience = "2s"', "log.patience"),
    ],
)
def test_site_timezone_and_log_need_a_restart(tmp_path: Path, old: str, new: str, path: str) -> None:
    (fault,) = reloaded(tmp_path, old, new).restart
    assert (fault.path, "needs a restart" in str(fault)) == (path, True)
