"""The WireGuard provider on real tunnels: who is who, and what changes it (S9, F1, F2, F3, F25, F29)."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from contextlib import suppress

import pytest

from orchestrator.edges.vpn.boundary import Peer
from orchestrator.edges.vpn.wireguard_peers import PeerEntry

from .lab import Lab, lab
from .provider import Watched, now_us, on_gateway, refused, say

pytestmark = pytest.mark.slow


def test_each_address_of_a_peer_is_its_key() -> None:
    async def scenario(boundary: Watched) -> None:
        sight = boundary.look(now_us())
        assert (sight.good, sight.fault, sight.evidence["peers"]) == (True, "", 2)
        assert boundary.addresses() == ("10.77.0.1", "fd77::1")
        for tunnel in found.peers.values():
            for address in (tunnel.address, f"::ffff:{tunnel.address}", tunnel.address6):
                assert await boundary.identify(address, 50000) == Peer(tunnel.key)
                assert boundary.still(address, 50000) == Peer(tunnel.key)
        assert (await refused(boundary, "10.77.0.99")).code == "unknown-device"
        assert (await refused(boundary, found.gateway.lan)).code == "own-address"
        assert boundary.still("10.77.0.99", 50000) is None

    with lab(("laptop", "phone")) as found:
        on_gateway(found, scenario)


@pytest.mark.parametrize(
    "address", ["10.77.0.1", "::ffff:10.77.0.1", "fd77::1", "127.0.0.1", "127.9.9.9", "::1", "192.0.2.1"]
)
def test_no_address_of_the_gateway_is_ever_a_device(address: str) -> None:
    """F5: a relay on the gateway has it; not even a peer that claims it changes that."""

    async def scenario(boundary: Watched) -> None:
        assert boundary.own(address)
        assert (await refused(boundary, address)).code == "own-address"
        assert boundary.still(address, 50000) is None

    with lab() as found:
        found.allow("laptop", "10.77.0.1/32", "192.0.2.1/32", "fd77::1/128")
        on_gateway(found, scenario)


@pytest.mark.parametrize("networks", [("10.77.0.0/24",), ("10.77.0.2/32", "192.168.7.0/24")])
def test_a_peer_with_a_wide_allowed_ips_is_no_device(networks: tuple[str, ...]) -> None:
    async def scenario(boundary: Watched) -> None:
        no = await refused(boundary, found.peers["laptop"].address)
        assert (no.code, "stands for a network" in no.detail) == ("unknown-device", True)

    with lab() as found:
        found.allow("laptop", *networks)
        on_gateway(found, scenario)


def test_a_removed_peer_and_a_key_that_moved_are_noticed_while_somebody_is_known() -> None:
    async def scenario(boundary: Watched) -> None:
        laptop, phone = found.peers["laptop"], found.peers["phone"]
        await boundary.identify(laptop.address, 50000)
        begun = time.monotonic()
        found.allow("phone", f"{phone.address}/32", f"{laptop.address}/32")
        await boundary.until(lambda: boundary.still(laptop.address, 50000) == Peer(phone.key))
        say(f"a key that moved: noticed after {(time.monotonic() - begun) * 1000:.0f} ms")
        begun = time.monotonic()
        found.forget("phone")
        await boundary.until(lambda: boundary.still(laptop.address, 50000) is None)
        say(f"a removed peer: noticed after {(time.monotonic() - begun) * 1000:.0f} ms")
        assert boundary.still(phone.address, 50000) is None
        assert (await refused(boundary, phone.address)).code == "unknown-device"
        assert boundary.look(now_us()).good

    with lab(("laptop", "phone")) as found:
        on_gateway(found, scenario)


def test_identity_is_asked_for_anew_when_nobody_was_known() -> None:
    """At most half a second old: the slow poll's two seconds are not enough."""

    async def scenario(boundary: Watched) -> None:
        found.forget("laptop")
        await asyncio.sleep(0.6)
        assert (await refused(boundary, found.peers["laptop"].address)).code == "unknown-device"

    with lab() as found:
        on_gateway(found, scenario)


def _link_down(found: Lab) -> None:
    found.gateway.place.ip("link", "set", found.interface, "down")


def _address_removed(found: Lab) -> None:
    found.gateway.place.ip("address", "delete", "10.77.0.1/24", "dev", found.interface)


def _address_replaced(found: Lab) -> None:
    batch = (
        f"address del 10.77.0.1/24 dev {found.interface}\naddress add 10.77.0.9/24 dev {found.interface}\n"
    )
    argv = ["ip", "-n", found.gateway.place.name, "-batch", "-"]
    subprocess.run(argv, input=batch, text=True, check=True)


def _deleted(found: Lab) -> None:
    found.gateway.place.ip("link", "delete", found.interface)


def _killed(found: Lab) -> None:
    found.gateway.process.kill()


def _terminated(found: Lab) -> None:
    found.gateway.process.terminate()


