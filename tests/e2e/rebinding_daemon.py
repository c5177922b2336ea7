"""The daemon as it is, but SIGUSR1 makes it try to take its listeners off their device.

It tries to bind each to `--device` and then to none, and tells in a JSON line what the kernel said to each;
`{"tried": …}`, how often, comes last.
"""

import errno
import json
import os
import signal
import socket
import stat
import sys

from orchestrator.edges.vpn.sockets import bound_device


def _is_socket(descriptor: int) -> bool:
    try:
        return stat.S_ISSOCK(os.fstat(descriptor).st_mode)
    except OSError:
        return False  # the folder's own, closed again


def _listeners() -> list[socket.socket]:
    found = []
    # All before the first is duplicated: that may get the number which the folder had while it was read.
    for descriptor in list(filter(_is_socket, map(int, os.listdir("/proc/self/fd")))):
        sock = socket.socket(fileno=os.dup(descriptor))
        is_tcp = sock.family in (socket.AF_INET, socket.AF_INET6) and sock.type == socket.SOCK_STREAM
        if is_tcp and sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
            found.append(sock)
        else:
            sock.close()
    return found


def _try(device: str) -> None:
    tries = 0
    for sock in _listeners():
        with sock:
            for wish in (device, ""):
                said = ""
                try:
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, wish.encode())
                except OSError as error:
                    said = errno.errorcode[error.errno or 0]
                told = {"address": sock.getsockname()[0], "wish": wish, "said": said}
                _tell(**told, bound=bound_device(sock))
                tries += 1
    _tell(tried=tries)


def _tell(**what: object) -> None:
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


def main() -> int:
    from orchestrator.cli import main as volet

    at = sys.argv.index("--device")
    device = sys.argv[at + 1]
    del sys.argv[at : at + 2]
    signal.signal(signal.SIGUSR1, lambda number, frame: _try(device))
    return volet()


if __name__ == "__main__":
    sys.exit(main())
