"""The loopback provider proves its interface and tells one local address from another."""

import asyncio

import pytest

from orchestrator.edges.vpn.boundary import Boundary, NotADevice, Peer, normalised
from orchestrator.edges.vpn.loopback import Loopback

from .namespaces import namespace


def test_an_interface_that_is_up_and_holds_the_address_is_good() -> None:
    boundary: Boundary = Loopback("127.0.0.77")
    sight = boundary.look(0)
    assert (sight.good, sight.fault) == (True, "")
    assert sight.evidence == {
        "provider": "loopback",
        "interface": "lo",
        "address": "127.0.0.77",
        "up": True,
        "holds_address": True,
    }
    assert boundary.addresses() == ("127.0.0.77",)
    assert boundary.interface == "lo"


@pytest.mark.parametrize("interface", ["volet-none0", "", "x" * 40])
def test_an_interface_that_is_not_there_is_down(interface: str) -> None:
    sight = Loopback(interface=interface).look(0)
    assert (sight.good, sight.fault) == (False, "vpn-down")
    assert "there is no interface" in sight.detail


@pytest.mark.slow
def test_the_look_follows_the_interface_down_up_and_without_its_address() -> None:
    with namespace() as place:
        boundary = Loopback()
        down = place.inside(lambda: boundary.look(0))
        place.ip("link", "set", "lo", "up")
        up = place.inside(lambda: boundary.look(1))
        place.ip("address", "delete", "127.0.0.1/8", "dev", "lo")
        bare = place.inside(lambda: boundary.look(2))
        place.ip("address", "add", "127.0.0.1/32", "dev", "lo")
        narrow = place.inside(lambda: (boundary.look(3).good, Loopback("127.0.0.77").look(3).fault))
    assert (down.good, down.fault) == (False, "vpn-down")
    assert up.good
    assert (bare.good, bare.fault) == (False, "vpn-address-changed")
    assert narrow == (True, "vpn-address-changed")


@pytest.mark.slow
def test_another_kind_of_interface_is_no_boundary_even_with_a_loopback_address() -> None:
    with namespace() as place:
        place.ip("link", "add", "lan0", "type", "veth", "peer", "name", "lan1")
        place.ip("address", "add", "127.0.0.1/8", "dev", "lan0")
        place.ip("link", "set", "lan0", "up")
        sight = place.inside(lambda: Loopback(interface="lan0").look(0))
        place.ip("link", "set", "lo", "up")
        place.ip("address", "delete", "127.0.0.1/8", "dev", "lo")
        elsewhere = place.inside(lambda: Loopback().look(1))
    assert (sight.good, sight.fault) == (False, "vpn-down")
    assert "no loopback interface" in sight.detail
    assert elsewhere.fault == "vpn-address-changed"


@pytest.mark.parametrize("address", ["0.0.0.0", "192.0.2.1", "::1", "localhost", "", "128.0.0.1"])
def test_it_listens_in_127_8_only(address: str) -> None:
    with pytest.raises(ValueError, match=r"127\.0\.0\.0/8 only"):
        Loopback(address)


@pytest.mark.parametrize("address", ["127.0.0.1", "127.1.2.3", "::ffff:127.0.0.1", "::ffff:7f00:1"])
async def test_a_peer_is_the_device_of_its_address_and_stays_it(address: str) -> None:
    boundary = Loopback("127.0.0.77")
    peer = await boundary.identify(address, 50000)
    assert peer == Peer(normalised(address))
    assert boundary.still(address, 50000) == peer


@pytest.mark.parametrize("address", ["127.0.0.77", "::ffff:127.0.0.77"])
async def test_the_listeners_own_address_is_nobody(address: str) -> None:
    """F5: a relay on the gateway has it."""
    boundary = Loopback("127.0.0.77")
    assert boundary.own(address)
    with pytest.raises(NotADevice) as refused:
        await boundary.identify(address, 50000)
    assert boundary.still(address, 50000) is None
    assert refused.value.code == "own-address"


@pytest.mark.parametrize(
    "address", ["192.0.2.1", "::1", "fe80::1%lo", "::ffff:192.0.2.1", "", "127.0.0.300", "a"]
)
async def test_who_is_not_in_127_8_is_no_device(address: str) -> None:
    boundary = Loopback()
    assert not boundary.own(address)
    with pytest.raises(NotADevice) as refused:
        await boundary.identify(address, 50000)
    assert boundary.still(address, 50000) is None
    assert refused.value.code == "unknown-device"


async def test_changes_wait_until_the_boundary_stops() -> None:
    boundary = Loopback()
    await boundary.start()
    heard: list[str] = []

    async def follow() -> None:
        heard.extend([sentence async for sentence in boundary.changes()])

    following = asyncio.create_task(follow())
    await asyncio.sleep(0)
    assert not following.done()
    await boundary.stop()
    await following
    assert heard == []


def test_an_address_is_written_in_one_way() -> None:
    assert normalised("::ffff:100.64.0.1") == "100.64.0.1"
    assert normalised("FD7A:115C:A1E0:0::1") == "fd7a:115c:a1e0::1"
    with pytest.raises(ValueError, match="does not appear to be"):
        normalised("100.64.0.1:8080")
