"""The link to the broker binds nothing here (S7), and leaves nothing there that would grow (K4)."""

from __future__ import annotations

import socket

from tests.edges.lane_broker import PATIENCE_S, TOPIC, Broker, Listener, Start, WithBus, needs_mosquitto
from tests.edges.test_lane_bus_sockets import sockets_given_an_address

CLIENT = "volet-lot-12"


def session_is_kept(port: int, client: str) -> bool:
    """Whether the broker says that it kept a session for that client (MQTT 3.1.1, 3.2.2.2)."""
    body = b"\x00\x04MQTT\x04\x00\x00\x3c" + len(client).to_bytes(2, "big") + client.encode()
    with socket.create_connection(("127.0.0.1", port), PATIENCE_S) as connection:
        connection.sendall(b"\x10" + bytes([len(body)]) + body)
        answer = b""
        while len(answer) < 4:
            answer += connection.recv(4 - len(answer)) or b"\xff"
    assert (answer[:2], answer[3]) == (b"\x20\x02", 0), answer
    return bool(answer[2] & 1)


class TestWithMosquitto(WithBus):
    """With a real broker."""

    pytestmark = needs_mosquitto

    def test_a_broker_keeps_nothing_for_a_gateway_that_is_gone(self, broker: Broker, start: Start) -> None:
        """Its session ends with the connection: no message is queued for who may never come back."""
        listener = Listener()
        bus = start(broker.port, listener, TOPIC, client_id=CLIENT)
        listener.until_up()
        assert bus.stop(PATIENCE_S)
        assert not session_is_kept(broker.port, CLIENT)
        assert session_is_kept(broker.port, CLIENT)

    def test_a_connection_is_made_without_giving_our_end_an_address(
        self, broker: Broker, start: Start
    ) -> None:
        """Not even for the moment of connecting: the audit would find it."""
        listener = Listener()
        with sockets_given_an_address() as given:
            start(broker.port, listener, TOPIC)
            listener.until(lambda: bool(listener.links))
            assert given == []
            listener.until_up()
        assert given == []
