"""A broker under TLS with its list, and the site's own: stopped, frozen, refusing; and what is published
meanwhile (F7, F8, S5). What a plain Mosquitto does to an open camera stands in test_faults."""

import hashlib
import json
import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.configuration import SOON
from tests.e2e.conftest import GATEWAYS, Begin, MakeGateway, _made
from tests.e2e.follower import name_of
from tests.e2e.gateway import Gateway
from tests.e2e.incident import at_us, volet
from tests.e2e.parts import BROKER_PASSWORD
from tests.e2e.processes import ROOT
from tests.e2e.scenario_gateways import newest_of
from tests.edges.authority import Authority, broker_lines, needs_openssl
from tests.edges.lane_broker import dynamic_security

pytestmark = [pytest.mark.slow, *needs_openssl]

LEASE_US = 6_000_000
"""The heartbeat's lease in these tests (3 s), and as much again for a machine that is busy."""
FROZEN_S = 30.0
BACK_S = 30.0
"""The longest pause between two attempts is 10 s."""


@pytest.fixture(scope="module")
def _secured_of_the_module(
    tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Iterator[Gateway]:
    folder = tmp_path_factory.mktemp("secured")
    authority = Authority(folder / "authority")
    certificates = authority.issue("broker", names="IP:127.0.0.1")
    gateway = _made(folder / "gateway", None, **SOON, max_age="3s", tls=f'ca_file = "{authority.ca}"')
    gateway.beat_every_s = 0.2
    acl = gateway.folder / "mosquitto.acl"
    shutil.copy(ROOT / "ops" / "mosquitto.acl", acl)
    acl.chmod(0o600)
    gateway.broker_lines = broker_lines(certificates, f"acl_file {acl}")
    request.node.stash[GATEWAYS] = [gateway]
    gateway.write_configuration()
    gateway.start_broker()
    gateway.start_witness()
    gateway.start_camera()
    gateway.start_lane()
    gateway.start_daemon()
    gateway.follow()
    yield gateway
    gateway.stop()


@pytest.fixture
def secured(_secured_of_the_module: Gateway) -> Iterator[Gateway]:
    """A gateway whose broker speaks TLS, asks for a password and has the list of `ops/`."""
    yield _secured_of_the_module
    _secured_of_the_module.restore()


def the_lane_speaks_again(gateway: Gateway, *, forgotten: bool) -> None:
    """By itself; `forgotten`: of what it said before nothing is left, so `present` is said again (S5)."""
    gateway.wait_check("bus-connected", passes=True, timeout_s=BACK_S)
    gateway.wait_check("lane-sensor-alive", passes=True)
    if forgotten:
        assert not gateway.checks()["lane-no-vehicle"]["passed"]
        gateway.lane.say("present 0")


def started_daemon(gateway: Gateway) -> None:
    """Anew, and it has said so."""
    last = newest_of(gateway.database)
    gateway.start_daemon()
    gateway.wait("config_loaded", after=last)


def test_every_event_is_published_in_order_whoever_is_restarted_and_states_stand_again(
    secured: Gateway,
) -> None:
    """At least once, from the last one that was acknowledged; the witness compares with the log itself."""
    wait_witnessed(secured)
    before = len(secured.witnessed("event"))
    session = secured.open()
    secured.broker.stop()
    secured.wait_end(session)
    secured.daemon.kill()
    secured.daemon.wait()
    secured.start_broker()
    started_daemon(secured)
    wait_witnessed(secured)
    wait_retained(secured, "status", "online")
    again = secured.open()
    secured.shut(again)
    wait_witnessed(secured)
    states = [json.loads(said) for said in secured.witnessed("cam1/state")]
    mine = [one["state"] for one in states if one["session"] == again]
    assert list(dict.fromkeys(mine)) == ["requested", "safety_checked", "streaming", "disabled"]
    assert [payload for payload in secured.witnessed("cam1/live") if payload not in "01"] == []
    assert before < len(secured.events())
    secured.daemon.stop()
    wait_retained(secured, "status", "offline")
    told = len(secured.witnessed("event"))
    started_daemon(secured)
    wait_witnessed(secured)
    new = [seq_of(said) for said in secured.witnessed("event")[told:]]
    assert new == sorted(set(new)), "a daemon that was stopped in peace repeats nothing"


def test_a_list_that_denies_the_heartbeat_and_our_events_shuts_it_and_no_event_is_lost(
    secured: Gateway, incident_of: Begin
) -> None:
    """Mosquitto grants the subscription and then delivers nothing: the lease alone notices."""
    acl = secured.folder / "mosquitto.acl"
    text = acl.read_text()
    incident = incident_of(secured, "the broker's list denies the heartbeat (lease 3 s)")
    denied = text.replace("topic read parking/sensor_gate/heartbeat\n", "")
    acl.write_text(denied.replace("topic write parking/stream/event\n", ""))
    incident.inject(lambda: secured.broker.kill(signal.SIGHUP))
    closing = incident.shuts("fault", "lane-unknown")
    assert at_us(closing) - incident.injected_us <= LEASE_US
    incident.is_proven()
    assert secured.checks()["bus-connected"]["passed"], "the session itself stands"
    acl.write_text(text)
    secured.broker.kill(signal.SIGHUP)
    secured.wait_check("lane-sensor-alive", passes=True)
    secured.lane.say("present 0")
    incident.leaves_no_trace_and_opens_again()
    wait_witnessed(secured)
    secured.daemon.wait_line(lambda line: "refused what was published on parking/stream/event" in line)


def test_a_broker_that_is_frozen_for_half_a_minute_shuts_it_within_the_lease_and_is_found_again(
    secured: Gateway, make_gateway: MakeGateway, incident_of: Begin
) -> None:
    """Half-open TCP: first the lease ends, then the keepalive; attempts to connect meet silence. Meanwhile
    another gateway has its turn, with the site's own broker."""
    incident = incident_of(secured, "broker frozen for 30 s (TLS, lease 3 s)")
    incident.inject(lambda: secured.pause_broker(True))
    thawed_at = time.monotonic() + FROZEN_S
    closing = incident.shuts("fault", "lane-unknown")
    assert at_us(closing) - incident.injected_us <= LEASE_US
    incident.is_proven()
    secured.wait_check("bus-connected", passes=False)
    refused = secured.wait("checks_failed", secured.request(wait_s=0))
    assert refused["data"]["fault"] == "broker-lost"
    the_sites_own_broker_frozen_and_restarted(make_gateway(trust="open", **SOON, max_age="3s"), incident_of)
    # The half minute itself is what is tried: there is nothing else to wait for.
    time.sleep(max(0.0, thawed_at - time.monotonic()))
    assert secured.state() == "disabled.ready"
    secured.pause_broker(False)
    the_lane_speaks_again(secured, forgotten=False)
    incident.leaves_no_trace_and_opens_again()
    since = [e for e in secured.events() if e["seq"] > incident.closed["seq"]]
    assert "service_started" not in [name_of(event) for event in since]


def the_sites_own_broker_frozen_and_restarted(gateway: Gateway, incident_of: Begin) -> None:
    """amqtt: MQTT 3.1.1, anonymous, without a memory (FIELD 1)."""
    gateway.write_configuration()
    gateway.start_site_broker()
    gateway.start_camera()
    gateway.start_lane()
    gateway.start_daemon()
    gateway.follow()
    gateway.wait_check("lane-sensor-alive", passes=True)
    gateway.lane.say("present 0")
    incident = incident_of(gateway, "amqtt frozen (lease 3 s)")
    incident.inject(lambda: gateway.pause_broker(True))
    closing = incident.shuts("fault", "lane-unknown")
    assert at_us(closing) - incident.injected_us <= LEASE_US
    incident.is_proven()
    gateway.pause_broker(False)
    gateway.wait_check("lane-sensor-alive", passes=True)
    gateway.lane.say("present 0")
    incident = incident_of(gateway, "amqtt stopped, back without a memory")
    incident.inject(lambda: gateway.broker.kill(signal.SIGTERM))
    incident.shuts("fault", "broker-lost")
    incident.is_proven()
    gateway.broker.stop()
    gateway.start_site_broker()
    the_lane_speaks_again(gateway, forgotten=True)
    incident.leaves_no_trace_and_opens_again()


def test_doctor_says_in_one_sentence_what_is_wrong_with_the_certificate(
    secured: Gateway, tmp_path: Path
) -> None:
    other = Authority(tmp_path / "other")
    text = secured.config.read_text()
    file = tmp_path / "volet.toml"
    tmp_path.chmod(0o700)
    file.write_text(text.replace(secured.values["tls"], f'ca_file = "{other.ca}"'))
    file.chmod(0o600)
    status, said = volet("doctor", "--config", str(file), "--wait", "1s")
    assert status == 1
    assert f"the broker's certificate is not signed by an authority in {other.ca}" in said
    assert "name the file of the one that signed it in ca_file" in said
    assert "do: start the broker, and look at [mqtt]: host, port, credentials, certificates" in said


def test_a_broker_that_is_stopped_shuts_it_and_neither_a_refusal_nor_a_lost_memory_opens_it_again(
    secured: Gateway, incident_of: Begin, tmp_path: Path
) -> None:
    """It comes back first with a list that refuses one subscription, then as it was, without its store (and
    without the witness's session: what comes after this test is not witnessed whole)."""
    lines = secured.broker_lines
    incident = incident_of(secured, "broker stopped (TLS), back without its store")
    incident.inject(lambda: secured.broker.kill(signal.SIGTERM))
    incident.shuts("fault", "broker-lost")
    incident.is_proven()
    secured.wait_detail("bus-connected", "cannot be reached: Connection refused")
    readable = ["sensor_gate/present", "sensor_gate/heartbeat", "barriere_entree/cmd", "stream/cmd"]
    readable = [f"parking/{topic}" for topic in readable]
    refusing = dynamic_security(tmp_path, "volet", BROKER_PASSWORD, readable)
    secured.broker.stop()
    secured.broker_lines = (*lines[:3], *refusing)
    secured.start_broker()
    said = "refused the subscription to parking/sensor_gate/error (Not authorized)"
    secured.wait_detail("bus-connected", said)
    refused = secured.wait("checks_failed", secured.request(wait_s=1))
    assert refused["data"]["fault"] == "broker-lost"
    secured.broker.stop()
    secured.forget_retained()
    secured.broker_lines = lines
    secured.start_broker()
    the_lane_speaks_again(secured, forgotten=True)
    incident.leaves_no_trace_and_opens_again()


def wait_retained(gateway: Gateway, below: str, value: str) -> None:
    until = time.monotonic() + BACK_S
    while gateway.witnessed(below)[-1:] != [value]:
        assert time.monotonic() < until, gateway.witnessed(below)
        time.sleep(0.05)


def seq_of(said: str) -> int:
    return int(json.loads(said)["seq"])


def wait_witnessed(gateway: Gateway) -> None:
    """Until the witness has heard the whole log: the exact bytes of each event, in order, none missing."""
    log = gateway.events()
    until = time.monotonic() + BACK_S
    while not any(seq_of(said) == log[-1]["seq"] for said in gateway.witnessed("event")):
        assert time.monotonic() < until, f"event {log[-1]['seq']} never came: {gateway.witness.text(3)}"
        time.sleep(0.05)
    first = {seq_of(said): said for said in reversed(gateway.witnessed("event"))}
    order = list(dict.fromkeys(seq_of(said) for said in gateway.witnessed("event")))
    assert order == sorted(order)
    assert order[: len(log)] == [event["seq"] for event in log]
    for event in log:
        assert "sha256:" + hashlib.sha256(first[event["seq"]].encode()).hexdigest() == event["hash"]
