"""What the HTTP edge asks of the rest of the program; the application hands one `House` over."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from orchestrator.core.policy import Member
from orchestrator.core.refusal import Refusal

__all__ = [
    "Act",
    "Answer",
    "Caller",
    "EventQuery",
    "House",
    "LiveWatch",
    "Refusal",
    "TransitionWish",
    "WindowWish",
]

Body = Mapping[str, Any]

Act = Literal[
    "see",
    "log",
    "reveal",
    "watch",
    "request",
    "extend",
    "close",
    "acknowledge",
    "propose",
    "approve",
    "narrow",
]
"""What somebody wants to do: read camera states, checks, windows and `me`; read events and sessions, or the
names in them; see the picture; pull one of the triggers; or add a window, approve one, shorten or cancel
one."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Who is asking, as the VPN knows them: a member on one of their devices.

    `device` is the device's random id, `label` what its owner calls it, `address` and `port` the peer's.
    """

    member: Member
    device: str
    label: str
    address: str
    port: int = 0


@dataclass(frozen=True, slots=True)
class EventQuery:
    """Which page of the log: of the events after that sequence number, those of a camera or a session; with
    their details; with the names in these, which is itself an event."""

    after: int
    limit: int
    camera: str | None = None
    session: str | None = None
    details: bool = False
    names: bool = False


@dataclass(frozen=True, slots=True)
class TransitionWish:
    """A validated body of `POST …/transitions` (CONTRACT 5) and what it is tied to. Absent members are None.

    `key` is the `Idempotency-Key`; `versions` those of `If-Match` that the camera may have, None for any.
    """

    trigger: str
    reason: str | None = None
    duration_s: int | None = None
    wait_s: int | None = None
    purpose: str | None = None
    ticket: str | None = None
    resume: str | None = None
    key: str | None = None
    versions: frozenset[int] | None = None


@dataclass(frozen=True, slots=True)
class WindowWish:
    """A validated body of `POST /windows` (CONTRACT 5); times in wall microseconds (UTC)."""

    cameras: tuple[str, ...]
    start_us: int
    end_us: int
    reason: str
    ticket: str | None = None
    name: str | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """What a state-changing call answers: the status and the JSON body."""

    status: int
    body: Body


class LiveWatch(Protocol):
    """One viewer's watch. Identity, watch and gate are looked at for each answer (S9)."""

    id: str
    camera: str
    codecs: str
    """The exact RFC 6381 codec string of the MP4, e.g. `avc1.42C016` (FIELD 12)."""

    def may_flow(self, caller: Caller) -> bool:
        """Whether this caller may be sent picture at this very moment. Synchronous and cheap:
        asked again before each chunk and each segment."""

    def attach(self, transport: asyncio.Transport) -> bool:
        """Put the connection under the gate before the first byte of picture goes out. False: shut."""

    def fragments(self) -> AsyncGenerator[bytes, None]:
        """The MP4 header, then fragments from the newest key frame on. Ends when the worker is
        replaced, the gate shuts, or the viewer is more than 2 s behind (then it is dropped)."""

    def playlist(self) -> str | None:
        """The HLS playlist with relative segment names `<number>.ts`; None when there is none yet."""

    def segment(self, number: int) -> bytes | None:
        """One live HLS segment, or None when it is not (or no longer) there."""

    def sent(self, size_bytes: int) -> None:
        """Picture bytes were handed to this viewer; also what keeps a watch from being left (10 s).
        0 for a playlist: it is no picture, but somebody is there."""


