"""What a tailscaled that stops, hangs, dies or talks nonsense leaves proven: nothing."""

import asyncio
from pathlib import Path

import pytest

from orchestrator.core.moment import SECOND_US
from orchestrator.edges.vpn import tailscale as provider
from orchestrator.edges.vpn.boundary import NotADevice, Peer
from orchestrator.edges.vpn.tailscale import Tailscale, TailscaleOptions

from .tailscale_scene import GUARDED, LAPTOP, scene


async def test_a_vpn_that_is_stopped_is_believed_at_once(tmp_path: Path) -> None:
    async with scene(tmp_path) as stage:
        await stage.boundary.identify(LAPTOP, 1)
        stage.daemon.slow_s = {"status": 30, "whois": 30}
        stage.daemon.set_state("Stopped")
        await stage.until(lambda: stage.boundary.still(LAPTOP, 1) is None)
        assert stage.look().fault == "vpn-down"


async def test_the_end_of_the_bus_proves_nothing_until_it_is_back(tmp_path: Path) -> None:
    async with scene(tmp_path) as stage:
        await stage.boundary.identify(LAPTOP, 1)
        stage.daemon.end_bus()
        await stage.until(lambda: stage.boundary.still(LAPTOP, 1) is None)
        assert "Nobody can be told" in (await stage.nobody()).detail
        await stage.until(lambda: stage.look().evidence["running"] is True)
        assert await stage.boundary.identify(LAPTOP, 1) == Peer("nLAPTOP")


async def test_a_tailscaled_that_is_killed_and_comes_back(tmp_path: Path) -> None:
    async with scene(tmp_path) as stage:
        await stage.boundary.identify(LAPTOP, 1)
        await stage.daemon.stop()
        await stage.until(lambda: stage.boundary.still(LAPTOP, 1) is None)
        await stage.daemon.start()
        await stage.until(lambda: stage.look().evidence["running"] is True)
        assert await stage.boundary.identify(LAPTOP, 1) == Peer("nLAPTOP")


@pytest.mark.parametrize("line", [b"garbage\n", b"[]\n", b'{"State": "Running"}\n', b'{"State": true}\n'])
async def test_a_notification_of_an_unknown_shape_ends_the_proof(tmp_path: Path, line: bytes) -> None:
    async with scene(tmp_path) as stage:
        await stage.boundary.identify(LAPTOP, 1)
        stage.daemon.notify_raw(line)
        await stage.until(lambda: stage.boundary.still(LAPTOP, 1) is None)


async def test_a_bus_that_does_not_say_the_state_proves_nothing(tmp_path: Path) -> None:
    async with scene(tmp_path) as stage:
        stage.daemon.first_line = {"Version": "9"}
        stage.daemon.end_bus()
        await stage.daemon.questions("watch-ipn-bus", 1)
        await stage.daemon.questions("status")
        assert "does not say its state" in (await stage.nobody()).detail


async def test_a_tailscaled_that_hangs_is_not_believed_for_long(tmp_path: Path) -> None:
    async with scene(tmp_path) as stage:
        await stage.boundary.identify(LAPTOP, 1)
        stage.daemon.slow_s = {"status": 30, "whois": 30}
        stage.time.ahead_us += 2 * SECOND_US + 1
        assert stage.boundary.still(LAPTOP, 1) is None


async def test_start_does_not_wait_long_for_a_tailscaled_that_is_not_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(provider, "START_LIMIT_S", 0.05)
    boundary = Tailscale(TailscaleOptions(socket=tmp_path / "none"), guarded=lambda: GUARDED)
    await boundary.start()
    assert boundary.look(0).fault == "vpn-down"
    with pytest.raises(NotADevice, match="systemctl status tailscaled"):
        await boundary.identify(LAPTOP, 1)
    await boundary.stop()
    async with asyncio.timeout(5):
        async for _ in boundary.changes():
            pass
