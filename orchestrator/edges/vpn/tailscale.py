"""The Tailscale provider: the interface proven by tailscaled and the kernel, people by `whois` (S8, S9)."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterator, Callable, Collection
from dataclasses import dataclass, replace
from pathlib import Path

from orchestrator.core.moment import SECOND_US, Moment
from orchestrator.edges.clock import now as clock_now
from orchestrator.edges.vpn.boundary import InterfaceSight, NotADevice, Peer, normalised
from orchestrator.edges.vpn.link_watch import LinkChange, LinkWatch
from orchestrator.edges.vpn.netlink import held_addresses, is_local
from orchestrator.edges.vpn.serve_config import Guarded, Way
from orchestrator.edges.vpn.tailscale_api import LocalApi
from orchestrator.edges.vpn.tailscale_identity import Rules, device_behind
from orchestrator.edges.vpn.tailscale_interface import Doubt, Sight, interface_doubt, see
from orchestrator.edges.vpn.tailscale_peers import TailscalePeers
from orchestrator.edges.vpn.tailscale_shapes import Status, UnknownShape, read_whois
from orchestrator.edges.vpn.tailscaled import Tailscaled

log = logging.getLogger(__name__)

START_LIMIT_S = 2.0
FOLLOW_AGAIN_S = 1.0
_NEWS_KEPT = 64


@dataclass(frozen=True, slots=True)
class TailscaleOptions:
    """`[vpn]` under provider tailscale. `address` None: the node's own, one of each family."""

    interface: str = "tailscale0"
    socket: Path = Path("/var/run/tailscale/tailscaled.sock")
    address: str | None = None
    capability: str = "volet.invalid/cap/camera"
    control_max_age_us: int = 600 * SECOND_US


