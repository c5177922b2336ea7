"""Who was behind which address, how long ago we were told, and asking again in time (S9)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from orchestrator.edges.vpn.boundary import NotADevice, Peer
from orchestrator.edges.vpn.tailscale_api import ANSWER_LIMIT_S, LocalApiError

ASKED_WITHIN_US = 500_000
STILL_WITHIN_US = 1_000_000
AFTER_NOTIFICATION_US = 40_000
"""How long an answer from before a notification counts while it is being asked again: a notification that
changes nothing must cut nobody, one that does must cut within 50 ms."""
WANTED_WITHIN_US = 10_000_000
ASK_AGAIN_S = 0.4
_KEPT = 128
_AT_ONCE, _AGAIN_AT_ONCE = 16, 4
_TRIES = 3


@dataclass(slots=True)
class _Known:
    peer: Peer
    port: int
    asked_us: int
    epoch: int
    wanted_us: int
    doubted_us: int | None = None


class TailscalePeers:
    """The peers that somebody asked for in the last ten seconds.

    `ask` says who is behind an address now: NotADevice, or LocalApiError when there was no answer. `changed`
    is called with a sentence when a peer is another than before, or nobody's any more.
    """

    def __init__(
        self,
        ask: Callable[[str, int], Awaitable[Peer]],
        now_us: Callable[[], int],
        changed: Callable[[str], None],
    ) -> None:
        self._ask, self._now_us, self._changed = ask, now_us, changed
        self._known: dict[str, _Known] = {}
        self._epoch = 0
        self._due = asyncio.Event()
        # Apart, so that somebody new never waits behind all who are known.
        self._places, self._again = asyncio.Semaphore(_AT_ONCE), asyncio.Semaphore(_AGAIN_AT_ONCE)

    async def identify(self, address: str, port: int) -> Peer:
        """Who is behind a normalised address, asked within the last half second. NotADevice."""
        known = self._fresh(address)
        if known is None:
            try:
                async with asyncio.timeout(ANSWER_LIMIT_S), self._places:
                    known = self._fresh(address) or await self._renewed(address, port, self._now_us())
            except TimeoutError:
                raise NotADevice("unknown-device", "tailscaled did not answer in time.") from None
            except LocalApiError as error:
                raise NotADevice("unknown-device", f"Nobody can be told: {error}") from None
        known.wanted_us = self._now_us()
        return known.peer

    def still(self, address: str) -> Peer | None:
        """Who that was a second ago or less; None: not proven any more."""
        known, now_us = self._known.get(address), self._now_us()
        if known is None:
            return None
        known.wanted_us = now_us
        if self.overdue(address):
            return None
        if known.doubted_us is not None and now_us - known.doubted_us > AFTER_NOTIFICATION_US:
            return None
        return known.peer

    def overdue(self, address: str) -> bool:
        """Whether somebody is known there whom nobody has vouched for within a second, though asked."""
        known = self._known.get(address)
        return known is not None and self._now_us() - known.asked_us > STILL_WITHIN_US

    def doubt(self) -> None:
        """There was a notification: every answer so far is from before it, and is asked for again."""
        self._epoch += 1
        for known in self._known.values():
            if known.doubted_us is None:
                known.doubted_us = self._now_us()
        self._due.set()

    def forget(self) -> None:
        """Nobody is proven until asked for anew."""
        self._epoch += 1
        self._known.clear()

    async def keep_fresh(self) -> None:
        """Until cancelled: ask again for who is wanted."""
        while True:
            self._due.clear()
            oldest_us = self._now_us() - WANTED_WITHIN_US
            for address, known in list(self._known.items()):
                if known.wanted_us < oldest_us:
                    del self._known[address]
            async with asyncio.TaskGroup() as tasks:
                for address, known in self._known.items():
                    tasks.create_task(self._ask_again(address, known))
            try:
                async with asyncio.timeout(ASK_AGAIN_S):
                    await self._due.wait()
            except TimeoutError:
                pass

    async def _ask_again(self, address: str, known: _Known) -> None:
        try:
            async with self._again:
                renewed = await self._renewed(address, known.port, known.wanted_us)
        except NotADevice:
            self._changed("a device is no member of the tailnet any more, or may no longer connect")
        except LocalApiError:
            # No answer is no verdict: what is known grows old by itself.
            return
        else:
            if renewed.peer != known.peer:
                self._changed("the tailnet's policy says something else of a device")

    async def _renewed(self, address: str, port: int, wanted_us: int) -> _Known:
        """Ask now, and keep the answer unless a notification came in between. NotADevice, LocalApiError."""
        for _ in range(_TRIES):
            epoch, asked_us = self._epoch, self._now_us()
            try:
                peer = await self._ask(address, port)
            except NotADevice:
                self._known.pop(address, None)
                raise
            if epoch == self._epoch:
                return self._keep(address, _Known(peer, port, asked_us, epoch, wanted_us))
        raise LocalApiError("the tailnet changes faster than it can be asked")

    def _keep(self, address: str, known: _Known) -> _Known:
        before = self._known.get(address)
        if before is not None:
            known.wanted_us = max(known.wanted_us, before.wanted_us)
        self._known[address] = known
        if len(self._known) > _KEPT:
            del self._known[min(self._known, key=lambda each: self._known[each].wanted_us)]
        return known

    def _fresh(self, address: str) -> _Known | None:
        known = self._known.get(address)
        fresh = (
            known is not None
            and known.epoch == self._epoch
            and self._now_us() - known.asked_us <= ASKED_WITHIN_US
        )
        return known if fresh else None
