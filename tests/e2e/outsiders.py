"""Those who are not let in, while a member watches: what each of them is given, byte for byte."""

import json
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from orchestrator.edges.vpn.sockets import audit
from tests.e2e.configuration import put
from tests.e2e.processes import Process
from tests.e2e.tunnel_gateway import LAPTOP, TunnelGateway
from tests.e2e.viewer import Viewer
from tests.edges.vpn.namespaces import Namespace

RELAY = str(Path(__file__).with_name("relay.py"))
WAIT_S = 0.5
"""How long an outsider waits for an answer that does not come."""
ANSWER_S = 10.0
"""How long one waits who must be answered."""
PLAIN = b"a byte of a listener bound by its address alone"


class WholeTunnelGateway(TunnelGateway):
    """Listens on both addresses of its interface, as it does when none is configured."""

    def write_configuration(self, **settings: str) -> None:
        """As ever, but for the address."""
        super().write_configuration(**settings)
        line = f'address = "{self.address}"\n'
        text = self.config.read_text()
        assert text.count(line) == 1
        put(self.config, text.replace(line, ""))


class Scene:
    """A gateway whose picture flows to the laptop, whoever else knocks."""

    def __init__(self, gateway: TunnelGateway) -> None:
        self.gateway = gateway
        self.session = ""
        self.watches: list[dict[str, Any]] = []
        """Every watch that the laptop joined, the newest last."""
        self.viewer: Viewer | None = None
        laptop, lan = gateway.lab.peers["laptop"], gateway.lab.lan
        # Never by itself the source: an answer to it would go through the tunnel.
        lan.ip("address", "add", f"{laptop.address}/32", "dev", "lan0")
        lan.ip("address", "add", f"{laptop.address6}/128", "dev", "lan0", "nodad", "preferred_lft", "0")

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Picture flows to the laptop before, meanwhile and afterwards, on one and the same connection."""
        if self.viewer is not None and self.viewer.ending:
            assert self.gateway.stood_still(self.session)
            self.forget()
            self.gateway.wait_known("laptop")
            self.gateway.follow()
        if self.viewer is None:
            self._open()
        viewer = self.viewer
        assert viewer is not None
        viewer.wait_flow(2)
        yield
        viewer.wait_flow()
        assert not viewer.ending

    def forget(self) -> None:
        """The session is over; the laptop's connections, which heard nothing of it, are let go."""
        assert self.gateway.follower is not None
        self.gateway.follower.stop()
        self.viewer = None

    def _open(self) -> None:
        gateway = self.gateway
        gateway.wait_known("laptop")
        self.session = gateway.as_peer("laptop", lambda: gateway.open(source=LAPTOP))
        self.watches.append(gateway.as_peer("laptop", lambda: gateway.join(source=LAPTOP)))
        path = self.watches[-1]["mp4"]
        self.viewer = gateway.as_peer("laptop", lambda: gateway.view(path, source=LAPTOP))

    def picture(self) -> str:
        """The path that the laptop's picture has."""
        path: str = self.watches[-1]["mp4"]
        return path

    def addresses(self) -> tuple[str, str]:
        """The gateway's VPN addresses."""
        return self.gateway.lab.gateway.address, self.gateway.lab.gateway.address6

    def knock(
        self, place: Namespace, *knocks: tuple[str, str, str | None], wait_s: float = WAIT_S
    ) -> list[bytes]:
        """What a client there is given by our port at a VPN address, for a path and from a source (None: the
        kernel's choice); for each of these, all asked at once."""
        port = self.gateway.port
        with ThreadPoolExecutor(len(knocks)) as threads:
            asked = [
                threads.submit(given, place, address, port, request(address, port, path), source, wait_s)
                for address, path, source in knocks
            ]
            return [one.result() for one in asked]

    def log(self) -> list[dict[str, Any]]:
        """The log with its details and names, as a reviewer reads it who asks for them."""
        path = "/api/v1/events?limit=10000&names=true"
        items: list[dict[str, Any]] = self.gateway.as_peer(
            "laptop", lambda: self.gateway.get(path, source=LAPTOP)["items"]
        )
        return items

    def denied_total(self) -> int:
        """How many refusals the daemon has counted."""
        text: str = self.gateway.as_peer("laptop", lambda: self.gateway.get("/metrics", source=LAPTOP))
        return int(float(text.split("\nvolet_denied_total ")[1].split("\n")[0]))

    def until(self, path: str, fits: Callable[[Any], bool], peer: str = "laptop") -> None:
        """Until what that peer's machine is answered to a GET, good or bad, fits."""
        gateway = self.gateway
        source = gateway.lab.peers[peer].address
        until = time.monotonic() + ANSWER_S
        while not fits(body := gateway.as_peer(peer, lambda: gateway.ask("GET", path, source=source).body)):
            assert time.monotonic() < until, body
            time.sleep(0.02)

    def listeners(self) -> list[str]:
        """Where the daemon's process tree listens, as the kernel says."""
        looked = self.gateway.lab.gateway.place.inside(lambda: audit([], [self.gateway.daemon.pid]))
        assert not looked.failure
        assert not looked.unread
        return [str(stray) for stray in looked.strays]


