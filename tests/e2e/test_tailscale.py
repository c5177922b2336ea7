"""Only through the tailnet, by people we know, never published: the whole program (S1, S8, S9, F1–F5, F29).

Each fault's row is read from packet captures: of all that leaves the gateway, and at the viewer's node.
"""

import signal
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import pytest

from tests.e2e import fault_table
from tests.e2e.capture import LATEST_US, UNDERWAY_US, Capture, last_picture_us
from tests.e2e.client import LIMIT_S, Answer, asked, connection_from
from tests.e2e.conftest import GATEWAYS
from tests.e2e.follower import Event
from tests.e2e.gateway import LOOK_AGAIN_S
from tests.e2e.incident import at_us, log_is_whole, now_us
from tests.e2e.parts import segment_root
from tests.e2e.tailnet import CAPABILITY, ROUTED, Tailnet, tailnet
from tests.e2e.tailnet_gateway import CONTROL_MAX_AGE, TailnetGateway, members
from tests.e2e.viewer import Viewer

pytestmark = pytest.mark.slow

PEERS = ("laptop", "phone", "tablet", "stranger", "tagged", "shared", "expired", "router")
GUEST = "guest@example.com"
GUESTS = {CAPABILITY: [{"roles": ["maintainer", "viewer"], "cameras": ["cam1"]}]}

Act = Callable[[Tailnet], object]


@dataclass(frozen=True, slots=True)
class Flow:
    """A session that a peer asked for, and that peer's viewer with picture flowing."""

    who: str
    session: str
    viewer: Viewer


@dataclass(slots=True)
class Scene:
    """One gateway for all tests: each begins with the session that the one before it has left open."""

    gateway: TailnetGateway
    flow: Flow | None = None

    @property
    def lab(self) -> Tailnet:
        return self.gateway.lab

    def flowing(self, who: str = "laptop") -> Flow:
        """This peer sees the picture of a session of its own at this moment."""
        if self.flow is not None and self.flow.viewer.ending:
            assert self.gateway.stood_still(self.flow.session)
            self.flow = None
        if self.flow is not None and self.flow.who != who:
            answer = self.ask(self.flow.who, "POST", _transitions("cam1"), {"trigger": "close"})
            assert answer.status == 202, answer
            self.gateway.in_the_log(self.flow.session, lambda event: event.get("trigger") == "closed")
            self.flow = None
        if self.flow is None:
            self.gateway.wait_known(who)
            session = self.gateway.open_from(who)
            self.flow = Flow(who, session, self.gateway.watch_from(who)[1])
        self.flow.viewer.wait_flow()
        return self.flow

    def ask(self, who: str, method: str, path: str, body: dict[str, Any] | None = None) -> Answer:
        """One request from that peer's own address."""
        source = self.lab.peers[who].address
        return self.gateway.as_peer(who, lambda: self.gateway.ask(method, path, body, source=source))

    def wait_acknowledged(self, who: str, wish: dict[str, Any]) -> None:
        """Ask until it is taken: no event tells when the cause is seen to be gone."""
        until = time.monotonic() + LIMIT_S
        while (answer := self.ask(who, "POST", _transitions("cam1"), wish)).status != 202:
            assert answer.code == "locked", answer
            assert time.monotonic() < until, answer
            time.sleep(LOOK_AGAIN_S)

    def opens_anew(self, who: str) -> None:
        """L3: what was shut stays so until somebody asks; then the picture flows."""
        self.gateway.wait_known(who)
        state = self.gateway.ask_locally("GET", "/api/v1/cameras/cam1").body
        assert (state["state"], state["substate"]) == ("disabled", "ready")
        self.flowing(who)


