"""A hundred thousand pieces of garbage over the real broker: alive, shut, bounded, and open again."""

import time
from random import Random

import pytest

from tests.e2e import fault_table
from tests.e2e.configuration import ALWAYS, MEMBERS
from tests.e2e.conftest import MakeGateway
from tests.e2e.follower import name_of, told
from tests.e2e.gateway import Gateway
from tests.e2e.incident import house_is_clean, log_is_whole
from tests.e2e.test_flood import resident_kib
from tests.hostile.garbage_publisher import LANE, Publisher
from tests.hostile.payloads import SEED

pytestmark = pytest.mark.slow

ALL, BATCH = 100_000, 500
MAX_GROWTH_KIB = 48 * 1024
MAX_EVENTS, MAX_EVENTS_A_S, MAX_LINES = 30, 2, 40
CLOSE = 'publish parking/stream/cmd {"trigger":"close","camera":"*"}'
ONE_CAMERA = {
    "members": MEMBERS.replace('cameras = ["cam2"]', 'cameras = ["cam1"]'),
    "windows": ALWAYS.replace('"cam1", "cam2"', '"cam1"'),
}


def _wait_ignored(gateway: Gateway, publisher: Publisher) -> None:
    """Until the daemon has heard all commands, and so all that came before the last of them."""
    gateway.wait_metric("volet_bus_commands_ignored_total", publisher.commands)


def _only_waits(gateway: Gateway, session: str) -> None:
    """The camera that was asked for is not open, and not closed: nothing of all that was heard as a word."""
    assert gateway.state() == "requested"
    names = {name_of(event) for event in gateway.events(session)}
    assert names <= {"request", "lane_changed"}, names


@pytest.mark.timeout(600)
def test_a_hundred_thousand_pieces_of_garbage_leave_it_alive_shut_and_bounded(
    make_gateway: MakeGateway,
) -> None:
    """F7, S18, K1, K3: then an honest lane opens again."""
    gateway = make_gateway(**ONE_CAMERA)
    gateway.cameras = ("cam1",)
    gateway.start()
    flow, pid = gateway.flow(), gateway.daemon.pid
    before_kib, before_events, began_s = resident_kib(gateway), gateway.last_seq(), time.monotonic()
    publisher = Publisher(gateway.lane_port, Random(SEED))
    try:
        publisher.say(BATCH)
        closing = gateway.wait_end(flow.session)
        assert closing["data"]["fault"] in ("lane-unsafe", "lane-unknown")
        gateway.wait("closed", flow.session)
        gateway.lane.say("beat off")
        session = gateway.request(wait_s=600)
        most_kib = before_kib
        for batch in range(1, ALL // BATCH):
            publisher.say(BATCH)
            _wait_ignored(gateway, publisher)
            if batch % 10 == 0:
                _only_waits(gateway, session)
                most_kib = max(most_kib, resident_kib(gateway))
    finally:
        publisher.stop()
    took_s = time.monotonic() - began_s
    _only_waits(gateway, session)
    assert (gateway.daemon.running, gateway.daemon.pid) == (True, pid)
    assert gateway.checks()["bus-connected"]["passed"], "the link never broke"
    assert most_kib - before_kib <= MAX_GROWTH_KIB
    new = [event for event in gateway.events() if event["seq"] > before_events]
    assert len(new) <= MAX_EVENTS + MAX_EVENTS_A_S * took_s, told(new)
    others = {topic for topic in publisher.heard if not topic.startswith("parking/stream/")}
    assert others <= set(LANE), "K1"
    fault_table.NOTES.append(
        f"{ALL} pieces of garbage in {took_s:.0f} s: the daemon grew by {most_kib - before_kib} KiB "
        f"and wrote {len(new)} events"
    )
    for command in ("error OK", "beat on", "present 0"):
        gateway.lane.say(command)
    gateway.wait("first_frame", session)
    gateway.lane.say(CLOSE)
    gateway.wait("closed", session)
    gateway.wait_disabled(substate="ready", pending=False)
    house_is_clean(gateway)
    log_is_whole(gateway)
    assert "Traceback" not in gateway.daemon.text(10_000)
    assert len(gateway.daemon.lines) <= MAX_LINES
