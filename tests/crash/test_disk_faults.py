"""A disk that fails under a running daemon: shut at once, by name; later all is in the log and it opens
again (F11, F22, S13, S21, L3, L4)."""

import pytest

from tests.crash import disk
from tests.crash.system_calls import needs_strace
from tests.e2e.configuration import SOON
from tests.e2e.conftest import Begin, MakeGateway
from tests.e2e.follower import name_of
from tests.e2e.gateway import Gateway
from tests.e2e.incident import log_is_whole

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def site(make_shared_gateway: MakeGateway) -> Gateway:
    """One gateway for all faults: each must leave it as it was."""
    needs_strace()
    gateway = make_shared_gateway(**SOON, new_per_minute="1000")
    gateway.start()
    return gateway


def _is_refused(site: Gateway) -> None:
    refused = site.transition("request", reason="align the camera")
    assert (refused.status, refused.code) == (503, "log-unwritable"), refused


@pytest.mark.parametrize("fault", [disk.cannot_sync, disk.is_full, disk.is_dead])
def test_an_open_camera_is_shut_by_the_first_event_that_the_disk_does_not_take(
    site: Gateway, incident_of: Begin, fault: disk.Fault
) -> None:
    """S13: by `log-unwritable`, which the log has once it takes events again, in order (L4)."""
    incident = incident_of(site, f"disk {fault.__name__.replace('_', ' ')}")
    with fault(site):
        incident.inject(lambda: None)
        joined = site.ask("POST", "/api/v1/cameras/cam1/watches", {})
        assert (joined.status, joined.code) == (503, "log-unwritable"), joined
        incident.flow.viewer.wait_end()
        site.wait_disabled(substate="ready", pending=True)
        site.wait_no_workers()
        _is_refused(site)
    incident.shuts("fault", "log-unwritable")
    incident.is_proven()
    incident.leaves_no_trace_and_opens_again()


def test_a_write_that_is_torn_shuts_and_is_not_in_the_log(site: Gateway, incident_of: Begin) -> None:
    """S12: what the disk took of it is nobody's event; the log goes on behind the last whole one."""
    incident = incident_of(site, "disk tears a write")
    with disk.tears_writes(site):
        incident.inject(lambda: None)
        joined = site.ask("POST", "/api/v1/cameras/cam1/watches", {})
        assert (joined.status, joined.code) == (503, "log-unwritable"), joined
        incident.flow.viewer.wait_end()
    incident.shuts("fault", "log-unwritable")
    incident.is_proven()
    incident.leaves_no_trace_and_opens_again()


def test_closing_waits_for_no_disk_that_hangs(site: Gateway, incident_of: Begin) -> None:
    """S13, L2: proven while the log says nothing; what landed late is there once."""
    incident = incident_of(site, "disk hangs, closed by hand")
    with disk.hangs(site):
        incident.inject(lambda: None)
        answer = site.transition("close")
        assert (answer.status, answer.body["state"], answer.body["pending"]) == (202, "disabled", True)
        incident.flow.viewer.wait_end()
        site.wait_disabled(substate="ready", pending=True)
        site.wait_no_workers()
        _is_refused(site)
    incident.shuts("close")
    incident.is_proven()
    incident.leaves_no_trace_and_opens_again()


def test_an_opening_that_lands_after_it_was_refused_is_taken_back(site: Gateway) -> None:
    """F22, S21: memory is never more open than the log."""
    last = site.last_seq()
    with disk.hangs(site):
        _is_refused(site)
        site.wait_disabled(pending=True)
    landed = site.wait("request", after=last)
    ended = site.wait_end(landed["session"])
    assert (name_of(ended), ended["data"]["fault"]) == ("fault", "log-unwritable")
    assert ended["data"]["landed_late"] is True
    site.wait_disabled(substate="ready", pending=False)
    flow = site.flow()
    site.shut(flow.session)
    log_is_whole(site)