class Tailscale:
    """A `Boundary` on a tailnet.

    `guarded` says what neither Funnel nor Serve may lead to (`own` is filled in here); `monitors` the stable
    ids of the nodes whose members' entry gives `monitor` alone. Both are asked anew each time. `alarm` gets
    the fault and a sentence, on the loop's thread, the moment it is known that the overlay does not stand:
    before `changes` says so, and before anybody is nobody's device for that reason.
    """

    def __init__(
        self,
        options: TailscaleOptions,
        *,
        guarded: Callable[[], Guarded],
        monitors: Callable[[], Collection[str]] = tuple,
        alarm: Callable[[str, str], None] | None = None,
        now: Callable[[], Moment] = clock_now,
    ) -> None:
        self.interface, self._alarm = options.interface, alarm
        self._options, self._guarded, self._monitors, self._now = options, guarded, monitors, now
        self._api = LocalApi(options.socket)
        self._peers = TailscalePeers(self._who, lambda: now().boottime_us, self._announce)
        self._tailscaled = Tailscaled(
            self._api,
            guarded=self._guarded_here,
            control_max_age_us=options.control_max_age_us,
            now=now,
            notified=self._peers.doubt,
            lost=self._peers.forget,
            changed=self._changed,
        )
        self._link = LinkWatch(options.interface, self._link_changed)
        self._link_doubt: Doubt | None = None
        self._news: deque[str] = deque(maxlen=_NEWS_KEPT)
        self._there_is_news = asyncio.Event()
        self._work: asyncio.Task[None] | None = None
        self._ended = False

    async def start(self) -> None:
        """Follow tailscaled and the link; waits a moment for the first answers. OSError without netlink."""
        if self._work is not None:
            return
        self._ended = False
        self._link.start()
        self._work = asyncio.create_task(self._follow(), name="tailscale")
        try:
            async with asyncio.timeout(START_LIMIT_S):
                await self._tailscaled.asked()
        except TimeoutError:
            log.warning("tailscaled has not answered yet: nothing opens until it does")

    async def stop(self) -> None:
        """Let go; ends `changes`. Repeatable."""
        work, self._work = self._work, None
        self._ended = True
        if work is not None:
            work.cancel()
            await asyncio.wait({work})
            self._link.stop()
        await self._api.close()
        self._there_is_news.set()

    def addresses(self) -> tuple[str, ...]:
        """The node's own addresses that the interface holds, one of each family, or `vpn.address` alone."""
        return self._sight(self._tailscaled.status.value).listen_on

    def look(self, now_us: int) -> InterfaceSight:
        """`vpn-down`, `vpn-address-changed`, `vpn-not-private` when an address is a public one, or
        `identity-stale` when the control plane was not heard in time; apart from it, where Funnel or Serve
        leads here."""
        daemon = self._tailscaled
        status, ways = daemon.status.at(now_us), daemon.ways.at(now_us)
        sight = self._sight(status)
        if sight.link_is_good:
            self._link_doubt = None
        doubt = self._doubt(sight, ways, now_us)
        detail = doubt.detail if doubt else f"{self.interface} is up and tailscaled runs it"
        if daemon.remote_config.value:
            detail += (
                "; beware: the tailnet's admin may change Serve and Funnel here without asking "
                "(tailscale set --remote-config=false)"
            )
        return InterfaceSight(
            doubt is None,
            doubt.fault if doubt else "",
            detail,
            {
                "provider": "tailscale",
                "interface": self.interface,
                "up": sight.up,
                "holds_address": sight.holds,
                "running": daemon.running(now_us),
                "ways_in": -1 if ways is None else len(ways),
                "remote_config": daemon.remote_config.value is True,
                "control_age_ms": -1 if daemon.heard_us is None else (now_us - daemon.heard_us) // 1000,
                "control_max_age_ms": self._options.control_max_age_us // 1000,
            },
            str(ways[0]) if ways else "",
        )

    def own(self, address: str) -> bool:
        """An address of this machine or of its node; what cannot be told counts as one."""
        try:
            plain = normalised(address)
            status = self._tailscaled.status.value
            return is_local(plain) or (status is not None and plain in status.addresses)
        except ValueError:
            return False
        except OSError:
            return True

    async def identify(self, address: str, port: int) -> Peer:
        """Who is behind a peer's address, asked of tailscaled within the last 500 ms. NotADevice."""
        self._refuse_own(address)
        try:
            plain = normalised(address)
        except ValueError:
            raise NotADevice("unknown-device", "The peer has no address that could be looked up.") from None
        doubt = self._overlay_doubt(self._now().boottime_us)
        if doubt is not None:
            raise NotADevice("unknown-device", f"Nobody can be told: {doubt.detail}.")
        return await self._peers.identify(plain, port)

    def still(self, address: str, port: int) -> Peer | None:
        """Who that was a second ago or less; None as soon as anything of the overlay is in doubt."""
        del port
        try:
            plain = normalised(address)
        except ValueError:
            return None
        doubt = self._overlay_doubt(self._now().boottime_us)
        if doubt is None and self._peers.overdue(plain):
            doubt = Doubt("vpn-down", "tailscaled no longer says who is behind an address: tailscale status")
        if doubt is not None:
            # Nobody was revoked: the cause is told before the consequence is seen.
            self._sound(doubt)
            return None
        return self._peers.still(plain)

    async def changes(self) -> AsyncIterator[str]:
        """A sentence whenever something is another than it was: link, state, Serve, a device."""
        while True:
            self._there_is_news.clear()
            while self._news:
                yield self._news.popleft()
            if self._ended:
                return
            await self._there_is_news.wait()

    def _sight(self, status: Status | None) -> Sight:
        return see(self.interface, self._options.address, () if status is None else status.addresses)

    def _doubt(self, sight: Sight, ways: tuple[Way, ...] | None, now_us: int) -> Doubt | None:
        """The first thing that is not proven."""
        doubt = interface_doubt(sight) or self._overlay_doubt(now_us) or sight.address_doubt
        if doubt is None and ways is None:
            trouble = self._tailscaled.ways.trouble
            doubt = Doubt("vpn-down", f"what Tailscale Serve publishes is not known: {trouble}")
        return doubt

    def _overlay_doubt(self, now_us: int) -> Doubt | None:
        """What speaks against believing anything of the overlay; cheap, for it is asked for each chunk."""
        return self._link_doubt or self._tailscaled.doubt(now_us)

    def _refuse_own(self, address: str) -> None:
        if self.own(address):
            raise NotADevice("own-address", "The gateway's own address is nobody's device.")

    async def _who(self, address: str, port: int) -> Peer:
        """Ask tailscaled. NotADevice, LocalApiError."""
        self._refuse_own(address)
        try:
            answer = await self._api.whois(address, port)
            if answer is None:
                raise NotADevice("unknown-device", "The tailnet knows no node at this address.")
            who = read_whois(answer)
        except UnknownShape as unknown:
            raise NotADevice("unknown-device", f"tailscaled's answer cannot be read: {unknown}.") from None
        now = self._now()
        status = self._tailscaled.status.at(now.boottime_us)
        if status is None or not status.self_id:
            raise NotADevice("unknown-device", "tailscaled does not say which node the gateway is.")
        rules = Rules(status.self_id, self._options.capability, self._monitors(), now.wall_us)
        return device_behind(who, address, rules)

    def _guarded_here(self) -> Guarded:
        """OSError when the kernel does not say which addresses are ours."""
        held = {str(each.address.ip) for each in held_addresses()}
        status = self._tailscaled.status.value
        return replace(self._guarded(), own=frozenset(held.union(() if status is None else status.addresses)))

    async def _follow(self) -> None:
        """Until cancelled. A failure that nobody foresaw proves nothing, and is no reason to give up."""
        while True:
            try:
                async with asyncio.TaskGroup() as tasks:
                    tasks.create_task(self._tailscaled.follow())
                    tasks.create_task(self._peers.keep_fresh())
            except Exception:
                log.exception("tailscaled could not be followed; trying again")
            finally:
                self._tailscaled.reset()
                self._peers.forget()
                self._changed("tailscaled is no longer followed")
            await asyncio.sleep(FOLLOW_AGAIN_S)

    def _announce(self, sentence: str) -> None:
        self._news.append(sentence)
        self._there_is_news.set()

    def _sound(self, doubt: Doubt) -> None:
        if self._alarm is not None and not self._ended:
            self._alarm(doubt.fault, doubt.detail)

    def _changed(self, sentence: str) -> None:
        """tailscaled says something else than before, or nothing more."""
        doubt = self._overlay_doubt(self._now().boottime_us)
        if doubt is not None:
            self._sound(doubt)
        self._announce(sentence)

    def _link_changed(self, change: LinkChange) -> None:
        if change.fault and self._takes_from_us(change):
            self._link_doubt = Doubt(change.fault, change.detail)
            self._sound(self._link_doubt)
        self._tailscaled.ask_again()
        self._announce(change.detail)

    def _takes_from_us(self, change: LinkChange) -> bool:
        """Not so when it is about an address that never was this node's."""
        status = self._tailscaled.status.value
        return not change.address or status is None or change.address in status.addresses
