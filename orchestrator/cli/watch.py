"""`volet watch`: join as a viewer, print the addresses for a player, and leave again on Ctrl-C."""

from __future__ import annotations

import argparse
import asyncio
import signal
from collections.abc import Mapping
from typing import Any

from yarl import URL

from orchestrator.cli import client
from orchestrator.cli.outcome import DONE
from orchestrator.cli.rows import place
from orchestrator.cli.status import OPEN_STATES
from orchestrator.cli.terminal import plain, until

POLL_S = 1.0


def arguments(verb: str, parser: argparse.ArgumentParser) -> None:
    """The words after `volet watch`."""
    parser.add_argument("camera", metavar="CAMERA")
    client.add_target(parser)
    parser.set_defaults(run=lambda values: client.run(_watch(client.target(values), values.camera)))


async def _watch(to: client.Target, camera: str) -> int:
    left = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, left.set)
    async with client.Client(to) as daemon:
        joined = await daemon.post(client.camera_path(camera, "watches"), {})
        watch = str(joined["watch"])
        try:
            _tell(to, camera, joined)
            ended = await _stay(daemon, camera, left)
        finally:
            unread = not await _leave(daemon, watch)
    if ended is not None:
        print(f"the picture has ended: {plain(camera)} is {ended}")
    elif unread:
        print("the watch had already left: nobody read it for 10 s; start the player sooner next time")
    else:
        print("left")
    return DONE


def _tell(to: client.Target, camera: str, joined: Mapping[str, Any]) -> None:
    mp4, hls = (
        str(to.url.join(URL(str(joined[name])))) if to.url and joined.get(name) else None
        for name in ("mp4", "hls")
    )
    print(f"watching {plain(camera)}, on this device alone; begin to read within 10 s")
    for name, address in (("mp4", mp4), ("hls", hls)):
        if address:
            print(f"  {name}  {plain(address)}")
    if mp4:
        print(f"  ffplay -fflags nobuffer -flags low_delay '{plain(mp4)}'")
        print(f"  mpv --profile=low-latency '{plain(mp4)}'")
    if hls:
        print(f"  vlc '{plain(hls)}'")
    print("Ctrl-C leaves", flush=True)


async def _stay(daemon: client.Client, camera: str, left: asyncio.Event) -> str | None:
    """Where the camera went when the picture ended, or None once the person has left."""
    session, told = None, ""
    while not left.is_set():
        seen = await daemon.get(client.camera_path(camera))
        session = session or seen.get("session")
        where = place(seen.get("state"), seen.get("substate"))
        if seen.get("state") not in OPEN_STATES or seen.get("session") != session:
            return where
        if seen.get("state") == "expiring" and told != plain(seen.get("deadline")):
            told = plain(seen.get("deadline"))
            print(f"the session ends {until(told)}; it may be extended with `volet extend`", flush=True)
        try:
            async with asyncio.timeout(POLL_S):
                await left.wait()
        except TimeoutError:
            pass
    return None


async def _leave(daemon: client.Client, watch: str) -> bool:
    """Leave; False when the daemon had ended the watch before."""
    try:
        await daemon.delete(f"/watches/{watch}")
    except client.Refused as refused:
        if refused.code not in {"unknown-watch", "shut"}:
            raise
        return False
    return True
