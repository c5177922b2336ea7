"""The files in `ops/` that stand around a WireGuard gateway are read by the programs that they are for."""

from __future__ import annotations

import asyncio
import re
import shutil
import socket
import subprocess
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest

from orchestrator.edges.vpn.boundary import Peer
from orchestrator.edges.vpn.wireguard import WireGuard

from .lab import Lab, interface_name, lab, run, wireguard_go
from .namespaces import Namespace, namespace
from .provider import answered

pytestmark = pytest.mark.slow

OPS = Path(__file__).resolve().parents[3] / "ops"
PORT, OTHER = 8080, 9090
ANSWER_S, SILENCE_S = 10.0, 0.7
"""How long a connection is waited for that must come, and one that must not."""


def needs(program: str) -> None:
    if shutil.which(program) is None:
        pytest.skip(f"needs {program}")


def test_the_nft_rules_are_valid_and_load_twice() -> None:
    needs("nft")
    with namespace() as place:
        run(*place.argv("nft", "-c", "-f", str(OPS / "nftables.conf")))
        for _ in range(2):
            run(*place.argv("nft", "-f", str(OPS / "nftables.conf")))
        assert run(*place.argv("nft", "list", "ruleset")).count("chain ") == 2


def reach(place: Namespace, address: str, port: int, within_s: float = ANSWER_S) -> bool:
    try:
        place.inside(lambda: socket.create_connection((address, port), within_s)).close()
    except OSError:
        return False
    return True


def everywhere(port: int) -> socket.socket:
    return socket.create_server(("::", port), family=socket.AF_INET6, dualstack_ipv6=True)


def _pretending(found: Lab, folder: Path) -> Path:
    """The rules as a site would edit them: with its own interface."""
    rules = (OPS / "nftables.conf").read_text()
    assert rules.count('define vpn_interface = "wg0"') == 1
    edited = folder / "volet.nft"
    edited.write_text(rules.replace('"wg0"', f'"{found.interface}"'))
    return edited


@pytest.mark.parametrize("chain", ["elsewhere", "arriving"])
def test_each_of_the_two_nft_rules_shuts_out_the_lan_by_itself(chain: str, tmp_path: Path) -> None:
    needs("nft")
    with lab() as found:
        gateway = found.gateway
        with closing(gateway.place.inside(partial(everywhere, PORT))):
            run(*gateway.place.argv("nft", "-f", str(_pretending(found, tmp_path))))
            run(*gateway.place.argv("nft", "flush", "chain", "inet", "volet", chain))
            for address in (gateway.address, gateway.address6):
                assert not reach(found.lan, address, PORT, SILENCE_S)
                assert reach(found.peers["laptop"].place, address, PORT)


def test_the_nft_rules_shut_out_the_lan_even_from_a_listener_without_a_device(tmp_path: Path) -> None:
    """Belt and braces for S8; the tunnel and every other port are left as they were."""
    needs("nft")
    with lab() as found:
        gateway, laptop = found.gateway, found.peers["laptop"]
        addresses = (gateway.address, gateway.address6)
        servers = [gateway.place.inside(partial(everywhere, port)) for port in (PORT, OTHER)]
        with closing(servers[0]), closing(servers[1]):
            assert [reach(found.lan, address, PORT) for address in addresses] == [True, True]
            run(*gateway.place.argv("nft", "-f", str(_pretending(found, tmp_path))))
            assert [reach(found.lan, address, PORT, SILENCE_S) for address in addresses] == [False, False]
            assert not reach(found.lan, gateway.lan, PORT, SILENCE_S)
            assert [reach(laptop.place, address, PORT) for address in addresses] == [True, True]
            assert [reach(found.lan, address, OTHER) for address in addresses] == [True, True]


def test_the_wireguard_example_is_read_and_each_of_its_peers_is_a_device(tmp_path: Path) -> None:
    needs("wg-quick")
    example = tmp_path / "wg0.conf"
    example.write_text((OPS / "wireguard.conf").read_text())
    example.chmod(0o600)
    stripped = run("wg-quick", "strip", str(example))
    keys = re.findall(r"^PublicKey = (\S+)$", stripped, re.MULTILINE)
    name = interface_name()

    async def identities() -> list[Peer]:
        boundary = WireGuard(name)
        await boundary.start()
        try:
            await answered(boundary)
            return [await boundary.identify(a, 1) for a in ("10.77.0.2", "fd77::2", "10.77.0.3", "fd77::3")]
        finally:
            await boundary.stop()

    with namespace() as place, wireguard_go(place, name):
        run(*place.argv("wg", "setconf", name, "/dev/stdin"), given=stripped)
        place.ip("address", "add", "10.77.0.1/24", "dev", name)
        place.ip("link", "set", name, "up")
        found = place.inside(lambda: asyncio.run(identities()))
    assert len(keys) == 2
    assert found == [Peer(key) for key in keys for _ in range(2)]


def test_the_unit_of_the_helper_is_read_without_a_word(tmp_path: Path) -> None:
    needs("systemd-analyze")
    text = (OPS / "volet-peers.service").read_text()
    program = re.search(r"^ExecStart=(\S+) ", text, re.MULTILINE)
    assert program is not None
    unit = tmp_path / "volet-peers.service"
    unit.write_text(text.replace(program[1], shutil.which("true") or ""))
    told = subprocess.run(
        ["systemd-analyze", "verify", str(unit)], capture_output=True, text=True, check=False
    )
    assert (told.returncode, told.stderr) == (0, "")
