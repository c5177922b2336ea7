"""The kernel's WireGuard peers, by the two questions to `wg show` that have no private key in the answer."""

from __future__ import annotations

import ipaddress
import os
import subprocess
import time

from orchestrator.edges.vpn.wireguard_peers import NotProven, PeerEntry, bounded, key_of
from orchestrator.edges.vpn.wireguard_uapi import FOLDER

TIMEOUT_S = 0.5


def show(interface: str) -> tuple[PeerEntry, ...]:
    """The interface's peers now. NotProven when `wg` is missing, refused or slow. Blocking: at most 1 s."""
    if os.path.lexists(f"{FOLDER}/{interface}.sock"):
        # `wg` would ask whoever made that socket, in whatever network namespace, and not the kernel.
        raise NotProven(
            f"{FOLDER}/{interface}.sock stands in front of the kernel's {interface}: stop the "
            "wireguard-go that made it, and remove it"
        )
    return shown(interface)


def shown(interface: str) -> tuple[PeerEntry, ...]:
    """What `wg show` says of an interface, whoever runs it."""
    shaken: dict[str, int] = {}
    peers: list[PeerEntry] = []
    allowed = _lines(interface, "allowed-ips")
    try:
        for line in _lines(interface, "latest-handshakes"):
            key, seconds = line.split("\t")
            shaken[key_of(key)] = int(seconds)
        wall_s = int(time.time())
        for line in allowed:
            key, _, networks = line.partition("\t")
            texts = [] if networks == "(none)" else networks.split()
            at_s = shaken.get(key_of(key), 0)
            peers.append(
                PeerEntry(
                    key_of(key),
                    tuple(ipaddress.ip_network(text, strict=False) for text in texts),
                    max(0, wall_s - at_s) if at_s else None,
                )
            )
    except ValueError:
        raise NotProven(f"what `wg show {interface}` says cannot be read: is it another program?") from None
    return bounded(peers)


def _lines(interface: str, what: str) -> list[str]:
    # Never `dump`: it prints the private and the preshared keys.
    argv = ["wg", "show", interface, what]
    try:
        done = subprocess.run(
            argv, capture_output=True, text=True, timeout=TIMEOUT_S, check=False, stdin=subprocess.DEVNULL
        )
    except FileNotFoundError:
        raise NotProven("there is no `wg`: install wireguard-tools") from None
    except subprocess.TimeoutExpired:
        raise NotProven(f"`{' '.join(argv)}` did not answer in {TIMEOUT_S} s") from None
    except (OSError, UnicodeDecodeError) as error:
        raise NotProven(f"`{' '.join(argv)}` could not be run: {error}") from None
    if done.returncode != 0:
        why = done.stderr.strip()[:200] or f"exit status {done.returncode}"
        raise NotProven(
            f"`{' '.join(argv)}` was refused ({why}): run `volet peers` as root, and set vpn.helper"
        )
    return done.stdout.splitlines()
