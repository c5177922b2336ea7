"""Stories: the shortest ways to each fault and each close call, told line by line and played again.

A line of the text is a step, or what came while the log was asked, and where that leads; the last one is
what the log says. Each story ends as it should for a site: mended, shut, and open once more (L3).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from orchestrator.core.events import CLOSING, LOCKED, READY, Record
from tests.model.explore import Line, Search, Slice
from tests.model.remembered import remembered_judgements
from tests.model.two_lanes import TwoLanes
from tests.model.world import STEPS

FOLDER = Path(__file__).parent.parent / "scenarios"
BETWEEN = "  before the log takes "
WIDTH = 78


@dataclass(frozen=True, slots=True)
class Found:
    """One line and what it led to."""

    before: TwoLanes
    line: Line
    after: TwoLanes

    @property
    def rows(self) -> tuple[Record, ...]:
        """What the log gained."""
        return self.after.written[len(self.before.written) :]

    def has(self, name: str, **data: object) -> bool:
        """Whether such an event is among them."""
        return any(
            row.event.name == name and all(row.event.data.get(key) == value for key, value in data.items())
            for row in self.rows
        )


@dataclass(frozen=True, slots=True)
class Close:
    """A close call: where to look for it, and how to know it."""

    name: str
    slice: str
    is_it: Callable[[Found], bool]


def _overtaken(event: str) -> Callable[[Found], bool]:
    return lambda found: found.line.between == "somebody closes" and found.line.under_way == event


CLOSE_CALLS = (
    Close("an opening is overtaken by a closing", "the log and the worker", _overtaken("first_frame")),
    Close("a request is overtaken by a closing", "the log and the worker", _overtaken("request")),
    Close(
        "the passed checks are overtaken by a closing", "the log and the worker", _overtaken("checks_passed")
    ),
    Close(
        "an opening lands late",
        "the log and the worker",
        lambda f: "what hung is there" in f.line.step and f.has("first_frame"),
    ),
    Close(
        "a request lands late",
        "the log and the worker",
        lambda f: f.has("fault", landed_late=True) and f.has("request"),
    ),
    Close(
        "a closing of what had ended already",
        "the log and the lane",
        lambda f: f.has("fault_seen"),
    ),
    Close(
        "killed while closing",
        "the log and the worker",
        lambda f: "killed" in f.line.step and f.before.state.place == CLOSING and f.has("closed"),
    ),
    Close(
        "killed while the first frame is on its way into the log, and it is there",
        "the log and the worker",
        lambda f: "is there" in f.line.between and f.line.under_way == "first_frame" and f.has("first_frame"),
    ),
    Close(
        "killed with a closing in the black box alone",
        "the log and the worker",
        lambda f: "killed" in f.line.step and f.before.state.place == READY and f.has("closed"),
    ),
    Close(
        "killed when neither the log nor the black box took the closing",
        "the log and the black box",
        lambda f: "killed" in f.line.step and f.before.state.is_shut and f.has("fault", fault="restarted"),
    ),
    Close(
        "a lock is set while another is acknowledged",
        "people and locks",
        lambda f: f.line.under_way == "acknowledge" and f.line.between == "swap is switched on",
    ),
    Close(
        "a lock survives a kill",
        "people and locks",
        lambda f: "killed" in f.line.step and f.after.state.place == LOCKED,
    ),
    Close(
        "the VPN goes while the log takes the passed checks",
        "the facts",
        lambda f: f.line.between == "the VPN goes" and f.line.under_way == "checks_passed",
    ),
    Close(
        "a vehicle comes while the log takes the first frame",
        "the facts",
        lambda f: f.line.between == "a vehicle comes" and f.line.under_way == "first_frame",
    ),
    Close(
        "a viewer joins while the disk hangs",
        "the log and the viewers",
        lambda f: f.has("viewer_joined") and "what hung is there" in f.line.step,
    ),
    Close("the worker comes back after a retry", "the worker", lambda f: f.has("frames_back")),
    Close("no worker can be started", "the worker", lambda f: f.has("start_failed", failure="unknown")),
    Close("nobody watches", "the clocks", lambda f: f.has("expire", limit="idle")),
    Close("the end of what was asked", "the clocks", lambda f: f.has("expire", limit="asked")),
    Close(
        "extended while expiring",
        "the clocks",
        lambda f: f.before.state.place.state == "expiring" and f.has("extend"),
    ),
    Close(
        "the clock is not synchronised", "the clocks", lambda f: f.has("checks_failed", fault="clock-jumped")
    ),
    Close(
        "a second request is refused",
        "people and locks",
        lambda f: f.line.step == "somebody else asks as well" and f.before.gate_open,
    ),
)


class Collector:
    """Notices the first line that is each close call of one slice, and the first of each fault."""

    def __init__(self, slice_name: str) -> None:
        self._calls = [call for call in CLOSE_CALLS if call.slice == slice_name]
        self.stories: dict[str, list[Line]] = {}

    def __call__(
        self, before: TwoLanes, line: Line, after: TwoLanes, story: Callable[[], list[Line]]
    ) -> None:
        """One more line."""
        found = Found(before, line, after)
        for row in found.rows:
            fault = row.event.data.get("fault")
            told = before.gate_open or fault == "closing-unproven"
            if (
                row.event.name == "fault"
                and told
                and not line.between
                and f"fault {fault}" not in self.stories
            ):
                self.stories[f"fault {fault}"] = story()
        for call in self._calls:
            if call.name not in self.stories and call.is_it(found):
                self.stories[call.name] = story()


def collected(slices: tuple[Slice, ...]) -> dict[str, list[Line]]:
    """The shortest story of each name, over all slices."""
    best: dict[str, list[Line]] = {}
    for alphabet in slices:
        collector = Collector(alphabet.name)
        Search(alphabet, noticed=collector).run()
        for name, lines in collector.stories.items():
            if name not in best or _cost(lines) < _cost(best[name]):
                best[name] = lines
    missing = {call.name for call in CLOSE_CALLS} - set(best)
    assert not missing, f"no way was found to: {sorted(missing)}"
    return best


def _cost(lines: list[Line]) -> int:
    return len(lines) + 2 * sum(bool(line.between) for line in lines)


def takes(world: TwoLanes, line: Line) -> TwoLanes:
    """The world at rest behind that line."""
    after = world.copied()
    step = STEPS[line.step]
    assert step.can(after), line
    step.does(after)
    moves = 0
    while not after.is_settled:
        if line.between and _is_now(after, line, moves):
            assert STEPS[line.between].can(after), line
            STEPS[line.between].does(after)
            line = Line(line.step)
            continue
        after.moves()
        moves += 1
    assert not line.between, line
    return after


def _is_now(world: TwoLanes, line: Line, moves: int) -> bool:
    if world.write is None:
        return False
    return world.write.sealed[-1].event.name == line.under_way


ENDING = (
    "the disk works again",
    "the black box takes again",
    "workers can be started again",
    "the wall clock is set right",
    "the clock is synchronised again",
    "the VPN is looked at again",
    "the gateway has room again",
    "a longer window is approved",
)


def _next(world: TwoLanes) -> str:
    """What a site does next to see a picture again."""
    mends = [name for name, step in STEPS.items() if step.mends and name not in TIME and "frame" not in name]
    mends.sort(key=lambda name: name == "an approver acknowledges")
    for name in (*ENDING, *mends):
        if STEPS[name].can(world) and "what hung" not in name:
            return name
    if world.state.place == READY:
        waits = world.weather.fresh or world.state.cool_down_left_us(world.now)
        return "ten seconds pass" if waits else "the maintainer asks"
    if STEPS["the first frame comes"].can(world) and not world.state.is_shut:
        return "the first frame comes"
    return "ten seconds pass"


TIME = frozenset({"ten seconds pass", "ten seconds pass in a session", "ten minutes pass"})


def told_to_its_end(lines: list[Line]) -> list[tuple[Line, TwoLanes]]:
    """Each line with the world behind it, and on until picture flows again."""
    world, told = TwoLanes(), []
    with remembered_judgements():
        for line in lines:
            world = takes(world, line)
            told.append((line, world))
        if not world.gate_open and world.state.is_open:
            raise AssertionError(lines)
        while not world.gate_open:
            line = Line(_next(world))
            world = takes(world, line)
            told.append((line, world))
            assert len(told) < 40, [str(one) for one, _ in told]
    return told


def where(world: TwoLanes) -> str:
    """A camera's place, as a line of a story names it."""
    gate = "gate open" if world.gate_open else "gate shut"
    pending = ", not in the log yet" if world.is_pending else ""
    return f"{world.state.place}, {gate}{pending}"