def request(address: str, port: int, path: str, method: str = "GET", body: bytes = b"") -> bytes:
    """A request as our own page would send it."""
    host = f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
    head = f"{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n"
    if body:
        head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
    return head.encode() + b"\r\n" + body


def given(
    place: Namespace,
    address: str,
    port: int,
    sent: bytes,
    source: str | None = None,
    wait_s: float = WAIT_S,
) -> bytes:
    """All that a client in that namespace receives until it is hung up on; empty when nobody has taken its
    connection within `wait_s`."""

    def ask() -> bytes:
        received = b""
        try:
            origin = (source, 0) if source is not None else None
            with socket.create_connection((address, port), wait_s, origin) as connection:
                connection.settimeout(ANSWER_S)
                connection.sendall(sent)
                while data := connection.recv(1 << 16):
                    received += data
        except OSError:
            pass  # refused, unanswered or reset: what came before that counts
        return received

    return place.inside(ask)


def verdict(answer: bytes) -> tuple[int, str]:
    """Status and problem code of an answer that is one problem document and nothing else."""
    head, _, body = answer.partition(b"\r\n\r\n")
    lines = head.decode().lower().split("\r\n")
    assert "content-type: application/problem+json" in lines, answer[:500]
    assert f"content-length: {len(body)}" in lines, answer[:500]
    problem = json.loads(body)
    assert set(problem) == {"type", "title", "status", "detail"}, problem
    return int(lines[0].split()[1]), problem["type"].rpartition("/")[2]


@contextmanager
def plain_listener(place: Namespace, address: str) -> Iterator[int]:
    """A server of nobody's in that namespace, bound by its address alone; its port. The control: it does
    answer those whom ours must not."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    server = place.inside(lambda: socket.create_server((address, 0), family=family))

    def serve() -> None:
        while True:
            try:
                connection, _ = server.accept()
            except OSError:
                return  # shut down: the test is over
            with connection:
                connection.sendall(PLAIN)

    thread = threading.Thread(target=serve, name=f"plain-{address}")
    thread.start()
    try:
        yield int(server.getsockname()[1])
    finally:
        server.shutdown(socket.SHUT_RDWR)
        thread.join()
        server.close()


@contextmanager
def relay(scene: Scene, listen: str, address: str, source: str) -> Iterator[int]:
    """A relay on the gateway from a port of `listen` to ours at that VPN address; the port."""
    gateway = scene.gateway
    argv = [sys.executable, RELAY, listen, address, str(gateway.port), source]
    process = Process("relay", gateway.lab.gateway.place.argv(*argv), gateway.folder)
    try:
        yield process.wait_json("port")
    finally:
        process.stop()


def lan_gets_nothing(scene: Scene, *, down: bool = False) -> None:
    """A LAN host asks our port at each VPN address, which it routes to the gateway, as itself and as a
    member: not a byte. A plain listener there does answer it; while the interface is down by IPv4 alone."""
    found = scene.gateway.lab
    laptop = found.peers["laptop"]
    knocks: list[tuple[str, str, str | None]] = []
    for address, forged in zip(scene.addresses(), (laptop.address, laptop.address6), strict=True):
        if not (down and ":" in address):
            with plain_listener(found.gateway.place, address) as port:
                assert given(found.lan, address, port, b"", wait_s=ANSWER_S) == PLAIN
        paths = ("/healthz", scene.picture())
        knocks += [(address, path, source) for path in paths for source in (None, forged)]
    assert set(scene.knock(found.lan, *knocks)) == {b""}


def lan_gets_nothing_while_the_interface_is_down(scene: Scene) -> None:
    """The link goes down under the flowing picture: everything is shut, nothing listens, and the plain
    listener goes on answering the LAN. Ends with the link up, and listened on again."""
    gateway, found = scene.gateway, scene.gateway.lab
    place, interface = found.gateway.place, found.interface
    place.inside(lambda: _keep_ipv6(interface))
    place.ip("link", "set", interface, "down")
    assert gateway.wait_in_the_log(scene.session)["data"]["fault"] == "vpn-down"
    scene.forget()
    until = time.monotonic() + ANSWER_S
    while scene.listeners():
        assert time.monotonic() < until, scene.listeners()
    lan_gets_nothing(scene, down=True)
    assert scene.listeners() == []
    said = len(gateway.daemon.lines)
    place.ip("link", "set", interface, "up")
    gateway.daemon.wait_line(lambda line: "listening on" in line, after=said)
    assert len(scene.listeners()) == len(scene.addresses())
    found.greet("laptop")
    gateway.follow()


def _keep_ipv6(interface: str) -> None:
    """The IPv6 address outlives the link, as some distributions have it."""
    with open(f"/proc/sys/net/ipv6/conf/{interface}/keep_addr_on_down", "w") as file:
        file.write("1")
