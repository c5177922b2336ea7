"""`volet peers`: the small root helper beside an unprivileged daemon on WireGuard (`vpn.helper`)."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import grp
import logging
import os
import signal
from pathlib import Path

from orchestrator.cli.outcome import DONE, Failure
from orchestrator.edges import systemd
from orchestrator.edges.vpn.peers_service import PeersService
from orchestrator.edges.vpn.peers_words import DEFAULT_SOCKET

MAX_PATH_BYTES = 107


def arguments(verb: str, parser: argparse.ArgumentParser) -> None:
    """The words after `volet peers`."""
    parser.add_argument("--interface", required=True, metavar="IF", help="the WireGuard interface: wg0")
    parser.add_argument(
        "--socket",
        type=Path,
        default=Path(DEFAULT_SOCKET),
        metavar="PATH",
        help=f"where to answer, as vpn.helper has it (default: {DEFAULT_SOCKET})",
    )
    parser.add_argument(
        "--group",
        default="volet",
        metavar="NAME",
        help="the group that may ask: the daemon's (default: volet)",
    )
    parser.set_defaults(run=_run)


def _run(values: argparse.Namespace) -> int:
    if os.geteuid() != 0:
        raise Failure(
            "WireGuard tells its peers to root alone; run `volet peers` as root (volet-peers.service)"
        )
    if len(os.fsencode(values.socket)) > MAX_PATH_BYTES:
        raise Failure(f"the path of a socket has at most {MAX_PATH_BYTES} bytes; give --socket a shorter one")
    _take_group(values.group)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    asyncio.run(_serve(PeersService(values.interface, values.socket)))
    return DONE


def _take_group(name: str) -> None:
    """Make it the group that this process makes files with."""
    try:
        group = grp.getgrnam(name).gr_gid
    except KeyError:
        raise Failure(
            f"there is no group {name!r}; `useradd --system --user-group {name}`, or give --group"
        ) from None
    if os.getegid() != group:
        os.setegid(group)


async def _serve(service: PeersService) -> None:
    serving = asyncio.create_task(service.serve())
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, serving.cancel)
    systemd.notify("READY=1")
    with contextlib.suppress(asyncio.CancelledError):
        await serving
