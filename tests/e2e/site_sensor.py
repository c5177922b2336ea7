"""The lane's sensor as the site's own program behaves (measured), twice as fast. Run as `python -m`.

State is retained and published on change alone, so nothing after a start; the heartbeat is retained too; no
last will. Commands on standard input:

    vehicle comes|goes · hangs
"""

import argparse
import sys
import threading
import time

from paho.mqtt import client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from orchestrator.demo.lane import HEARTBEAT, PRESENT
from orchestrator.demo.lifetime import tell

BEAT_S = 0.5
SAYS_FREE_S, SAYS_VEHICLE_S = 7.0 / 2, 10.1 / 2
"""Since its sensor hangs: when it takes the lane for free, and when it notices that it knows nothing."""


class Sensor:
    """One program; it ends with its standard input."""

    def __init__(self, port: int) -> None:
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2)
        self._client.on_connect = self._connected
        self._client.reconnect_delay_set(1, 1)
        self._client.connect_async("127.0.0.1", port, keepalive=5)
        self._client.loop_start()
        threading.Thread(target=self._beat, daemon=True).start()

    def _connected(self, *_: object) -> None:
        tell(connected=True)

    def _beat(self) -> None:
        while True:
            self._client.publish(HEARTBEAT, str(time.time_ns() // 1_000_000), retain=True)
            time.sleep(BEAT_S)

    def sees(self, *, vehicle: bool) -> None:
        self._client.publish(PRESENT, "1" if vehicle else "0", retain=True)
        tell(vehicle=vehicle)

    def hangs(self) -> None:
        time.sleep(SAYS_FREE_S)
        self.sees(vehicle=False)
        time.sleep(SAYS_VEHICLE_S - SAYS_FREE_S)
        self.sees(vehicle=True)
        tell(hung=True)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    sensor = Sensor(parser.parse_args().port)
    for line in sys.stdin:
        match line.split():
            case ["vehicle", "comes"]:
                sensor.sees(vehicle=True)
            case ["vehicle", "goes"]:
                sensor.sees(vehicle=False)
            case ["hangs"]:
                sensor.hangs()
            case _:
                sys.exit(f"unknown command {line!r}")


if __name__ == "__main__":
    main()
