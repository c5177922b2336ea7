"""The demo's lane and broker publish what a site does, in the site's manner."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from paho.mqtt import client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from orchestrator.demo.part import Part, running

pytestmark = pytest.mark.slow

Message = tuple[str, str, bool]

PRESENT = "parking/sensor_gate/present"
HEARTBEAT = "parking/sensor_gate/heartbeat"
BARRIER = "parking/barriere_entree/cmd"
LIFT = "parking/ascenseur/state"


class Ear:
    """A subscriber; each message is (topic, payload, retained)."""

    def __init__(self) -> None:
        self.heard: asyncio.Queue[Message] = asyncio.Queue()

    async def next_on(self, topic: str) -> Message:
        while True:
            message = await self.heard.get()
            if message[0] == topic:
                return message


@asynccontextmanager
async def listening(broker: Part, topic: str = "parking/#") -> AsyncIterator[Ear]:
    loop = asyncio.get_running_loop()
    ear = Ear()
    subscribed = asyncio.Event()
    client = mqtt.Client(CallbackAPIVersion.VERSION2)

    def on_connect(*_: object) -> None:
        client.subscribe(topic)

    def on_subscribe(*_: object) -> None:
        loop.call_soon_threadsafe(subscribed.set)

    def on_message(_client: mqtt.Client, _data: object, message: mqtt.MQTTMessage) -> None:
        heard = (message.topic, message.payload.decode(), message.retain)
        loop.call_soon_threadsafe(ear.heard.put_nowait, heard)

    client.on_connect = on_connect
    client.on_subscribe = on_subscribe
    client.on_message = on_message
    client.connect("127.0.0.1", broker.port)
    client.loop_start()
    try:
        await subscribed.wait()
        yield ear
    finally:
        client.disconnect()
        client.loop_stop()


async def test_a_beat_is_live_increasing_seconds_and_the_last_one_stays(broker: Part) -> None:
    async with running("lane", f"--port={broker.port}", "--interval=1"):
        async with listening(broker, HEARTBEAT) as ear:
            beats = [await ear.heard.get() for _ in range(3)]
        assert [retained for _, _, retained in beats[1:]] == [False, False]
        seconds = [int(payload) for _, payload, _ in beats]
        assert seconds == sorted(seconds)
        assert seconds[0] < seconds[2]
        async with listening(broker, HEARTBEAT) as late:
            assert (await late.heard.get())[2]


async def test_beats_faster_than_a_second_are_milliseconds_and_all_differ(broker: Part) -> None:
    async with (
        running("lane", f"--port={broker.port}", "--interval=0.05"),
        listening(broker, HEARTBEAT) as ear,
    ):
        beats = [int((await ear.heard.get())[1]) for _ in range(5)]
    assert len(set(beats[1:])) == 4
    assert beats[0] > 10**12


async def test_state_is_there_for_who_comes_late(broker: Part) -> None:
    async with running("lane", f"--port={broker.port}") as lane:
        assert lane.ready == {"connected": True}
        assert (await lane.hear())["topic"] == PRESENT
        assert (await lane.hear())["topic"] == LIFT
        async with listening(broker, LIFT) as ear:
            await ear.heard.get()
        async with listening(broker, PRESENT) as late:
            assert await late.next_on(PRESENT) == (PRESENT, "0", True)
        async with listening(broker, LIFT) as late:
            assert await late.next_on(LIFT) == (LIFT, '{"current": 0}', True)


async def test_a_vehicle_comes_the_barrier_moves_and_it_goes(broker: Part) -> None:
    async with (
        listening(broker) as ear,
        running("lane", f"--port={broker.port}", "--vehicle-every=0.3", "--vehicle-stay=0.1"),
    ):
        heard: list[tuple[str, str]] = []
        while (BARRIER, "000") not in heard:
            topic, payload, _ = await ear.heard.get()
            heard.append((topic, payload))
    story = [item for item in heard if item[0] in (PRESENT, BARRIER)]
    assert story == [(PRESENT, "0"), (PRESENT, "1"), (BARRIER, "100"), (PRESENT, "0"), (BARRIER, "000")]
    async with listening(broker) as late:
        await late.next_on(LIFT)
        assert all(topic != BARRIER for topic, _, _ in drained(late))


async def test_it_does_what_its_standard_input_says(broker: Part) -> None:
    async with listening(broker) as ear, running("lane", f"--port={broker.port}", "--interval=0.05") as lane:
        lane.say("present 1")
        assert await ear.next_on(PRESENT) == (PRESENT, "0", False)
        assert await ear.next_on(PRESENT) == (PRESENT, "1", False)
        lane.say("publish parking/camera/cmd cam1:left")
        assert await ear.next_on("parking/camera/cmd") == ("parking/camera/cmd", "cam1:left", False)
        lane.say("error no echo")
        assert await ear.next_on("parking/sensor_gate/error") == (
            "parking/sensor_gate/error",
            "no echo",
            False,
        )
        lane.say("dance")
        while "error" not in (told := await lane.hear()):
            pass
        assert "dance" in told["error"]
        lane.say("beat off")
        while "beat" not in await lane.hear():
            pass
        drained(ear)
        lane.say("lift 3")
        assert await ear.next_on(LIFT) == (LIFT, '{"current": 3}', False)
        lane.say("quit")
        assert await lane.process.wait() == 0


async def test_the_broker_keeps_no_topics_of_its_own(broker: Part) -> None:
    async with listening(broker, "$SYS/#") as system, running("lane", f"--port={broker.port}") as lane:
        await lane.hear()
        assert system.heard.empty()


def drained(ear: Ear) -> list[Message]:
    return [ear.heard.get_nowait() for _ in range(ear.heard.qsize())]
