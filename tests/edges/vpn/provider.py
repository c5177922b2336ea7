"""A WireGuard provider on a loop inside a namespace, for the tests to watch."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Awaitable, Callable

import pytest

from orchestrator.edges.vpn.boundary import Boundary, NotADevice
from orchestrator.edges.vpn.wireguard import WireGuard

from .lab import Lab
from .namespaces import Namespace


def say(figure: str) -> None:
    """Show a measured figure, with `-s`; nothing is asserted about it."""
    sys.stdout.write(f"\n{figure}")


def now_us() -> int:
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1000


class Watched(WireGuard):
    """A provider that keeps its alarms, each with when it came."""

    def __init__(self, interface: str, address: str | None = None) -> None:
        self.alarms: asyncio.Queue[tuple[str, str, int]] = asyncio.Queue()
        super().__init__(
            interface,
            address,
            alarm=lambda fault, detail: self.alarms.put_nowait((fault, detail, time.monotonic_ns())),
        )

    async def until(self, holds: Callable[[], bool]) -> None:
        """Until that holds, which is looked at after each notification."""
        async with asyncio.timeout(10):
            async for _ in self.changes():
                if holds():
                    return


async def answered(boundary: WireGuard) -> None:
    """Until somebody has told it of its peers: who runs the tunnel may be slow to answer the first question,
    and is asked again."""
    told = boundary.changes()
    async with asyncio.timeout(20):
        while boundary._seen is None:
            await anext(told)


def on_gateway(
    found: Lab, scenario: Callable[[Watched], Awaitable[None]], address: str | None = None
) -> None:
    """Run the scenario on a loop in the gateway's namespace, with a provider that stands and has been
    answered."""

    async def once_answered(boundary: Watched) -> None:
        await answered(boundary)
        await scenario(boundary)

    inside(found.gateway.place, Watched(found.interface, address), once_answered)


def inside(place: Namespace, boundary: Watched, scenario: Callable[[Watched], Awaitable[None]]) -> None:
    async def run() -> None:
        await boundary.start()
        try:
            async with asyncio.timeout(40):
                await scenario(boundary)
        finally:
            await boundary.stop()

    place.inside(lambda: asyncio.run(run()))


async def refused(boundary: Boundary, address: str) -> NotADevice:
    with pytest.raises(NotADevice) as why:
        await boundary.identify(address, 50000)
    return why.value
