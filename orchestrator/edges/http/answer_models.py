"""The shape of every answer of the API, for its description; a test holds the real answers against it."""

from __future__ import annotations

from typing import Annotated, Any, Generic, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, WithJsonSchema
from pydantic import Field as Told

Instant = Annotated[str, WithJsonSchema({"type": "string", "format": "date-time"})]
Digest = Annotated[str, Told(pattern=r"^sha256:[0-9a-f]{64}$")]
State = Literal["disabled", "requested", "safety_checked", "streaming", "expiring"]
Substate = Literal["ready", "closing", "locked", "live", "reconnecting"]
Trigger = Literal["request", "extend", "close", "acknowledge"]
Count = Annotated[int, Told(ge=0)]
Item = TypeVar("Item")


class Shown(BaseModel):
    """An answer has the members of its model and no other."""

    model_config = ConfigDict(extra="forbid")


class Page(Shown, Generic[Item]):
    """A list; `next` is the `after` to ask with, null at the end."""

    items: list[Item]
    next: Count | None


class Worker(Shown):
    """Whether a worker runs, which run of the session it is, and how many have failed."""

    running: bool
    run: Count
    failures: Count


class Camera(Shown):
    """One camera. The local socket is not told of viewers and the worker."""

    id: str
    lane: str
    state: State
    substate: Substate | None
    fault: str | None
    locks: list[str]
    session: str | None
    deadline: Instant | None
    version: Annotated[int, Told(ge=0, description="The sequence number of its last transition")]
    pending: Annotated[bool, Told(description="Shut already, but the log does not say so yet")]
    permitted: Annotated[list[Trigger], Told(description="What this caller may ask for now")]
    viewers: Count = 0
    worker: Worker = Worker(running=False, run=0, failures=0)


class Cameras(Shown):
    """Cameras by id; `next` is the id of the last one."""

    items: list[Camera]
    next: str | None


class ChainedCheck(Shown):
    """One check as it stands in an event: without free text."""

    id: str
    phase: Literal["open", "hold"]
    passed: bool
    waived: bool
    fault: str | None
    age_ms: Count | None
    evidence: dict[str, int | bool | str | None]


class Check(ChainedCheck):
    """One check as it is judged now."""

    detail: str
    ready_in_ms: Count | None


class Checks(Shown):
    """Every check, judged for this caller."""

    could_open: bool
    ready_in_ms: Annotated[Count | None, Told(description="null when something must happen first")]
    checks: list[Check]


class Actor(Shown):
    """Who caused an event."""

    kind: Literal["member", "clock", "check", "worker", "service", "local", "bus"]
    id: str


class _Chained(Shown):
    seq: Annotated[int, Told(ge=1)]
    id: str
    at: Instant
    clock_synchronised: bool
    boot: str
    boottime_us: Count
    site: str
    schema_: Annotated[int, Told(alias="schema")]
    camera: str | None
    session: str | None
    actor: Actor
    data: dict[str, Any]
    details: Digest | None
    chart: str
    config: str
    prev: Digest
    hash: Digest


class Transition(_Chained):
    """A move of the statechart, as it stands in the log."""

    type: Literal["transition"]
    trigger: str
    from_: Annotated[State, Told(alias="from")]
    from_substate: Substate | None
    to: State
    to_substate: Substate | None


class Observation(_Chained):
    """An event that moves no state, as it stands in the log."""

    type: Literal["observation"]
    name: str


Event = Transition | Observation


class EventWithDetails(Shown):
    """An event and its personal row; null when it was erased, or there is none."""

    event: Event
    details: dict[str, Any] | None


class Moved(Shown):
    """What a change came to. `pending`: the gate is shut, but the log has not taken it yet."""

    session: str | None
    state: State
    substate: Substate | None
    version: Count
    events: list[Event]
    pending: Literal[True] = True


class Joined(Shown):
    """A watch: its paths are this person's alone, on this device alone."""

    watch: str
    mp4: Annotated[str, Told(pattern=r"^/live/[^/]+/stream\.mp4$")]
    hls: Annotated[str, Told(pattern=r"^/live/[^/]+/index\.m3u8$")]
    codecs: Annotated[str, Told(description="RFC 6381")]


class Viewer(Shown):
    """Somebody who watched."""

    watch: str
    member: str
    joined_at: Instant
    left_at: Instant | None
    seconds: Count | None
    bytes: Count | None


class End(Shown):
    """Why a session ended. `failure` and `checks` where there are any."""

    trigger: Literal["checks_failed", "start_failed", "close", "fault", "expire"]
    fault: str | None
    limit: str | None
    failure: str = ""
    checks: list[ChainedCheck] = []


class Session(Shown):
    """One session, told from its events. What was erased is null."""

    id: str
    camera: str
    requester: str
    purpose: str
    reason: str | None
    ticket: str | None
    state: State
    requested_at: Instant
    opened_at: Instant | None
    ended_at: Instant | None
    end: End | None
    deadline: Instant | None
    checks: list[ChainedCheck]
    viewers: list[Viewer]
    closing: Annotated[dict[str, Any] | None, Told(description="The proof of the closing")]
    names: Annotated[dict[str, str], Told(description="Members' names by id, where they were asked for")] = {}


class Device(Shown):
    """The device that asks."""

    id: str
    label: str
    address: str


class Me(Shown):
    """Identity, device and roles as seen, and what is logged."""

    member: str
    name: str
    device: Device
    roles: list[str]
    cameras: list[str]
    purposes: list[str]
    site: str
    timezone: str = ""
    notice: dict[str, str]


class Lives(Shown):
    """The process lives."""

    status: Literal["ok"]


class Dependency(Shown):
    """One of the things the daemon stands on."""

    ready: bool
    detail: str


class Ready(Shown):
    """Each dependency by name."""

    dependencies: dict[str, Dependency]


class Window(Shown):
    """A maintenance window. The words of a one-off are for those who may read them."""

    id: str
    name: str | None
    cameras: list[str]
    start: Instant
    end: Instant
    reason: str | None
    ticket: str | None
    state: Literal["proposed", "approved", "cancelled", "over", "skipped"]
    recurring: bool
    proposed_by: str | None
    approved_by: list[str]
    skipped: str | None
    permitted: Annotated[list[str], Told(description="What this caller may do with it now")]
    pending: Annotated[Literal[True], Told(description="It counts, but the log has not taken it yet")] = True


class Stretch(Shown):
    """A time in which something may really be opened, or that will not open."""

    cameras: list[str]
    start: Instant
    end: Instant
    state: Literal["proposed", "approved", "cancelled", "over", "skipped"]
    windows: list[str]
    skipped: str | None


class Windows(Shown):
    """Windows by start, or the coming stretches; `next` is the `after` to ask with."""

    items: list[Window] | list[Stretch]
    next: str | None
