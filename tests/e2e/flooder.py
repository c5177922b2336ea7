"""Publishes on one topic as fast as the broker takes it, by hand-made packets at QoS 0, until it is ended. A
ping after each batch: what the broker has not read yet would only grow old.

    flooder.py PORT TOPIC PAYLOAD…

A payload that is a number and `B` stands for that many bytes, `now` for the milliseconds since 1970.
"""

import socket
import struct
import sys
import time

BATCH_BYTES = 64 * 1024


def _length(count: int) -> bytes:
    encoded = bytearray()
    while True:
        count, digit = divmod(count, 128)
        encoded.append(digit | (0x80 if count else 0))
        if not count:
            return bytes(encoded)


def _packet(topic: str, payload: bytes) -> bytes:
    body = struct.pack("!H", len(topic)) + topic.encode() + payload
    return b"\x30" + _length(len(body)) + body


def _payload(text: str) -> bytes:
    if text == "now":
        return str(time.time_ns() // 1_000_000).encode()
    if text.endswith("B") and text[:-1].isdigit():
        return b"x" * int(text[:-1])
    return text.encode()


def main() -> None:
    port, topic, texts = int(sys.argv[1]), sys.argv[2], sys.argv[3:]
    with socket.create_connection(("127.0.0.1", port)) as connection:
        # No keepalive: what is sent without a pause proves by itself that somebody is there.
        connection.sendall(b"\x10\x0c\x00\x04MQTT\x04\x02\x00\x00\x00\x00")
        assert connection.recv(4) == b"\x20\x02\x00\x00"
        sent = 0
        while True:
            once = b"".join(_packet(topic, _payload(text)) for text in texts)
            times = max(1, BATCH_BYTES // len(once))
            connection.sendall(once * times + b"\xc0\x00")
            assert connection.recv(2) == b"\xd0\x00"
            sent += len(texts) * times
            sys.stdout.write(f"{sent}\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
