"""Whether the broker lets a stranger in, found out by knocking as one (`bus-trusted`, F30)."""

from __future__ import annotations

import secrets
import select
import time
from collections.abc import Callable

from paho.mqtt.enums import MQTTProtocolVersion
from paho.mqtt.reasoncodes import ReasonCode

from orchestrator.edges.dial_tls import NotSecured
from orchestrator.edges.lane_client import Client, connect
from orchestrator.edges.lane_session import UNSUPPORTED_VERSION, V5, V311
from orchestrator.settings.certificates import Certificates

TURN_MS = 50

_NOT_WITHOUT_A_NAME = frozenset({134, 135, 138, 140})


def anonymous_refused(
    host: str, port: int, timeout_s: float, certificates: Certificates | None = None
) -> bool | None:
    """Whether the broker refuses a client without a name and without a certificate, found by trying one
    that publishes and subscribes to nothing. True: refused; False: let in; None: not found out.
    Blocks for `timeout_s` at most; a host name that must be resolved may take longer."""
    give_up_at = time.monotonic() + timeout_s
    stranger = None if certificates is None else certificates.without_our_own()
    for version in (V5, V311):
        try:
            answer = _knock(host, port, stranger, version, lambda: time.monotonic() >= give_up_at)
        except NotSecured as refusal:
            return True if refusal.wants_certificate else None
        except OSError:
            return None
        if answer is None:
            return None
        if not answer.is_failure:
            return False
        if answer.value != UNSUPPORTED_VERSION:
            return True if answer.value in _NOT_WITHOUT_A_NAME else None
    return None


def _knock(
    host: str,
    port: int,
    certificates: Certificates | None,
    version: MQTTProtocolVersion,
    gives_up: Callable[[], bool],
) -> ReasonCode | None:
    """The CONNACK's reason for a client without a name; None when none came."""
    answers: list[ReasonCode] = []
    with connect(host, port, certificates, gives_up) as connection:
        client = Client(connection, version, f"volet-{secrets.token_hex(4)}")
        client.on_connect = lambda _c, _u, _f, answer, _p: answers.append(answer)
        client.connect(host, port)
        poller = select.poll()
        while client.socket() is not None and not answers and not gives_up():
            client.turn(poller, TURN_MS)
        client.disconnect()
    return answers[0] if answers else None
