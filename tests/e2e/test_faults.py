"""Each fault shuts an open camera with its name in the log and no byte after it; then it opens again."""

import os
import signal
import sys
from functools import partial
from pathlib import Path

import pytest

from tests.e2e.conftest import Begin, MakeGateway
from tests.e2e.gateway import Gateway
from tests.e2e.incident import at_us
from tests.e2e.processes import Process
from tests.e2e.small_disk import fill, make_room, memory_disk

pytestmark = pytest.mark.slow

HOLD_THE_LOG = """
import sqlite3, sys
log = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=30)
log.execute("BEGIN EXCLUSIVE")
print("held", flush=True)
sys.stdin.readline()
log.execute("ROLLBACK")
"""


def test_a_barrier_command_shuts_it(gateway: Gateway, incident_of: Begin) -> None:
    """F6, S4: a hold rule of the lane turns unsafe."""
    incident = incident_of(gateway, "barrier moves (hold rule unsafe)")
    incident.inject(lambda: gateway.lane.say("publish parking/barriere_entree/cmd 100"))
    closing = incident.shuts("fault", "lane-unsafe")
    assert [check["id"] for check in closing["data"]["checks"]] == ["lane-barrier-still"]
    incident.is_proven()
    incident.leaves_no_trace_and_opens_again()


def test_a_sensor_that_reports_an_error_shuts_it(gateway: Gateway, incident_of: Begin) -> None:
    """F6, S4."""
    incident = incident_of(gateway, "sensor reports an error")
    incident.inject(lambda: gateway.lane.say("error no echo"))
    incident.shuts("fault", "lane-unsafe")
    incident.is_proven()
    gateway.lane.say("error OK")
    incident.leaves_no_trace_and_opens_again()


def test_a_heartbeat_that_stops_shuts_it_within_the_lease(gateway: Gateway, incident_of: Begin) -> None:
    """F7: the lease (6 s) runs from the last beat, whoever else still talks."""
    incident = incident_of(gateway, "heartbeat stops (lease 6 s)")
    incident.inject(lambda: gateway.lane.say("beat off"))
    closing = incident.shuts("fault", "lane-unknown")
    assert at_us(closing) - incident.injected_us <= 9_000_000
    incident.is_proven()
    gateway.lane.say("beat on")
    # What was said before the lease ended is vouched for by nobody any more (S5): it is said again.
    gateway.lane.say("present 0")
    incident.leaves_no_trace_and_opens_again()


def test_a_restart_of_the_broker_shuts_it(gateway: Gateway, incident_of: Begin) -> None:
    """F8."""
    incident = incident_of(gateway, "broker restarts")
    incident.inject(gateway.restart_broker)
    incident.shuts("fault", "broker-lost")
    incident.is_proven()
    incident.leaves_no_trace_and_opens_again()


def test_an_old_retained_heartbeat_never_opens_it(own_gateway: Gateway, incident_of: Begin) -> None:
    """F7, F8, S5: the broker comes back with what it had retained, and nobody who lives behind it."""
    incident = incident_of(own_gateway, "lane dies, broker restarts with its store")
    own_gateway.lane.kill()
    incident.inject(own_gateway.restart_broker)
    incident.shuts("fault", "broker-lost")
    incident.is_proven()
    own_gateway.wait_check("bus-connected", passes=True)
    own_gateway.wait_check("lane-barrier-still", passes=True)
    session = own_gateway.request(wait_s=5)
    failed = own_gateway.wait("checks_failed", session)
    assert failed["data"]["fault"] == "lane-unknown"
    checks = {check["id"]: check["fault"] for check in failed["data"]["checks"]}
    assert checks == {"lane-sensor-alive": "lane-unknown", "lane-no-vehicle": "lane-unknown"}
    own_gateway.start_lane()
    incident.leaves_no_trace_and_opens_again()


def test_a_configuration_that_is_not_valid_shuts_it(gateway: Gateway, incident_of: Begin) -> None:
    """F13."""
    incident = incident_of(gateway, "configuration invalid")
    incident.inject(lambda: gateway.write_configuration(quiet_for="a while"))
    incident.shuts("fault", "config-invalid")
    incident.is_proven()
    refused = gateway.transition("request", reason="align the camera")
    assert (refused.status, refused.code) == (409, "config-invalid")
    gateway.write_configuration(quiet_for="1s")
    gateway.wait_configured()
    incident.leaves_no_trace_and_opens_again()


def test_a_configuration_that_is_deleted_shuts_it(gateway: Gateway, incident_of: Begin) -> None:
    """F13."""
    incident = incident_of(gateway, "configuration deleted")
    incident.inject(gateway.config.unlink)
    incident.shuts("fault", "config-invalid")
    incident.is_proven()
    gateway.write_configuration()
    gateway.wait_configured()
    incident.leaves_no_trace_and_opens_again()


