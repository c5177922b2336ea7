"""The program as the HTTP edge sees it: who may ask what, and what is answered (CONTRACT 5)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping
from dataclasses import replace

from orchestrator.app.access import admit_act, visible
from orchestrator.app.doorbook import DoorBook
from orchestrator.app.live_watch import LiveWatchOfSite
from orchestrator.app.log_views import LogViews
from orchestrator.app.membership import Membership
from orchestrator.app.names import person_of
from orchestrator.app.requests import Requests
from orchestrator.app.views import camera_view, checks_view
from orchestrator.app.windows import WindowDesk
from orchestrator.core.commands import Join
from orchestrator.core.policy import Member
from orchestrator.core.refusal import Refusal
from orchestrator.edges.http.ports import (
    Act,
    Answer,
    Body,
    Caller,
    EventQuery,
    LiveWatch,
    TransitionWish,
    WindowWish,
)
from orchestrator.runtime.site import CameraParts, Site

FRAME_WAIT_S = 3.0
NOTICE = {
    "what is logged": "who asked, when and why, every check, who watched and for how long; never the picture",
    "why": "so that each opening of a camera can be accounted for",
    "for how long": "the chain for good; names, addresses and reasons beside it can be erased",
    "who reads it": "the site's reviewers, whose looks at names are logged; a maintainer, their own sessions",
}


class SiteHouse:
    """Implements `ports.House` over one site. `hosts` and `boundary` are asked anew each time: a reload
    may have changed them."""

    def __init__(
        self,
        site: Site,
        logs: LogViews,
        requests: Requests,
        doorbook: DoorBook,
        windows: WindowDesk,
        *,
        membership: Membership,
        hosts: Callable[[], frozenset[str]],
        new_id: Callable[[], str],
    ) -> None:
        self._site, self._logs, self._requests, self._doorbook = site, logs, requests, doorbook
        self._desk, self._membership, self.hosts, self._new_id = windows, membership, hosts, new_id

    async def caller(self, address: str, port: int) -> Caller:
        """Who is behind a peer address: its device, and the member whose device that is."""
        return await self._membership.caller(address, port)

    def still(self, caller: Caller) -> bool:
        """Whether that connection is still that person's device."""
        return self._membership.still(caller)

    def _member(self, member: str) -> Member | None:
        return self._site.board.members.get(member)

    def _parts(self, camera: str, caller: Caller | None) -> CameraParts:
        visible(camera, camera in self._site.cameras, caller)
        return self._site.cameras[camera]

    def admit(self, caller: Caller | None, act: Act, camera: str | None = None) -> None:
        """Refusal unless this caller may do that at all."""
        if caller is None:
            admit_act(caller, act)
        if camera is not None:
            parts = self._parts(camera, caller)
            if act == "watch" and not parts.gate.is_open:
                raise Refusal("shut", f"{camera} is shut: there is nothing to watch")
        if caller is not None:
            current = self._member(caller.member.id)
            if current is None or caller.device not in current.devices.values():
                raise Refusal("unknown-device", "this device no longer belongs to a member")
            admit_act(replace(caller, member=current), act)

    def cameras(self, caller: Caller | None) -> list[Body]:
        """Every camera that the caller may see."""
        member = caller.member if caller else None
        names = [name for name in self._site.cameras if member is None or member.may_see(name)]
        return [camera_view(self._site, name, member) for name in names]

    def camera(self, camera: str, caller: Caller | None) -> Body:
        """One camera."""
        self._parts(camera, caller)
        return camera_view(self._site, camera, caller.member if caller else None)

    def checks(self, camera: str, caller: Caller) -> Body:
        """The checks, judged for this caller."""
        self._parts(camera, caller)
        return checks_view(self._site, camera, caller.member, caller.device, None)

    async def transition(self, camera: str, caller: Caller | None, wish: TransitionWish) -> Answer:
        """Request, extend, close or acknowledge."""
        return await self._requests.carry_out(self._parts(camera, caller), caller, wish)

    async def transitions(self, camera: str, caller: Caller, after: int, limit: int) -> Body:
        """A page of the camera's transitions."""
        self._parts(camera, caller)
        return await self._logs.transitions(camera, after, limit)

    async def join(self, camera: str, caller: Caller) -> Answer:
        """A watch of the caller's own, once `viewer_joined` is durable (S9)."""
        parts = self._parts(camera, caller)
        self.admit(caller, "watch", camera)
        wait_s = self._site.watches.too_soon_s(
            caller.member.id, self._site.board.policy.new_viewers_per_minute
        )
        if wait_s:
            raise Refusal("slow-down", "too many new watches in a minute", retry_after_s=wait_s)
        if not await parts.picture.ready(FRAME_WAIT_S):
            raise Refusal("no-frame-yet", "the worker has sent no frame yet", retry_after_s=1)
        watch = self._new_id()
        await parts.actor.ask(Join(watch, caller.member.id, caller.device, person_of(caller)))
        session = parts.actor.state.session
        if session is None or watch not in session.viewers:
            raise Refusal("closed-meanwhile", f"{camera} was closed meanwhile")
        self._site.watches.add(watch, camera, caller.member.id, caller.device)
        body = {
            "watch": watch,
            "mp4": f"/live/{watch}/stream.mp4",
            "hls": f"/live/{watch}/index.m3u8",
            "codecs": parts.picture.codecs,
        }
        return Answer(201, body)

    async def leave(self, watch: str, caller: Caller) -> None:
        """End a watch of one's own."""
        self._find(watch, caller)
        self._site.leave(watch, "left")

    def _find(self, watch: str, caller: Caller) -> CameraParts:
        found = self._site.watches.find(watch)
        mine = found is not None and found.member == caller.member.id and found.device == caller.device
        if found is None or not mine or found.camera not in self._site.cameras:
            raise Refusal("unknown-watch", "there is no such watch for you on this device")
        return self._site.cameras[found.camera]

    def watch(self, watch: str, caller: Caller) -> LiveWatch:
        """The caller's watch while the camera is open."""
        parts = self._find(watch, caller)
        found = self._site.watches.find(watch)
        if found is None or not parts.gate.is_open:
            raise Refusal("shut", "the camera is shut")
        return LiveWatchOfSite(found, self._site.watches, parts, self._member, self._membership.still)

    def connection_lost(self, transport: asyncio.BaseTransport) -> None:
        """The gates let go of an ended connection."""
        for parts in self._site.cameras.values():
            parts.gate.detach(id(transport))

    async def sessions(self, caller: Caller, after: int, limit: int, names: bool) -> Body:
        """A page of sessions."""
        return await self._logs.sessions(caller, after, limit, names)

    async def admit_session(self, caller: Caller, session: str) -> None:
        """Refusal unless this caller may read that session."""
        await self._logs.admit(caller, session)

    async def session(self, session: str, caller: Caller, names: bool) -> Body:
        """One session."""
        return await self._logs.session(session, caller, names)

    def admit_window(self, caller: Caller, act: Act, window: str) -> None:
        """Refusal unless this caller may do that to this window."""
        self._desk.admit(caller, act, window)
        self.admit(caller, act)

    async def windows(self, caller: Caller, after: tuple[int, str] | None, limit: int) -> Body:
        """A page of windows."""
        return await self._desk.page(caller, after, limit)

    async def coming_windows(self, caller: Caller, count: int) -> Body:
        """What will really happen."""
        return await self._desk.coming(caller, count)

    async def add_window(self, caller: Caller, wish: WindowWish) -> Answer:
        """A one-off window."""
        self.admit(caller, "propose")
        return await self._desk.add(caller, wish)

    async def approve_window(self, caller: Caller, window: str) -> Answer:
        """Approve a window."""
        self.admit_window(caller, "approve", window)
        return await self._desk.approve(caller, window)

    async def shorten_window(self, caller: Caller, window: str, end_us: int) -> Answer:
        """Make a window end earlier."""
        self.admit_window(caller, "narrow", window)
        return await self._desk.shorten(caller, window, end_us)

    async def cancel_window(self, caller: Caller, window: str) -> Answer:
        """Cancel a window."""
        self.admit_window(caller, "narrow", window)
        return await self._desk.cancel(caller, window)

    async def events(self, caller: Caller, wanted: EventQuery) -> Body:
        """A page of the log."""
        return await self._logs.events(caller, wanted)

    def follow(self, caller: Caller, after: int | None) -> AsyncGenerator[tuple[int, Body], None]:
        """Events as they become durable."""
        return self._logs.follow(caller, after)

    async def denied(self, address: str, code: str) -> None:
        """Somebody was refused at the door."""
        self._doorbook.denied(address, code)

    def me(self, caller: Caller) -> Body:
        """Identity, device and roles as seen, and the notice."""
        member = caller.member
        return {
            "member": member.id,
            "name": member.name,
            "device": {"id": caller.device, "label": caller.label, "address": caller.address},
            "roles": sorted(member.roles),
            "cameras": [name for name in self._site.cameras if member.may_see(name)],
            "purposes": [purpose.name for purpose in self._site.board.policy.purposes],
            "site": self._site.board.policy.site,
            "timezone": self._site.board.policy.timezone,
            "notice": NOTICE,
        }

    def ready(self) -> tuple[bool, Body]:
        """Each dependency by name."""
        return self._doorbook.ready()

    def measures(self) -> Mapping[str, Mapping[str, float]]:
        """Figures for Prometheus."""
        return self._doorbook.measures()