@pytest.mark.parametrize(
    ("act", "fault"),
    [
        (_link_down, "vpn-down"),
        (_address_removed, "vpn-address-changed"),
        (_address_replaced, "vpn-address-changed"),
        (_deleted, "vpn-down"),
        (_killed, "vpn-down"),
        (_terminated, "vpn-down"),
    ],
)
@pytest.mark.parametrize("configured", [None, "10.77.0.1"])
def test_the_alarm_comes_with_the_kernels_message_and_nothing_is_proven_from_then_on(
    act: Callable[[Lab], None], fault: str, configured: str | None
) -> None:
    """F1, F2."""

    async def scenario(boundary: Watched) -> None:
        laptop = found.peers["laptop"]
        assert boundary.look(now_us()).good
        await boundary.identify(laptop.address, 50000)
        proven_at_alarm: list[Peer | None] = []
        raise_alarm = boundary._alarm
        assert raise_alarm is not None

        def alarm(fault: str, detail: str) -> None:
            proven_at_alarm.append(boundary.still(laptop.address, 50000))
            raise_alarm(fault, detail)

        boundary._alarm = alarm
        begun = time.monotonic_ns()
        acting = asyncio.create_task(asyncio.to_thread(act, found))
        first, _, came = await boundary.alarms.get()
        say(f"{act.__name__[1:]}: alarm {(came - begun) / 1e6:.1f} ms after the command began")
        sight = boundary.look(now_us())
        assert (sight.good, sight.fault) == (False, fault)
        assert set(proven_at_alarm) == {None}
        # A wireguard-go that ends takes the addresses along, and either may be told first.
        assert first == fault or act in (_deleted, _killed, _terminated, _link_down)
        with suppress(AssertionError, subprocess.CalledProcessError):
            await acting

    with lab() as found:
        on_gateway(found, scenario, configured)


def test_down_and_up_again_at_once_raises_the_alarm_and_heals() -> None:
    """F25."""

    async def scenario(boundary: Watched) -> None:
        assert boundary.look(now_us()).good
        batch = f"link set {found.interface} down\nlink set {found.interface} up\n"
        argv = ["ip", "-n", found.gateway.place.name, "-batch", "-"]
        subprocess.run(argv, input=batch, text=True, check=True)
        assert (await boundary.alarms.get())[0] == "vpn-down"
        await boundary.until(lambda: boundary._seen is not None)
        sight = boundary.look(now_us())
        assert (sight.good, sight.fault) == (False, "vpn-down")
        # The kernel drops IPv6 addresses with the link: only IPv4 is left to listen on.
        assert boundary.look(now_us()).good
        assert boundary.addresses() == ("10.77.0.1",)

    with lab() as found:
        on_gateway(found, scenario)


def test_a_wireguard_go_that_hangs_is_not_proven_and_the_loop_does_not_wait_for_it() -> None:
    async def scenario(boundary: Watched) -> None:
        laptop = found.peers["laptop"]
        await boundary.identify(laptop.address, 50000)
        found.gateway.process.send_signal(signal.SIGSTOP)
        begun = time.monotonic_ns()
        fault, detail, came = await boundary.alarms.get()
        say(f"wireguard-go stopped: alarm after {(came - begun) / 1e6:.0f} ms")
        assert (fault, "did not answer" in detail) == ("vpn-down", True)
        assert boundary.still(laptop.address, 50000) is None
        sight = boundary.look(now_us())
        assert (sight.fault, sight.evidence["up"], sight.evidence["proven"]) == ("vpn-down", True, False)
        assert "Nobody can be told apart" in (await refused(boundary, laptop.address)).detail
        found.gateway.process.send_signal(signal.SIGCONT)
        await boundary.until(lambda: boundary.look(now_us()).good)
        assert await boundary.identify(laptop.address, 50000) == Peer(laptop.key)

    with lab() as found:
        on_gateway(found, scenario)


def test_a_restarted_tunnel_is_waited_for_and_proven_anew() -> None:
    async def scenario(boundary: Watched) -> None:
        assert boundary.look(now_us()).good
        found.gateway.kill()
        assert (await boundary.alarms.get())[0] in ("vpn-down", "vpn-address-changed")
        await boundary.until(lambda: "no interface" in boundary.look(now_us()).detail)
        assert boundary.addresses() == ()
        await asyncio.to_thread(found.gateway.start)
        found.gateway.up()
        await boundary.until(lambda: boundary.look(now_us()).good)
        assert (await refused(boundary, found.peers["laptop"].address)).code == "unknown-device"
        found.allow("laptop")
        await boundary.until(lambda: boundary._seen is not None and bool(boundary._seen.membership.peers))
        assert await boundary.identify(found.peers["laptop"].address, 1) == Peer(found.peers["laptop"].key)

    with lab() as found:
        on_gateway(found, scenario)


def test_what_was_known_is_void_after_a_second_without_a_poll() -> None:
    """A clock that leaps past it (suspend) is as good as a poll that hangs."""

    async def scenario(boundary: Watched) -> None:
        laptop = found.peers["laptop"]
        peer = await boundary.identify(laptop.address, 50000)
        assert boundary.still(laptop.address, 50000) == peer
        real = boundary._clock
        boundary._clock = lambda: real() + 1_100_000
        assert boundary.still(laptop.address, 50000) is None
        assert not boundary.look(real() + 3_000_000).good
        boundary._clock = real

    with lab() as found:
        on_gateway(found, scenario)


def test_what_was_read_before_the_message_is_not_known_after_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """S9: a poll may still be under way when the link goes down."""

    async def scenario(boundary: Watched) -> None:
        entered, go_on = threading.Event(), threading.Event()
        read = boundary._reader.read

        def read_slowly() -> tuple[PeerEntry, ...]:
            peers = read()
            entered.set()
            go_on.wait(10)
            return peers

        with monkeypatch.context() as patch:
            patch.setattr(boundary._reader, "read", read_slowly)
            polling = asyncio.create_task(boundary._renew(0))
            await asyncio.to_thread(entered.wait)
        found.gateway.place.ip("link", "set", found.interface, "down")
        await boundary.alarms.get()
        go_on.set()
        await polling
        assert boundary.still(found.peers["laptop"].address, 1) is None
        await boundary._renew(0)
        assert boundary.still(found.peers["laptop"].address, 1) is None
        assert "is down" in (await refused(boundary, found.peers["laptop"].address)).detail

    with lab() as found:
        on_gateway(found, scenario)
