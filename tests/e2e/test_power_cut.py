"""A disk that fills up in the middle of a closing, and then the power fails (L4, S13, S20)."""

import shutil
import signal
from pathlib import Path

import pytest

from tests.e2e.conftest import MakeGateway
from tests.e2e.follower import name_of, told
from tests.e2e.gateway import Gateway
from tests.e2e.incident import house_is_clean, log_is_whole
from tests.e2e.small_disk import ext4_disk, fill, make_room, memory_disk

pytestmark = pytest.mark.slow


def _fill_in_the_middle_of_a_closing(gateway: Gateway, disk: Path, *, proven: bool) -> tuple[str, str]:
    """A session that is shut while the log takes nothing, and by what; whether its end is proven, too."""
    flow = gateway.flow()
    fill(disk)
    answer = gateway.ask_locally("POST", "/api/v1/cameras/cam1/transitions", {"trigger": "close"})
    assert (answer.status in (200, 202), answer.body["state"]) == (True, "disabled")
    # Where the disk is slow to take all of it the log's own probe, each second, sees it first.
    trigger = "close" if answer.status == 202 else "fault"
    assert trigger == "fault" or answer.body["pending"]
    flow.viewer.wait_end()
    flow.worker.wait(1.0)
    if proven:
        gateway.wait_disabled(substate="ready")
    gateway.daemon.kill(signal.SIGKILL)
    gateway.daemon.wait()
    return flow.session, trigger


@pytest.mark.parametrize("proven", [True, False], ids=["proven", "not yet proven"])
def test_the_closing_is_in_the_log_after_the_next_start(
    make_gateway: MakeGateway, tmp_path: Path, proven: bool
) -> None:
    image, after_the_cut = tmp_path / "disk.img", tmp_path / "disk-after.img"
    place, segments = tmp_path / "disk", tmp_path / "segments"
    with memory_disk(segments, 16), ext4_disk(place, image) as disk:
        gateway = make_gateway(segments, database=str(disk / "events.db"), blackbox=str(disk / "blackbox"))
        gateway.start()
        session, trigger = _fill_in_the_middle_of_a_closing(gateway, disk, proven=proven)
        # What has reached the image so far is what a power cut would leave.
        shutil.copyfile(image, after_the_cut)
    with memory_disk(segments, 16), ext4_disk(place, after_the_cut) as disk:
        _does_not_start_while_the_disk_is_full(gateway)
        make_room(disk)
        gateway.start_daemon()
        _closing_comes_first(gateway, session, trigger if proven else None)
        flow = gateway.flow()
        gateway.shut(flow.session)
        house_is_clean(gateway)
        log_is_whole(gateway)
        gateway.stop()


def _does_not_start_while_the_disk_is_full(gateway: Gateway) -> None:
    assert gateway.serve().wait(30) == 1
    assert len(gateway.daemon.lines) == 1, gateway.daemon.lines
    assert gateway.daemon.lines[0].startswith("volet: cannot start: ")


def _closing_comes_first(gateway: Gateway, session: str, trigger: str | None) -> None:
    """In order of happening, before the start says that it has started, and nothing opened in between."""
    events = gateway.events()
    started = [e["seq"] for e in events if name_of(e) == "service_started"][-1]
    late = [e for e in events if e["session"] == session and e["seq"] < started]
    moves = [(name_of(e), e["to"], e["to_substate"]) for e in late if e["type"] == "transition"]
    opened = moves.index(("first_frame", "streaming", "live"))
    ends = moves[opened + 1 :]
    by_hand = ("close", "disabled", "closing")
    by_start = ("fault", "disabled", "closing")
    assert ends in ([by_hand, ("closed", "disabled", "ready")], [by_start, ("closed", "disabled", "ready")])
    if trigger is not None:
        assert ends[0][0] == trigger, told(late)
    assert gateway.state() == "disabled.ready"
