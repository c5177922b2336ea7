"""Who is a device of the tailnet, for how long, and how soon no longer (S9, F3, F29)."""

import contextlib
from pathlib import Path

import pytest

from orchestrator.edges.vpn import tailscale_peers
from orchestrator.edges.vpn.boundary import Boundary, Grant, NotADevice, Peer

from .tailscale_scene import LAPTOP, scene
from .tailscaled import GATEWAY, GATEWAY_ID, whois

pytestmark = pytest.mark.slow


async def test_a_node_of_the_tailnet_is_a_device_by_its_stable_id(tmp_path: Path) -> None:
    async with scene(tmp_path) as stage:
        boundary: Boundary = stage.boundary
        assert boundary.still(LAPTOP, 40000) is None
        assert await boundary.identify(LAPTOP, 40000) == Peer("nLAPTOP")
        assert await boundary.identify(f"::ffff:{LAPTOP}", 40001) == Peer("nLAPTOP")
        assert boundary.still(LAPTOP, 40000) == Peer("nLAPTOP")


async def test_the_policys_capability_becomes_a_grant(tmp_path: Path) -> None:
    async with scene(tmp_path, capability="example.com/cap/x") as stage:
        value = {"roles": ["maintainer"], "cameras": ["cam1"]}
        stage.daemon.nodes[LAPTOP] = whois("nLAPTOP", LAPTOP, capabilities={"example.com/cap/x": [value]})
        peer = await stage.boundary.identify(LAPTOP, 1)
        grant = Grant("maintainer@example.com", frozenset({"maintainer"}), frozenset({"cam1"}))
        assert peer == Peer("nLAPTOP", grant)


async def test_our_own_addresses_are_refused_before_anybody_is_asked(tmp_path: Path) -> None:
    async with scene(tmp_path) as stage:
        for address in (*GATEWAY, "127.0.0.1", "::1", f"::ffff:{GATEWAY[0]}"):
            assert (await stage.nobody(address)).code == "own-address"
        assert stage.daemon.asked["whois"] == 0


async def test_the_gateways_node_is_refused_even_at_an_address_that_is_not_known_as_ours(
    tmp_path: Path,
) -> None:
    async with scene(tmp_path) as stage:
        stage.daemon.nodes["100.99.99.99"] = whois(GATEWAY_ID, "100.99.99.99")
        assert (await stage.nobody("100.99.99.99")).code == "own-address"


@pytest.mark.parametrize("address", ["100.64.0.99", "nonsense", ""])
async def test_strangers_are_nobody(tmp_path: Path, address: str) -> None:
    async with scene(tmp_path) as stage:
        assert (await stage.nobody(address)).code == "unknown-device"
        assert stage.boundary.still(address, 1) is None


async def test_a_tagged_node_that_the_members_call_a_monitor_is_one(tmp_path: Path) -> None:
    async with scene(tmp_path) as stage:
        stage.daemon.nodes[LAPTOP] = whois("nMONITOR", LAPTOP, login="tagged-devices", Tags=["tag:m"])
        assert await stage.boundary.identify(LAPTOP, 1) == Peer("nMONITOR")


async def test_what_was_just_asked_is_not_asked_again_until_a_notification(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tailscale_peers, "ASK_AGAIN_S", 600)
    async with scene(tmp_path) as stage:
        await stage.boundary.identify(LAPTOP, 1)
        await stage.boundary.identify(LAPTOP, 2)
        assert stage.daemon.asked["whois"] == 1
        stage.time.ahead_us += 500_001
        await stage.boundary.identify(LAPTOP, 3)
        assert stage.daemon.asked["whois"] == 2
        stage.daemon.notify({"Prefs": {}})
        await stage.daemon.questions("whois", 1)
        assert await stage.boundary.identify(LAPTOP, 4) == Peer("nLAPTOP")


