"""What is said on the socket of `volet peers`: one line of text asked, one line of JSON answered."""

from __future__ import annotations

import ipaddress
import json
from typing import Any

from orchestrator.edges.vpn.wireguard_peers import NotProven, PeerEntry, bounded, key_of

QUESTION = b"peers\n"
DEFAULT_SOCKET = "/run/volet/peers.sock"
MAX_ANSWER_BYTES = 1 << 20


def answer(interface: str, namespace: int, peers: tuple[PeerEntry, ...]) -> bytes:
    """The peers as they are told: per peer its public key, allowed IPs and handshake age, and no more."""
    told = {
        "interface": interface,
        "namespace": namespace,
        "peers": [
            {
                "key": peer.key,
                "allowed_ips": [str(network) for network in peer.allowed_ips],
                "handshake_age_s": peer.handshake_age_s,
            }
            for peer in peers
        ],
    }
    return _line(told)


def refusal(why: str) -> bytes:
    """The answer when there is none."""
    return _line({"error": why})


def understood(line: bytes, interface: str, namespace: int) -> tuple[PeerEntry, ...]:
    """The peers that an answer tells of. NotProven when it is a refusal, about another interface or network
    namespace, or in any other form than `answer` gives it."""
    try:
        told = json.loads(line)
        if set(told) == {"error"}:
            raise NotProven(f"`volet peers` says: {told['error']}")
        if (told["interface"], told["namespace"]) != (interface, namespace):
            raise NotProven(
                f"`volet peers` answers for {told['interface']!r}, or for another network namespace than "
                f"ours: start it with --interface {interface} beside the daemon"
            )
        return bounded(_peer(entry) for entry in told["peers"])
    except (ValueError, TypeError, KeyError, AttributeError):
        raise NotProven("what `volet peers` says cannot be read: are both of the same version?") from None


def _peer(entry: dict[str, Any]) -> PeerEntry:
    age_s = entry["handshake_age_s"]
    if age_s is not None and type(age_s) is not int:
        raise TypeError("an age is a whole number")
    allowed = entry["allowed_ips"]
    if not isinstance(allowed, list) or not all(isinstance(text, str) for text in allowed):
        raise TypeError("networks are a list of texts")
    return PeerEntry(key_of(entry["key"]), tuple(map(ipaddress.ip_network, allowed)), age_s)


def _line(value: dict[str, Any]) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode() + b"\n"
