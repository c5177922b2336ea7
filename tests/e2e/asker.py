"""Tries what it is told to on standard input, and tells on standard output what came of it, all in JSON.

`questions`: for each, pieces (base64) that are sent on a connection of their own to the Unix socket
`socket`, which is then listened to until it ends; `files`: read; `commands`: run. What came is base64, what
failed the name of the error.
"""

import base64
import contextlib
import errno
import json
import socket
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from typing import Any

LIMIT_S = 10.0


def _tried(work: Callable[[], bytes]) -> dict[str, str]:
    try:
        return {"said": base64.b64encode(work()).decode()}
    except OSError as error:
        return {"error": errno.errorcode.get(error.errno or 0, type(error).__name__)}


def _said(path: str, pieces: list[str]) -> bytes:
    received = b""
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(LIMIT_S)
        sock.connect(path)
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            for piece in pieces:
                sock.sendall(base64.b64decode(piece))
            sock.shutdown(socket.SHUT_WR)
        # What was answered before it hung up is there all the same.
        with contextlib.suppress(ConnectionResetError):
            while data := sock.recv(1 << 16):
                received += data
    return received


def _read(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read(1 << 20)


def _ran(argv: list[str]) -> bytes:
    done = subprocess.run(argv, capture_output=True, check=False, timeout=LIMIT_S)
    return done.stdout + done.stderr


def main() -> None:
    told: dict[str, Any] = json.load(sys.stdin)
    came = {
        "questions": [_tried(partial(_said, told["socket"], each)) for each in told["questions"]],
        "files": {path: _tried(partial(_read, path)) for path in told["files"]},
        "commands": [_tried(partial(_ran, argv)) for argv in told["commands"]],
    }
    json.dump(came, sys.stdout)


if __name__ == "__main__":
    main()
