"""A listener that nobody declared, in the running daemon's process tree: all is shut and locked (S7, F5)."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.configuration import CAMERAS
from tests.e2e.conftest import Begin, MakeGateway
from tests.e2e.follower import name_of
from tests.e2e.gateway import Gateway
from tests.e2e.incident import at_us, volet

pytestmark = pytest.mark.slow

DAEMON = str(Path(__file__).with_name("planting_daemon.py"))
FOUND_WITHIN_US = 10_000_000
"""While open the product looks every second; the rest is for a machine that is busy with other tests."""


@pytest.fixture(scope="module")
def planted_gateway(make_shared_gateway: MakeGateway) -> Gateway:
    gateway = make_shared_gateway()
    gateway.start(launcher=(DAEMON,))
    return gateway


@pytest.fixture
def gateway(planted_gateway: Gateway) -> Iterator[Gateway]:
    yield planted_gateway
    planted_gateway.restore()


def plant(gateway: Gateway, what: str) -> tuple[int, int]:
    """The stray's port and who holds it."""
    after = len(gateway.daemon.lines)
    gateway.daemon.say(what)
    return gateway.daemon.wait_json("planted", after=after), gateway.daemon.wait_json("pid", after=after)


def remove(gateway: Gateway) -> None:
    after = len(gateway.daemon.lines)
    gateway.daemon.say("remove")
    gateway.daemon.wait_json("removed", after=after)


def is_reaped(pid: int) -> None:
    """An orphan has nobody but the daemon to wait for it; a zombie tells nobody when it is waited for."""
    until = time.monotonic() + 10
    while Path(f"/proc/{pid}").exists():
        assert time.monotonic() < until, f"process {pid} is a zombie still"
        time.sleep(0.05)


def acknowledge(gateway: Gateway, camera: str) -> tuple[int, str]:
    answer = gateway.transition("acknowledge", camera, reason="the stray is stopped")
    return answer.status, answer.code


LOCKS = {"locked", "closed-meanwhile"}
"""What a request is told that looks itself, or that the look of each five seconds meets on its way."""
STRAYS = {
    "tcp 0.0.0.0": "tcp 0.0.0.0:{port} on every device",
    "udp 0.0.0.0": "udp 0.0.0.0:{port} on every device",
    "tcp ::": "tcp [::]:{port} on every device",
    "child 127.0.0.1": "tcp 127.0.0.1:{port} on every device",
    "orphan ::": "tcp [::]:{port} on every device",
}


@pytest.mark.parametrize("stray", STRAYS)
def test_a_stray_shuts_and_locks_until_it_is_gone_and_acknowledged(
    gateway: Gateway, incident_of: Begin, stray: str
) -> None:
    """S7, F5, L3: with bytes flowing, whoever of the tree has it."""
    incident = incident_of(gateway, f"stray: {stray}")
    place: dict[str, int] = {}
    incident.inject(lambda: place.update(zip(("port", "pid"), plant(gateway, stray), strict=True)))
    closing = incident.shuts("fault", "listener-exposed")
    assert at_us(closing) - incident.injected_us < FOUND_WITHIN_US
    incident.is_proven(rests="locked")
    for camera in CAMERAS:
        gateway.wait_disabled(substate="locked", pending=False, camera=camera)
        assert acknowledge(gateway, camera) == (409, "locked")
        assert gateway.transition("request", camera, reason="to see").code == "locked"
    checks = {check["id"]: check for check in gateway.get("/api/v1/cameras/cam1/checks")["checks"]}
    assert STRAYS[stray].format(port=place["port"]) in checks["vpn-listener"]["detail"]
    assert f"process {place['pid']} (" in checks["vpn-listener"]["detail"]
    assert checks["vpn-listener"]["evidence"]["strays"] == 1
    remove(gateway)
    for camera in CAMERAS:
        assert acknowledge(gateway, camera) == (202, "")
    incident.leaves_no_trace_and_opens_again()
    if place["pid"] != gateway.daemon.pid:
        is_reaped(place["pid"])


def test_a_request_looks_before_it_is_taken_and_an_acknowledgement_too(gateway: Gateway) -> None:
    """While shut the look is every five seconds: nobody opens or unlocks on an old one."""
    gateway.wait_check("vpn-listener", passes=True)
    plant(gateway, "tcp 0.0.0.0")
    after = gateway.last_seq()
    refused = gateway.transition("request", reason="align the camera")
    assert refused.status == 409
    assert refused.code in LOCKS
    locked = gateway.wait("fault", after=after)
    assert (locked["data"]["fault"], locked["session"]) == ("listener-exposed", None)
    assert acknowledge(gateway, "cam1") == (409, "locked")
    remove(gateway)
    for camera in CAMERAS:
        assert acknowledge(gateway, camera) == (202, "")


def test_doctor_beside_the_daemon_names_its_stray(gateway: Gateway) -> None:
    """The port is the daemon's own by its sockets; what else its tree has is named, and the lock too."""
    words = ["doctor", "--config", str(gateway.config), "--wait", "6s"]
    status, said = volet(*words)
    assert status == 0, said
    assert f"vpn-listener: the daemon runs (process {gateway.daemon.pid}) and holds the port; only" in said
    port, pid = plant(gateway, "child 0.0.0.0")
    assert gateway.transition("request", reason="align the camera").code in LOCKS
    status, said = volet(*words[:-1], "0s")
    assert status == 1
    assert f"1 undeclared: tcp 0.0.0.0:{port} on every device, process {pid} (python" in said
    assert f"(process {pid}), tcp 0.0.0.0:{port}; then an approver acknowledges the lock" in said
    assert "camera: locked by listener-exposed" in said
    remove(gateway)
    for camera in CAMERAS:
        assert acknowledge(gateway, camera) == (202, "")
    assert name_of(gateway.events()[-1]) == "acknowledge"
