"""Two cameras of one site, searched to the end together: what is no concern of the whole site leaves the
other camera as it was (S14), and what is shuts both at once (S4, S13)."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

from tests.model.explore import MANY_MOVES, Violated
from tests.model.invariants import broken, broken_at_rest, change
from tests.model.remembered import remembered_judgements
from tests.model.shape import Shape, shape
from tests.model.two_lanes import TwoLanes
from tests.model.weather import LANES, START_WEATHER
from tests.model.world import STEPS, Step

SESSION = ("the maintainer asks", "the first frame comes", "somebody closes", "the worker is proven gone")
VEHICLE = ("a vehicle comes", "the vehicle leaves")
LATER = "ten minutes pass"
"""Only while both are shut: what time does to a session stands in the other searches."""


@dataclass(frozen=True, slots=True)
class PairSlice:
    """An alphabet that is searched to the end: what may happen to the first camera, to the second, and to the
    whole site."""

    name: str
    first: tuple[str, ...]
    second: tuple[str, ...]
    site: tuple[str, ...]

    def steps(self) -> Iterator[tuple[str, tuple[int, ...], Step]]:
        """Each line, the cameras it concerns, and what it does."""
        for place, names in enumerate((self.first, self.second)):
            for name in names:
                yield f"cam{place + 1}: {name}", (place,), STEPS[name]
        for name in self.site:
            yield name, (0, 1), STEPS[name]


PAIR_SLICES = (
    PairSlice(
        "two cameras and the configuration",
        (*SESSION, *VEHICLE, "the worker fails"),
        SESSION,
        (
            "the configuration breaks",
            "the configuration is mended",
            "the process is killed and starts",
            LATER,
        ),
    ),
    PairSlice(
        "two cameras and the VPN",
        (*SESSION, *VEHICLE),
        SESSION,
        ("the VPN goes", "the VPN comes back", LATER),
    ),
    PairSlice(
        "two cameras and the locks",
        SESSION,
        SESSION,
        (
            *("a stray listener appears", "the stray listener is gone", "an approver acknowledges"),
            *("the process is killed and starts", LATER),
        ),
    ),
    PairSlice(
        "two cameras and the log",
        (*SESSION, *VEHICLE),
        SESSION,
        ("the disk refuses", "the disk works again", LATER),
    ),
)
Both = tuple[TwoLanes, TwoLanes]


@dataclass
class Pairs:
    """What was found."""

    states: int = 0
    transitions: int = 0
    seconds: float = 0
    both_open: int = 0
    parents: list[tuple[int, str]] = field(default_factory=list)

    def story(self, index: int) -> list[str]:
        """The shortest way there."""
        lines: list[str] = []
        while index >= 0:
            index, line = self.parents[index]
            lines.append(line)
        return lines[::-1][1:]


class PairSearch:
    """One run. Raises Violated at the first thing that does not hold."""

    def __init__(self, alphabet: PairSlice) -> None:
        self.found = Pairs()
        self._steps = list(alphabet.steps())
        self._index: dict[tuple[Shape, Shape], int] = {}
        self._ring: deque[tuple[int, Both]] = deque()

    def run(self) -> Pairs:
        """Every reachable pair."""
        began = time.process_time()
        with remembered_judgements():
            one, other = (TwoLanes(START_WEATHER, camera) for camera in LANES)
            self._add((one, other), -1, "")
            while self._ring:
                at, both = self._ring.popleft()
                for line, concerns, step in self._steps:
                    how_many = all if line == LATER else any
                    if how_many(step.can(both[place]) for place in concerns):
                        self._take(at, both, line, concerns, step)
        self.found.states = len(self._index)
        self.found.seconds = time.process_time() - began
        return self.found

    def _take(self, at: int, both: Both, line: str, concerns: tuple[int, ...], step: Step) -> None:
        self.found.transitions += 1
        after = (both[0].copied(), both[1].copied())
        for place in concerns:
            if step.can(after[place]):
                step.does(after[place])
            self._shared(after, place, is_of_the_site=len(concerns) > 1)
        for place in concerns:
            if step.shuts and after[place].gate_open:
                self._require(("s13_closing_waits_for_nothing", f"{after[place].camera} is open"), at, line)
        killed = "starts" in line
        rested = tuple(self._rests(at, line, both[place], after[place], killed) for place in (0, 1))
        for place in {0, 1} - set(concerns):
            self._is_as_it_was(at, line, both[place], rested[place])
        self._add((rested[0], rested[1]), at, line)

    def _shared(self, after: Both, place: int, *, is_of_the_site: bool) -> None:
        """Both live in one weather; of what concerns the whole site each is told."""
        weather, other = after[place].weather, after[1 - place]
        if other.weather is not weather:
            if is_of_the_site:
                other.learn(weather)
            else:
                other.weather = weather

    def _rests(self, at: int, line: str, before: TwoLanes, world: TwoLanes, killed: bool) -> TwoLanes:
        self._require(broken(change(before, world, killed)), at, line)
        for _ in range(MANY_MOVES):
            if world.is_settled:
                self._require(broken_at_rest(world), at, line)
                return world
            moved = world.copied()
            moved.moves()
            self._require(broken(change(world, moved)), at, line)
            world = moved
        raise Violated("l1_the_lane_comes_to_rest", "it does not", [*self.found.story(at), line])

    def _is_as_it_was(self, at: int, line: str, before: TwoLanes, after: TwoLanes) -> None:
        """S14: everything but the weather, which holds what stands in the first one's lane."""
        same = {**before.__dict__, "weather": after.weather} == after.__dict__
        if not same:
            what = f"{before.camera} was {before.state.place}, now {after.state.place}"
            self._require(("s14_cameras_are_independent", what), at, line)

    def _require(self, wrong: tuple[str, str] | None, at: int, line: str) -> None:
        if wrong is not None:
            raise Violated(*wrong, [*self.found.story(at), line])

    def _add(self, both: Both, parent: int, line: str) -> None:
        found = shape(both[0]), shape(both[1])
        if found in self._index:
            return
        index = self._index[found] = len(self._index)
        self.found.parents.append((parent, line))
        self.found.both_open += both[0].gate_open and both[1].gate_open
        self._ring.append((index, both))
