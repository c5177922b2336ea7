"""Not one byte of picture is on the wire after the boundary fell or a person lost their right (S1, S9).

Every row is read from packet captures: on the tunnel of each peer, and on all interfaces of the gateway.
"""

import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import pytest

from tests.e2e import fault_table
from tests.e2e.capture import LATEST_US, UNDERWAY_US, Capture, Packet, last_picture_us
from tests.e2e.follower import Event
from tests.e2e.gateway import GATEWAYS
from tests.e2e.incident import at_us, log_is_whole, now_us
from tests.e2e.parts import segment_root
from tests.e2e.tunnel_gateway import MEMBERS, TunnelGateway
from tests.e2e.viewer import Viewer
from tests.edges.vpn.lab import lab

pytestmark = pytest.mark.slow

DAEMON = str(Path(__file__).with_name("blockable_daemon.py"))
PEOPLE = ("laptop", "tablet")
"""The requester's device, and that of one who only watches."""
EVERY_S = 0.01
LIMIT_S = 10.0

Act = Callable[[TunnelGateway], object]


def _members(gateway: TunnelGateway, old: str = "", new: str = "") -> dict[str, str]:
    """The file's people, each with their device, and this text replaced."""
    assert old in MEMBERS
    keys = {name: gateway.lab.peers[name].key for name in PEOPLE}
    return {"members": MEMBERS.replace(old, new).format(**keys)}


def _table_of(person: str) -> str:
    """That person's whole table in `MEMBERS`."""
    return next("[[members]]" + table for table in MEMBERS.split("[[members]]")[1:] if person in table)


def _rewrite(old: str, new: str) -> Act:
    return lambda gateway: gateway.write_configuration(**_members(gateway, old, new))


def _in_force_again(gateway: TunnelGateway) -> None:
    gateway.reload(**_members(gateway))


def _link(*words: str) -> Act:
    return lambda gateway: gateway.lab.gateway.place.ip(*words, "dev", gateway.lab.interface)


def _stands_again(*mends: Act) -> Act:
    """Mend the boundary, and wait until the daemon listens and the tunnel carries."""

    def mend(gateway: TunnelGateway) -> None:
        lines = len(gateway.daemon.lines)
        for each in mends:
            each(gateway)
        gateway.daemon.wait_line(lambda line: "listening on" in line, after=lines)
        for name in PEOPLE:
            gateway.lab.greet(name)

    return mend


def _tunnel_again(gateway: TunnelGateway) -> None:
    gateway.lab.gateway.start()
    gateway.lab.gateway.up()
    for name in PEOPLE:
        gateway.lab.allow(name)


def _forgotten(name: str) -> tuple[Act, Act]:
    def known_again(gateway: TunnelGateway) -> None:
        gateway.lab.allow(name)
        gateway.lab.greet(name)
        gateway.wait_known(name)

    return lambda gateway: gateway.lab.forget(name), known_again


BOUNDARY: Mapping[str, tuple[str, Act, Act]] = {
    "link down": (
        "vpn-down",
        _link("link", "set", "down"),
        _stands_again(_link("link", "set", "up"), _link("address", "add", "fd77::1/64", "nodad")),
    ),
    "address removed": (
        "vpn-address-changed",
        _link("address", "del", "10.77.0.1/24"),
        _stands_again(_link("address", "add", "10.77.0.1/24")),
    ),
    "wireguard-go TERM": (
        "vpn-down",
        lambda gateway: gateway.lab.gateway.kill(signal.SIGTERM),
        _stands_again(_tunnel_again),
    ),
    "wireguard-go KILL": (
        "vpn-down",
        lambda gateway: gateway.lab.gateway.kill(signal.SIGKILL),
        _stands_again(_tunnel_again),
    ),
}
PERSON: Mapping[str, Mapping[str, tuple[Act, Act]]] = {
    "peer removed": {name: _forgotten(name) for name in PEOPLE},
    "member deleted": {
        "laptop": (_rewrite(_table_of("Maintainer A"), ""), _in_force_again),
        "tablet": (_rewrite(_table_of("Viewer"), ""), _in_force_again),
    },
    "role taken away": {
        "laptop": (_rewrite('"maintainer", "approver"', '"approver"'), _in_force_again),
        "tablet": (_rewrite('["viewer"]', '["reviewer"]'), _in_force_again),
    },
}
SESSION: Mapping[str, tuple[str, Act, Act]] = {
    **BOUNDARY,
    **{f"{fault} (requester)": ("identity-revoked", *rows["laptop"]) for fault, rows in PERSON.items()},
}


