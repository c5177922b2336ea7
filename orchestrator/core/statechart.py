"""The legal moves of a camera: the table in statecharts/camera.toml, asked "from here, by this, where to"."""

from __future__ import annotations

import hashlib
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass

from transitions import Machine

from orchestrator.core.events import Place


@dataclass(frozen=True, slots=True)
class State:
    """One state: what it means, and whether picture may be served in it."""

    name: str
    means: str
    serves: bool

    @property
    def place(self) -> Place:
        """The state and substate apart."""
        return Place.parse(self.name)


@dataclass(frozen=True, slots=True)
class Move:
    """One legal move. `guard` is empty unless the core must choose between moves of one trigger."""

    trigger: str
    source: str
    target: str
    guard: str
    who: str


class UnknownTrigger(ValueError):
    """A trigger that the statechart has never heard of."""


class Chart:
    """A statechart in force, known by the digest of its file (`chart` in each event)."""

    def __init__(self, content: bytes) -> None:
        table = tomllib.loads(content.decode())
        self.digest = "sha256:" + hashlib.sha256(content).hexdigest()
        self.initial = Place.parse(table["initial"])
        self.states: tuple[State, ...] = tuple(
            State(row["name"], row["means"], row["serves"]) for row in table["states"]
        )
        self.moves: tuple[Move, ...] = tuple(
            Move(row["trigger"], source, row["to"], row.get("guard", ""), row["who"])
            for row in table["transitions"]
            for source in row["from"]
        )
        self.triggers: tuple[str, ...] = tuple(dict.fromkeys(move.trigger for move in self.moves))
        self._serving = frozenset(state.name for state in self.states if state.serves)
        self._targets = self._ask_machine(table["initial"])

    def _ask_machine(self, initial: str) -> Mapping[tuple[str, str], tuple[tuple[str, Place], ...]]:
        machine = Machine(
            model=None,
            states=[state.name for state in self.states],
            initial=initial,
            auto_transitions=False,
            send_event=False,
        )
        for move in self.moves:
            machine.add_transition(
                move.trigger, move.source, move.target, conditions=[move.guard] if move.guard else None
            )
        return {
            (state.name, trigger): tuple(
                (str(found.conditions[0].func) if found.conditions else "", Place.parse(str(found.dest)))
                for found in machine.get_transitions(trigger, state.name)
            )
            for state in self.states
            for trigger in self.triggers
        }

    def target(self, source: Place, trigger: str, guard: str = "") -> Place | None:
        """Where `trigger` leads from `source` when `guard` holds, or None when it is not permitted.

        A move without a guard is permitted under any. Raises UnknownTrigger for a misspelt one:
        the library itself would answer "nowhere".
        """
        if trigger not in self.triggers:
            raise UnknownTrigger(
                f"no trigger {trigger!r} in the statechart; it has {', '.join(self.triggers)}"
            )
        for wanted, place in self._targets.get((str(source), trigger), ()):
            if wanted in ("", guard):
                return place
        return None

    def permits(self, source: Place, trigger: str, target: Place) -> bool:
        """Whether the recorded move is one the table has, by whatever guard (S12)."""
        return any(place == target for _, place in self._targets.get((str(source), trigger), ()))

    def permitted(self, source: Place) -> tuple[str, ...]:
        """The triggers that lead somewhere from `source`."""
        return tuple(trigger for trigger in self.triggers if self._targets.get((str(source), trigger)))

    def serves(self, place: Place) -> bool:
        """Whether picture may be served there."""
        return str(place) in self._serving