class Wire:
    """What is heard of all that the gateway sends, and at one peer's device."""

    def __init__(self, scene: Scene, who: str, folder: Path) -> None:
        own, peer, port = scene.lab.gateway, scene.lab.peers[who], scene.gateway.port
        self._from, self._stack = (own.address, port), ExitStack()
        self._captures = {
            "left the gateway": Capture(own.place, "any", folder, f"tcp src port {port}"),
            "came to the peer": Capture(peer.place, peer.interface, folder, f"tcp src port {port}"),
        }

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            for capture in self._captures.values():
                stack.enter_context(capture)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def holds(self, fault: str, flow: Flow, closing: Event, injected_us: int, done_us: int) -> None:
        """Nothing was heard later than the bound, nor anything missed; the row's figures are put down. What
        was done to the gateway began and was done at these times."""
        seen_us, told = at_us(closing), []
        for what, capture in self._captures.items():
            heard = [one for one in capture.stop() if one.destination_port == flow.viewer.port]
            assert capture.heard_to_the_end
            last_us = last_picture_us(heard, *self._from)
            latest_us = LATEST_US + (UNDERWAY_US if capture is not self._captures["left the gateway"] else 0)
            assert last_us - seen_us <= latest_us, f"{what} {last_us - seen_us} us after {fault} was seen"
            after_ms, late_ms = (last_us - injected_us) / 1000, (last_us - seen_us) / 1000
            told.append(f"{what} at {after_ms:.1f} ms ({late_ms:+.1f})")
        fault_table.NOTES.append(
            f"tailnet, {fault}: {closing['data']['fault']}, seen {(seen_us - injected_us) / 1000:.1f} ms "
            f"after the injection (which took {(done_us - injected_us) / 1000:.1f}); "
            f"the last picture {', '.join(told)}"
        )


def _transitions(camera: str) -> str:
    return f"/api/v1/cameras/{camera}/transitions"


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[Scene]:
    folder = tmp_path_factory.mktemp("tailnet") / "gateway"
    folder.mkdir(mode=0o700)
    with tailnet(folder, PEERS, router="router") as found:
        ids = {name: node.stable_id for name, node in found.peers.items()}
        doubtful = tuple(ids[name] for name in ("tagged", "shared", "expired", "router"))
        people = members(
            ("Maintainer A", '["maintainer", "approver"]', (ids["laptop"],)),
            ("Everybody else", '["maintainer"]', doubtful),
        )
        _know_all(found)
        gateway = TailnetGateway(folder, segment_root(), found, max_session="10m", members=people)
        request.node.stash[GATEWAYS] = [gateway]
        try:
            gateway.start()
            yield Scene(gateway)
            log_is_whole(gateway)
        finally:
            gateway.stop()


def _know_all(found: Tailnet) -> None:
    """As the tailnet's map has them; of the stranger it knows nothing."""
    found.know("laptop")
    found.know("phone", login=GUEST, capabilities=GUESTS)
    found.know("tablet", login=GUEST, capabilities={CAPABILITY: [{"roles": ["viewer"]}]})
    found.know("tagged", login="tagged-devices", Tags=["tag:kiosk"], capabilities=GUESTS)
    found.know("shared", Sharer=4711)
    found.know("expired", Expired=True)
    router = found.peers["router"]
    hosts = [f"{router.address}/32", f"{router.address6}/128"]
    found.know("router", AllowedIPs=[*hosts, *router.networks], PrimaryRoutes=list(router.networks))


def test_members_of_the_file_and_of_the_tailnets_policy_watch_mp4_and_hls(scene: Scene) -> None:
    """S9: one is known by the node's stable id, the other by an app capability with roles and cameras."""
    session = scene.flowing("laptop").session
    own = scene.ask("laptop", "GET", "/api/v1/me").body
    assert (own["name"], own["roles"]) == ("Maintainer A", ["approver", "maintainer"])
    guest = scene.ask("phone", "GET", "/api/v1/me").body
    assert (guest["name"], guest["roles"], guest["cameras"]) == (GUEST, ["maintainer", "viewer"], ["cam1"])
    assert scene.ask("phone", "GET", "/api/v1/cameras/cam2").code == "unknown-camera"
    _, viewer = scene.gateway.watch_from("phone")
    for who in ("laptop", "phone"):
        _plays_hls(scene, who)
    viewer.wait_flow()
    viewer.close()
    started = scene.gateway.in_the_log(session, lambda event: event.get("trigger") == "checks_passed")
    evidence = {check["id"]: check["evidence"] for check in started["data"]["checks"]}["vpn-interface"]
    assert (evidence["provider"], evidence["ways_in"], evidence["running"]) == ("tailscale", 0, True)


def _plays_hls(scene: Scene, who: str) -> None:
    source = scene.lab.peers[who].address
    joined = scene.ask(who, "POST", "/api/v1/cameras/cam1/watches", {}).body
    playlist = scene.gateway.as_peer(who, lambda: scene.gateway.wait_served(joined["hls"], source=source))
    segments = [line for line in playlist.splitlines() if line and not line.startswith("#")]
    segment = scene.ask(who, "GET", f"{joined['hls'].rpartition('/')[0]}/{segments[-1]}")
    assert (segment.status, segment.headers["content-type"]) == (200, "video/mp2t")
    assert scene.ask(who, "DELETE", f"/api/v1/watches/{joined['watch']}").status in (200, 204)


