"""A change asked for twice under one `Idempotency-Key` is carried out once, across a restart too (S15).

The digests of the key and of the body lie in the details of the event that the change became: durable with
it, in one transaction, and outside the chain. What is kept here is an index of the last day, read from the
log at the start; a repeat is answered from the log. An erased row loses the repeat's answer and nothing else.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from orchestrator.app.log_reading import read_for_caller
from orchestrator.app.views import answered
from orchestrator.core.canonical import canonical
from orchestrator.core.chain import digest
from orchestrator.core.events import Actor, Record
from orchestrator.core.moment import SECOND_US, Moment
from orchestrator.core.refusal import Refusal
from orchestrator.edges.http.ports import Answer, TransitionWish
from orchestrator.runtime.event_store import EventStore

KEPT_US = 86_400 * SECOND_US
KEYS_A_MEMBER_AND_CAMERA = 500
"""Past these nobody's key is forgotten early: another one is refused until the oldest is a day old."""
CUT_AT_ONCE = 256
"""More viewers than a closing ever cuts."""
MEMBER = "idempotency"
"""The member of an event's details that holds the two digests."""

Marks = Mapping[str, Any]
CarryOut = Callable[[Marks], Awaitable[Answer]]


@dataclass(frozen=True, slots=True)
class Kept:
    """What one key stands for: the digest of the body, when, and the sequence number of the event; an answer
    that has no event in the log (yet) is kept itself."""

    body: str
    at_us: int
    seq: int | None = None
    answer: Answer | None = None


@dataclass(frozen=True, slots=True)
class _UnderWay:
    body: str
    outcome: asyncio.Future[Answer]


class Repeats:
    """The keys of the last day, by person and camera. Everything is called on the loop's thread."""

    def __init__(self, store: EventStore[Any], now: Callable[[], Moment]) -> None:
        self._store, self._now = store, now
        self._shelves: dict[tuple[str, str], OrderedDict[str, Kept]] = {}
        self._under_way: dict[str, _UnderWay] = {}

    async def load(self) -> None:
        """Read the last day's keys from the log. LogError when it cannot be read."""
        since_us = self._now().wall_us - KEPT_US
        marked = await self._store.marked(MEMBER, since_us)
        for record, marks in reversed(marked):
            event, at_us = record.event, record.sealed.at.wall_us
            shelf = self._shelves.setdefault((event.actor.id, event.camera or ""), OrderedDict())
            key = str(marks.get("key"))
            shelf.pop(key, None)
            shelf[key] = Kept(str(marks.get("body")), at_us, record.seq)
            if len(shelf) > KEYS_A_MEMBER_AND_CAMERA:
                shelf.popitem(last=False)

    async def once(self, actor: Actor, camera: str, wish: TransitionWish, carry_out: CarryOut) -> Answer:
        """The answer to `wish`: the first one when it was carried out before under this key. `carry_out` gets
        what must stand in the details of the event. Only successes that became an event are kept.

        Refusal `idempotency-mismatch` for another body under the key, `slow-down` for too many keys.
        """
        if wish.key is None:
            return await carry_out({})
        key, body = _digests(actor, camera, wish)
        shelf = self._shelf(actor, camera)
        known = self._under_way.get(key) or shelf.get(key)
        if known is not None:
            if known.body != body:
                raise Refusal("idempotency-mismatch", "this key was used with another body; take a new key")
            if isinstance(known, _UnderWay):
                return await asyncio.shield(known.outcome)
            return await self._again(camera, known)
        if len(shelf) >= KEYS_A_MEMBER_AND_CAMERA:
            self._make_room(shelf, wish.trigger)
        outcome: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._under_way[key] = _UnderWay(body, outcome)
        try:
            answer = await carry_out({MEMBER: {"key": key, "body": body}})
        except BaseException as problem:
            ended = Refusal("closed-meanwhile", "what was asked first under this key did not come to an end")
            outcome.set_exception(problem if isinstance(problem, Refusal) else ended)
            outcome.exception()  # Nobody may be waiting for it.
            raise
        finally:
            del self._under_way[key]
        if answer.status == 202:
            shelf[key] = self._kept(body, answer)
        outcome.set_result(answer)
        return answer

    def _kept(self, body: str, answer: Answer) -> Kept:
        at_us, events = self._now().wall_us, answer.body["events"]
        if not events:
            return Kept(body, at_us, answer=answer)
        return Kept(body, at_us, events[0]["seq"])

    async def _again(self, camera: str, known: Kept) -> Answer:
        if known.answer is not None:
            return known.answer
        assert known.seq is not None
        wanted = self._store.read(after=known.seq - 1, limit=1 + CUT_AT_ONCE, camera=camera)
        records = await read_for_caller(wanted)
        return Answer(202, answered(_with_its_cut_viewers(records)))

    def _shelf(self, actor: Actor, camera: str) -> OrderedDict[str, Kept]:
        """This person's keys for this camera, those of more than a day ago taken away."""
        since_us = self._now().wall_us - KEPT_US
        shelf = self._shelves.setdefault((actor.id, camera), OrderedDict())
        for key in [key for key, kept in shelf.items() if kept.at_us < since_us]:
            del shelf[key]
        return shelf

    def _make_room(self, shelf: OrderedDict[str, Kept], trigger: str) -> None:
        if trigger == "close":
            shelf.popitem(last=False)  # Closing waits for nothing (S13).
            return
        oldest = next(iter(shelf.values()))
        wait_s = max(1, (oldest.at_us + KEPT_US - self._now().wall_us) // SECOND_US + 1)
        detail = f"{len(shelf)} keys of yours are kept for this camera; ask without a key"
        raise Refusal("slow-down", detail, retry_after_s=wait_s)


def _digests(actor: Actor, camera: str, wish: TransitionWish) -> tuple[str, str]:
    """Of the key (whose, for which camera) and of what is asked."""
    asked = {name: value for name, value in asdict(wish).items() if name not in ("key", "versions")}
    key = digest(canonical([actor.kind, actor.id, camera, wish.key]))
    return key, digest(canonical(asked))


def _with_its_cut_viewers(records: list[Record]) -> list[Record]:
    """The transition, and the viewers that left with it in the same transaction."""
    found = records[:1]
    for record in records[1:]:
        is_next = record.seq == found[-1].seq + 1 and record.event.name == "viewer_left"
        if not is_next or record.event.data.get("reason") != "cut":
            break
        found.append(record)
    return found