class House(Protocol):
    """The program behind the HTTP edge. Every method may raise `Refusal`.

    `caller` None means the local socket (CONTRACT 5): it may see states, health and metrics and
    may close; anything else is a `Refusal("vpn-only")`.
    """

    def hosts(self) -> frozenset[str]:
        """The `Host` values that name the listener, with and without port, lower case."""

    async def caller(self, address: str, port: int) -> Caller:
        """Who is behind a peer address, asked of the overlay. Refusal `unknown-device` or `own-address`."""

    def still(self, caller: Caller) -> bool:
        """Whether that connection is still that person's device, by what is known without asking."""

    def admit(self, caller: Caller | None, act: Act, camera: str | None = None) -> None:
        """Whether this caller may do that at all; asked before a body or a query is looked at, so that
        refusals come in the order of CONTRACT 8. Synchronous and cheap: asked again in the middle of a
        stream. Refusal `vpn-only`, then `unknown-camera`, then (`watch`) `shut`, then `role-required`."""

    def cameras(self, caller: Caller | None) -> list[Body]:
        """The states of every camera that the caller may see."""

    def camera(self, camera: str, caller: Caller | None) -> Body:
        """One camera's state. Refusal `unknown-camera`."""

    def checks(self, camera: str, caller: Caller) -> Body:
        """`{could_open, ready_in_ms, checks}`, judged for this caller."""

    async def transition(self, camera: str, caller: Caller | None, wish: TransitionWish) -> Answer:
        """Request, extend, close or acknowledge."""

    async def transitions(self, camera: str, caller: Caller, after: int, limit: int) -> Body:
        """A page of the camera's transitions: `{items, next}`."""

    async def join(self, camera: str, caller: Caller) -> Answer:
        """A watch of the caller's own: 201 `{watch, mp4, hls, codecs}` (paths, not addresses)."""

    async def leave(self, watch: str, caller: Caller) -> None:
        """End a watch. Refusal `unknown-watch` unless it is this caller's, on this device."""

    def watch(self, watch: str, caller: Caller) -> LiveWatch:
        """The caller's watch. Refusal `unknown-watch`, or `shut` when the gate is."""

    def connection_lost(self, transport: asyncio.BaseTransport) -> None:
        """A TCP connection ended; the gate lets go of it."""

    async def sessions(self, caller: Caller, after: int, limit: int, names: bool) -> Body:
        """A page of sessions, newest last: reviewers all, maintainers their own; `names` as in EventQuery."""

    async def admit_session(self, caller: Caller, session: str) -> None:
        """Whether this caller may read that session; asked before its query is. Refusal `unknown-session`."""

    async def session(self, session: str, caller: Caller, names: bool) -> Body:
        """One session; `names` as in EventQuery."""

    def admit_window(self, caller: Caller, act: Act, window: str) -> None:
        """Whether this caller may do that to this window; asked before a body is read. Refusal
        `unknown-window`, then `role-required`."""

    async def windows(self, caller: Caller, after: tuple[int, str] | None, limit: int) -> Body:
        """A page of the windows that run or are to come, by start: `{items, next}`. `after` is the start
        (wall microseconds) and the id of the last one seen."""

    async def coming_windows(self, caller: Caller, count: int) -> Body:
        """The next stretches in which something may really be opened, and what will not open."""

    async def add_window(self, caller: Caller, wish: WindowWish) -> Answer:
        """A one-off window: 201 and the window."""

    async def approve_window(self, caller: Caller, window: str) -> Answer:
        """Approve one: the window."""

    async def shorten_window(self, caller: Caller, window: str, end_us: int) -> Answer:
        """Make one end earlier: the window; 202 with `pending` when the log has not taken it yet."""

    async def cancel_window(self, caller: Caller, window: str) -> Answer:
        """Cancel one: the window; 202 with `pending` when the log has not taken it yet."""

    async def events(self, caller: Caller, wanted: EventQuery) -> Body:
        """A page of the log: `{items, next}`."""

    def follow(self, caller: Caller, after: int | None) -> AsyncGenerator[tuple[int, Body], None]:
        """Events as they become durable, from `after` on (None: from now), with their sequence numbers."""

    async def denied(self, address: str, code: str) -> None:
        """Somebody was refused at the door; counted, and written at most once a minute a kind."""

    def me(self, caller: Caller) -> Body:
        """Identity, device and roles as seen, and the notice."""

    def ready(self) -> tuple[bool, Body]:
        """Whether each dependency is well, and each by name."""

    def measures(self) -> Mapping[str, Mapping[str, float]]:
        """Metric name (without `volet_`, unit in the name) → camera id, or "" for the site → value."""