def test_a_device_is_the_same_one_at_its_ipv6_address(scene: Scene) -> None:
    laptop, gateway = scene.lab.peers["laptop"], scene.gateway
    place = (scene.lab.gateway.address6, gateway.port)
    over_ipv6 = gateway.as_peer(
        "laptop", lambda: asked(connection_from(laptop.address6, place), "GET", "/api/v1/me", None)
    )
    assert over_ipv6.status == 200, over_ipv6
    assert over_ipv6.body["device"]["id"] == scene.ask("laptop", "GET", "/api/v1/me").body["device"]["id"]


def test_whoever_is_no_members_device_is_refused_at_the_door(scene: Scene) -> None:
    """S9, F5, F29: though the file names the ids of all but the stranger, as a maintainer's."""
    for name in ("stranger", "tagged", "shared", "expired", "router"):
        refused = scene.ask(name, "GET", "/api/v1/me")
        assert (refused.status, refused.code) == (403, "unknown-device"), name
    gateway, router = scene.gateway, scene.lab.peers["router"]
    router.place.ip("address", "add", f"{ROUTED}/32", "dev", router.interface)
    routed = gateway.as_peer("router", lambda: gateway.ask("GET", "/api/v1/me", source=ROUTED))
    assert (routed.status, routed.code) == (403, "unknown-device")
    own = scene.lab.gateway
    itself = own.place.inside(lambda: gateway.ask("GET", "/api/v1/me", source=own.address))
    assert (itself.status, itself.code) == (403, "own-address")


def test_a_host_on_the_lan_gets_no_byte_of_the_tailnet_address(scene: Scene) -> None:
    """S8: a socket that is not bound to the device would have answered it."""
    own, lan = scene.lab.gateway, scene.lab.lan
    for family, address in ((socket.AF_INET, own.address), (socket.AF_INET6, own.address6)):

        def bare(family: socket.AddressFamily = family, address: str = address) -> socket.socket:
            return socket.create_server((address, 0), family=family)

        with own.place.inside(bare) as unbound:
            assert lan.inside(lambda: _knock(family, address, unbound.getsockname()[1])) == 0  # noqa: B023
        assert lan.inside(lambda: _knock(family, address, scene.gateway.port)) != 0  # noqa: B023


def _knock(family: socket.AddressFamily, address: str, port: int) -> int:
    with socket.socket(family, socket.SOCK_STREAM) as sock:
        sock.settimeout(1)
        return sock.connect_ex((address, port))


def test_a_device_has_never_more_than_the_policy_grants_it(scene: Scene) -> None:
    """S9: another device of the same person does not lend it its roles."""
    for _ in range(2):
        assert scene.ask("phone", "GET", "/api/v1/me").body["roles"] == ["maintainer", "viewer"]
        assert scene.ask("tablet", "GET", "/api/v1/me").body["roles"] == ["viewer"]
        wish = {"trigger": "request", "reason": "align the camera"}
        assert scene.ask("tablet", "POST", _transitions("cam2"), wish).code == "role-required"


def _web(port: int) -> dict[str, Any]:
    handlers = {"Handlers": {"/": {"Proxy": f"http://127.0.0.1:{port}"}}}
    return {"TCP": {"443": {"HTTPS": True}}, "Web": {"edge-gw.tail0000.ts.net:443": handlers}}


FUNNEL = {"AllowFunnel": {"edge-gw.tail0000.ts.net:443": True}}


def _published(scene: Scene, kind: str) -> dict[str, Any]:
    if kind == "serve to the camera":
        return _web(scene.gateway.camera_port)
    ours = _web(scene.gateway.port) | FUNNEL
    return {"Foreground": {"a terminal": ours}} if kind == "funnel in the foreground" else ours


def _remap(name: str, **fields: Any) -> Act:
    def act(found: Tailnet) -> None:
        found.know(name, **fields)
        found.notify()

    return act


def _restart(found: Tailnet) -> None:
    found.tailscaled.stop()
    found.start_tailscaled()


def _unpublish(found: Tailnet) -> None:
    found.tell({"serve_config": None})


