"""A minute of messages as fast as the broker delivers: memory bounded, closing unharmed (K3, S4, S13)."""

import json
import time
from itertools import pairwise
from pathlib import Path

import pytest

from tests.e2e import fault_table
from tests.e2e.conftest import Begin
from tests.e2e.follower import name_of, told
from tests.e2e.gateway import Gateway
from tests.e2e.processes import Process, python

pytestmark = pytest.mark.slow

FLOOD_S = 60.0
LOOK_EVERY_S = 1.0
MAX_GROWTH_KIB = 24 * 1024
MAX_SHUT_US = 500_000
FLOODER = str(Path(__file__).with_name("flooder.py"))
CLOSE_ANOTHER = json.dumps({"trigger": "close", "camera": "cam2"})
OPEN = json.dumps({"trigger": "request", "camera": "cam1"})


def _close_by_fault(gateway: Gateway, session: str) -> None:
    """A barrier command, again and again: a broker whose queue is full drops some of them."""
    until = time.monotonic() + 30
    while not any(e["session"] == session and e.get("to") == "disabled" for e in _heard(gateway)):
        assert time.monotonic() < until
        gateway.lane.say("publish parking/barriere_entree/cmd 100")
        time.sleep(0.02)


def _heard(gateway: Gateway) -> list[dict[str, object]]:
    assert gateway.follower is not None
    return list(gateway.follower.events)


@pytest.mark.timeout(180)
def test_a_minute_of_flood_on_a_lane_topic_and_on_our_own_costs_neither_memory_nor_the_closing(
    own_gateway: Gateway, incident_of: Begin
) -> None:
    gateway = own_gateway
    incident = incident_of(gateway, "barrier moves during a flood of messages")
    before_kib, before_events = resident_kib(gateway), gateway.last_seq()
    # The flood is the heartbeat itself, and in time, so that it keeps the camera open.
    gateway.lane.say("beat off")
    floods = [
        _flood(gateway, "parking/sensor_gate/heartbeat", "now"),
        _flood(gateway, "parking/stream/cmd", CLOSE_ANOTHER, OPEN, "garbage", '{"trigger":', "1000000B"),
    ]
    for flood in floods:
        flood.wait_line(str.isdigit)
    ends_at = time.monotonic() + FLOOD_S
    assert gateway.state() == "streaming.live"
    incident.inject(lambda: _close_by_fault(gateway, incident.flow.session))
    closing = gateway.wait_end(incident.flow.session)
    # Whichever is seen first: the command, or that the beats in front of it have grown too old.
    assert closing["data"]["fault"] in ("lane-unsafe", "lane-unknown")
    incident.closing = closing
    incident.is_proven()
    assert incident.closed["data"]["shut_us"] <= MAX_SHUT_US
    most_kib = before_kib
    while time.monotonic() < ends_at:
        most_kib = max(most_kib, resident_kib(gateway))
        assert gateway.state().startswith("disabled")
        assert gateway.ask_locally("GET", "/healthz").status == 200
        time.sleep(LOOK_EVERY_S)
    sent = [int(flood.lines[-1]) for flood in floods]
    for flood in floods:
        flood.stop()
    fault_table.NOTES.append(
        f"a flood of {FLOOD_S:g} s: {sent[0]} beats and {sent[1]} commands sent; the daemon grew by "
        f"{most_kib - before_kib} KiB and wrote {gateway.last_seq() - before_events} events"
    )
    assert most_kib - before_kib <= MAX_GROWTH_KIB
    new = [event for event in gateway.events() if event["seq"] > before_events]
    assert [name_of(event) for event in new if event["session"] is None and event["camera"]] == []
    assert len(new) <= 12, told(new)
    assert all(first["seq"] + 1 == second["seq"] for first, second in pairwise(new))
    gateway.lane.say("beat on")
    gateway.wait_check("lane-sensor-alive", passes=True)
    _say_until_heard(gateway, "present 0", "lane-no-vehicle")
    incident.leaves_no_trace_and_opens_again()


def _say_until_heard(gateway: Gateway, word: str, check: str) -> None:
    """A broker whose queue for us is still full drops what comes."""
    until = time.monotonic() + 30
    while not gateway.checks()[check]["passed"]:
        assert time.monotonic() < until
        gateway.lane.say(word)
        time.sleep(LOOK_EVERY_S)


def resident_kib(gateway: Gateway) -> int:
    """What the daemon holds in memory."""
    lines = Path(f"/proc/{gateway.daemon.pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS"))


def _flood(gateway: Gateway, topic: str, *payloads: str) -> Process:
    command = python(FLOODER, str(gateway.lane_port), topic, *payloads)
    flood = Process(f"flood-{len(gateway.processes)}", command, gateway.folder)
    gateway.processes.append(flood)
    return flood
