"""The broker's link breaks inside the daemon: shut within the lease, and well again by itself (F21, L3)."""

from pathlib import Path

import pytest

from tests.e2e.configuration import SOON
from tests.e2e.conftest import Begin, MakeGateway
from tests.e2e.follower import name_of
from tests.e2e.incident import Incident, at_us

pytestmark = pytest.mark.slow

DAEMON = str(Path(__file__).with_name("breakable_daemon.py"))
LEASE_US = 6_000_000
"""The heartbeat's lease here (3 s), and as much again for a machine that is busy."""


def test_a_link_that_breaks_shuts_it_within_the_lease_and_is_made_anew(
    make_gateway: MakeGateway, incident_of: Begin
) -> None:
    """A callback that raises is told as a lost link; a thread that died is found within a second; one that
    stands still says nothing, so the heartbeat's lease ends first."""
    gateway = make_gateway(**SOON, max_age="3s")
    gateway.beat_every_s = 0.2
    gateway.start(launcher=(DAEMON,))
    breaks(incident_of(gateway, "the broker's link: a callback raises"), "raise", {"broker-lost"})
    breaks(
        incident_of(gateway, "the broker's link: its thread dies"), "kill", {"broker-lost", "lane-unknown"}
    )
    gateway.daemon.wait_line(lambda line: "link is dead; another one is begun" in line)
    last = incident_of(gateway, "the broker's link: its thread hangs")
    breaks(last, "stall", {"lane-unknown"})
    gateway.daemon.wait_line(lambda line: "link hangs; another one is begun" in line)
    last.leaves_no_trace_and_opens_again()
    assert len([event for event in gateway.events() if name_of(event) == "service_started"]) == 1


def breaks(incident: Incident, what: str, codes: set[str]) -> None:
    """Shut within the lease, and the lane is heard again without anybody's help."""
    gateway = incident.gateway
    incident.inject(lambda: gateway.lane.say(f"publish parking/test/{what} now"))
    incident.closing = gateway.wait_end(incident.flow.session)
    assert incident.closing["data"]["fault"] in codes
    assert at_us(incident.closing) - incident.injected_us <= LEASE_US
    incident.is_proven()
    gateway.wait_check("bus-connected", passes=True)
    gateway.wait_check("lane-sensor-alive", passes=True)
