"""The Tailscale interface is proven by the kernel and by tailscaled together (S8, F1, F2, F4)."""

import asyncio
from pathlib import Path

import pytest

from orchestrator.core.moment import SECOND_US

from .namespaces import Namespace, namespace
from .tailscale_scene import LAPTOP, Scene, ip, on_a_tailnet, scene
from .tailscaled import GATEWAY, status


async def test_a_missing_interface_is_down_and_waited_for(tmp_path: Path) -> None:
    async with scene(tmp_path) as stage:
        sight = stage.look()
        assert (sight.good, sight.fault) == (False, "vpn-down")
        assert "there is no interface volet-none0" in sight.detail
        assert stage.boundary.addresses() == ()


@pytest.mark.slow
def test_an_interface_that_tailscaled_and_the_kernel_agree_on_is_good(tmp_path: Path) -> None:
    async def story(stage: Scene, place: Namespace) -> None:
        sight = stage.look()
        assert (sight.good, sight.fault) == (True, ""), sight.detail
        assert stage.boundary.addresses() == GATEWAY
        assert sight.evidence["provider"] == "tailscale"
        assert all(type(value) in (bool, int, str) for value in sight.evidence.values())
        assert not set(GATEWAY) & set(map(str, sight.evidence.values()))

    on_a_tailnet(tmp_path, story)


@pytest.mark.slow
def test_one_address_of_the_file_is_listened_on_alone(tmp_path: Path) -> None:
    async def story(stage: Scene, place: Namespace) -> None:
        assert stage.look().good
        assert stage.boundary.addresses() == GATEWAY[:1]
        await ip(place, "address", "delete", f"{GATEWAY[1]}/128", "dev", "tailscale0")
        assert stage.look().good
        stage.daemon.status = status("100.64.0.50")
        assert "is not an address of this node" in await stage.until_fault("vpn-address-changed")

    on_a_tailnet(tmp_path, story, address=GATEWAY[0])


@pytest.mark.slow
def test_link_down_and_addresses_gone_are_told_by_the_kernel(tmp_path: Path) -> None:
    async def story(stage: Scene, place: Namespace) -> None:
        await stage.boundary.identify(LAPTOP, 1)
        await ip(place, "link", "set", "tailscale0", "down")
        assert "is down" in await stage.until_fault("vpn-down")
        assert stage.boundary.still(LAPTOP, 1) is None
        await ip(place, "link", "set", "tailscale0", "up")
        await ip(place, "address", "replace", GATEWAY[1], "dev", "tailscale0")
        await stage.until_fault("")
        await ip(place, "address", "delete", f"{GATEWAY[0]}/32", "dev", "tailscale0")
        assert GATEWAY[0] in await stage.until_fault("vpn-address-changed")
        await ip(place, "link", "delete", "tailscale0")
        assert "there is no interface" in await stage.until_fault("vpn-down")

    on_a_tailnet(tmp_path, story)


@pytest.mark.slow
def test_where_ipv6_is_off_the_ipv4_address_is_enough(tmp_path: Path) -> None:
    async def story(stage: Scene, place: Namespace) -> None:
        def off() -> None:
            Path("/proc/sys/net/ipv6/conf/tailscale0/disable_ipv6").write_text("1")

        await asyncio.to_thread(place.inside, off)
        await stage.until(lambda: stage.boundary.addresses() == GATEWAY[:1] and stage.look().good)

    on_a_tailnet(tmp_path, story)


@pytest.mark.slow
def test_another_kind_of_device_with_that_name_is_no_tailnet(tmp_path: Path) -> None:
    async def story(stage: Scene, place: Namespace) -> None:
        await ip(place, "link", "delete", "tailscale0")
        await ip(place, "link", "add", "tailscale0", "type", "veth", "peer", "name", "lan0")
        await ip(place, "link", "set", "tailscale0", "up")
        await stage.until(lambda: "is veth" in stage.look().detail)
        assert stage.look().fault == "vpn-down"

    on_a_tailnet(tmp_path, story)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("change", "fault", "words"),
    [
        (status() | {"TUN": False}, "vpn-down", "userspace"),
        (status() | {"BackendState": "NeedsLogin"}, "vpn-down", "NeedsLogin"),
        (status(Expired=True), "vpn-down", "key has expired"),
        (status(KeyExpiry="2020-01-01T00:00:00Z"), "vpn-down", "key has expired"),
        (status(ID=""), "vpn-down", "which node"),
        (status() | {"Self": None}, "vpn-down", "which node"),
        (status("100.64.0.50"), "vpn-address-changed", "100.64.0.50"),
        (status() | {"BackendState": 6}, "vpn-down", "newer than we know"),
    ],
)
def test_a_status_that_is_not_well_is_not_good(
    tmp_path: Path, change: dict[str, object], fault: str, words: str
) -> None:
    async def story(stage: Scene, place: Namespace) -> None:
        assert stage.look().good
        stage.daemon.status = change
        assert words in await stage.until_fault(fault)
        stage.daemon.status = status()
        await stage.until_fault("")

    on_a_tailnet(tmp_path, story)


