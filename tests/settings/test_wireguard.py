"""A site on WireGuard: which interface, whose keys, and where the root helper answers (CONTRACT 3)."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator.core.canonical import canonical
from tests.settings.configuration import SMALL, faults, loaded

KEY = "cGVlciBvZiBhIHRlc3QsIDMyIGJ5dGVzIGxvbmcgLi4="
WIREGUARD = SMALL.replace(
    'provider = "loopback"\naddress = "127.0.0.77"', 'provider = "wireguard"\ninterface = "wg0"'
).replace('address = "127.0.0.2"', f'key = "{KEY}"')


def with_line(line: str) -> str:
    return WIREGUARD.replace('interface = "wg0"', f'interface = "wg0"\n{line}')


def test_the_interface_alone_is_enough(tmp_path: Path) -> None:
    vpn = loaded(tmp_path, WIREGUARD).vpn
    assert (vpn.provider, vpn.interface, vpn.port) == ("wireguard", "wg0", 8080)
    assert (vpn.address, vpn.helper) == (None, None)


def test_address_port_and_helper_are_taken_over(tmp_path: Path) -> None:
    text = with_line('address = "FD77:0::1"\nport = 80\nhelper = "/run/volet/peers.sock"')
    found = loaded(tmp_path, text)
    assert (found.vpn.address, found.vpn.port) == ("fd77::1", 80)
    assert found.vpn.helper == Path("/run/volet/peers.sock")
    assert b'"helper":"/run/volet/peers.sock"' in canonical(found.public())


def test_a_device_is_its_public_key(tmp_path: Path) -> None:
    (member,) = loaded(tmp_path, WIREGUARD).members
    assert [(device.kind, device.value) for device in member.devices] == [("key", KEY)]


@pytest.mark.parametrize(
    ("old", "new", "path", "expected"),
    [
        ('interface = "wg0"\n', "", "vpn.interface", "wg0"),
        ('interface = "wg0"', 'interface = "wg0/../lo"', "vpn.interface", "network interface"),
        (f'key = "{KEY}"', 'address = "127.0.0.2"', "members[0].devices[0].address", "key (wireguard)"),
        (f'key = "{KEY}"', 'node = "n1"', "members[0].devices[0].node", "key (wireguard)"),
        (KEY, KEY[:-4], "members[0].devices[0].key", "44 characters"),
        (KEY, KEY[:-2] + "5=", "members[0].devices[0].key", "44 characters"),
        (KEY, "00" * 32, "members[0].devices[0].key", "44 characters"),
        (
            f'[{{ label = "laptop", key = "{KEY}" }}]',
            f'[{{ label = "laptop", key = "{KEY}" }}, {{ label = "phone", key = "{KEY}" }}]',
            "members[0].devices[1]",
            "one person",
        ),
    ],
)
def test_what_is_no_tunnel_or_no_key_is_refused_where_it_stands(
    tmp_path: Path, old: str, new: str, path: str, expected: str
) -> None:
    assert WIREGUARD.count(old) == 1
    told = faults(tmp_path, WIREGUARD.replace(old, new))
    assert any(fault.path == path and expected in fault.expected for fault in told), told


@pytest.mark.parametrize(
    ("line", "path"),
    [
        ('address = "0.0.0.0"', "vpn.address"),
        ('address = "::"', "vpn.address"),
        ('address = "127.0.0.1"', "vpn.address"),
        ('address = "fe80::1"', "vpn.address"),
        ('address = "224.0.0.1"', "vpn.address"),
        ('helper = "peers.sock"', "vpn.helper"),
        ('helper = ""', "vpn.helper"),
    ],
)
def test_an_address_that_is_not_one_machines_or_a_helper_without_a_path_is_refused(
    tmp_path: Path, line: str, path: str
) -> None:
    assert [fault.path for fault in faults(tmp_path, with_line(line))] == [path]


def test_a_helper_is_for_wireguard_alone(tmp_path: Path) -> None:
    text = SMALL.replace('provider = "loopback"', 'provider = "loopback"\nhelper = "/run/volet/peers.sock"')
    (fault,) = faults(tmp_path, text)
    assert (fault.path, "wireguard alone" in fault.expected) == ("vpn.helper", True)
