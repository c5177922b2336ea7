"""A userspace relay, as any reverse proxy on the gateway is: from a port of its own to another address and
port, from the source address that it is told (empty: the kernel's choice). Tells `{"port": …}`."""

import json
import socket
import sys
import threading

CONNECT_S = 0.5


def _pump(source: socket.socket, sink: socket.socket) -> None:
    try:
        while data := source.recv(1 << 16):
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)
    except OSError:
        pass  # one end hung up, and so does the other


def _relay(connection: socket.socket, to: tuple[str, int], source: str) -> None:
    with connection:
        try:
            onward = socket.create_connection(to, CONNECT_S, (source, 0) if source else None)
        except OSError:
            return
        with onward:
            onward.settimeout(None)
            back = threading.Thread(target=_pump, args=(onward, connection))
            back.start()
            _pump(connection, onward)
            back.join()


def main() -> None:
    listen, address, port, source = sys.argv[1:]
    family = socket.AF_INET6 if ":" in listen else socket.AF_INET
    with socket.create_server((listen, 0), family=family) as server:
        sys.stdout.write(json.dumps({"port": server.getsockname()[1]}) + "\n")
        sys.stdout.flush()
        while True:
            connection, _ = server.accept()
            threading.Thread(target=_relay, args=(connection, (address, int(port)), source)).start()


if __name__ == "__main__":
    main()
