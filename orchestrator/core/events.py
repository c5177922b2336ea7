"""What happened: frozen, past tense, versioned (CONTRACT 7)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from orchestrator.core.moment import Moment

SCHEMA = 1

EventType = Literal["transition", "observation"]
Json = Mapping[str, Any]
"""Strings, booleans, null, integers below 2^53, and lists and objects of them; keys are ASCII."""


@dataclass(frozen=True, slots=True)
class Place:
    """A state and its substate, as the statechart knows them: `disabled` and `ready`."""

    state: str
    substate: str | None = None

    def __str__(self) -> str:
        return self.state if self.substate is None else f"{self.state}.{self.substate}"

    @classmethod
    def parse(cls, text: str) -> Place:
        """`disabled.ready` → Place("disabled", "ready")."""
        state, _, substate = text.partition(".")
        return cls(state, substate or None)


READY = Place("disabled", "ready")
CLOSING = Place("disabled", "closing")
LOCKED = Place("disabled", "locked")
REQUESTED = Place("requested")
SAFETY_CHECKED = Place("safety_checked")


@dataclass(frozen=True, slots=True)
class Actor:
    """Who caused it: a member by random id, or one of our own parts (CONTRACT 7)."""

    kind: Literal["member", "clock", "check", "worker", "service", "local", "bus"]
    id: str


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened, as it was decided.

    `name` is the trigger of a transition or the name of an observation. `details` holds what
    names a person or is free text (S19): the chain commits to it, and it can be erased.
    """

    type: EventType
    name: str
    actor: Actor
    camera: str | None = None
    session: str | None = None
    source: Place | None = None
    target: Place | None = None
    data: Json = field(default_factory=dict)
    details: Json | None = None


@dataclass(frozen=True, slots=True)
class Sealed:
    """An event with its identity and the moment it happened; what an append takes.

    `id` is a UUIDv7 minted when it was decided: a repeated append of it is a success (CONTRACT 7).
    `chart` and `config` are the digests of the statechart and the policy in force.
    """

    event: Event
    id: str
    at: Moment
    chart: str
    config: str


@dataclass(frozen=True, slots=True)
class Record:
    """An event as the log holds it. `canonical` are the exact RFC 8785 bytes that `hash` covers."""

    seq: int
    sealed: Sealed
    prev: str
    hash: str
    canonical: bytes

    @property
    def event(self) -> Event:
        """What happened."""
        return self.sealed.event


def transition(name: str, actor: Actor, **rest: Any) -> Event:
    """A transition by the trigger `name`."""
    return Event("transition", name, actor, **rest)


def observation(name: str, actor: Actor, **rest: Any) -> Event:
    """An observation called `name`: it moves no state."""
    return Event("observation", name, actor, **rest)