CUTS: Mapping[str, tuple[str, str, Act, Act]] = {
    "capability withdrawn": (
        "phone",
        "identity-revoked",
        _remap("phone", login=GUEST),
        _remap("phone", login=GUEST, capabilities=GUESTS),
    ),
    "node expired": ("laptop", "identity-revoked", _remap("laptop", Expired=True), _remap("laptop")),
    "notification bus ended": (
        "laptop",
        "vpn-down",
        lambda found: found.tell({"end_bus": True}),
        lambda found: None,
    ),
    "backend stopped": (
        "laptop",
        "vpn-down",
        lambda found: found.tell({"state": "Stopped"}),
        lambda found: found.tell({"state": "Running"}),
    ),
    "tailscaled killed": ("laptop", "vpn-down", lambda found: found.tailscaled.kill(), _restart),
    "tailscaled hangs": (
        "laptop",
        "vpn-down",
        lambda found: found.tailscaled.kill(signal.SIGSTOP),
        lambda found: found.tailscaled.kill(signal.SIGCONT),
    ),
    "tun deleted": (
        "laptop",
        "vpn-down",
        lambda found: found.gateway.place.ip("link", "delete", found.interface),
        lambda found: found.join(found.gateway),
    ),
}


@pytest.mark.parametrize("fault", CUTS)
def test_what_takes_the_tailnet_or_the_person_away_ends_the_picture(
    scene: Scene, fault: str, tmp_path: Path
) -> None:
    """F1, F3: in the middle of `stream.mp4`; L3 afterwards."""
    who, code, hurt, mend = CUTS[fault]
    with Wire(scene, who, tmp_path) as wire:
        flow, scene.flow = scene.flowing(who), None
        injected_us = now_us()
        try:
            hurt(scene.lab)
            done_us = now_us()
            closing = _ended(scene, flow, code)
        finally:
            mend(scene.lab)
        scene.opens_anew(who)
        wire.holds(fault, flow, closing, injected_us, done_us)


@pytest.mark.parametrize("kind", ["funnel", "funnel in the foreground", "serve to the camera"])
def test_a_picture_that_tailscale_would_publish_is_ended_and_locked(
    scene: Scene, kind: str, tmp_path: Path
) -> None:
    """F4: no notification tells of it; an approver acknowledges, once it is gone and not before."""
    wish = {"trigger": "acknowledge", "reason": "tailscale serve reset"}
    with Wire(scene, "laptop", tmp_path) as wire:
        flow, scene.flow = scene.flowing(), None
        injected_us = now_us()
        try:
            scene.lab.tell({"serve_config": _published(scene, kind)})
            done_us = now_us()
            closing = _ended(scene, flow, "vpn-not-private")
            asking = scene.ask("laptop", "POST", _transitions("cam1"), {**wish, "trigger": "request"})
            assert (asking.status, asking.code) == (409, "locked")
            early = scene.ask("laptop", "POST", _transitions("cam1"), wish)
            assert (early.status, early.code) == (409, "locked")
        finally:
            _unpublish(scene.lab)
        scene.wait_acknowledged("laptop", wish)
        scene.opens_anew("laptop")
        wire.holds(kind, flow, closing, injected_us, done_us)


def test_a_control_plane_unheard_for_too_long_ends_the_picture_and_nothing_opens(
    scene: Scene, tmp_path: Path
) -> None:
    """S9, F29: who left the tailnet since is not known."""
    with Wire(scene, "laptop", tmp_path) as wire:
        flow, scene.flow = scene.flowing(), None
        injected_us = now_us()
        scene.lab.tell({"self": {"Online": False}})
        done_us = now_us()
        try:
            closing = _ended(scene, flow, "identity-stale")
            laptop, own = scene.lab.peers["laptop"], scene.lab.gateway
            assert laptop.place.inside(lambda: _knock(socket.AF_INET, own.address, scene.gateway.port)) != 0
            interface = scene.gateway.ask_locally("GET", "/readyz").body["dependencies"]["vpn-interface"]
            assert "has not heard its control plane" in interface["detail"]
        finally:
            scene.lab.tell({"self": {"Online": True}})
        scene.opens_anew("laptop")
        wire.holds(f"control plane unheard for {CONTROL_MAX_AGE}", flow, closing, injected_us, done_us)


def _ended(scene: Scene, flow: Flow, code: str) -> Event:
    """The transition that shut the session for that reason, once it is proven."""
    closing = scene.gateway.wait_in_the_log(flow.session)
    assert (closing["trigger"], closing["data"]["fault"]) == ("fault", code), closing
    closed = scene.gateway.in_the_log(flow.session, lambda event: event.get("trigger") == "closed")
    assert closed["data"]["segments_wiped"] is True
    assert closed["to_substate"] == ("locked" if code == "vpn-not-private" else "ready")
    return closing
