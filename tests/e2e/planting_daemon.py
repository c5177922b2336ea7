"""The daemon as it is, with a thread that plants listeners in its process tree as standard input says.

    tcp ADDRESS · udp ADDRESS     a socket of the daemon's own
    child ADDRESS                 a TCP listener of a child
    orphan ADDRESS                … of a grandchild whose parent has ended
    remove                        whatever was planted last

Each is answered with a line of JSON: `{"planted": port, "pid": holder}`, `{"removed": pid}`.
"""

import json
import os
import socket
import subprocess
import sys
import threading

LISTEN = """
import json, os, socket, sys
family = socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET
with socket.create_server((sys.argv[1], 0), family=family) as sock:
    print(json.dumps({"planted": sock.getsockname()[1], "pid": os.getpid()}), flush=True)
    sys.stdin.read()
"""
ORPHAN = """
import subprocess, sys
subprocess.Popen([sys.executable, "-c", sys.argv[2], sys.argv[1]], start_new_session=True)
"""


class Planter:
    """What was planted last. Programs end with their standard input, so with the daemon at the latest."""

    def __init__(self) -> None:
        self._socket: socket.socket | None = None
        self._program: subprocess.Popen[bytes] | None = None
        self._pid = 0

    def plant(self, kind: str, address: str) -> dict[str, int]:
        if kind in ("tcp", "udp"):
            family = socket.AF_INET6 if ":" in address else socket.AF_INET
            stream = kind == "tcp"
            self._socket = socket.socket(family, socket.SOCK_STREAM if stream else socket.SOCK_DGRAM)
            self._socket.bind((address, 0))
            if stream:
                self._socket.listen()
            self._pid = os.getpid()
            return {"planted": self._socket.getsockname()[1], "pid": self._pid}
        words = [LISTEN, address] if kind == "child" else [ORPHAN, address, LISTEN]
        argv = [sys.executable, "-c", *words]
        self._program = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert self._program.stdout is not None
        told: dict[str, int] = json.loads(self._program.stdout.readline())
        self._pid = told["pid"]
        if kind == "orphan":
            self._program.wait()
        return told

    def remove(self) -> dict[str, int]:
        if self._socket is not None:
            self._socket.close()
        if self._program is not None:
            assert self._program.stdin is not None
            self._program.stdin.close()
            self._program.wait()
            assert self._program.stdout is not None
            self._program.stdout.read()
            self._program.stdout.close()
        self._socket = self._program = None
        return {"removed": self._pid}


def _obey() -> None:
    planter = Planter()
    for line in sys.stdin:
        words = line.split()
        told = planter.remove() if words == ["remove"] else planter.plant(*words)
        sys.stdout.write(json.dumps(told) + "\n")
        sys.stdout.flush()


def main() -> int:
    from orchestrator.cli import main as volet

    threading.Thread(target=_obey, daemon=True).start()
    return volet()


if __name__ == "__main__":
    sys.exit(main())
