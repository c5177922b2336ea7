"""A house with one camera whose answers a test sets: the seam behind the HTTP edge, in memory."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping
from typing import Any

from orchestrator.core.policy import Member, Role
from orchestrator.core.refusal import Refusal
from orchestrator.edges.http.ports import Act, Answer, Body, Caller, EventQuery, TransitionWish, WindowWish

SESSION = "01930000-0000-7000-8000-000000000001"
WATCH = "w-7d0f8e52c1"
WINDOW = "01930000-0000-7000-8000-000000000002"
ROLES: Mapping[Act, frozenset[Role]] = {
    "see": frozenset({"viewer", "maintainer", "approver", "reviewer"}),
    "close": frozenset({"viewer", "maintainer", "approver", "reviewer"}),
    "log": frozenset({"maintainer", "reviewer"}),
    "watch": frozenset({"viewer", "maintainer"}),
    "request": frozenset({"maintainer"}),
    "extend": frozenset({"maintainer"}),
    "acknowledge": frozenset({"approver"}),
    "propose": frozenset({"maintainer", "approver"}),
    "approve": frozenset({"approver"}),
    "narrow": frozenset({"maintainer", "approver"}),
}


def member(*roles: Role) -> Member:
    return Member("m-5f0c", "Maintainer A", frozenset(roles), None, {"127.0.0.1": "d-1"}, {"d-1": "laptop"})


class ScriptedWatch:
    """One watch; `flows` is the gate, and a test puts fragments in. `header` is what each response begins
    with, before its first fragment."""

    def __init__(self, house: ScriptedHouse) -> None:
        self.id = WATCH
        self.camera = "cam1"
        self.codecs = "avc1.42C016"
        self.flows = True
        self.attachable = True
        self.attached: list[asyncio.Transport] = []
        self.sizes: list[int] = []
        self.ended = asyncio.Event()
        self.segments = {7: b"seven" * 20_000}
        self.list: str | None = "#EXTM3U\n7.ts\n"
        self.header = b""
        self.pieces: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._house = house

    def may_flow(self, caller: Caller) -> bool:
        return self.flows and caller.member == self._house.member

    def attach(self, transport: asyncio.Transport) -> bool:
        if self.attachable:
            self.attached.append(transport)
        return self.attachable

    async def fragments(self) -> AsyncGenerator[bytes, None]:
        begun = False
        try:
            while (piece := await self.pieces.get()) is not None:
                yield piece if begun else self.header + piece
                begun = True
        finally:
            self.ended.set()

    def playlist(self) -> str | None:
        return self.list

    def segment(self, number: int) -> bytes | None:
        return self.segments.get(number)

    def sent(self, size_bytes: int) -> None:
        self.sizes.append(size_bytes)


class ScriptedHouse:
    """Knows one member, at 127.0.0.1. `refusals` makes a method refuse: `{"transition": Refusal(…)}`;
    `upon` says what happens in the house when a method is asked, before it answers."""

    def __init__(self, *roles: Role) -> None:
        self.names: set[str] = set()
        self.member: Member | None = member(*roles)
        self.refusals: dict[str, Exception] = {}
        self.upon: dict[str, Callable[[], None]] = {}
        self.denials: list[tuple[str, str]] = []
        self.wishes: list[tuple[str, Caller | None, TransitionWish]] = []
        self.left: list[str] = []
        self.window_calls: list[tuple[str, Any]] = []
        self.given_back = asyncio.Event()
        self.lost: asyncio.Queue[asyncio.BaseTransport] = asyncio.Queue()
        self.the_watch = ScriptedWatch(self)
        self.log: list[Body] = []
        self.grown = asyncio.Condition()
        self.followed: asyncio.Queue[int | None] = asyncio.Queue()
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self.figures: Mapping[str, Mapping[str, float]] = {}
        self.well = True
        self.state: dict[str, Any] = {
            "id": "cam1", "lane": "entry", "state": "disabled", "substate": "ready", "fault": None,
            "locks": [], "session": None, "deadline": None, "permitted": ["request"], "version": 0,
            "viewers": 0, "worker": None,
        }  # fmt: skip
        self.coming: list[Body] = []
        self.listed: list[Body] = [{"id": WINDOW}]
        self.added: Body = {"id": WINDOW}
        self.others: list[str] = []
        self.told_checks: Body = {"could_open": True, "ready_in_ms": 0, "checks": []}

    async def happen(self, **event: Any) -> None:
        """One more event in the log."""
        async with self.grown:
            self.log.append({"seq": len(self.log) + 1, "type": "transition", "camera": "cam1"} | event)
            self.grown.notify_all()

    def _script(self, method: str, **asked: Any) -> None:
        self.asked.append((method, asked))
        if method in self.upon:
            self.upon[method]()
        if method in self.refusals:
            raise self.refusals[method]

    def hosts(self) -> frozenset[str]:
        return frozenset(self.names)

    def still(self, caller: Caller) -> bool:
        return caller.member == self.member

    async def caller(self, address: str, port: int) -> Caller:
        self._script("caller", address=address)
        if self.member is None:
            raise Refusal("unknown-device", "This address is no member's device.")
        return Caller(self.member, "d-1", "laptop", address)

    def admit(self, caller: Caller | None, act: Act, camera: str | None = None) -> None:
        self._script("admit", act=act)
        if camera not in (None, "cam1"):
            raise Refusal("unknown-camera", f"There is no camera {camera}.")
        if caller is None:
            if act not in ("see", "close"):
                raise Refusal("vpn-only", "Opening works over the VPN alone.")
        elif not caller.member.roles & ROLES[act]:
            raise Refusal(
                "role-required", "Your role does not allow this.", members={"roles": sorted(ROLES[act])}
            )

    def cameras(self, caller: Caller | None) -> list[Body]:
        self._script("cameras")
        return [self.state | {"id": name} for name in ("cam1", *self.others)]

    def camera(self, camera: str, caller: Caller | None) -> Body:
        self._script("camera")
        return dict(self.state)

    def checks(self, camera: str, caller: Caller) -> Body:
        self._script("checks")
        return self.told_checks

    async def transition(self, camera: str, caller: Caller | None, wish: TransitionWish) -> Answer:
        self._script("transition")
        self.wishes.append((camera, caller, wish))
        return Answer(
            202, {"session": SESSION, "state": "requested", "substate": None, "version": 1, "events": []}
        )

    async def transitions(self, camera: str, caller: Caller, after: int, limit: int) -> Body:
        self._script("transitions", after=after, limit=limit)
        return {"items": self.log[after : after + limit], "next": None}

    async def join(self, camera: str, caller: Caller) -> Answer:
        self._script("join")
        paths = {"mp4": f"/live/{WATCH}/stream.mp4", "hls": f"/live/{WATCH}/index.m3u8"}
        return Answer(201, {"watch": WATCH, **paths, "codecs": self.the_watch.codecs})

    async def leave(self, watch: str, caller: Caller) -> None:
        self._script("leave")
        self.left.append(watch)
        self.given_back.set()

    def watch(self, watch: str, caller: Caller) -> ScriptedWatch:
        self._script("watch")
        if watch != WATCH:
            raise Refusal("unknown-watch", "There is no such watch of yours.")
        return self.the_watch

    def connection_lost(self, transport: asyncio.BaseTransport) -> None:
        self.lost.put_nowait(transport)

    async def sessions(self, caller: Caller, after: int, limit: int, names: bool) -> Body:
        self._script("sessions", after=after, limit=limit, names=names)
        return {"items": [], "next": None}

    async def admit_session(self, caller: Caller, session: str) -> None:
        self._script("admit_session")
        if session != SESSION:
            raise Refusal("unknown-session", "There is no such session.")

    async def session(self, session: str, caller: Caller, names: bool) -> Body:
        self._script("session", names=names)
        return {"id": SESSION}

    def admit_window(self, caller: Caller, act: Act, window: str) -> None:
        self._script("admit_window", act=act)
        if window != WINDOW:
            raise Refusal("unknown-window", "There is no such window.")
        self.admit(caller, act)

    async def windows(self, caller: Caller, after: tuple[int, str] | None, limit: int) -> Body:
        self._script("windows", after=after, limit=limit)
        return {"items": self.listed, "next": f"1795341600000000.{WINDOW}"}

    async def coming_windows(self, caller: Caller, count: int) -> Body:
        self._script("coming_windows", count=count)
        return {"items": self.coming[:count], "next": None}

    async def add_window(self, caller: Caller, wish: WindowWish) -> Answer:
        self._script("add_window")
        self.window_calls.append(("add", wish))
        return Answer(201, self.added)

    async def approve_window(self, caller: Caller, window: str) -> Answer:
        self._script("approve_window")
        self.window_calls.append(("approve", window))
        return Answer(200, {"id": window})

    async def shorten_window(self, caller: Caller, window: str, end_us: int) -> Answer:
        self._script("shorten_window")
        self.window_calls.append(("shorten", end_us))
        return Answer(200, {"id": window})

    async def cancel_window(self, caller: Caller, window: str) -> Answer:
        self._script("cancel_window")
        self.window_calls.append(("cancel", window))
        return Answer(202, {"id": window, "pending": True})

    async def events(self, caller: Caller, wanted: EventQuery) -> Body:
        self._script("events", wanted=wanted)
        return {"items": self.log[wanted.after : wanted.after + wanted.limit], "next": None}

    async def follow(self, caller: Caller, after: int | None) -> AsyncGenerator[tuple[int, Body], None]:
        self._script("follow")
        self.followed.put_nowait(after)
        seen = len(self.log) if after is None else after
        while True:
            async with self.grown:
                await self.grown.wait_for(lambda: len(self.log) > seen)  # noqa: B023 - awaited at once
            event = self.log[seen]
            seen += 1
            yield seen, event

    async def denied(self, address: str, code: str) -> None:
        self.denials.append((address, code))

    def me(self, caller: Caller) -> Body:
        self._script("me")
        return {
            "member": caller.member.id, "name": caller.member.name, "roles": sorted(caller.member.roles),
            "device": {"id": caller.device, "label": caller.label, "address": caller.address},
            "timezone": "Europe/Paris",
            "notice": {
                "what is logged": "who asked, when and why, every check, who watched and for how long",
                "why": "so that each opening of a camera can be accounted for",
                "for how long": "names and reasons 365 days, the rest as long as the log",
                "who reads it": "reviewers; looking at names is logged too",
            },
        }  # fmt: skip

    def ready(self) -> tuple[bool, Body]:
        self._script("ready")
        return self.well, {"log": {"well": self.well}}

    def measures(self) -> Mapping[str, Mapping[str, float]]:
        self._script("measures")
        return self.figures
