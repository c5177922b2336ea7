"""The WireGuard provider: the kernel and who runs the tunnel prove it, a key is a device (S8, S9)."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from orchestrator.edges.vpn.boundary import InterfaceSight, NotADevice, Peer, normalised
from orchestrator.edges.vpn.link_watch import LinkChange, LinkWatch
from orchestrator.edges.vpn.netlink import held_addresses, is_local
from orchestrator.edges.vpn.peers_client import PeersClient
from orchestrator.edges.vpn.peers_reader import PeersReader
from orchestrator.edges.vpn.tunnel_sight import TunnelSight, look_at
from orchestrator.edges.vpn.wireguard_peers import Membership, NotProven, PeerEntry

FAST_S, TROUBLED_S, SLOW_S = 0.2, 0.5, 2.0
FRESH_US = 500_000
STILL_US = 1_000_000
GRACE_US = 800_000
KNOWN_FOR_US = 10_000_000
POLL_LIMIT_S = 1.0
_MAX_WAITING = 64


class _Reader(Protocol):
    """Blocking; one caller at a time."""

    def read(self) -> tuple[PeerEntry, ...]: ...

    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class _Seen:
    """What one poll found. It was begun at `at_us` and proves the tunnel until `until_us` (boot clock)."""

    membership: Membership
    own: frozenset[str]
    at_us: int
    until_us: int


def _boottime_us() -> int:
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1000


class WireGuard:
    """A `Boundary` on one WireGuard interface. `address` None: the interface's own, one of each family;
    `helper`: the socket of `volet peers`, for a daemon that is not root.

    No message says that a peer was removed, so the peers are asked for five times a second while somebody
    is known, every two seconds otherwise. `alarm` gets the fault and a sentence, on the loop's thread, the
    moment it is known that the tunnel does not stand; before `changes` says so.
    """

    def __init__(
        self,
        interface: str,
        address: str | None = None,
        helper: Path | None = None,
        *,
        alarm: Callable[[str, str], None] | None = None,
        clock: Callable[[], int] = _boottime_us,
    ) -> None:
        self.interface = interface
        self._address = None if address is None else normalised(address)
        self._alarm, self._clock = alarm, clock
        self._reader: _Reader = PeersReader(interface) if helper is None else PeersClient(helper, interface)
        self._watch = LinkWatch(interface, self._heard)
        self._chosen: tuple[str, ...] = ()
        self._seen: _Seen | None = None
        self._trouble = ("vpn-down", "WireGuard has not been asked yet")
        self._untold = False
        self._generation = 0
        self._known_us = -KNOWN_FOR_US
        self._pace_s = SLOW_S
        self._thread: ThreadPoolExecutor | None = None
        self._reading: asyncio.Future[_Seen] | None = None
        self._polling: asyncio.Task[None] | None = None
        self._lock, self._wake = asyncio.Lock(), asyncio.Event()
        self._sentences: asyncio.Queue[str | None] = asyncio.Queue()

    async def start(self) -> None:
        """Follow the interface and its peers, whether they are there yet or not."""
        self._sentences = asyncio.Queue()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="volet-wireguard")
        self._watch.start()
        await self._renew(FRESH_US)
        self._polling = asyncio.create_task(self._keep_polling(), name="wireguard")
        sentences = self._sentences
        self._polling.add_done_callback(lambda _: sentences.put_nowait(None))

    async def stop(self) -> None:
        """Let go; what was known is void from now on."""
        self._watch.stop()
        self._void("the boundary is stopped")
        polling, self._polling = self._polling, None
        if polling is not None:
            polling.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await polling
        thread, self._thread = self._thread, None
        if thread is not None:
            thread.submit(self._reader.close)
            thread.shutdown(wait=False)
        self._sentences.put_nowait(None)

    def addresses(self) -> tuple[str, ...]:
        """Where to listen; empty unless the interface is a tunnel, up, and holds them."""
        sight = self._look_at_link()
        return () if sight.fault else sight.addresses

    def look(self, now_us: int) -> InterfaceSight:
        """The interface as the kernel has it now, and the tunnel as it was proven last.

        What came and went since the last look is not lost on this one: a link that was down in between is
        `vpn-down` once more (F25), other addresses than before are `vpn-address-changed` once.
        """
        sight = self._look_at_link()
        seen = self._seen
        proven = seen is not None and seen.at_us <= now_us <= seen.until_us
        fault, detail = sight.fault, sight.detail
        if not fault and (self._untold or seen is None):
            fault, detail = self._trouble
        if not fault and not proven:
            fault, detail = "vpn-down", "WireGuard's last answer is too old: is the loop blocked?"
        self._untold = False
        if sight.addresses:
            if not fault and self._chosen and sight.addresses != self._chosen:
                fault = "vpn-address-changed"
                detail = (
                    f"{self.interface} held {', '.join(self._chosen)} and now {', '.join(sight.addresses)}"
                )
            self._chosen = sight.addresses
        evidence: dict[str, bool | int | str] = {
            "provider": "wireguard",
            "interface": self.interface,
            **({"address": self._address} if self._address is not None else {}),
            "is_tunnel": sight.is_tunnel,
            "up": sight.up,
            "holds_address": bool(sight.addresses),
            "private": sight.private,
            "proven": proven,
        }
        if seen is not None:
            evidence |= {
                "peers": len(seen.membership.peers),
                "proven_age_ms": max(0, now_us - seen.at_us) // 1000,
            }
        return InterfaceSight(not fault, fault, detail, evidence)

    def own(self, address: str) -> bool:
        """Whether it is one of this machine's, loopback included; what cannot be told counts as ours."""
        try:
            return is_local(normalised(address))
        except ValueError:
            return False
        except OSError:
            return True

    async def identify(self, address: str, port: int) -> Peer:
        """The key whose host route that address is. The port says nothing here."""
        if self.own(address):
            raise NotADevice(
                "own-address",
                "One of the gateway's own addresses is nobody's device: a relay on this machine has it.",
            )
        await self._renew(FRESH_US)
        seen = self._seen
        if seen is None or self._clock() - seen.at_us > STILL_US:
            raise NotADevice("unknown-device", f"Nobody can be told apart now: {self._trouble[1]}.")
        peer = self._device(seen, address)
        if peer is None:
            raise NotADevice("unknown-device", f"Not a device: {_why_not(seen.membership, address)}.")
        return peer

    def still(self, address: str, port: int) -> Peer | None:
        """Who has that address by the last poll, when that is younger than a second."""
        seen = self._seen
        if seen is None or not 0 <= self._clock() - seen.at_us <= STILL_US:
            return None
        return self._device(seen, address)

    async def changes(self) -> AsyncIterator[str]:
        """Each message about the interface, and each change of the peers that a poll found."""
        while (sentence := await self._sentences.get()) is not None:
            yield sentence

    def _device(self, seen: _Seen, address: str) -> Peer | None:
        try:
            plain = normalised(address)
        except ValueError:
            return None
        entry = None if plain in seen.own else seen.membership.device(plain)
        if entry is None:
            return None
        if self._clock() - self._known_us > KNOWN_FOR_US:
            self._wake.set()
        self._known_us = self._clock()
        return Peer(entry.key)

    def _look_at_link(self) -> TunnelSight:
        return look_at(self.interface, self._address, self._chosen)

    def _heard(self, change: LinkChange) -> None:
        """A message about the interface. What takes something away voids all that was known before it."""
        lost_another = change.fault == "vpn-address-changed" and change.address not in self._ours()
        if change.fault and not lost_another:
            self._void(change.detail, change.fault)
            if self._alarm is not None:
                self._alarm(change.fault, change.detail)
        self._wake.set()
        self._tell(change.detail)

    def _ours(self) -> tuple[str, ...]:
        return self._chosen if self._address is None else (self._address,)

    def _void(self, why: str, fault: str = "vpn-down") -> None:
        self._generation += 1
        if self._seen is not None or not self._untold:
            # What came first is the cause, until somebody has looked.
            self._trouble = (fault, why)
        self._untold = self._untold or self._seen is not None
        self._seen = None

    def _tell(self, sentence: str) -> None:
        if self._sentences.qsize() < _MAX_WAITING:
            self._sentences.put_nowait(sentence)

    async def _keep_polling(self) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._pace_s):
                    await self._wake.wait()
            self._wake.clear()
            await self._renew(0)

    async def _renew(self, fresh_us: int) -> None:
        """See to it that what is known is younger than that, or void."""
        async with self._lock:
            seen = self._seen
            if seen is None or self._clock() - seen.at_us >= fresh_us:
                await self._poll()

    async def _poll(self) -> None:
        generation, before = self._generation, self._seen
        known = self._clock() - self._known_us <= KNOWN_FOR_US
        self._pace_s = FAST_S if known else SLOW_S
        try:
            seen = await self._read()
        except (NotProven, OSError) as trouble:
            if generation != self._generation:
                return
            self._pace_s = min(self._pace_s, TROUBLED_S)
            self._void(str(trouble))
            if before is not None:
                if self._alarm is not None:
                    self._alarm(*self._trouble)
                self._tell(str(trouble))
            return
        if generation != self._generation:
            # Read before the message that voided it: whoever woke the poll gets another.
            self._wake.set()
            return
        self._seen = seen
        if before is None:
            self._tell(f"{self.interface} answers: {len(seen.membership.peers)} peers")
        elif before.membership.routes() != seen.membership.routes():
            self._tell(f"the peers of {self.interface} changed")

    async def _read(self) -> _Seen:
        """One look in the reader's thread. One that does not come back is left there, and no other begun."""
        if self._thread is None:
            raise NotProven("the boundary is stopped")
        if self._reading is not None and not self._reading.done():
            raise NotProven("WireGuard does not answer")
        good_us = int(self._pace_s * 1_000_000) + GRACE_US
        loop = asyncio.get_running_loop()
        self._reading = loop.run_in_executor(self._thread, self._look, good_us)
        self._reading.add_done_callback(lambda done: done.cancelled() or done.exception())
        await asyncio.wait({self._reading}, timeout=POLL_LIMIT_S)
        if not self._reading.done():
            raise NotProven("WireGuard does not answer")
        return self._reading.result()

    def _look(self, good_us: int) -> _Seen:
        at_us = self._clock()
        own = frozenset(str(one.address.ip) for one in held_addresses())
        return _Seen(Membership(self._reader.read()), own, at_us, at_us + good_us)


def _why_not(membership: Membership, address: str) -> str:
    try:
        return membership.why_not(normalised(address))
    except ValueError:
        return "that is no address"
