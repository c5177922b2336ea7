"""Pan/tilt commands while a mask is in force, and what of the site's bus is listened to at all."""

import pytest

from tests.e2e.conftest import Begin, MakeGateway
from tests.e2e.gateway import Gateway

pytestmark = pytest.mark.slow

MOVES = "parking/camera/cmd"
MASKED = """moves = { topic = "parking/camera/cmd", prefix = "cam1:" }
masks = [{ x = 0.1, y = 0.6, width = 0.3, height = 0.2 }]
"""
UID = "04A2BB7C"


@pytest.fixture
def gateway(make_gateway: MakeGateway) -> Gateway:
    """One whose cameras have a mask, but not for the purpose `vision-debug`."""
    gateway = make_gateway(camera_more=MASKED, debug_more="masks = false")
    gateway.start()
    return gateway


def test_a_move_shuts_a_masked_picture_and_nothing_else_is_listened_to(
    gateway: Gateway, incident_of: Begin
) -> None:
    """FIELD 1: a camera that has moved makes a static mask wrong; badge numbers are never asked for (S19)."""
    incident = incident_of(gateway, "camera moves under its mask")
    gateway.lane.say(f"publish parking/barriere {UID}")
    gateway.lane.say(f"publish {MOVES} cam2:left")
    incident.flow.viewer.wait_flow()
    incident.inject(lambda: gateway.lane.say(f"publish {MOVES} cam1:left"))
    incident.shuts("fault", "camera-moved")
    incident.is_proven()

    unmasked = gateway.flow(purpose="vision-debug")
    gateway.lane.say(f"publish {MOVES} cam1:left")
    gateway.lane.say("publish parking/stream/cmd close")
    gateway.wait_metric("volet_bus_commands_ignored_total", 1)
    assert gateway.state() == "streaming.live"
    unmasked.viewer.wait_flow()
    gateway.shut(unmasked.session)
    incident.leaves_no_trace_and_opens_again()
    subscribed = {
        line.rsplit(" ", 1)[1]
        for line in gateway.broker.lines
        if " volet-lot-e2e " in line and line.split()[-2] in "012"
    }
    assert subscribed == {
        "parking/sensor_gate/present",
        "parking/sensor_gate/heartbeat",
        "parking/sensor_gate/error",
        "parking/barriere_entree/cmd",
        MOVES,
        "parking/stream/cmd",
    }
    assert UID not in gateway.daemon.text(last=10_000)
    assert UID.encode() not in gateway.database.read_bytes()
