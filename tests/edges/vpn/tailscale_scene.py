"""A provider that follows a stand-in of tailscaled, with clocks of its own and, where asked, a tun device."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from orchestrator.core.moment import Moment
from orchestrator.edges import clock
from orchestrator.edges.vpn.boundary import InterfaceSight, NotADevice
from orchestrator.edges.vpn.serve_config import Guarded
from orchestrator.edges.vpn.tailscale import Tailscale, TailscaleOptions

from .namespaces import Namespace, namespace
from .tailscaled import GATEWAY, GATEWAY_ID, StandIn, whois

LAPTOP = "100.64.0.7"
GUARDED = Guarded(8080, frozenset({("127.0.0.1", 8000)}))


class Clock:
    """Both clocks, which stand still but for what a test pushes them on."""

    def __init__(self) -> None:
        self.ahead_us = 0
        self._began = clock.now()

    def now(self) -> Moment:
        return self._began.after(self.ahead_us)


class Alarms:
    """What was raised, and what is done at that moment."""

    def __init__(self) -> None:
        self.raised: list[tuple[str, str]] = []
        self.also: Callable[[], object] = lambda: None
        self._came = asyncio.Event()

    def raise_(self, fault: str, detail: str) -> None:
        self.raised.append((fault, detail))
        self.also()
        self._came.set()

    async def first(self) -> tuple[str, str]:
        """The fault and the sentence of the first one; waited for."""
        async with asyncio.timeout(10):
            await self._came.wait()
        return self.raised[0]

    def clear(self) -> None:
        """What was raised so far was of the beginning."""
        self.raised.clear()
        self._came.clear()


class Scene:
    """A tailscaled, a provider that follows it with its alarms, and its clock."""

    def __init__(self, daemon: StandIn, boundary: Tailscale, time: Clock, alarms: Alarms) -> None:
        self.daemon, self.boundary, self.time, self.alarms = daemon, boundary, time, alarms

    def look(self) -> InterfaceSight:
        return self.boundary.look(self.time.now().boottime_us)

    async def until(self, is_so: Callable[[], bool]) -> None:
        """Until a change after which it is so."""
        async with asyncio.timeout(10):
            if is_so():
                return
            async for _ in self.boundary.changes():
                if is_so():
                    return

    async def until_fault(self, fault: str) -> str:
        """The detail once that is the fault; empty for none."""
        await self.until(lambda: self.look().fault == fault)
        return self.look().detail

    async def nobody(self, address: str = LAPTOP) -> NotADevice:
        """The refusal of somebody at that address."""
        with pytest.raises(NotADevice) as refused:
            await self.boundary.identify(address, 40000)
        return refused.value


@asynccontextmanager
async def scene(tmp_path: Path, **options: object) -> AsyncIterator[Scene]:
    """A laptop of the tailnet and the gateway; the device is there only in a namespace of its own."""
    daemon, time = StandIn(tmp_path / "tailscaled.sock"), Clock()
    daemon.nodes = {
        LAPTOP: whois("nLAPTOP", LAPTOP),
        GATEWAY[0]: whois(GATEWAY_ID, *GATEWAY, login="owner@example.com"),
    }
    await daemon.start()
    given, alarms = {"interface": "volet-none0"} | options, Alarms()
    boundary = Tailscale(
        TailscaleOptions(socket=daemon.socket, **given),  # type: ignore[arg-type]
        guarded=lambda: GUARDED,
        monitors=lambda: ["nMONITOR"],
        alarm=alarms.raise_,
        now=time.now,
    )
    await boundary.start()
    try:
        alarms.clear()
        yield Scene(daemon, boundary, time, alarms)
    finally:
        await boundary.stop()
        await boundary.stop()
        await daemon.stop()


def on_a_tailnet(
    tmp_path: Path, story: Callable[[Scene, Namespace], Awaitable[None]], **options: object
) -> None:
    """Run a story where there is a tun device `tailscale0` with the gateway's addresses."""
    with namespace() as place:
        place.ip("link", "set", "lo", "up")
        place.ip("tuntap", "add", "mode", "tun", "name", "tailscale0")
        for address in GATEWAY:
            place.ip("address", "add", address, "dev", "tailscale0")
        place.ip("link", "set", "tailscale0", "up")

        async def run() -> None:
            async with scene(tmp_path, interface="tailscale0", **options) as stage:
                await story(stage, place)

        place.inside(lambda: asyncio.run(run()))


async def ip(place: Namespace, *words: str) -> None:
    await asyncio.to_thread(place.ip, *words)
