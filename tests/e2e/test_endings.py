"""A session ends by time, or by anyone who may close; nothing of it is left, and the next one opens."""

import json
import signal
import time
from datetime import UTC, datetime

import pytest

from tests.e2e.configuration import ALWAYS
from tests.e2e.conftest import Begin, MakeGateway
from tests.e2e.follower import name_of
from tests.e2e.gateway import Gateway
from tests.e2e.incident import at_us

pytestmark = pytest.mark.slow

COMMANDS = "parking/stream/cmd"
OPENING_S = 20
"""What is left of a minute must be more than this, or the window is the next one."""
STOP_S = 3.0
LOADED_S = 15.0
"""For the process to be gone on a machine that does much else; the log says how long the stop took."""


def test_the_deadline_holds_without_the_scheduler(make_gateway: MakeGateway, incident_of: Begin) -> None:
    """F20, S6."""
    gateway = make_gateway()
    gateway.start(launcher=("-m", "tests.e2e.without_scheduler"))
    incident = incident_of(gateway, "deadline, scheduler dead", duration_s=6)
    opened = gateway.wait("first_frame", incident.flow.session)
    assert opened["data"]["limit"] == "asked"
    incident.injected_us = at_us({"at": opened["data"]["ends_at"]})
    closing = incident.shuts("expire")
    assert closing["data"]["limit"] == "asked"
    assert at_us(closing) >= incident.injected_us
    assert name_of(gateway.wait("expiry_notice", incident.flow.session)) == "expiry_notice"
    incident.is_proven()
    incident.leaves_no_trace_and_opens_again()


def _window_of_a_minute() -> tuple[str, int]:
    """A window that is open for one minute, now or soon; and its end, wall time in microseconds."""
    now_s = time.time()
    start_s = int(now_s // 60) * 60
    if start_s + 60 - now_s < OPENING_S:
        start_s += 60
    minute = datetime.fromtimestamp(start_s, UTC).minute
    window = f'[[windows]]\nname = "short"\ncameras = ["cam1"]\ncron = "{minute} * * * *"\nduration = "1m"\n'
    return window, (start_s + 60) * 1_000_000


@pytest.mark.timeout(200)
def test_the_end_of_the_window_ends_the_session(gateway: Gateway, incident_of: Begin) -> None:
    """S6, CONTRACT 3: and outside of it nothing opens."""
    window, end_us = _window_of_a_minute()
    gateway.reconfigure(windows=window, max_session="10m", idle_close="10m")
    incident = incident_of(gateway, "window ends", wait_s=60)
    opened = gateway.wait("first_frame", incident.flow.session)
    assert opened["data"]["limit"] == "window"
    assert at_us({"at": opened["data"]["ends_at"]}) == end_us
    incident.injected_us = end_us
    closing = incident.shuts("expire", timeout_s=100)
    assert closing["data"]["limit"] == "window"
    assert at_us(closing) >= end_us
    incident.is_proven()
    refused = gateway.wait("checks_failed", gateway.request(wait_s=0))
    assert refused["data"]["fault"] == "window-closed"
    assert [check["id"] for check in refused["data"]["checks"]] == ["window"]
    gateway.reconfigure(windows=ALWAYS)
    incident.leaves_no_trace_and_opens_again()


def test_mqtt_closes_and_does_nothing_else(make_gateway: MakeGateway, incident_of: Begin) -> None:
    """S18, CONTRACT 6 and 9: what is retained, what asks for more and what is garbage is counted alone."""
    gateway = make_gateway()
    gateway.write_configuration()
    gateway.start_broker()
    gateway.start_camera()
    gateway.start_lane()
    close = json.dumps({"trigger": "close", "camera": "cam1"}, separators=(",", ":"))
    gateway.lane.say(f"publish {COMMANDS} {close} retain")
    gateway.start_daemon()
    gateway.follow()
    incident = incident_of(gateway, "close by MQTT")
    for payload in ('{"trigger":"request","camera":"cam2"}', '{"trigger":"close"}', "close"):
        gateway.lane.say(f"publish {COMMANDS} {payload}")
    gateway.wait_metric("volet_bus_commands_ignored_total", 4)
    assert gateway.state() == "streaming.live"
    assert gateway.state("cam2") == "disabled.ready"
    incident.inject(lambda: gateway.lane.say(f"publish {COMMANDS} {close}"))
    closing = incident.shuts("close")
    assert closing["actor"]["kind"] == "bus"
    incident.is_proven()
    incident.leaves_no_trace_and_opens_again()


def test_the_local_socket_closes_and_does_not_open(gateway: Gateway, incident_of: Begin) -> None:
    """S18, CONTRACT 5."""
    incident = incident_of(gateway, "close by the local socket")
    path = "/api/v1/cameras/cam2/transitions"
    refused = gateway.ask_locally("POST", path, {"trigger": "request", "reason": "align"})
    assert (refused.status, refused.code) == (403, "vpn-only")
    path = "/api/v1/cameras/cam1/transitions"
    incident.inject(lambda: gateway.ask_locally("POST", path, {"trigger": "close"}))
    closing = incident.shuts("close")
    assert closing["actor"]["kind"] == "local"
    incident.is_proven()
    again = gateway.ask_locally("POST", path, {"trigger": "close"})
    assert (again.status, again.body["events"]) == (200, [])
    incident.leaves_no_trace_and_opens_again()


def test_sigterm_closes_proves_and_ends_the_daemon(own_gateway: Gateway, incident_of: Begin) -> None:
    """CONTRACT 4: `close` by the service, `closed`, `service_stopped`, within 3 s."""
    incident = incident_of(own_gateway, "SIGTERM")
    incident.inject(lambda: own_gateway.daemon.kill(signal.SIGTERM))
    assert own_gateway.daemon.wait(LOADED_S) == 0
    own_gateway.wait_no_workers(0.0)
    own_gateway.start_daemon()
    closing = incident.shuts("close")
    assert closing["actor"]["kind"] == "service"
    incident.is_proven()
    stopped = own_gateway.wait("service_stopped")
    assert at_us(stopped) - at_us(closing) < STOP_S * 1_000_000
    after = [name_of(event) for event in own_gateway.events() if event["seq"] > incident.closed["seq"]]
    assert after[:2] == ["service_stopped", "service_started"]
    assert stopped["data"] == {"signal": "SIGTERM"}
    incident.leaves_no_trace_and_opens_again()
