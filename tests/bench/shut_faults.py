"""What shuts a camera, by name: how the word is given, and how it is taken back."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import socket
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.bench.bus import COMMAND, SENSOR, Neighbour
from tests.bench.closings import Word, wait_logged
from tests.bench.gateway import BenchGateway
from tests.e2e.incident import at_us, now_us

CLOSE = json.dumps({"trigger": "close", "camera": "cam1"})
SHORT_S = 2
STOP_S = 10.0
_FLAGS = struct.Struct("16sh")
_GET_FLAGS, _SET_FLAGS, _UP = 0x8913, 0x8914, 1


@dataclass(frozen=True, slots=True)
class Stage:
    """One gateway whose session is open, and a neighbour on its broker."""

    gateway: BenchGateway
    neighbour: Neighbour


@dataclass(frozen=True, slots=True)
class Fault:
    """`word` shuts the session whose id it is given; `mend` makes another one possible. `carrier` is who
    takes the same way without a gate. `wish` is how the session is asked for."""

    name: str
    word: Callable[[Stage, str], Word]
    mend: Callable[[Stage], object] = lambda stage: None
    carrier: str = ""
    wish: Mapping[str, Any] = field(default_factory=dict)


def _publish(topic: str, payload: str, *, retain: bool) -> Callable[[Stage, str], Word]:
    def word(stage: Stage, _session: str) -> Word:
        said_us = now_us()
        stage.neighbour.say(topic, payload, retain=retain)
        return Word(said_us, lambda: stage.neighbour.wait_echo(topic) - said_us)

    return word


def _by_http(
    health: Callable[[BenchGateway], int], close: Callable[[BenchGateway], int]
) -> Callable[[Stage, str], Word]:
    """`health` and `close` give the status."""

    def word(stage: Stage, _session: str) -> Word:
        began_us = now_us()
        assert health(stage.gateway) == 200
        said_us = now_us()
        assert close(stage.gateway) == 202
        return Word(said_us, lambda: said_us - began_us)

    return word


def _write_nonsense(stage: Stage, _session: str) -> Word:
    said_us = now_us()
    stage.gateway.write_configuration(quiet_for="a while")
    return Word(said_us)


def _write_sense(stage: Stage) -> None:
    stage.gateway.write_configuration(quiet_for="1s")
    stage.gateway.wait_configured()


def _terminate(stage: Stage, _session: str) -> Word:
    said_us = now_us()
    stage.gateway.daemon.kill(signal.SIGTERM)
    return Word(said_us)


def _start_again(stage: Stage) -> None:
    assert stage.gateway.daemon.wait(STOP_S) == 0
    stage.gateway.start_daemon()


def _let_it_end(stage: Stage, session: str) -> Word:
    opened = wait_logged(stage.gateway.database, session, "first_frame")
    return Word(at_us({"at": opened["data"]["ends_at"]}))


FAULTS = (
    Fault("`close` by MQTT", _publish(COMMAND, CLOSE, retain=False), carrier="another subscriber"),
    Fault(
        "a hold rule unsafe by MQTT",
        _publish(SENSOR, "no echo", retain=True),
        lambda stage: stage.neighbour.say(SENSOR, "OK", retain=True),
        "another subscriber",
    ),
    Fault(
        "`close` by HTTP",
        _by_http(
            lambda gateway: gateway.ask("GET", "/healthz").status,
            lambda gateway: gateway.transition("close").status,
        ),
        carrier="GET /healthz there",
    ),
    Fault(
        "`close` by the socket",
        _by_http(
            lambda gateway: gateway.ask_locally("GET", "/healthz").status,
            lambda gateway: int(gateway.local_close().status),
        ),
        carrier="GET /healthz there",
    ),
    Fault("an invalid file", _write_nonsense, _write_sense),
    Fault("the deadline", _let_it_end, wish={"duration_s": SHORT_S}),
    Fault("SIGTERM", _terminate, _start_again),
)


def put_link_down(interface: str) -> int:
    """Take the link down in this namespace, and nothing else; when (wall time, microseconds)."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        name = interface.encode()
        flags = _FLAGS.unpack(fcntl.ioctl(sock, _GET_FLAGS, _FLAGS.pack(name, 0)))[1]
        said_us = now_us()
        fcntl.ioctl(sock, _SET_FLAGS, _FLAGS.pack(name, flags & ~_UP))
    return said_us


def kill(pid: int, number: int) -> int:
    """Send a process that signal; when (wall time, microseconds)."""
    said_us = now_us()
    os.kill(pid, number)
    return said_us
