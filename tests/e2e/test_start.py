"""How the daemon starts, or does not (CONTRACT 3 Start)."""

import socket

import pytest

from tests.e2e.conftest import MakeGateway
from tests.e2e.incident import log_is_whole

pytestmark = pytest.mark.slow


def test_a_file_that_is_not_valid_ends_it_with_78_and_no_port_open(make_gateway: MakeGateway) -> None:
    gateway = make_gateway(quiet_for="a while")
    gateway.write_configuration()
    assert gateway.serve().wait(30) == 78
    assert any("barrier-still" in line or "rules[3].quiet_for" in line for line in gateway.daemon.lines)
    assert all(line.startswith("volet: ") for line in gateway.daemon.lines)
    with socket.socket() as sock, pytest.raises(ConnectionRefusedError):
        sock.connect((gateway.address, gateway.port))
    assert not gateway.socket.exists()
    assert not gateway.database.exists()


def test_a_port_that_is_taken_ends_it_with_1_and_one_line(make_gateway: MakeGateway) -> None:
    gateway = make_gateway()
    gateway.write_configuration()
    with socket.create_server((gateway.address, gateway.port)):
        assert gateway.serve().wait(30) == 1
    assert len(gateway.daemon.lines) == 1, gateway.daemon.lines
    assert gateway.daemon.lines[0].startswith("volet: cannot start: ")
    assert str(gateway.port) in gateway.daemon.lines[0]


def test_a_log_that_another_daemon_has_ends_it_with_1_and_one_line(make_gateway: MakeGateway) -> None:
    first = make_gateway()
    first.write_configuration()
    first.start_daemon()
    second = make_gateway(database=str(first.database))
    second.write_configuration()
    assert second.serve().wait(30) == 1
    assert len(second.daemon.lines) == 1, second.daemon.lines
    assert first.daemon.running


def test_a_broker_that_is_not_there_is_waited_for_shut(make_gateway: MakeGateway) -> None:
    gateway = make_gateway()
    gateway.write_configuration()
    gateway.start_camera()
    gateway.start_daemon()
    gateway.follow()
    failed = gateway.wait("checks_failed", gateway.request(wait_s=1))
    assert failed["data"]["fault"] == "broker-lost"
    gateway.start_broker()
    gateway.start_lane()
    flow = gateway.flow()
    gateway.shut(flow.session)
    log_is_whole(gateway)


def test_a_camera_that_is_not_there_is_start_failed_and_opens_once_it_is(make_gateway: MakeGateway) -> None:
    """CONTRACT 4: not retried, no storm, and the class of the failure is named."""
    gateway = make_gateway()
    gateway.write_configuration()
    gateway.start_broker()
    gateway.start_lane()
    gateway.start_daemon()
    gateway.follow()
    failed = gateway.wait("start_failed", gateway.request())
    assert failed["data"]["failure"] == "refused"
    gateway.wait("closed", failed["session"])
    gateway.start_camera()
    flow = gateway.flow()
    gateway.shut(flow.session)
    log_is_whole(gateway)