@pytest.mark.slow
def test_an_address_of_the_public_internet_is_no_private_network(tmp_path: Path) -> None:
    async def story(stage: Scene, place: Namespace) -> None:
        await ip(place, "address", "add", "8.8.4.4", "dev", "tailscale0")
        stage.daemon.status = status("8.8.4.4")
        assert "public Internet" in await stage.until_fault("vpn-not-private")

    on_a_tailnet(tmp_path, story)


@pytest.mark.slow
def test_a_control_plane_not_heard_in_time_makes_identities_stale(tmp_path: Path) -> None:
    async def story(stage: Scene, place: Namespace) -> None:
        await stage.boundary.identify(LAPTOP, 1)
        stage.daemon.status = status(Online=False)
        await stage.daemon.questions("status")
        assert stage.look().good, "knowledge of less than control_max_age is good enough"
        stage.time.ahead_us += 61 * SECOND_US
        await stage.daemon.questions("status")
        assert "has not heard its control plane for 6" in stage.look().detail
        assert stage.look().fault == "identity-stale"
        assert stage.boundary.still(LAPTOP, 1) is None
        assert "control plane" in (await stage.nobody()).detail
        stage.daemon.status = status()
        await stage.until_fault("")

    on_a_tailnet(tmp_path, story, control_max_age_us=60 * SECOND_US)


@pytest.mark.slow
def test_a_control_plane_never_heard_proves_nobody(tmp_path: Path) -> None:
    with namespace() as place:

        async def run() -> None:
            async with scene(tmp_path) as stage:
                await stage.boundary.stop()
                stage.daemon.status = status(Online=False)
                await stage.boundary.start()
                assert "since we ask" in (await stage.nobody()).detail

        place.inside(lambda: asyncio.run(run()))


@pytest.mark.slow
@pytest.mark.parametrize(
    "target", ["http://127.0.0.1:8080", "http://localhost:8000", f"http://{GATEWAY[0]}:8080"]
)
def test_funnel_and_serve_to_us_or_to_the_camera_are_found_and_named(tmp_path: Path, target: str) -> None:
    async def story(stage: Scene, place: Namespace) -> None:
        handlers = {"Handlers": {"/": {"Proxy": target}}}
        served = {"TCP": {"443": {"HTTPS": True}}, "Web": {"edge-gw.ts.net:443": handlers}}
        stage.daemon.serve_config = served
        await stage.until(lambda: "tailscale serve reset" in stage.look().way_around)
        stage.daemon.serve_config = served | {"AllowFunnel": {"edge-gw.ts.net:443": True}}
        await stage.until(lambda: "tailscale funnel reset" in stage.look().way_around)
        assert stage.look().good, "the door itself stands: an approver must be able to come in"
        await ip(place, "link", "set", "tailscale0", "down")
        await stage.until_fault("vpn-down")
        assert stage.look().way_around
        stage.daemon.serve_config = None
        await stage.until(lambda: not stage.look().way_around)

    on_a_tailnet(tmp_path, story)


@pytest.mark.slow
def test_a_serve_config_that_cannot_be_followed_is_no_proof(tmp_path: Path) -> None:
    async def story(stage: Scene, place: Namespace) -> None:
        stage.daemon.serve_config = {"QUIC": {"443": {}}}
        assert "QUIC" in await stage.until_fault("vpn-down")

    on_a_tailnet(tmp_path, story)


@pytest.mark.slow
def test_a_serve_config_not_seen_lately_is_no_proof(tmp_path: Path) -> None:
    async def story(stage: Scene, place: Namespace) -> None:
        stage.daemon.slow_s["serve-config"] = 30
        assert stage.look().good
        stage.time.ahead_us += 3 * SECOND_US
        await stage.daemon.questions("status")
        assert "what Tailscale Serve publishes is not known" in stage.look().detail

    on_a_tailnet(tmp_path, story)


@pytest.mark.slow
def test_remote_config_is_a_warning_and_no_fault(tmp_path: Path) -> None:
    async def story(stage: Scene, place: Namespace) -> None:
        await stage.boundary.stop()
        stage.daemon.prefs = {"RemoteConfig": True}
        await stage.boundary.start()
        sight = stage.look()
        assert sight.good
        assert "tailscale set --remote-config=false" in sight.detail
        assert sight.evidence["remote_config"] is True

    on_a_tailnet(tmp_path, story)
