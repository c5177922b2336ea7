"""F29: an address is a device by its host route alone; anything wider is a network."""

from ipaddress import ip_network

import pytest

from orchestrator.edges.vpn.peers_words import answer, refusal, understood
from orchestrator.edges.vpn.wireguard_peers import (
    MAX_PEERS,
    Membership,
    NotProven,
    PeerEntry,
    bounded,
    key_from,
)

LAPTOP, PHONE = key_from(b"l" * 32), key_from(b"p" * 32)


def peer(key: str, *networks: str) -> PeerEntry:
    return PeerEntry(key, tuple(map(ip_network, networks)), 7)


def key_at(address: str, *peers: PeerEntry) -> str | None:
    found = Membership(peers).device(address)
    return None if found is None else found.key


@pytest.mark.parametrize("address", ["10.0.0.2", "fd77::2"])
def test_a_host_route_is_a_device(address: str) -> None:
    assert key_at(address, peer(LAPTOP, "10.0.0.2/32", "fd77::2/128"), peer(PHONE, "10.0.0.3")) == LAPTOP


def test_a_host_route_is_longer_than_any_network_around_it() -> None:
    around = peer(PHONE, "10.0.0.0/24", "fd77::/64")
    assert key_at("10.0.0.2", around, peer(LAPTOP, "10.0.0.2/32")) == LAPTOP
    assert key_at("10.0.0.3", around, peer(LAPTOP, "10.0.0.2/32")) is None


@pytest.mark.parametrize("network", ["10.0.0.0/24", "10.0.0.2/31", "0.0.0.0/0"])
def test_an_address_of_a_network_is_nobodys(network: str) -> None:
    members = Membership([peer(PHONE, network)])
    assert members.device("10.0.0.3") is None
    assert "stands for a network" in members.why_not("10.0.0.3")


def test_a_peer_that_also_has_a_network_is_no_device_at_its_own_address_either() -> None:
    router = peer(PHONE, "10.0.0.3/32", "192.168.7.0/24")
    assert key_at("10.0.0.3", router) is None
    assert "stands for a network" in Membership([router]).why_not("10.0.0.3")


@pytest.mark.parametrize("address", ["10.0.0.9", "fe80::1%wg0", "", "2001:db8::1"])
def test_a_stranger_is_told_no_more_than_that(address: str) -> None:
    members = Membership([peer(LAPTOP, "10.0.0.2/32")])
    assert members.device(address) is None
    assert members.why_not(address) == "no WireGuard peer has this address"


def test_an_address_that_two_peers_claim_is_nobodys() -> None:
    assert key_at("10.0.0.2", peer(LAPTOP, "10.0.0.2/32"), peer(PHONE, "10.0.0.2/32")) is None


def test_a_handshake_changes_no_routes_and_a_moved_address_does() -> None:
    before = Membership([peer(LAPTOP, "10.0.0.2/32"), peer(PHONE, "10.0.0.3/32")]).routes()
    again = Membership([peer(PHONE, "10.0.0.3/32"), PeerEntry(LAPTOP, (ip_network("10.0.0.2/32"),), 1)])
    moved = Membership([peer(LAPTOP), peer(PHONE, "10.0.0.3/32", "10.0.0.2/32")])
    assert again.routes() == before
    assert moved.routes() != before


def test_more_peers_than_can_be_looked_at_five_times_a_second_are_refused() -> None:
    with pytest.raises(NotProven, match="1025 peers"):
        bounded(peer(LAPTOP) for _ in range(MAX_PEERS + 1))


def test_what_the_helper_tells_is_what_is_understood() -> None:
    peers = (peer(LAPTOP, "10.0.0.2/32", "fd77::2/128"), PeerEntry(PHONE, (), None))
    assert understood(answer("wg0", 42, peers), "wg0", 42) == peers


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        (answer("wg1", 42, ()), "answers for 'wg1'"),
        (answer("wg0", 41, ()), "another network namespace"),
        (refusal("no interface"), "says: no interface"),
        (b"", "cannot be read"),
        (b"[]", "cannot be read"),
        (b'{"interface":"wg0","namespace":42}', "cannot be read"),
        (b'{"interface":"wg0","namespace":42,"peers":{"a":1}}', "cannot be read"),
        (b'{"interface":"wg0","namespace":42,"peers":[{"key":"x"}]}', "cannot be read"),
        (
            answer("wg0", 42, (peer(LAPTOP, "10.0.0.2"),)).replace(b"10.0.0.2", b"10.0.0.300"),
            "cannot be read",
        ),
        (
            answer("wg0", 42, (peer(LAPTOP, "10.0.0.0/24"),)).replace(b"10.0.0.0", b"10.0.0.1"),
            "cannot be read",
        ),
        (answer("wg0", 42, (peer(LAPTOP),)).replace(b"[]", b'"10.0.0.2"'), "cannot be read"),
        (answer("wg0", 42, (peer(LAPTOP),)).replace(b":7", b":7.5"), "cannot be read"),
        (answer("wg0", 42, (peer(LAPTOP),)).replace(b"=", b""), "cannot be read"),
    ],
)
def test_any_other_word_of_the_helper_proves_nothing(line: bytes, sentence: str) -> None:
    with pytest.raises(NotProven, match=sentence):
        understood(line, "wg0", 42)
