"""paho on a connection that was made for it, never reading more than we can hold. With the lane's session
and probe the only importer of paho."""

from __future__ import annotations

import os
import select
import socket
from collections.abc import Callable

from paho.mqtt import client as mqtt
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from orchestrator.edges.dial import dial
from orchestrator.edges.dial_tls import secure
from orchestrator.settings.certificates import Certificates

MAX_PACKET_BYTES = 1024 * 1024
READ_BYTES = 64 * 1024
MAX_A_TURN = 64


def connect(
    host: str, port: int, certificates: Certificates | None, gives_up: Callable[[], bool]
) -> socket.socket:
    """A connection to the broker, under TLS when there are certificates; OSError says why there is none."""
    connection = dial(host, port, gives_up)
    if certificates is None:
        return connection
    return secure(connection, host, certificates, gives_up)


class Client(mqtt.Client):
    """A new one for each connection: a clean start, and a session that ends with the connection (of MQTT 5
    that is what no expiry means), so that no old value is ever replayed (FIELD 9).

    `too_large_bytes` is the size of a packet that ended it.
    """

    def __init__(self, connection: socket.socket, version: MQTTProtocolVersion, client_id: str) -> None:
        super().__init__(
            CallbackAPIVersion.VERSION2, client_id=client_id, protocol=version, reconnect_on_failure=False
        )
        self.too_large_bytes = 0
        self._connection = connection
        self._drained = True
        self._received, self._read_up_to = b"", 0

    def turn(self, poller: select.poll, timeout_ms: int) -> None:
        """Wait for the broker or for a waker, then do what there is to do."""
        connection = self._connection.fileno()
        poller.register(connection, select.POLLIN | (select.POLLOUT if self.want_write() else 0))
        # What we have read already, or TLS has decrypted, no poll announces.
        readable = not self._drained
        for descriptor, happened in poller.poll(0 if readable else timeout_ms):
            if descriptor != connection:
                os.eventfd_read(descriptor)
                continue
            readable = readable or bool(happened & ~select.POLLOUT)
            if happened & select.POLLOUT:
                self.loop_write()
        if readable:
            self._read_what_came()
        self.loop_misc()

    def _read_what_came(self) -> None:
        self._drained = False
        for _ in range(MAX_A_TURN):
            if self._drained or self.socket() is None:
                return
            self.loop_read()

    def _create_socket_connection(self) -> socket.socket:
        return self._connection

    def _sock_recv(self, bufsize: int) -> bytes:
        """Out of what has been read already: paho asks for single bytes, and each system call would hand the
        interpreter to another thread, for milliseconds when that one is busy."""
        if bufsize > MAX_PACKET_BYTES:
            self.too_large_bytes = bufsize
            raise ConnectionAbortedError("more than we can hold")
        if self._read_up_to == len(self._received):
            try:
                self._received, self._read_up_to = super()._sock_recv(READ_BYTES), 0
            except BlockingIOError:
                self._drained = True
                raise
        begins = self._read_up_to
        self._read_up_to = min(len(self._received), begins + bufsize)
        return self._received[begins : self._read_up_to]
