"""Who is who: the configuration's people on the devices that the overlay proves at this moment (S9)."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from orchestrator.app.access import may_watch
from orchestrator.app.members import known_members
from orchestrator.core.policy import Member
from orchestrator.core.refusal import Refusal
from orchestrator.edges.http.ports import Caller
from orchestrator.edges.vpn.boundary import Boundary, Grant, NotADevice, Peer
from orchestrator.runtime.board import Board
from orchestrator.runtime.event_store import EventStore
from orchestrator.runtime.ledger import SiteState
from orchestrator.runtime.site import Site
from orchestrator.settings import Settings

ORIGINS_KEPT = 512
LOOK_OPEN_S = 0.2
LOOK_SHUT_S = 2.0


@dataclass(frozen=True, slots=True)
class _Origin:
    """Where a device was last seen, and by what name the overlay knows it."""

    address: str
    port: int
    key: str


class Membership:
    """Owns `board.members`. A device that the overlay no longer proves is nobody's until it is seen again:
    its viewers are cut and its session ends (F3)."""

    def __init__(self, board: Board, store: EventStore[SiteState], boundary: Callable[[], Boundary]) -> None:
        self._board, self._store, self._boundary = board, store, boundary
        self._configured: Mapping[str, Member] = {}
        self._granted: dict[str, Member] = {}
        self._grants: dict[str, Grant] = {}
        self._origins: OrderedDict[str, _Origin] = OrderedDict()
        self._gone: set[str] = set()
        self.site: Site | None = None
        self.in_doubt: Callable[[], None] = lambda: None
        """Looks at the boundary: when that proves nothing any more, this is the fault, not a person."""

    async def take_over(self, settings: Settings) -> None:
        """The people of a configuration that comes into force."""
        self._configured = await known_members(self._store, settings)
        self._publish()

    def _publish(self) -> None:
        members = {**self._granted, **self._configured}
        self._board.members = {
            identifier: replace(
                member,
                devices={key: device for key, device in member.devices.items() if device not in self._gone},
            )
            for identifier, member in members.items()
        }

    async def caller(self, address: str, port: int) -> Caller:
        """Who is behind a peer's address. Refusal `unknown-device` or `own-address`."""
        try:
            peer = await self._boundary().identify(address, port)
        except NotADevice as no:
            raise Refusal(no.code, no.detail) from None
        if peer.grant is not None:
            await self._take_grant(peer.key, peer.grant)
        elif self._granted and self._forget_grant(peer.key):
            self._publish()
        member, device = self._owner(peer)
        self._seen(device, _Origin(address, port, peer.key))
        return Caller(member, device, member.labels.get(device, ""), address, port)

    def _owner(self, peer: Peer) -> tuple[Member, str]:
        for members in (self._configured, self._granted):
            for member in members.values():
                device = member.devices.get(peer.key)
                if device is not None:
                    return member, device
        raise Refusal("unknown-device", "this device belongs to no member; add it to `members` in volet.toml")

    async def _take_grant(self, key: str, grant: Grant) -> None:
        """Roles are a person's, so the newest grant is theirs: their devices that were granted something else
        are nobody's until they ask again, and none has ever more than its own grant gives."""
        if self._grants.get(key) == grant:
            return
        member_id = (await self._store.pseudonyms("m", [grant.name]))[grant.name]
        device = (await self._store.pseudonyms("d", [key]))[key]
        self._forget_grant(key)
        before = self._granted.get(member_id)
        for other in list(before.devices) if before else ():
            if self._grants.get(other) != grant:
                self._forget_grant(other)
        self._grants[key] = grant
        before = self._granted.get(member_id)
        devices = {**(before.devices if before else {}), key: device}
        self._granted[member_id] = Member(member_id, grant.name, grant.roles, grant.cameras, devices)
        self._publish()

    def _forget_grant(self, key: str) -> bool:
        """The policy no longer grants that device anything. Whether it had."""
        if self._grants.pop(key, None) is None:
            return False
        for identifier, member in list(self._granted.items()):
            if key in member.devices:
                left = {other: device for other, device in member.devices.items() if other != key}
                self._granted[identifier] = replace(member, devices=left)
        return True

    def _seen(self, device: str, origin: _Origin) -> None:
        self._origins[device] = origin
        self._origins.move_to_end(device)
        if len(self._origins) > ORIGINS_KEPT:
            self._origins.popitem(last=False)
        if device in self._gone:
            self._gone.discard(device)
            self._publish()

    def still(self, caller: Caller) -> bool:
        """Whether this connection is still that device's, and the device still that member's (S9)."""
        member = self._board.members.get(caller.member.id)
        if member is None or caller.device not in member.devices.values():
            return False
        peer = self._boundary().still(caller.address, caller.port)
        return peer is not None and member.devices.get(peer.key) == caller.device

    def look(self) -> None:
        """Ask again for every device that a session or a watch rests on; what is gone is cut at once."""
        site = self.site
        if site is None:
            return
        changed = False
        for device in self._in_use(site):
            origin = self._origins.get(device)
            peer = self._boundary().still(origin.address, origin.port) if origin else None
            proven = origin is not None and peer is not None and peer.key == origin.key
            if peer is not None and self._grants.get(peer.key) not in (None, peer.grant):
                changed |= self._forget_grant(peer.key)
            if proven is (device in self._gone):
                self._gone ^= {device}
                changed = True
        if changed:
            if self._gone:
                self.in_doubt()
                site.look()
            self._publish()
            site.look()
            self.cut_strangers()

    def _in_use(self, site: Site) -> set[str]:
        sessions = (parts.actor.state.session for parts in site.cameras.values())
        devices = {session.device for session in sessions if session is not None}
        return devices | {watch.device for camera in site.cameras for watch in site.watches.of(camera)}

    def cut_strangers(self) -> None:
        """End each watch whose person or device may no longer see its camera, unsent bytes and all."""
        site = self.site
        if site is None:
            return
        for camera, parts in site.cameras.items():
            for watch in site.watches.of(camera) if parts.gate.is_open else ():
                if not may_watch(self._board.members.get(watch.member), watch.device, camera):
                    site.leave(watch.id, "cut", "identity-revoked")

    async def keep_looking(self) -> None:
        """Five times a second while something is open: no message says that a peer was removed (FIELD 2)."""
        while True:
            self.look()
            parts = self.site.cameras.values() if self.site else ()
            exposed = any(each.actor.shutter.exposed for each in parts)
            await asyncio.sleep(LOOK_OPEN_S if exposed else LOOK_SHUT_S)
