"""Hashes, links and shapes: what makes a row of the log evidence (CONTRACT 7, S12)."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from functools import lru_cache
from itertools import product
from operator import itemgetter
from typing import Any, get_args, get_type_hints

from orchestrator.core.canonical import NotCanonical, canonical, decoded, is_canonical
from orchestrator.core.events import SCHEMA, Actor, Event, Place, Record, Sealed
from orchestrator.core.moment import SECOND_US, Moment, parse_rfc3339, rfc3339

GENESIS = "sha256:" + "0" * 64
"""The `prev` of the first event."""

_AT = re.compile(r"([0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}):([0-5][0-9])\.([0-9]{6})Z")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_ACTOR_KINDS = frozenset(get_args(get_type_hints(Actor)["kind"]))


class BrokenRecord(ValueError):
    """Bytes that are not an event of this log, or not the next one; the message says why."""


def digest(data: bytes) -> str:
    """SHA-256 of `data`, written `sha256:` and 64 hexadecimal digits."""
    return "sha256:" + hashlib.sha256(data).hexdigest()


def commitment(salt: bytes, row: object) -> str:
    """SHA-256(salt ‖ canonical(row)): what an event holds of its erasable row of details (S19)."""
    return digest(salt + canonical(row))


def uuid7(unix_ms: int, random: bytes) -> str:
    """The RFC 9562 version 7 UUID of that millisecond; of the 10 random bytes 74 bits are used."""
    if len(random) != 10 or not 0 <= unix_ms < 1 << 48:
        raise ValueError(f"a UUIDv7 takes 10 random bytes and 48 bits of ms, not {len(random)} and {unix_ms}")
    noise = int.from_bytes(random, "big")
    number = unix_ms << 80 | 7 << 76 | (noise >> 62 & 0xFFF) << 64 | 2 << 62 | noise & (1 << 62) - 1
    text = f"{number:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def body(sealed: Sealed, seq: int, prev: str, site: str, details_commitment: str | None) -> dict[str, Any]:
    """The event object of CONTRACT 7 without `hash`: every key present, null where there is nothing.

    Raises NotCanonical for a transition that lacks where it comes from or leads to.
    """
    event, at = sealed.event, sealed.at
    if event.type == "transition":
        if event.source is None or event.target is None:
            raise NotCanonical("$.from" if event.source is None else "$.to", "a transition has both ends")
        named: dict[str, Any] = {
            "trigger": event.name,
            "from": event.source.state,
            "from_substate": event.source.substate,
            "to": event.target.state,
            "to_substate": event.target.substate,
        }
    else:
        named = {"name": event.name}
    return {
        "seq": seq,
        "id": sealed.id,
        "at": rfc3339(at.wall_us),
        "clock_synchronised": at.synchronised,
        "boot": at.boot,
        "boottime_us": at.boottime_us,
        "site": site,
        "schema": SCHEMA,
        "type": event.type,
        "camera": event.camera,
        "session": event.session,
        **named,
        "actor": {"kind": event.actor.kind, "id": event.actor.id},
        "data": event.data,
        "details": details_commitment,
        "chart": sealed.chart,
        "config": sealed.config,
        "prev": prev,
    }


def read_body(canonical_bytes: bytes, hash: str) -> dict[str, Any]:  # noqa: A002 - the contract's own word
    """The event object that these bytes are; BrokenRecord unless its shape is known and `hash` is theirs."""
    found = digest(canonical_bytes)
    if found != hash:
        raise BrokenRecord(f"its bytes have the hash {found}, but {hash} is written beside them")
    return shaped(canonical_bytes)


def shaped(canonical_bytes: bytes) -> dict[str, Any]:
    """The event object that these bytes are, whatever hash they have; BrokenRecord unless its shape is known.

    That the bytes are the canonical ones is `check_canonical`'s question.
    """
    try:
        value = decoded(canonical_bytes)
    except ValueError as error:
        raise BrokenRecord(f"its bytes are not JSON of our kind: {error}") from None
    if not isinstance(value, dict):
        raise BrokenRecord("it is not an object")
    kind = value.get("type")
    shape = _SHAPES.get(kind) if isinstance(kind, str) else None
    if shape is None:
        raise BrokenRecord(f"its type is {kind!r}, neither a transition nor an observation")
    try:
        values = shape.values(value)
    except KeyError:
        values = ()
    if len(values) != len(value):
        raise BrokenRecord(f"it has the wrong keys: {', '.join(sorted(value.keys() ^ shape.kinds.keys()))}")
    if tuple(map(type, values)) not in shape.allowed:
        wrong = next(key for key, kinds in shape.kinds.items() if type(value[key]) not in kinds)
        raise BrokenRecord(f"{wrong} is {value[wrong]!r}")
    _check_values(value)
    return value


def _check_values(value: Mapping[str, Any]) -> None:
    if value["schema"] != SCHEMA:
        raise BrokenRecord(f"its schema is {value['schema']}; this program knows {SCHEMA}")
    actor = value["actor"]
    if len(actor) != 2 or actor.get("kind") not in _ACTOR_KINDS or type(actor.get("id")) is not str:
        raise BrokenRecord(f"actor is {actor!r}")
    for key in ("prev", "details"):
        if value[key] is not None and not _DIGEST.fullmatch(value[key]):
            raise BrokenRecord(f"{key} is {value[key]!r}, not a digest")


def record_of(event_body: Mapping[str, Any], canonical_bytes: bytes, hash: str) -> Record:  # noqa: A002
    """The Record of an object that `read_body` has checked; BrokenRecord when its time is none."""
    source = target = None
    if event_body["type"] == "transition":
        source = _place(event_body["from"], event_body["from_substate"])
        target = _place(event_body["to"], event_body["to_substate"])
    actor = event_body["actor"]
    event = Event(
        event_body["type"],
        name_of(event_body),
        _actor(actor["kind"], actor["id"]),
        event_body["camera"],
        event_body["session"],
        source,
        target,
        event_body["data"],
    )
    wall_us = wall_us_of(event_body)
    at = Moment(wall_us, event_body["boottime_us"], event_body["clock_synchronised"], event_body["boot"])
    sealed = Sealed(event, event_body["id"], at, event_body["chart"], event_body["config"])
    return Record(event_body["seq"], sealed, event_body["prev"], hash, canonical_bytes)


_place = lru_cache(maxsize=64)(Place)
_actor = lru_cache(maxsize=256)(Actor)


def name_of(event_body: Mapping[str, Any]) -> str:
    """The trigger of a transition, the name of an observation."""
    name: str = event_body["trigger" if event_body["type"] == "transition" else "name"]
    return name


def check_canonical(canonical_bytes: bytes, event_body: Mapping[str, Any]) -> None:
    """BrokenRecord unless these bytes are exactly the canonical form of that object, which `read_body` made
    of them."""
    if not is_canonical(canonical_bytes, event_body):
        raise BrokenRecord("its bytes are JSON, but not the canonical form of it")


def check_link(previous_hash: str, previous_seq: int, seq: int, prev: str) -> None:
    """BrokenRecord unless event `seq`, which names `prev`, follows that one; before the first stand GENESIS
    and 0."""
    if seq != previous_seq + 1:
        raise BrokenRecord(f"event {seq} follows event {previous_seq}: the sequence has a gap")
    if prev != previous_hash:
        raise BrokenRecord(f"it follows {prev}, but the event before it has the hash {previous_hash}")


def wall_us_of(event_body: Mapping[str, Any]) -> int:
    """When it happened, UTC in microseconds; BrokenRecord when `at` is no time as we write it."""
    text = event_body["at"]
    found = _AT.fullmatch(text)
    if found is None:
        raise BrokenRecord(f"at is {text!r}, not a time in UTC with microseconds")
    minute, seconds, micros = found.groups()
    try:
        return _minute_us(minute) + int(seconds) * SECOND_US + int(micros)
    except ValueError as error:
        raise BrokenRecord(f"at is {text!r}: {error}") from error


@lru_cache(maxsize=1024)
def _minute_us(text: str) -> int:
    """The start of a minute, which many events of a log share."""
    return parse_rfc3339(text + ":00Z")


_TEXT, _MAYBE = (str,), (str, type(None))
_COMMON: Mapping[str, tuple[type, ...]] = {
    "seq": (int,),
    "id": _TEXT,
    "at": _TEXT,
    "clock_synchronised": (bool,),
    "boot": _TEXT,
    "boottime_us": (int,),
    "site": _TEXT,
    "schema": (int,),
    "type": _TEXT,
    "camera": _MAYBE,
    "session": _MAYBE,
    "actor": (dict,),
    "data": (dict,),
    "details": _MAYBE,
    "chart": _TEXT,
    "config": _TEXT,
    "prev": _TEXT,
}
_TRANSITION: Mapping[str, tuple[type, ...]] = {
    **_COMMON,
    "trigger": _TEXT,
    "from": _TEXT,
    "from_substate": _MAYBE,
    "to": _TEXT,
    "to_substate": _MAYBE,
}


class _Shape:
    """The keys of one type of event, and every combination of types their values may have.

    Looked up whole because each start and each `verify` asks it of each event.
    """

    def __init__(self, kinds: Mapping[str, tuple[type, ...]]) -> None:
        self.kinds = kinds
        self.values = itemgetter(*kinds)
        self.allowed = frozenset(product(*kinds.values()))


_SHAPES = {"transition": _Shape(_TRANSITION), "observation": _Shape({**_COMMON, "name": _TEXT})}
