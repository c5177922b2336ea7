"""A search breadth first: every step from every world, every move on the way to rest, and what may come
between."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from tests.model.invariants import broken, broken_at_rest, change
from tests.model.remembered import remembered_judgements
from tests.model.shape import Shape, found_by_a_start, shape
from tests.model.two_lanes import TwoLanes
from tests.model.world import STEPS, Step

MANY_MOVES = 60


class Violated(AssertionError):
    """An invariant does not hold; `story` are the lines that lead there."""

    def __init__(self, invariant: str, what: str, story: Sequence[str]) -> None:
        told = "\n".join(f"  {line}" for line in story)
        super().__init__(f"{invariant}: {what}\n{told}")
        self.invariant = invariant


@dataclass(frozen=True, slots=True)
class Slice:
    """An alphabet that is searched to the end. `between`: what may come before each move of the lane and
    before each answer of the log, in a step that has such moves."""

    name: str
    steps: tuple[str, ...]
    between: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a story: a step, or what came between after so many moves of the step before."""

    step: str
    between: str = ""
    moves: int = 0
    under_way: str = ""

    def __str__(self) -> str:
        if not self.between:
            return self.step
        when = f"before the log takes {self.under_way}" if self.under_way else f"after {self.moves} moves"
        return f"{self.step} | {when}: {self.between}"


@dataclass
class Graph:
    """What was found. `edges`: from, step, to, of steps that nothing came between."""

    worlds: list[TwoLanes] = field(default_factory=list)
    parents: list[tuple[int, Line | None]] = field(default_factory=list)
    edges: list[tuple[int, str, int]] = field(default_factory=list)
    transitions: int = 0
    seconds: float = 0

    def story(self, index: int) -> list[Line]:
        """The shortest way there."""
        lines: list[Line] = []
        while True:
            parent, line = self.parents[index]
            if line is None:
                return lines[::-1]
            lines.append(line)
            index = parent


Noticed = Callable[[TwoLanes, Line, TwoLanes, Callable[[], list[Line]]], object]
"""Told of each line: the world before it, the world it came to rest in, and how to get the story up to
there."""


class Search:
    """One run over one slice. Raises Violated at the first thing that does not hold. Where somebody wants to
    notice, something comes between only while the log is asked: that can be told and done again."""

    def __init__(self, alphabet: Slice, most: int = 20_000, *, noticed: Noticed | None = None) -> None:
        self.alphabet = alphabet
        self.most = most
        self._noticed = noticed
        self.graph = Graph()
        self._index: dict[Shape, int] = {}
        self._on_the_way: set[Shape] = set()
        self._leads_to: dict[Shape, int] = {}
        self._starts_at: dict[Shape, int] = {}
        self._ring: deque[int] = deque()

    def run(self) -> Graph:
        """Every reachable world."""
        began = time.process_time()
        steps = [(name, STEPS[name]) for name in self.alphabet.steps]
        with remembered_judgements():
            self._add(TwoLanes(), -1, None)
            while self._ring:
                at = self._ring.popleft()
                world = self.graph.worlds[at]
                for name, step in steps:
                    if step.can(world):
                        self._take(at, world, name, step)
                assert len(self.graph.worlds) < self.most, f"{self.alphabet.name} has no end"
        self.graph.seconds = time.process_time() - began
        return self.graph

    def _take(self, at: int, world: TwoLanes, name: str, step: Step) -> None:
        found = self._start(name, world)
        if found is not None and found in self._starts_at:
            self.graph.edges.append((at, name, self._starts_at[found]))
            return
        line = Line(name)
        after = self._does(at, world, name, step, line)
        moves = 0
        passed: list[Shape] = []
        target = -1
        while not after.is_settled:
            if self._noticed is None and self.alphabet.between:
                way = shape(after)
                target = self._leads_to.get(way, -1)
                if target >= 0:
                    break
                passed.append(way)
            for between in self.alphabet.between:
                other = STEPS[between]
                if other.can(after) and (self._noticed is None or after.write is not None):
                    self._between(at, after, name, between, other, moves)
            after = self._move(at, after, line)
            moves += 1
            if moves == MANY_MOVES:
                self._require(("l1_the_lane_comes_to_rest", f"{moves} moves and no end"), at, line)
        if target < 0:
            self._require(broken_at_rest(after), at, line)
            target = self._add(after, at, line)
        self._leads_to.update(dict.fromkeys(passed, target))
        if found is not None:
            self._starts_at[found] = target
        self.graph.edges.append((at, name, target))

    def _start(self, name: str, world: TwoLanes) -> Shape | None:
        """What a start finds, where the step is one and nobody wants to notice each."""
        return found_by_a_start(world, name) if "starts" in name and self._noticed is None else None

    def _between(self, at: int, world: TwoLanes, name: str, between: str, step: Step, moves: int) -> None:
        found = self._start(between, world)
        if found is not None and found in self._starts_at:
            return
        target = self._interrupted(at, world, name, between, step, moves)
        if found is not None and target >= 0:
            self._starts_at[found] = target

    def _interrupted(self, at: int, world: TwoLanes, name: str, between: str, step: Step, moves: int) -> int:
        """Where that leads; -1 when it was led there before."""
        write = world.write
        line = Line(name, between, moves, write.sealed[-1].event.name if write else "")
        after = self._does(at, world, between, step, line)
        while not after.is_settled:
            passed = shape(after)
            if passed in self._on_the_way:
                return -1
            self._on_the_way.add(passed)
            after = self._move(at, after, line)
        self._require(broken_at_rest(after), at, line)
        return self._add(after, at, line)

    def _does(self, at: int, world: TwoLanes, name: str, step: Step, line: Line) -> TwoLanes:
        after = world.copied()
        after.refused = ""
        step.does(after)
        self.graph.transitions += 1
        killed = "starts" in name
        if step.shuts and after.gate_open:
            self._require(("s13_closing_waits_for_nothing", f"the gate is open after: {name}"), at, line)
        self._require(broken(change(world, after, killed)), at, line)
        return after

    def _move(self, at: int, world: TwoLanes, line: Line) -> TwoLanes:
        after = world.copied()
        after.moves()
        self._require(broken(change(world, after)), at, line)
        return after

    def _require(self, wrong: tuple[str, str] | None, at: int, line: Line) -> None:
        if wrong is not None:
            raise Violated(*wrong, self._told(at, line))

    def _told(self, at: int, line: Line) -> list[str]:
        return [str(each) for each in (*self.graph.story(at), line)]

    def _add(self, world: TwoLanes, parent: int, line: Line | None) -> int:
        if self._noticed is not None and line is not None:
            self._noticed(self.graph.worlds[parent], line, world, lambda: [*self.graph.story(parent), line])
        found = shape(world)
        index = self._index.get(found)
        if index is None:
            index = self._index[found] = len(self.graph.worlds)
            self.graph.worlds.append(world)
            self.graph.parents.append((parent, line))
            self._ring.append(index)
        return index


def reaches(graph: Graph, goal: Callable[[TwoLanes], bool], along: Callable[[str], bool]) -> set[int]:
    """The worlds from which a goal can be reached along those steps alone."""
    back: dict[int, list[int]] = {}
    for source, name, target in graph.edges:
        if along(name):
            back.setdefault(target, []).append(source)
    found = {index for index, world in enumerate(graph.worlds) if goal(world)}
    ring = deque(found)
    while ring:
        for source in back.get(ring.popleft(), ()):
            if source not in found:
                found.add(source)
                ring.append(source)
    return found
