"""The camera's own server answers beyond this machine: refused, unless accepted in writing (F24)."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.e2e.configuration import ALWAYS, MAINTAINER_PLAYER
from tests.e2e.conftest import Begin, MakeGateway
from tests.e2e.follower import Event
from tests.e2e.gateway import Gateway
from tests.e2e.incident import house_is_clean, log_is_whole, volet

pytestmark = pytest.mark.slow

LOOPBACK = "127.0.0.1"
SETTLING = ("vpn-interface", "vpn-listener", "lane-no-vehicle", "lane-sensor-alive", "lane-barrier-still")
ACCEPTED = """
[[vpn.accepted_side_doors]]
listener = "{listener}"
why = "vision service is rebound in March"
until = "{until}"
"""


@pytest.fixture(scope="module")
def gateway_of_the_module(make_shared_gateway: MakeGateway) -> Gateway:
    gateway = make_shared_gateway()
    gateway.start()
    return gateway


@pytest.fixture
def gateway(gateway_of_the_module: Gateway) -> Iterator[Gateway]:
    yield gateway_of_the_module
    gateway_of_the_module.move_camera(LOOPBACK)
    reload(gateway_of_the_module, "")
    gateway_of_the_module.restore()


def reload(gateway: Gateway, acceptance: str) -> None:
    """The file with that acceptance in force; the listener is made anew with the rest of [vpn]."""
    windows = ALWAYS + acceptance
    if gateway.values["windows"] == windows:
        return
    after, said = gateway.last_seq(), len(gateway.daemon.lines)
    gateway.write_configuration(windows=windows)
    gateway.daemon.wait_line(lambda line: "listening on" in line, after=said)
    gateway.wait("config_loaded", after=after)


def side_door(event: Event) -> dict[str, Any]:
    """The check, as the event has it."""
    [check] = [check for check in event["data"]["checks"] if check["id"] == "vpn-side-door"]
    found: dict[str, Any] = check
    return found


def refused(gateway: Gateway) -> dict[str, Any]:
    """What kept a request from opening: that check, and nothing else."""
    for check in SETTLING:
        gateway.wait_check(check, passes=True)
    session = gateway.request(wait_s=0)
    end = gateway.wait_end(session)
    assert end["trigger"] == "checks_failed", end
    assert [c["id"] for c in end["data"]["checks"] if not c["passed"] and not c["waived"]] == [
        "vpn-side-door"
    ]
    return side_door(end)


def listener_of(gateway: Gateway, address: str) -> str:
    return f"[{address}]:{gateway.camera_port}" if ":" in address else f"{address}:{gateway.camera_port}"


@pytest.mark.parametrize("address", ["0.0.0.0", "::"])
def test_a_source_beyond_this_machine_is_refused_until_it_is_accepted(gateway: Gateway, address: str) -> None:
    """F24, L3: and every place where checks are shown names it and says how to shut it."""
    listener = listener_of(gateway, address)
    gateway.move_camera(address)
    failed = refused(gateway)
    assert (failed["fault"], failed["evidence"]["exposed"]) == ("side-door", 1)
    door = f"{listener} (process {gateway.camera.pid} (python"
    [shown] = [
        check
        for check in gateway.get("/api/v1/cameras/cam1/checks")["checks"]
        if check["id"] == "vpn-side-door"
    ]
    url = f"http://{gateway.address}:{gateway.port}"
    status, told = volet("status", "cam1", "--url", url)
    assert status == 0, told
    _, diagnosis = volet("doctor", "--config", str(gateway.config), "--wait", "0s")
    for words in (shown["detail"], told, diagnosis):
        assert door in words
        assert "bind it to 127.0.0.1, or accept it in writing under [[vpn.accepted_side_doors]]" in words
    reload(gateway, ACCEPTED.format(listener=listener, until="2099-03-31"))
    session = gateway.open(source=MAINTAINER_PLAYER)
    passed = side_door(gateway.wait("checks_passed", session))
    assert (passed["passed"], passed["evidence"]["exposed"]) == (True, 0)
    assert passed["evidence"]["accepted"] == f"{listener} until 2099-03-31"
    gateway.shut(session)
    log_is_whole(gateway)


def test_an_acceptance_whose_date_is_past_is_none(gateway: Gateway) -> None:
    listener = listener_of(gateway, "0.0.0.0")
    reload(gateway, ACCEPTED.format(listener=listener, until="2026-01-31"))
    gateway.move_camera("0.0.0.0")
    failed = refused(gateway)
    assert failed["evidence"] == {"exposed": 1, "accepted": None, "source": "sockets", "limit_ms": 12000}
    said = gateway.get("/api/v1/cameras/cam1/checks")["checks"]
    assert "which was accepted until 2026-01-31 only" in str(said)


def test_an_accepted_listener_does_not_hide_another_one(gateway: Gateway) -> None:
    reload(gateway, ACCEPTED.format(listener=listener_of(gateway, "0.0.0.0"), until="2099-03-31"))
    gateway.move_camera("::")
    assert refused(gateway)["fault"] == "side-door"


def test_a_source_that_is_rebound_while_open_shuts_and_does_not_lock(
    gateway: Gateway, incident_of: Begin
) -> None:
    """F24 with bytes flowing: the picture from it goes on, so nobody else would notice."""
    incident = incident_of(gateway, "source rebound to 0.0.0.0")
    incident.inject(lambda: gateway.move_camera("0.0.0.0"))
    incident.shuts("fault", "side-door")
    incident.is_proven()
    house_is_clean(gateway)
    assert refused(gateway)["fault"] == "side-door"
    gateway.move_camera(LOOPBACK)
    incident.leaves_no_trace_and_opens_again()
