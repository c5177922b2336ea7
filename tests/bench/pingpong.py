"""A ball between two MQTT clients of one broker, at QoS 0: programs of their own that do nothing else.

`python -m tests.bench.pingpong pong PORT` throws each ball back; `… ping PORT` throws as many as a line on
its standard input says, one by one, and answers with a line of JSON: how long each was away, microseconds.
"""

from __future__ import annotations

import socket
import sys
import time

from orchestrator.demo.lifetime import tell

PING, PONG = b"site/ping", b"site/pong"
EVERY_S = 0.015
CONNECT, SUBSCRIBE, PUBLISH = 0x10, 0x82, 0x30
CLEAN_SESSION = 2
VERSION_3_1_1 = b"\x00\x04MQTT\x04"
NO_KEEPALIVE = b"\x00\x00"
FIRST_PACKET_ID = b"\x00\x01"


class Client:
    """As much of MQTT 3.1.1 as a ball needs: all packets are shorter than 128 bytes."""

    def __init__(self, port: int, name: bytes, hears: bytes) -> None:
        self._sock = socket.create_connection(("127.0.0.1", port))
        self._sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._stream = self._sock.makefile("rb")
        self._send(CONNECT, VERSION_3_1_1 + bytes([CLEAN_SESSION]) + NO_KEEPALIVE + _text(name))
        assert self._receive()[1:] == b"\x00", "the broker refused the connection"
        self._send(SUBSCRIBE, FIRST_PACKET_ID + _text(hears) + b"\x00")
        assert self._receive()[2:] == b"\x00", "the broker refused the subscription"

    def _send(self, kind: int, body: bytes) -> None:
        self._sock.sendall(bytes([kind, len(body)]) + body)

    def _receive(self) -> bytes:
        head = self._stream.read(2)
        if len(head) < 2:
            raise ConnectionError("the broker has gone")
        return self._stream.read(head[1])

    def throw(self, topic: bytes) -> None:
        """Publish one ball."""
        self._send(PUBLISH, _text(topic) + b"ball")

    def wait(self) -> None:
        """Until the next ball comes."""
        self._receive()


def _text(value: bytes) -> bytes:
    return len(value).to_bytes(2, "big") + value


def throw_back(port: int) -> None:
    """Without an end."""
    client = Client(port, b"pong", PING)
    tell(ready=True)
    while True:
        client.wait()
        client.throw(PONG)


def throw_as_told(port: int) -> None:
    """Until standard input ends."""
    client = Client(port, b"ping", PONG)
    tell(ready=True)
    for line in sys.stdin:
        away_us = []
        for _ in range(int(line)):
            time.sleep(EVERY_S)
            began_ns = time.perf_counter_ns()
            client.throw(PING)
            client.wait()
            away_us.append((time.perf_counter_ns() - began_ns) // 1000)
        tell(away_us=away_us)


if __name__ == "__main__":
    {"ping": throw_as_told, "pong": throw_back}[sys.argv[1]](int(sys.argv[2]))