def text(name: str, lines: list[Line]) -> str:
    """The story as it stands in its file."""
    return _page(name, told_to_its_end(lines))


def _page(name: str, told: list[tuple[Line, TwoLanes]]) -> str:
    return "\n".join((name, "=" * len(name), *_told(told), "", *_log(told[-1][1]), ""))


def _told(told: list[tuple[Line, TwoLanes]]) -> Iterator[str]:
    for line, world in told:
        said = line.step
        if line.between:
            yield line.step
            said = f"{BETWEEN}{line.under_way}: {line.between}"
        yield f"{said:<{WIDTH}} -> {where(world)}"


def _log(world: TwoLanes) -> Iterator[str]:
    yield "the log says"
    for row in world.written:
        event = row.event
        if event.name == "lane_changed":
            continue
        fault = event.data.get("fault")
        lead = f"{event.source} -> {event.target}" if event.type == "transition" else ""
        yield f"  {event.name:<16}{lead:<50}{fault or ''}".rstrip()


def read(path: Path) -> Iterator[tuple[Line, str]]:
    """The lines of a story's file, each with where it leads."""
    body = path.read_text().split("\n\n")[0].splitlines()[2:]
    step = ""
    for said in body:
        if " -> " not in said:
            step = said
            continue
        said, _, leads = said.partition(" -> ")
        said = said.rstrip()
        if said.startswith(BETWEEN):
            under_way, _, between = said.removeprefix(BETWEEN).partition(": ")
            yield Line(step, between, 0, under_way), leads
        else:
            yield Line(said), leads


def log_of(path: Path) -> list[str]:
    """What the log says in the end, by name."""
    return [line.split()[0] for line in path.read_text().split("\n\n")[1].splitlines()[1:]]


def retold(path: Path) -> str:
    """The same lines, as the model has it today."""
    world, told = TwoLanes(), []
    with remembered_judgements():
        for line, _ in read(path):
            world = takes(world, line)
            told.append((line, world))
    return _page(path.read_text().splitlines()[0], told)


def file_of(name: str) -> Path:
    """Where the story of that name lies."""
    return FOLDER / (name.replace(",", "").replace(" ", "_") + ".txt")
