"""Requests to the gateway: over its TCP listener from a member's address, and over the Unix socket."""

import http.client
import json
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

LIMIT_S = 20.0
Body = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Answer:
    """What a request got: a JSON body as it is, any other as text."""

    status: int
    body: Any
    headers: dict[str, str]

    @property
    def code(self) -> str:
        """The problem's code (CONTRACT 8); empty when it is none."""
        kind = self.body.get("type", "") if isinstance(self.body, dict) else ""
        return str(kind).rpartition("/")[2]


class _Local(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=LIMIT_S)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


def connection_from(source: str, gateway: tuple[str, int]) -> http.client.HTTPConnection:
    """A connection that comes from that address."""
    return http.client.HTTPConnection(*gateway, timeout=LIMIT_S, source_address=(source, 0))


def local_connection(path: Path) -> http.client.HTTPConnection:
    """A connection to the Unix socket."""
    return _Local(path)


def asked(
    connection: http.client.HTTPConnection,
    method: str,
    path: str,
    body: Body | None,
    headers: Mapping[str, str] | None = None,
) -> Answer:
    """One request on a connection that is closed after it."""
    try:
        fields = {} if body is None else {"Content-Type": "application/json"}
        fields |= headers or {}
        connection.request(method, path, None if body is None else json.dumps(body), fields)
        answer = connection.getresponse()
        data = answer.read()
        is_json = answer.headers.get_content_type() in ("application/json", "application/problem+json")
        parsed = json.loads(data) if is_json and data else data.decode("utf-8", "replace")
        return Answer(answer.status, parsed, {key.lower(): value for key, value in answer.headers.items()})
    finally:
        connection.close()
