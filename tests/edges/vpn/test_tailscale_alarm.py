"""The alarm comes straight from whoever hears the reason, before anything else is seen (S4, F1, F25)."""

import asyncio
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from orchestrator.core.moment import SECOND_US
from orchestrator.edges.vpn.boundary import Peer

from .namespaces import Namespace
from .provider import say
from .tailscale_scene import LAPTOP, Scene, ip, on_a_tailnet, scene
from .tailscaled import status, whois


@pytest.mark.slow
@pytest.mark.parametrize("words", [("set", "tailscale0", "down"), ("delete", "tailscale0")])
def test_the_kernels_message_is_the_alarm_and_nobody_is_proven_from_then_on(
    tmp_path: Path, words: tuple[str, ...]
) -> None:
    """F1."""

    async def story(stage: Scene, place: Namespace) -> None:
        await stage.boundary.identify(LAPTOP, 1)
        proven_then: list[Peer | None] = []
        stage.alarms.also = lambda: proven_then.append(stage.boundary._peers.still(LAPTOP))
        begun = time.monotonic_ns()
        acting = asyncio.create_task(ip(place, "link", *words))
        fault, detail = await stage.alarms.first()
        took_ms = (time.monotonic_ns() - begun) / 1e6
        say(f"tailscale, link {words[0]}: alarm {took_ms:.1f} ms after the command began")
        assert (fault, "tailscale0" in detail) == ("vpn-down", True)
        assert proven_then[0] == Peer("nLAPTOP"), "the alarm came before anything was asked or forgotten"
        assert stage.boundary.still(LAPTOP, 1) is None
        await acting

    on_a_tailnet(tmp_path, story)


@pytest.mark.slow
def test_down_and_up_again_at_once_is_an_alarm(tmp_path: Path) -> None:
    """F25: though the link is good again by the time anybody looks."""

    async def story(stage: Scene, place: Namespace) -> None:
        batch = "link set tailscale0 down\nlink set tailscale0 up\n"
        subprocess.run(["ip", "-n", place.name, "-batch", "-"], input=batch, text=True, check=True)
        assert (await stage.alarms.first())[0] == "vpn-down"

    on_a_tailnet(tmp_path, story)


@pytest.mark.slow
def test_an_address_of_ours_that_goes_is_an_alarm_and_another_one_is_not(tmp_path: Path) -> None:
    """F2."""

    async def story(stage: Scene, place: Namespace) -> None:
        await ip(place, "address", "add", "192.0.2.77/32", "dev", "tailscale0")
        await ip(place, "address", "delete", "192.0.2.77/32", "dev", "tailscale0")
        assert stage.look().good
        await ip(place, "address", "delete", "100.101.102.103/32", "dev", "tailscale0")
        fault, detail = await stage.alarms.first()
        assert (fault, "100.101.102.103" in detail) == ("vpn-address-changed", True)

    on_a_tailnet(tmp_path, story)


def _stopped(stage: Scene) -> None:
    stage.daemon.set_state("Stopped")


def _bus_ended(stage: Scene) -> None:
    stage.daemon.end_bus()


@pytest.mark.parametrize("end", [_stopped, _bus_ended])
async def test_what_the_bus_says_is_an_alarm_without_a_question(
    tmp_path: Path, end: Callable[[Scene], None]
) -> None:
    """F1."""
    async with scene(tmp_path) as stage:
        stage.daemon.slow_s = {"status": 30, "whois": 30}
        end(stage)
        assert (await stage.alarms.first())[0] == "vpn-down"


async def test_an_answer_that_speaks_against_the_overlay_is_an_alarm(tmp_path: Path) -> None:
    async with scene(tmp_path) as stage:
        stage.daemon.status = status(Expired=True)
        fault, detail = await stage.alarms.first()
        assert (fault, "key has expired" in detail) == ("vpn-down", True)


async def test_whom_nobody_vouches_for_any_more_was_not_revoked(tmp_path: Path) -> None:
    """The cause is told before the device is nobody's: a hung tailscaled is `vpn-down`."""
    async with scene(tmp_path) as stage:
        await stage.boundary.identify(LAPTOP, 1)
        stage.daemon.slow_s = {"status": 30, "whois": 30}
        stage.time.ahead_us += SECOND_US + 500_000
        assert stage.boundary.still(LAPTOP, 1) is None
        assert stage.alarms.raised[0][0] == "vpn-down"


async def test_whoever_was_revoked_is_no_alarm(tmp_path: Path) -> None:
    async with scene(tmp_path) as stage:
        await stage.boundary.identify(LAPTOP, 1)
        stage.daemon.nodes[LAPTOP] = whois("nLAPTOP", LAPTOP, Expired=True)
        await stage.until(lambda: stage.boundary.still(LAPTOP, 1) is None)
        assert stage.alarms.raised == []


async def test_a_control_plane_unheard_is_told_as_that(tmp_path: Path) -> None:
    """F29."""
    async with scene(tmp_path, control_max_age_us=60 * SECOND_US) as stage:
        await stage.boundary.identify(LAPTOP, 1)
        stage.daemon.status = status(Online=False)
        await stage.daemon.questions("status")
        stage.time.ahead_us += 61 * SECOND_US
        await stage.daemon.questions("status")
        assert stage.boundary.still(LAPTOP, 1) is None
        assert "identity-stale" in {fault for fault, _ in stage.alarms.raised}


async def test_stopping_is_no_alarm(tmp_path: Path) -> None:
    async with scene(tmp_path) as stage:
        await stage.boundary.stop()
        assert stage.alarms.raised == []
