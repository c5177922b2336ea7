"""A site on Tailscale: the provider's keys, members by node, and side doors accepted in writing."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator.core.canonical import canonical
from orchestrator.settings import AcceptedSideDoor, changes
from tests.settings.configuration import SMALL, faults, loaded

TAILSCALE = SMALL.replace('provider = "loopback"\naddress = "127.0.0.77"', 'provider = "tailscale"').replace(
    'address = "127.0.0.2"', 'node = "nLAPTOP11CNTRL"'
)
DOOR = """
[[vpn.accepted_side_doors]]
listener = "0.0.0.0:8000"
why = "vision service is rebound in March"
until = "2027-03-31"
"""


def with_lines(lines: str) -> str:
    return TAILSCALE.replace('provider = "tailscale"', f'provider = "tailscale"\n{lines}')


def test_the_provider_alone_is_enough(tmp_path: Path) -> None:
    found = loaded(tmp_path, TAILSCALE)
    vpn = found.vpn
    assert (vpn.provider, vpn.interface, vpn.port, vpn.address) == ("tailscale", "tailscale0", 8080, None)
    assert vpn.socket == Path("/var/run/tailscale/tailscaled.sock")
    assert (vpn.capability, vpn.control_max_age_us) == ("volet.invalid/cap/camera", 600_000_000)
    assert (vpn.names, vpn.accepted_side_doors) == ((), ())
    assert [(device.kind, device.value) for device in found.members[0].devices] == [
        ("node", "nLAPTOP11CNTRL")
    ]


def test_every_key_is_taken_over_and_stands_in_the_chain(tmp_path: Path) -> None:
    lines = (
        'interface = "ts0"\naddress = "100.101.102.103"\nport = 80\ncontrol_max_age = "90s"\n'
        'capability = "example.com/cap/x"\nsocket = "/tmp/tailscaled.sock"\n'
        'names = ["Edge-GW.tail0000.ts.net"]\n'
    )
    found = loaded(tmp_path, with_lines(lines))
    vpn = found.vpn
    assert (vpn.interface, vpn.address, vpn.port) == ("ts0", "100.101.102.103", 80)
    assert (vpn.control_max_age_us, vpn.capability) == (90_000_000, "example.com/cap/x")
    assert (vpn.socket, vpn.names) == (Path("/tmp/tailscaled.sock"), ("edge-gw.tail0000.ts.net",))
    chained = canonical(found.public())
    for value in (b"example.com/cap/x", b"/tmp/tailscaled.sock", b"edge-gw.tail0000.ts.net", b"90000000"):
        assert value in chained


def test_an_accepted_side_door_has_an_end_and_its_reason_stays_out_of_the_chain(tmp_path: Path) -> None:
    found = loaded(tmp_path, TAILSCALE + DOOR + DOOR.replace("0.0.0.0:8000", "[0::0]:554"))
    why = "vision service is rebound in March"
    assert found.vpn.accepted_side_doors == (
        AcceptedSideDoor("0.0.0.0:8000", "0.0.0.0", 8000, why, "2027-03-31"),
        AcceptedSideDoor("[::]:554", "::", 554, why, "2027-03-31"),
    )
    chained = canonical(found.public())
    assert b'{"listener":"0.0.0.0:8000","until":"2027-03-31"}' in chained
    assert b"rebound" not in chained
    assert found.personal()["accepted_side_doors"] == [why, why]


def test_a_side_door_may_be_accepted_under_any_provider(tmp_path: Path) -> None:
    assert len(loaded(tmp_path, SMALL + DOOR).vpn.accepted_side_doors) == 1


def test_a_change_of_any_of_it_rebuilds_the_vpn_and_closes(tmp_path: Path) -> None:
    before = loaded(tmp_path, TAILSCALE)
    for lines in ('control_max_age = "5m"', 'names = ["a.ts.net"]', 'capability = "a.b/c"', 'socket = "/s"'):
        difference = changes(before, loaded(tmp_path, with_lines(lines)))
        assert difference.rebuild == {"vpn"}
        assert difference.close == {"cam1"}


@pytest.mark.parametrize(
    ("text", "path", "expected"),
    [
        (with_lines('control_max_age = "5s"'), "vpn.control_max_age", "from 10s to 24h"),
        (with_lines('capability = "camera"'), "vpn.capability", "volet.invalid/cap/camera"),
        (with_lines('capability = "a b/c"'), "vpn.capability", "volet.invalid/cap/camera"),
        (with_lines('socket = "tailscaled.sock"'), "vpn.socket", "absolute path"),
        (with_lines('names = ["http://a.ts.net"]'), "vpn.names[0]", "host name"),
        (with_lines('names = "a.ts.net"'), "vpn.names", "list"),
        (with_lines('address = "127.0.0.1"'), "vpn.address", "address of the VPN interface"),
        (with_lines('helper = "/run/peers.sock"'), "vpn.helper", "wireguard alone"),
        (SMALL.replace('"127.0.0.77"', '"127.0.0.77"\nsocket = "/s"'), "vpn.socket", "tailscale alone"),
        (
            SMALL.replace('"127.0.0.77"', '"127.0.0.77"\ncapability = "a.b/c"'),
            "vpn.capability",
            "tailscale alone",
        ),
        (
            SMALL.replace('"127.0.0.77"', '"127.0.0.77"\ncontrol_max_age = "1m"'),
            "vpn.control_max_age",
            "tailscale alone",
        ),
        (TAILSCALE.replace("node =", "key ="), "members[0].devices[0].key", "44 characters"),
        (TAILSCALE.replace('"nLAPTOP11CNTRL"', '"n/1"'), "members[0].devices[0].node", "stable node id"),
        (
            TAILSCALE + DOOR.replace("0.0.0.0:8000", "127.0.0.1:8000"),
            "vpn.accepted_side_doors[0].listener",
            "beyond loopback",
        ),
        (
            TAILSCALE + DOOR.replace("0.0.0.0:8000", "8000"),
            "vpn.accepted_side_doors[0].listener",
            "address and port",
        ),
        (
            TAILSCALE + DOOR.replace("0.0.0.0:8000", ":::8000"),
            "vpn.accepted_side_doors[0].listener",
            "address and port",
        ),
        (
            TAILSCALE + DOOR.replace('until = "2027-03-31"', ""),
            "vpn.accepted_side_doors[0].until",
            "no default",
        ),
        (TAILSCALE + DOOR.replace("2027-03-31", "2027-02-31"), "vpn.accepted_side_doors[0].until", "a date"),
        (
            TAILSCALE + DOOR.replace('why = "vision service is rebound in March"', ""),
            "vpn.accepted_side_doors[0].why",
            "no default",
        ),
        (TAILSCALE + DOOR + "port = 1\n", "vpn.accepted_side_doors[0].port", "listener"),
        (TAILSCALE + DOOR + DOOR, "vpn.accepted_side_doors", "each one once"),
    ],
)
def test_what_is_wrong_is_refused_where_it_stands(
    tmp_path: Path, text: str, path: str, expected: str
) -> None:
    found = faults(tmp_path, text)
    assert any(fault.path == path and expected in fault.expected for fault in found), found