@dataclass(frozen=True, slots=True)
class Flow:
    """A session that the laptop asked for; watch and viewer of each device, with picture flowing."""

    session: str
    watches: Mapping[str, str]
    viewers: Mapping[str, Viewer]


@dataclass(slots=True)
class Scene:
    """One gateway for all rows: each begins with the session that the row before it has opened."""

    gateway: TunnelGateway
    flow: Flow | None = None

    def flowing(self) -> Flow:
        """Both see the picture at this moment."""
        if self.flow is not None and any(viewer.ending for viewer in self.flow.viewers.values()):
            assert self.gateway.stood_still(self.flow.session)
            self.flow = None
        if self.flow is None:
            self.flow = self._opened()
        for viewer in self.flow.viewers.values():
            viewer.wait_flow()
        return self.flow

    def _opened(self) -> Flow:
        for name in PEOPLE:
            # A machine that stood still for a second closes the listener for a moment: the proof is too old.
            self.gateway.wait_known(name)
        session = self.gateway.open_from("laptop")
        return self._watched(session, {name: self.gateway.watch_from(name) for name in PEOPLE})

    @staticmethod
    def _watched(session: str, watched: Mapping[str, tuple[str, Viewer]]) -> Flow:
        return Flow(
            session,
            {name: watch for name, (watch, _) in watched.items()},
            {name: viewer for name, (_, viewer) in watched.items()},
        )

    def opens_anew(self) -> None:
        """L3: what was shut stays so until somebody asks; then both see the picture."""
        state = self.gateway.ask_locally("GET", "/api/v1/cameras/cam1").body
        assert (state["state"], state["session"]) == ("disabled", None)
        self.flow = self._opened()

    def joins_anew(self, name: str, before: Flow) -> None:
        """L3: the one who was cut watches again, in the same session."""
        again = {each: (before.watches[each], before.viewers[each]) for each in PEOPLE}
        self.flow = self._watched(before.session, again | {name: self.gateway.watch_from(name)})


class Wire:
    """What is heard at each peer's end of the tunnel, and of everything that leaves the gateway."""

    def __init__(self, gateway: TunnelGateway, folder: Path, expression: str) -> None:
        found = gateway.lab
        self._captures = {
            name: Capture(found.peers[name].place, found.peers[name].interface, folder, expression)
            for name in PEOPLE
        }
        self._captures["gateway"] = Capture(found.gateway.place, "any", folder, expression)
        self._address = found.gateway.address
        self._stack = ExitStack()
        self._heard: dict[str, list[Packet]] = {}

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            for capture in self._captures.values():
                stack.enter_context(capture)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def stop(self) -> None:
        """All that was heard is known; nothing was missed."""
        self._heard = {place: capture.stop() for place, capture in self._captures.items()}
        assert all(capture.heard_to_the_end for capture in self._captures.values())

    def last_us(self, place: str, port: int, viewer: int) -> int:
        """The last packet with payload heard there, from that port of the gateway to that of a viewer."""
        told = [packet for packet in self._heard[place] if packet.destination_port == viewer]
        return last_picture_us(told, self._address, port)


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[Scene]:
    folder = tmp_path_factory.mktemp("wire") / "gateway"
    folder.mkdir(mode=0o700)
    with lab(PEOPLE) as found:
        gateway = TunnelGateway(folder, segment_root(), found, max_session="10m")
        request.node.stash[GATEWAYS] = [gateway]
        try:
            gateway.start(launcher=(DAEMON, "--briefly"))
            yield Scene(gateway)
            log_is_whole(gateway)
        finally:
            gateway.stop()