@pytest.mark.parametrize("what", ["file", "folder"])
def test_a_configuration_that_others_may_write_shuts_it(
    gateway: Gateway, incident_of: Begin, what: str
) -> None:
    """F13."""
    target, mode = (gateway.config, 0o600) if what == "file" else (gateway.folder, 0o700)
    incident = incident_of(gateway, f"configuration's {what} world-writable")
    incident.inject(lambda: target.chmod(mode | 0o002))
    incident.shuts("fault", "config-invalid")
    incident.is_proven()
    target.chmod(mode)
    gateway.wait_configured()
    incident.leaves_no_trace_and_opens_again()


def test_a_disk_that_is_full_shuts_it(make_gateway: MakeGateway, incident_of: Begin, tmp_path: Path) -> None:
    """F11, S13, L4: the gate does not wait for the log, and the log is told once it can take it."""
    with memory_disk(tmp_path / "disk", 8) as disk:
        gateway = make_gateway(database=str(disk / "events.db"))
        gateway.start()
        incident = incident_of(gateway, "disk of the log full")
        incident.inject(lambda: fill(disk))
        incident.flow.viewer.wait_end()
        gateway.wait_disabled(pending=True)
        gateway.wait_no_workers(1.0)
        refused = gateway.transition("request", reason="align the camera")
        assert (refused.status, refused.code) == (503, "log-unwritable")
        make_room(disk)
        incident.shuts("fault", "log-unwritable")
        incident.is_proven()
        incident.leaves_no_trace_and_opens_again()
        gateway.stop()


def test_a_log_that_another_process_locks_shuts_it(
    gateway: Gateway, incident_of: Begin, tmp_path: Path
) -> None:
    """F11: nothing stays open longer than the log's patience (8 s) without a probe that succeeded."""
    incident = incident_of(gateway, "log locked (patience 8 s)")
    holder = Process("holder", [sys.executable, "-c", HOLD_THE_LOG, str(gateway.database)], tmp_path)
    try:
        incident.inject(lambda: holder.wait_line(lambda line: line == "held"))
        incident.flow.viewer.wait_end()
        gateway.wait_disabled(pending=True)
        gateway.wait_no_workers(1.0)
        holder.say("let go")
        incident.shuts("fault", "log-unwritable")
    finally:
        holder.stop()
    incident.is_proven()
    incident.leaves_no_trace_and_opens_again()


def test_a_camera_that_hangs_is_waited_for_then_given_up(own_gateway: Gateway, incident_of: Begin) -> None:
    """F9: a short hang is `reconnecting` and comes back; a long one ends in `worker-storm`."""
    own_gateway.reconfigure(first_frame="5s", stall="1s")
    incident = incident_of(own_gateway, "camera hangs for good (5 failures)")
    own_gateway.fail_camera("hang", for_s=3)
    own_gateway.wait("frames_lost", incident.flow.session)
    incident.flow.viewer.wait_end()
    own_gateway.wait("frames_back", incident.flow.session)
    incident.flow.viewer = own_gateway.watch_again(incident.flow)
    incident.flow.viewer.wait_flow()
    incident.inject(lambda: own_gateway.fail_camera("hang"))
    incident.shuts("fault", "worker-storm", timeout_s=90)
    incident.flow.worker = own_gateway.worker(incident.flow.session)
    incident.is_proven()
    own_gateway.fail_camera("ok")
    # Another camera of the same source shows that it is back; what comes after a storm is the next test's.
    assert own_gateway.transition("request", reason="align the camera").code == "cooling-down"
    incident.leaves_no_trace_and_opens_again("cam2")


def test_workers_that_are_killed_end_in_a_storm(own_gateway: Gateway, incident_of: Begin) -> None:
    """F10: five failures in the window of time are the budget; then it cools down, then it opens."""
    incident = incident_of(own_gateway, "worker SIGKILLed 5 times")
    session, after = incident.flow.session, 0
    for kill in range(5):
        started = own_gateway.wait("worker_started", session, after=after)
        after = started["seq"]
        if kill == 4:
            incident.flow.viewer = own_gateway.watch_again(incident.flow)
            incident.flow.worker = own_gateway.worker(session)
            incident.flow.viewer.wait_flow(1)
        incident.inject(partial(os.kill, started["data"]["pid"], signal.SIGKILL))
    closing = incident.shuts("fault", "worker-storm")
    assert closing["data"]["failures"] == 5
    incident.is_proven()
    own_gateway.wait_out_the_cool_down()
    incident.leaves_no_trace_and_opens_again()
