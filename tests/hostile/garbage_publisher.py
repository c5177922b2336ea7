"""Publishes garbage on the site's broker by hand-made packets of MQTT 5, and hears what others do."""

import socket
import struct
from collections import Counter
from random import Random
from typing import IO

from tests.hostile.payloads import command, payload

LIMIT_S = 60.0
LANE = (
    "parking/sensor_gate/present", "parking/sensor_gate/heartbeat", "parking/sensor_gate/error",
    "parking/barriere_entree/cmd",
)  # fmt: skip
COMMANDS = "parking/stream/cmd"
LOOKALIKES = (
    "parking/sensor_gate/present/", "parking/sensor_gate/Present", "parking//sensor_gate/present",
    "/parking/stream/cmd", "parking/stream/cmd/", "parking/stream/cmd/cam1", "parking/stream/CMD",
    "parking/stream", "parking/stream/ cmd", "parking/\u0455ensor_gate/heartbeat",
    "parking/sensor_gate/heartbeat\u200b", "/", "cmd", "parking/sensor_gate", "parking/stream/cam1/cmd",
    "parking/stream/cam1/checks_passed", "p" * 5_000, "/" * 180,
)  # fmt: skip
MAX_UNACKNOWLEDGED = 15
"""Mosquitto takes twenty at a time, and drops the rest."""
_FAILED = 0x80


class Publisher:
    """One client. `heard` counts the topics of what others published; `commands` is how many messages on the
    command topic there were."""

    def __init__(self, port: int, random: Random) -> None:
        self._random = random
        self.heard: Counter[str] = Counter()
        self.commands = 0
        self._unacknowledged, self._message_id, self._pings = 0, 1, 0
        self._sock = socket.create_connection(("127.0.0.1", port), timeout=LIMIT_S)
        self._sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._incoming: IO[bytes] = self._sock.makefile("rb")
        self._outgoing = bytearray()
        self._send(0x10, _text("MQTT") + b"\x05\x02\x00\x00\x00" + _text("garbage"))
        # No Local: what we say ourselves does not come back.
        self._send(0x82, b"\x00\x01\x00" + _text("#") + b"\x04")
        self._settle()

    def say(self, count: int) -> None:
        """So many pieces of garbage, the last a command; back when the broker has them all."""
        for _ in range(count - 1):
            place = self._random.random()
            if place < 0.3:
                self._command()
            elif place < 0.9:
                self._publish(self._random.choice(LANE), payload(self._random))
            else:
                self._publish(self._random.choice(LOOKALIKES), payload(self._random))
        self._command()
        self._settle()

    def stop(self) -> None:
        """Leave."""
        self._incoming.close()
        self._sock.close()

    def _command(self) -> None:
        self.commands += 1
        self._publish(COMMANDS, command(self._random))

    def _publish(self, topic: str, said: bytes) -> None:
        qos, retain = self._random.choices([0, 1, 2], [7, 2, 1])[0], self._random.random() < 0.2
        number = b""
        if qos:
            self._message_id = self._message_id % 60_000 + 1
            self._unacknowledged += 1
            number = struct.pack("!H", self._message_id)
        self._send(0x30 | qos << 1 | retain, _text(topic) + number + self._properties() + said)
        if self._unacknowledged == MAX_UNACKNOWLEDGED:
            self._settle()

    def _properties(self) -> bytes:
        if self._random.random() < 0.9:
            return b"\x00"
        expiry = struct.pack("!BI", 0x02, self._random.choice([600, 2**32 - 1]))
        kinds = b"\x01\x01" + expiry + b"\x03" + _text("application/json")
        answer = b"\x08" + _text("parking/stream/cam1/state") + b"\x09\x00\x02\xff\x00"
        user = (b"\x26" + _text("trigger") + _text("request\u202e")) * self._random.randrange(1, 4)
        found = kinds + answer + user
        return _length(len(found)) + found

    def _send(self, kind: int, body: bytes) -> None:
        self._outgoing += bytes([kind]) + _length(len(body)) + body

    def _settle(self) -> None:
        """Send what waits, and read until the broker has taken all of it."""
        self._send(0xC0, b"")
        self._pings += 1
        while self._pings or self._unacknowledged or self._outgoing:
            self._sock.sendall(self._outgoing)
            # Mosquitto sends the second answer when the first is acknowledged: at once, then.
            self._sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
            self._outgoing.clear()
            self._hear(*self._packet())

    def _packet(self) -> tuple[int, bytes]:
        kind, size, shift = self._incoming.read(1)[0], 0, 0
        while True:
            digit = self._incoming.read(1)[0]
            size |= (digit & 0x7F) << shift
            if digit < 0x80:
                return kind, self._incoming.read(size)
            shift += 7

    def _hear(self, kind: int, body: bytes) -> None:
        number, reason = body[:2], body[2] if len(body) > 2 else 0
        match kind >> 4:
            case 3:
                if not kind & 1:
                    size = int.from_bytes(number, "big")
                    self.heard[body[2 : 2 + size].decode()] += 1
            case 4 | 7:
                self._unacknowledged -= 1
            case 5 if reason >= _FAILED:
                self._unacknowledged -= 1
            case 5:
                self._send(0x62, number)
            case 13:
                self._pings -= 1
            case other:
                assert other in (2, 9), f"the broker ends it: {kind} {body!r}"


def _text(text: str) -> bytes:
    data = text.encode()
    return struct.pack("!H", len(data)) + data


def _length(count: int) -> bytes:
    encoded = bytearray()
    while True:
        count, digit = divmod(count, 128)
        encoded.append(digit | (0x80 if count else 0))
        if not count:
            return bytes(encoded)