def _figures(
    fault: str, seen: Event, injected_us: int, more: str, wire: Wire, port: int, cut: Mapping[str, Viewer]
) -> None:
    """Assert the bound at each place for each viewer who was cut, and put the row's figures down."""
    seen_us = at_us(seen)
    last: dict[str, list[int]] = {"left the gateway": [], "came to a peer": []}
    for name, viewer in cut.items():
        for what, place in (("left the gateway", "gateway"), ("came to a peer", name)):
            at = wire.last_us(place, port, viewer.port)
            latest_us = LATEST_US + (0 if place == "gateway" else UNDERWAY_US)
            assert at - seen_us <= latest_us, f"{place}: picture for {name} {at - seen_us} us after {fault}"
            last[what].append(at)
    told = ", ".join(
        f"{what} at {(max(at) - injected_us) / 1000:.1f} ms ({(max(at) - seen_us) / 1000:+.1f})"
        for what, at in last.items()
    )
    fault_table.NOTES.append(
        f"on the wire, {fault}: {seen['data']['fault']}, "
        f"seen {(seen_us - injected_us) / 1000:.1f} ms after the injection{more}; the last picture {told}"
    )


@contextmanager
def _cut_off(gateway: TunnelGateway, name: str, viewer: Viewer) -> Iterator[None]:
    """This peer's machine is not to be reached meanwhile: what it is sent waits in the gateway's kernel,
    which would send it again later."""
    place = gateway.lab.peers[name].place
    place.ip("link", "set", "lan0", "down")
    try:
        before = _unacknowledged_bytes(gateway, viewer)
        until = time.monotonic() + LIMIT_S
        while _unacknowledged_bytes(gateway, viewer) <= before:
            assert time.monotonic() < until, "picture waits for its acknowledgement"
            time.sleep(0.005)
        yield
    finally:
        place.ip("link", "set", "lan0", "up")


def _unacknowledged_bytes(gateway: TunnelGateway, viewer: Viewer) -> int:
    """What the gateway's kernel keeps for that viewer."""
    table = gateway.lab.gateway.place.inside(Path("/proc/thread-self/net/tcp").read_text)
    for line in table.splitlines()[1:]:
        _, local, remote, _, queues, *_ = line.split()
        ports = [int(end.split(":")[1], 16) for end in (local, remote)]
        if ports == [gateway.port, viewer.port]:
            return int(queues.split(":")[0], 16)
    return 0


@pytest.mark.parametrize("fault", SESSION)
def test_when_the_boundary_or_the_requester_is_gone_nothing_more_is_on_the_wire(
    scene: Scene, fault: str, tmp_path: Path
) -> None:
    """F1, F2, F3, F25: for nobody, what waits in the kernel's queue included; nor when the cause is gone,
    until somebody asks anew."""
    code, hurt, mend = SESSION[fault]
    gateway = scene.gateway
    with Wire(gateway, tmp_path, f"tcp src port {gateway.port}") as wire:
        flow = scene.flowing()
        scene.flow = None
        try:
            with _cut_off(gateway, "tablet", flow.viewers["tablet"]):
                injected_us = now_us()
                hurt(gateway)
                closing, closed = _ended(gateway, flow, code)
                gateway.wait_no_workers()
        finally:
            mend(gateway)
        scene.opens_anew()
        wire.stop()
    shut = f", shut {closed['data']['shut_us']} us later"
    _figures(fault, closing, injected_us, shut, wire, gateway.port, flow.viewers)


