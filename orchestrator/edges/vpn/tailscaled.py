"""Following one tailscaled: its state by the notification bus, and by asking what no notification tells."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass
from typing import Generic, TypeVar

from orchestrator.core.backoff import retry_in_us
from orchestrator.core.moment import SECOND_US, Moment
from orchestrator.core.policy import Backoff
from orchestrator.edges.vpn.serve_config import Guarded, Way, ways_in
from orchestrator.edges.vpn.tailscale_api import LocalApi, LocalApiError
from orchestrator.edges.vpn.tailscale_interface import Doubt
from orchestrator.edges.vpn.tailscale_shapes import (
    RUNNING,
    Status,
    UnknownShape,
    read_remote_config,
    read_state,
    read_status,
)

POLL_S = 0.5
SEEN_WITHIN_US = 2_000_000
PREFS_EVERY_US = 5_000_000
_BUS_AGAIN = Backoff(floor_us=100_000, base_us=200_000, max_us=5_000_000)
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Seen(Generic[_T]):
    """The last good answer to a question, when it was asked (boot clock), and why it may not be there."""

    value: _T | None = None
    asked_us: int = 0
    trouble: str = "tailscaled has not been asked yet"

    def at(self, now_us: int) -> _T | None:
        """The answer, unless it is too old."""
        return self.value if now_us - self.asked_us <= SEEN_WITHIN_US else None


class Tailscaled:
    """What one tailscaled says, and whether it is to be believed.

    `notified` is called at each notification, before anything is asked again; `lost` when what it said counts
    no more; `changed` with a sentence when something is another than it was. None of them may block.
    """

    def __init__(
        self,
        api: LocalApi,
        *,
        guarded: Callable[[], Guarded],
        control_max_age_us: int,
        now: Callable[[], Moment],
        notified: Callable[[], None],
        lost: Callable[[], None],
        changed: Callable[[str], None],
    ) -> None:
        self._api, self._guarded, self._now = api, guarded, now
        self._control_max_age_us = control_max_age_us
        self._notified, self._lost, self._changed = notified, lost, changed
        self._due, self._polled, self._listened = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self.reset()

    def reset(self) -> None:
        """Nothing is known."""
        self.status: Seen[Status] = Seen()
        self.ways: Seen[tuple[Way, ...]] = Seen()
        self.remote_config: Seen[bool] = Seen()
        self.heard_us: int | None = None
        self._state: int | None = None
        self._bus_trouble = "the notification bus of tailscaled is not followed yet"
        self._polled.clear()
        self._listened.clear()

    async def asked(self) -> None:
        """Until each question was answered or refused once since the last `reset`."""
        await self._polled.wait()
        await self._listened.wait()

    def ask_again(self) -> None:
        """Ask at once and not only when it is time."""
        self._due.set()

    async def follow(self) -> None:
        """Until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._keep_asking())
            tasks.create_task(self._keep_listening())

    def running(self, now_us: int) -> bool:
        """The bus and the status both say so."""
        status = self.status.at(now_us)
        return self._state == RUNNING and status is not None and status.backend_state == "Running"

    def doubt(self, now_us: int) -> Doubt | None:
        """What speaks against believing tailscaled now: `vpn-down`, or `identity-stale` when it has not heard
        its control plane in time. Cheap: asked for each chunk."""
        status = self.status.at(now_us)
        trouble = ""
        if self._state is None:
            trouble = self._bus_trouble
        elif status is None:
            trouble = f"how tailscaled is, is not known: {self.status.trouble}"
        elif not self.running(now_us):
            trouble = f"tailscaled does not run the VPN ({status.backend_state[:40]}): tailscale up"
        elif not status.tun:
            trouble = (
                "tailscaled has no device to bind to (userspace networking): start it with --tun=tailscale0"
            )
        elif not status.self_id:
            trouble = "tailscaled does not say which node this is: tailscale status"
        elif status.expired or self._past(status.key_expiry_us):
            trouble = "this node's key has expired: tailscale login"
        return Doubt("vpn-down", trouble) if trouble else self._stale(now_us)

    def _stale(self, now_us: int) -> Doubt | None:
        if self.heard_us is not None and now_us - self.heard_us <= self._control_max_age_us:
            return None
        limit_s = self._control_max_age_us // SECOND_US
        since = "since we ask" if self.heard_us is None else f"for {(now_us - self.heard_us) // SECOND_US} s"
        return Doubt(
            "identity-stale",
            f"tailscaled has not heard its control plane {since} (vpn.control_max_age: {limit_s} s): who "
            "left the tailnet is not known; see the gateway's way to the Internet",
        )

    def _past(self, wall_us: int | None) -> bool:
        return wall_us is not None and wall_us <= self._now().wall_us

    async def _keep_listening(self) -> None:
        """Follow the notification bus; while it is not there nothing is proven."""
        failures = 0
        while True:
            try:
                async with aclosing(self._api.bus()) as lines:
                    async for line in lines:
                        failures = 0
                        self._hear(read_state(line))
                trouble = "tailscaled ended its notification bus: systemctl status tailscaled"
            except (LocalApiError, UnknownShape) as error:
                trouble = str(error)
            self._lose_bus(trouble)
            failures += 1
            await asyncio.sleep(retry_in_us(_BUS_AGAIN, failures, random.random()) / SECOND_US)

    def _hear(self, state: int | None) -> None:
        """Any notification may be about anybody, so all is asked again; a new state is believed at once."""
        if state is not None and state != self._state:
            self._state = state
            # An answer from before says nothing about this state.
            self.status = Seen(trouble="the VPN's state has just changed")
            if state != RUNNING:
                self._lost()
                self._changed("tailscaled no longer runs the VPN")
        elif self._state is None:
            self._bus_trouble = "the notification bus of tailscaled does not say its state"
        self._notified()
        self._due.set()
        self._listened.set()

    def _lose_bus(self, trouble: str) -> None:
        was_there, self._state, self._bus_trouble = self._state is not None, None, trouble
        self._listened.set()
        if was_there:
            self.status = Seen(trouble=trouble)
            self._lost()
            self._changed(trouble)

    async def _keep_asking(self) -> None:
        """What no notification tells: every half second, and at once after one."""
        while True:
            self._due.clear()
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._ask_status())
                tasks.create_task(self._ask_serve_config())
                tasks.create_task(self._ask_prefs())
            if self.status.value is not None or not self._listened.is_set() or self._state is None:
                self._polled.set()
            try:
                async with asyncio.timeout(POLL_S):
                    await self._due.wait()
            except TimeoutError:
                pass

    async def _ask_status(self) -> None:
        async def ask() -> Status:
            return read_status(await self._api.status())

        before = self.status
        seen = await self._seen(before, ask)
        if self.status is not before:
            # What came on the bus meanwhile is newer than this answer.
            self._due.set()
            return
        self.status = seen
        if seen.value is not None and seen.value.online:
            self.heard_us = seen.asked_us
        if seen.value != before.value:
            self._changed("tailscaled says something else of this node than before")

    async def _ask_serve_config(self) -> None:
        async def ask() -> tuple[Way, ...]:
            return ways_in(await self._api.serve_config(), self._guarded())

        before = self.ways
        self.ways = await self._seen(before, ask)
        if self.ways.value != before.value:
            self._changed("what Tailscale Serve publishes has changed")

    async def _ask_prefs(self) -> None:
        async def ask() -> bool:
            return read_remote_config(await self._api.prefs())

        seen = self.remote_config
        if seen.value is None or self._now().boottime_us - seen.asked_us >= PREFS_EVERY_US:
            self.remote_config = await self._seen(seen, ask)

    async def _seen(self, before: Seen[_T], ask: Callable[[], Awaitable[_T]]) -> Seen[_T]:
        """The new answer; without one the old one, which grows old; after an unreadable one, none."""
        asked_us = self._now().boottime_us
        try:
            return Seen(await ask(), asked_us, "the last answer is too old")
        except LocalApiError as error:
            return Seen(before.value, before.asked_us, str(error))
        except UnknownShape as unknown:
            return Seen(None, asked_us, f"{unknown}; this tailscaled may be newer than we know")
        except OSError as error:
            return Seen(None, asked_us, f"the kernel does not say which addresses are ours: {error}")
