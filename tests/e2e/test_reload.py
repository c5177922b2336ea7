"""A configuration that changes under the running daemon: who loses a right is cut, the rest goes on."""

import signal

import pytest

from tests.e2e.configuration import COLLEAGUE, COLLEAGUE_ENTRY, MEMBERS, VIEWER
from tests.e2e.conftest import Begin
from tests.e2e.follower import name_of
from tests.e2e.gateway import Gateway
from tests.e2e.incident import at_us, log_is_whole

pytestmark = pytest.mark.slow

WITHOUT_THE_COLLEAGUE = MEMBERS.replace(COLLEAGUE_ENTRY, "")
ONE_CAMERA = '[[windows]]\nname = "always"\ncameras = ["cam1"]\ncron = "* * * * *"\nduration = "2m"\n'
S9_US = 1_000_000


def test_a_member_who_is_removed_is_cut_in_the_middle_of_the_picture(gateway: Gateway) -> None:
    """S9, F3: that member alone; the session was somebody else's and goes on."""
    flow = gateway.flow()
    colleague = gateway.watch(source=COLLEAGUE)
    colleague.wait_flow()
    before = gateway.events()[-1]["seq"]
    gateway.write_configuration(members=WITHOUT_THE_COLLEAGUE)
    colleague.wait_end()
    loaded = gateway.wait("config_loaded", after=before)
    left = gateway.follower_wait(lambda e: name_of(e) == "viewer_left", flow.session)
    assert left["data"]["reason"] == "cut"
    assert left["data"]["bytes"] > 0
    assert colleague.last_us - at_us(left) <= S9_US
    assert at_us(left) - at_us(loaded) <= S9_US
    flow.viewer.wait_flow()
    assert gateway.ask("GET", "/api/v1/me", source=COLLEAGUE).code == "unknown-device"
    assert gateway.state() == "streaming.live"
    gateway.shut(flow.session)
    log_is_whole(gateway)


def test_a_requester_who_is_removed_takes_the_session_with_them(gateway: Gateway, incident_of: Begin) -> None:
    """F3, CONTRACT 3."""
    incident = incident_of(gateway, "requester removed from the file", source=COLLEAGUE)
    incident.inject(lambda: gateway.write_configuration(members=WITHOUT_THE_COLLEAGUE))
    incident.shuts("fault", "identity-revoked")
    incident.is_proven()
    gateway.reconfigure(members=MEMBERS)
    incident.leaves_no_trace_and_opens_again()


def test_a_camera_that_is_removed_is_closed_and_gone(gateway: Gateway) -> None:
    """CONTRACT 3 Reload; S14: the other camera goes on."""
    kept, lost = gateway.flow("cam1"), gateway.flow("cam2")
    members = MEMBERS.replace('cameras = ["cam2"]', 'cameras = ["cam1"]')
    gateway.cameras = ("cam1",)
    gateway.reconfigure(members=members, windows=ONE_CAMERA)
    closing = gateway.wait_end(lost.session)
    assert (name_of(closing), closing["data"]["fault"]) == ("fault", "config-changed")
    gateway.wait("closed", lost.session)
    lost.viewer.wait_end()
    lost.worker.wait(1.0)
    gone = gateway.ask("GET", "/api/v1/cameras/cam2")
    assert (gone.status, gone.code) == (404, "unknown-camera")
    kept.viewer.wait_flow()
    assert gateway.state() == "streaming.live"
    gateway.shut(kept.session)
    log_is_whole(gateway)


def test_a_camera_that_is_changed_is_closed_and_opens_with_the_change(
    gateway: Gateway, incident_of: Begin
) -> None:
    """CONTRACT 3 Reload."""
    incident = incident_of(gateway, "camera changed in the file")
    incident.inject(lambda: gateway.write_configuration(max_session="30s"))
    incident.shuts("fault", "config-changed")
    incident.is_proven()
    incident.leaves_no_trace_and_opens_again()


def test_a_window_that_is_taken_away_closes_what_is_open_in_it(gateway: Gateway, incident_of: Begin) -> None:
    """F19, CONTRACT 3: it was not foreseen, so it is a fault and not `expire`."""
    incident = incident_of(gateway, "window cancelled in the file")
    incident.inject(lambda: gateway.write_configuration(windows=""))
    incident.shuts("fault", "window-closed")
    incident.is_proven()
    gateway.reconfigure(windows=ONE_CAMERA)
    incident.leaves_no_trace_and_opens_again()


def test_sighup_reads_what_the_file_points_to_again(gateway: Gateway, incident_of: Begin) -> None:
    """CONTRACT 3 Reload: a password is rotated; the file itself stays, so nobody else would look."""
    incident = incident_of(gateway, "SIGHUP after a rotated password")
    gateway.daemon.kill(signal.SIGHUP)
    gateway.ask("GET", "/healthz")
    incident.flow.viewer.wait_flow()
    assert gateway.state() == "streaming.live"
    gateway.set_broker_password("battery staple")
    incident.inject(lambda: gateway.daemon.kill(signal.SIGHUP))
    incident.shuts("fault", "config-changed")
    incident.is_proven()
    gateway.wait_check("bus-connected", passes=False)
    gateway.set_broker_password("correct horse")
    gateway.daemon.kill(signal.SIGHUP)
    gateway.wait_check("bus-connected", passes=True)
    incident.leaves_no_trace_and_opens_again()


def test_more_viewers_may_come_from_the_next_one_on(gateway: Gateway) -> None:
    """CONTRACT 3 Reload: `viewers` closes nothing."""
    gateway.reconfigure(max_per_camera="1")
    flow = gateway.flow()
    path = "/api/v1/cameras/cam1/watches"
    assert gateway.ask("POST", path, {}, source=VIEWER).code == "too-many-viewers"
    gateway.reconfigure(max_per_camera="2")
    assert gateway.ask("POST", path, {}, source=VIEWER).status == 201
    flow.viewer.wait_flow()
    gateway.shut(flow.session)