async def test_an_answer_older_than_a_second_proves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tailscale_peers, "ASK_AGAIN_S", 600)
    async with scene(tmp_path) as stage:
        await stage.boundary.identify(LAPTOP, 1)
        stage.time.ahead_us += 900_000
        assert stage.boundary.still(LAPTOP, 1) == Peer("nLAPTOP")
        stage.time.ahead_us += 200_000
        assert stage.boundary.still(LAPTOP, 1) is None


async def test_a_notification_that_changes_nothing_cuts_nobody(tmp_path: Path) -> None:
    async with scene(tmp_path) as stage:
        await stage.boundary.identify(LAPTOP, 1)
        for _ in range(5):
            stage.daemon.notify({"Prefs": {}})
            await stage.daemon.questions("whois", 1)
            assert stage.boundary.still(LAPTOP, 1) == Peer("nLAPTOP")


async def test_after_a_notification_the_old_answer_counts_for_40_ms_at_most(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tailscale_peers, "ASK_AGAIN_S", 600)
    async with scene(tmp_path) as stage:
        await stage.boundary.identify(LAPTOP, 1)
        stage.daemon.slow_s["whois"] = 30
        stage.daemon.notify({"Prefs": {}})
        await stage.daemon.questions("whois", 1)
        stage.time.ahead_us += 40_001
        assert stage.boundary.still(LAPTOP, 1) is None


REVOKED: dict[str, object] = {
    "it left the tailnet": None,
    "its key expired": whois("nLAPTOP", LAPTOP, Expired=True),
    "it was tagged": whois("nLAPTOP", LAPTOP, Tags=["tag:kiosk"]),
    "it became a subnet router": whois("nLAPTOP", LAPTOP, PrimaryRoutes=["192.168.1.0/24"]),
    "it moved to another address": whois("nLAPTOP", "100.64.0.8"),
    "it is answered in a way nobody knows": {"Node": []},
}


@pytest.mark.parametrize("answer", REVOKED.values(), ids=REVOKED.keys())
async def test_a_device_that_loses_its_right_is_nobodys_by_itself(tmp_path: Path, answer: object) -> None:
    async with scene(tmp_path) as stage:
        await stage.boundary.identify(LAPTOP, 1)
        stage.daemon.nodes[LAPTOP] = answer
        await stage.until(lambda: stage.boundary.still(LAPTOP, 1) is None)
        assert (await stage.nobody()).code == "unknown-device"


async def test_a_capability_that_is_withdrawn_shows_in_the_next_answer(tmp_path: Path) -> None:
    async with scene(tmp_path) as stage:
        capabilities = {"volet.invalid/cap/camera": [{"roles": ["viewer"]}]}
        stage.daemon.nodes[LAPTOP] = whois("nLAPTOP", LAPTOP, capabilities=capabilities)
        assert (await stage.boundary.identify(LAPTOP, 1)).grant is not None
        stage.daemon.nodes[LAPTOP] = whois("nLAPTOP", LAPTOP)
        await stage.until(lambda: stage.boundary.still(LAPTOP, 1) == Peer("nLAPTOP"))


async def test_nobody_is_known_while_tailscaled_does_not_answer(tmp_path: Path) -> None:
    async with scene(tmp_path) as stage:
        stage.daemon.slow_s["whois"] = 30
        assert "did not answer" in (await stage.nobody()).detail


async def test_strangers_leave_nothing_behind_and_members_a_bounded_number(tmp_path: Path) -> None:
    async with scene(tmp_path) as stage:
        addresses = [f"100.65.{number // 250}.{number % 250 + 1}" for number in range(200)]
        stage.daemon.nodes |= {address: whois("nX", address) for address in addresses}
        for address in ("100.64.0.99", *addresses):
            with contextlib.suppress(NotADevice):
                await stage.boundary.identify(address, 1)
        assert stage.boundary.still(addresses[-1], 1) == Peer("nX")
        assert sum(stage.boundary.still(address, 1) is not None for address in addresses) <= 128
