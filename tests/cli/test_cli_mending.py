"""Each thing that can be wrong with the boundary has a step of its own, with the names in it."""

from typing import Any

import pytest

from orchestrator.cli.mending import mending

TUNNEL = {"provider": "wireguard", "interface": "wg0"}
TAILNET = {"provider": "tailscale", "interface": "tailscale0"}
STRAY = {"kind": "stray", "protocol": "tcp", "address": "::", "port": 5000, "pid": 7, "program": "nc"}
UNKNOWN = STRAY | {"kind": "port-taken", "address": "0.0.0.0", "pid": None, "program": None}

INTERFACES: list[tuple[dict[str, Any], str]] = [
    (TUNNEL, "wg-quick up wg0"),
    (TUNNEL | {"is_tunnel": True}, "ip link set wg0 up"),
    (TUNNEL | {"is_tunnel": True, "up": True}, "ip address add ADDRESS dev wg0"),
    (TUNNEL | {"is_tunnel": True, "up": True, "holds_address": True}, "systemctl start volet-peers"),
    (TAILNET, "systemctl start tailscaled"),
    (TAILNET | {"running": True}, "ip link set tailscale0 up"),
    (TAILNET | {"running": True, "up": True}, "tailscale ip"),
    (TAILNET | {"running": True, "up": True, "holds_address": True}, "tailscale netcheck"),
    ({"provider": "loopback", "interface": "lo"}, "ip link set lo up"),
    ({"provider": "loopback", "interface": "lo", "up": True}, "127.0.0.0/8"),
]


@pytest.mark.parametrize(("evidence", "step"), INTERFACES)
def test_the_interfaces_step_follows_from_what_was_seen(evidence: dict[str, Any], step: str) -> None:
    assert step in mending({"id": "vpn-interface", "fault": "vpn-down", "evidence": evidence})


def test_a_public_address_is_to_be_replaced() -> None:
    assert "100.64.0.0/10" in mending({"id": "vpn-interface", "fault": "vpn-not-private", "evidence": TUNNEL})


def test_a_stray_is_named_by_program_process_protocol_and_place() -> None:
    step = mending({"id": "vpn-listener", "found": [STRAY]})
    assert step == "stop nc (process 7), tcp [::]:5000; then an approver acknowledges the lock with a reason"


def test_whose_the_port_is_may_be_for_root_alone_to_say() -> None:
    step = mending({"id": "vpn-listener", "found": [UNKNOWN]})
    assert step.startswith("stop the program that `ss -lnp 'sport = :5000'` names as root")


def test_only_the_doors_that_nobody_accepted_are_to_be_shut() -> None:
    accepted = UNKNOWN | {"kind": "side-door", "accepted": True}
    step = mending(
        {"id": "vpn-side-door", "found": [accepted, STRAY | {"kind": "side-door", "accepted": False}]}
    )
    assert 'listener = "[::]:5000"' in step


def test_words_from_outside_cannot_move_the_cursor() -> None:
    step = mending({"id": "vpn-listener", "found": [STRAY | {"program": "n\x1b[2Jc"}]})
    assert "\x1b" not in step