@pytest.mark.parametrize("fault", PERSON)
def test_a_viewer_who_loses_the_right_is_cut_alone(scene: Scene, fault: str, tmp_path: Path) -> None:
    """F3: the requester's picture flows on, which the same captures hear."""
    hurt, mend = PERSON[fault]["tablet"]
    gateway = scene.gateway
    with Wire(gateway, tmp_path, f"tcp src port {gateway.port}") as wire:
        flow = scene.flowing()
        scene.flow = None
        injected_us = now_us()
        try:
            hurt(gateway)
            left = _left(gateway, flow, "tablet")
            flow.viewers["laptop"].wait_flow()
        finally:
            mend(gateway)
        scene.joins_anew("tablet", flow)
        wire.stop()
    _figures(
        f"{fault} (viewer)", left, injected_us, "", wire, gateway.port, {"tablet": flow.viewers["tablet"]}
    )
    for place in ("gateway", "laptop"):
        on = wire.last_us(place, gateway.port, flow.viewers["laptop"].port)
        assert on > at_us(left) + LATEST_US, "the others watch on"


def test_a_gateway_that_was_blocked_does_not_take_it_for_a_lost_right(scene: Scene) -> None:
    """F3, F16: who cannot be told apart for a while was not revoked; it is the boundary that was unproven."""
    flow, daemon = scene.flowing(), scene.gateway.daemon
    scene.flow = None
    daemon.kill(signal.SIGUSR1)
    daemon.wait_line(lambda line: line == "the loop goes on")
    assert scene.gateway.wait_in_the_log(flow.session)["data"]["fault"] == "vpn-down"
    for name in PEOPLE:
        scene.gateway.wait_known(name)
    scene.opens_anew()


def test_a_sender_that_no_gate_holds_would_be_seen(scene: Scene, tmp_path: Path) -> None:
    """The negative control: the same fault and captures, and a plain TCP sender that goes on after it."""
    hurt, mend = PERSON["member deleted"]["tablet"]
    gateway = scene.gateway
    tablet = gateway.lab.peers["tablet"]
    server = gateway.lab.gateway.place.inside(lambda: socket.create_server((gateway.address, 0)))
    port: int = server.getsockname()[1]
    ended = threading.Event()
    with server, Wire(gateway, tmp_path, f"tcp src port {port}") as wire:
        reader = tablet.place.inside(lambda: socket.create_connection((gateway.address, port)))
        sender, _ = server.accept()
        with reader, sender:
            thread = threading.Thread(target=_send_until, args=(sender, ended))
            thread.start()
            try:
                flow = scene.flowing()
                scene.flow = None
                hurt(gateway)
                left = _left(gateway, flow, "tablet")
                flow.viewers["laptop"].wait_flow()
            finally:
                mend(gateway)
                ended.set()
                thread.join()
            scene.joins_anew("tablet", flow)
            wire.stop()
            for place in ("gateway", "tablet"):
                assert wire.last_us(place, port, reader.getsockname()[1]) - at_us(left) > LATEST_US


def _send_until(sender: socket.socket, ended: threading.Event) -> None:
    while not ended.wait(EVERY_S):
        sender.sendall(b"picture")


def _ended(gateway: TunnelGateway, flow: Flow, code: str) -> tuple[Event, Event]:
    """The transition that shut the session for that reason, and its proof."""
    closing = gateway.wait_in_the_log(flow.session)
    assert (closing["trigger"], closing["data"]["fault"]) == ("fault", code), closing
    closed = gateway.in_the_log(flow.session, lambda event: event.get("trigger") == "closed")
    assert closed["data"]["viewers_cut"] == len(flow.viewers)
    assert closed["data"]["unsent_bytes_discarded"] > 0
    return closing, closed


def _left(gateway: TunnelGateway, flow: Flow, name: str) -> Event:
    """The observation that this viewer was cut for having lost the right."""
    watch = flow.watches[name]
    left = gateway.in_the_log(
        flow.session, lambda event: event.get("name") == "viewer_left" and event["data"]["watch"] == watch
    )
    assert (left["data"]["reason"], left["data"].get("fault")) == ("cut", "identity-revoked"), left
    return left
