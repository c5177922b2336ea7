"""The stories under tests/scenarios once more, on whole processes: what a line says is done from outside, and
the states and the log are what the story says.

A story whose steps cannot be brought about exactly from outside is told on the real lanes alone
(tests/model/test_scenarios.py); the table says why.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.conftest import GATEWAYS
from tests.e2e.incident import log_is_whole
from tests.e2e.parts import segment_root
from tests.e2e.scenario_gateways import StoryGateway, StoryTunnel
from tests.e2e.scenario_teller import Teller
from tests.edges.vpn.lab import lab
from tests.model.stories import FOLDER

SOON = {"boundary_settle": "200ms", "lane_settle": "200ms", "quiet_for": "200ms", "expiry_notice": "5s"}
ON_LOOPBACK = {
    "a_second_request_is_refused": {},
    "extended_while_expiring": {},
    "fault_broker-lost": {},
    "fault_clock-jumped": {},
    "fault_config-invalid": {},
    "fault_host-overloaded": {},
    "fault_identity-revoked": {},
    "fault_lane-unsafe": {},
    "fault_listener-exposed": {},
    "fault_memory-not-private": {},
    "fault_restarted": {},
    "fault_side-door": {},
    "fault_window-closed": {"windows": ""},
    "fault_worker-storm": {},
    "the_worker_comes_back_after_a_retry": {},
}
"""Told on one gateway, one after the other; with these keys of its file changed."""
IN_A_TUNNEL = "fault_vpn-down"
"""Told on a gateway whose interface can go without the loopback that all else stands on."""
INSTANT = "something comes while the log's thread stands between INSERT and COMMIT"
LATE = f"{INSTANT}, and what hung lands, or does not"
KILLED = f"{INSTANT}, and the process is killed there"
ON_THE_LANES_ALONE = {
    "a_closing_of_what_had_ended_already": LATE,
    "a_lock_is_set_while_another_is_acknowledged": INSTANT,
    "a_lock_survives_a_kill": INSTANT,
    "a_request_is_overtaken_by_a_closing": INSTANT,
    "a_request_lands_late": LATE,
    "a_vehicle_comes_while_the_log_takes_the_first_frame": INSTANT,
    "a_viewer_joins_while_the_disk_hangs": LATE,
    "an_opening_is_overtaken_by_a_closing": INSTANT,
    "an_opening_lands_late": LATE,
    "fault_closing-unproven": f"{INSTANT}; and a process that outlives SIGKILL cannot be made",
    "fault_log-unwritable": "a log that fails its probe takes the closing as little: it is pending first",
    "fault_worker-failed": "a running worker is let in already: its stream is lost first, then it is refused",
    "killed_when_neither_the_log_nor_the_black_box_took_the_closing": KILLED,
    "killed_while_closing": INSTANT,
    "killed_while_the_first_frame_is_on_its_way_into_the_log_and_it_is_there": KILLED,
    "killed_with_a_closing_in_the_black_box_alone": KILLED,
    "no_worker_can_be_started": "an ffmpeg that cannot be started could not be for the whole machine",
    "nobody_watches": f"{INSTANT}: nobody may join who is there in the log's eyes only",
    "the_VPN_goes_while_the_log_takes_the_passed_checks": INSTANT,
    "the_clock_is_not_synchronised": INSTANT,
    "the_end_of_what_was_asked": f"{INSTANT}: the end comes before the notice that was due",
    "the_passed_checks_are_overtaken_by_a_closing": INSTANT,
}


def test_every_story_stands_in_exactly_one_table() -> None:
    tables = [*ON_LOOPBACK, IN_A_TUNNEL, *ON_THE_LANES_ALONE]
    assert sorted(tables) == sorted(path.stem for path in FOLDER.glob("*.txt"))


def _path(story: str) -> Path:
    return FOLDER / f"{story}.txt"


@pytest.fixture(scope="module")
def _on_loopback(
    tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Iterator[StoryGateway]:
    folder = tmp_path_factory.mktemp("stories") / "gateway"
    folder.mkdir(mode=0o700)
    gateway = StoryGateway(folder, segment_root(), **SOON)
    request.node.stash[GATEWAYS] = [gateway]
    gateway.begin()
    yield gateway
    gateway.stop()


@pytest.fixture
def gateway(_on_loopback: StoryGateway) -> Iterator[StoryGateway]:
    yield _on_loopback
    _on_loopback.restore()


@pytest.mark.slow
@pytest.mark.parametrize("story", ON_LOOPBACK)
def test_a_story_goes_the_same_way_on_whole_processes(gateway: StoryGateway, story: str) -> None:
    """Each ends with picture (L3)."""
    if ON_LOOPBACK[story]:
        gateway.reconfigure(**ON_LOOPBACK[story])
    if "windows" in ON_LOOPBACK[story]:
        gateway.adds_window()
    Teller(gateway).tell(_path(story))
    log_is_whole(gateway)


@pytest.mark.slow
def test_the_story_of_a_vpn_that_goes_is_told_in_a_tunnel(
    tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    folder = tmp_path / "gateway"
    folder.mkdir(mode=0o700)
    with lab(("laptop", "tablet")) as found:
        gateway = StoryTunnel(folder, segment_root(), found, **SOON)
        request.node.stash[GATEWAYS] = [gateway]
        try:
            gateway.start()
            Teller(gateway).tell(_path(IN_A_TUNNEL))
            log_is_whole(gateway)
        finally:
            gateway.stop()
