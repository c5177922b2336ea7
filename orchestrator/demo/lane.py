"""A simulated lane: it publishes what a site's sensor, barrier and lift really publish, and vehicles come by.

Commands on standard input, a line each:

    present 0|1 · beat on|off · error TEXT · lift N · publish TOPIC PAYLOAD [retain] · quit
"""

import argparse
import asyncio
import json
import sys
import time

from paho.mqtt import client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from orchestrator.demo.lifetime import end_with_parent, listen_to_commands, stop_requested, tell

PRESENT = "parking/sensor_gate/present"
HEARTBEAT = "parking/sensor_gate/heartbeat"
ERROR = "parking/sensor_gate/error"
BARRIER = "parking/barriere_entree/cmd"
LIFT = "parking/ascenseur/state"

_KEEPALIVE_S = 5


class Lane:
    """The lane's things, each publishing in its own manner: state is retained, commands are not, QoS is 0."""

    def __init__(self, port: int) -> None:
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv311)
        self._client.reconnect_delay_set(1, 2)
        self._client.on_connect = self._on_connect
        self._loop = asyncio.get_running_loop()
        self._port = port
        self.connected = asyncio.Event()
        self.beating = True
        self._level = 0

    def start(self) -> None:
        """Connect to the broker, and go on trying."""
        self._client.connect_async("127.0.0.1", self._port, keepalive=_KEEPALIVE_S)
        self._client.loop_start()

    def stop(self) -> None:
        """Leave without a word, as the real ones do: no publisher of the site sets a last will."""
        self._client.disconnect()
        self._client.loop_stop()

    def _on_connect(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self.connected.set)

    def publish(self, topic: str, payload: str, *, retain: bool) -> None:
        """Publish at QoS 0 and say so; what is said while the broker is away is lost."""
        self._client.publish(topic, payload, qos=0, retain=retain)
        tell(topic=topic, payload=payload, retain=retain)

    def present(self, *, vehicle: bool) -> None:
        """The sensor sees a vehicle, or none any more."""
        self.publish(PRESENT, "1" if vehicle else "0", retain=True)

    def lift(self, level: int) -> None:
        """The lift has arrived at a level."""
        self._level = level
        self.publish(LIFT, json.dumps({"current": level}), retain=True)

    async def beat(self, every_s: float) -> None:
        """The sensor's heartbeat: the time in seconds; in milliseconds when beats come faster than that."""
        while True:
            if self.beating:
                now_s = time.time()
                self._client.publish(
                    HEARTBEAT, str(int(now_s if every_s >= 1 else now_s * 1000)), retain=True
                )
            await asyncio.sleep(every_s)

    async def vehicles(self, every_s: float, stay_s: float) -> None:
        """From time to time a vehicle comes, the barrier opens, the lift takes it, the barrier closes."""
        while every_s:
            await asyncio.sleep(every_s)
            self.present(vehicle=True)
            self.publish(BARRIER, "100", retain=False)
            await asyncio.sleep(stay_s)
            self.present(vehicle=False)
            self.publish(BARRIER, "000", retain=False)
            self.lift(1 - self._level)

    def obey(self, command: str) -> None:
        """Do what a line of standard input says; a line that means nothing is answered with an error."""
        match command.split():
            case ["present", "0" | "1" as seen]:
                self.present(vehicle=seen == "1")
            case ["beat", "on" | "off" as wish]:
                self.beating = wish == "on"
                tell(beat=wish)
            case ["error", *words]:
                self.publish(ERROR, " ".join(words), retain=True)
            case ["lift", level] if level.isdecimal():
                self.lift(int(level))
            case ["publish", topic, payload]:
                self.publish(topic, payload, retain=False)
            case ["publish", topic, payload, "retain"]:
                self.publish(topic, payload, retain=True)
            case _:
                tell(error=f"unknown command {command!r}")


async def _run(arguments: argparse.Namespace) -> None:
    stopping = stop_requested()
    lane = Lane(arguments.port)

    def obey(command: str) -> None:
        if command == "quit":
            stopping.set()
        elif command:
            lane.obey(command)

    lane.start()
    try:
        await _first_of(lane.connected, stopping)
        if stopping.is_set():
            return
        tell(connected=True)
        listen_to_commands(obey)
        lane.present(vehicle=False)
        lane.lift(0)
        tasks = [
            asyncio.create_task(lane.beat(arguments.interval)),
            asyncio.create_task(lane.vehicles(arguments.vehicle_every, arguments.vehicle_stay)),
        ]
        await stopping.wait()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    finally:
        lane.stop()


async def _first_of(*events: asyncio.Event) -> None:
    waits = [asyncio.create_task(event.wait()) for event in events]
    await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    for wait in waits:
        wait.cancel()


def main() -> int:
    """The command line: `python -m orchestrator.demo.lane`."""
    parser = argparse.ArgumentParser(prog="orchestrator.demo.lane", description="A simulated lane.")
    parser.add_argument("--port", type=int, required=True, help="of the broker on 127.0.0.1")
    parser.add_argument("--interval", type=float, default=2.0, help="seconds from heartbeat to heartbeat")
    parser.add_argument("--vehicle-every", type=float, default=0.0, help="seconds; 0: no vehicle ever")
    parser.add_argument("--vehicle-stay", type=float, default=6.0, help="seconds that a vehicle stays")
    parser.add_argument("--parent", type=int, help="end when this process, which started the lane, is gone")
    arguments = parser.parse_args()
    if arguments.interval <= 0 or arguments.vehicle_every < 0 or arguments.vehicle_stay < 0:
        parser.error("--interval must be more than 0 seconds, the others 0 or more")
    if arguments.parent:
        end_with_parent(arguments.parent)
    asyncio.run(_run(arguments))
    return 0


if __name__ == "__main__":
    sys.exit(main())
