"""The table of negative controls: what holds, by which protection, its switch, the test that fails then."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.controls import (
    boundary,
    chain,
    closings,
    ends,
    facts,
    memory,
    openings,
    parking,
    people,
    picture,
    workers,
)
from tests.controls.control import Control
from tests.model.mutants import MUTANTS, Mutant

GROUPS: Mapping[str, tuple[Control, ...]] = {
    module.__name__.rpartition(".")[2]: module.CONTROLS
    for module in (
        picture, ends, workers, memory, openings, closings, chain, facts, boundary, people, parking
    )
}  # fmt: skip
CONTROLS = tuple(control for group in GROUPS.values() for control in group)
NO_CONTROL = {
    "S24": "signed checkpoints are not built yet, so there is nothing to take away",
}
"""Invariants without a single protection that could be removed, and why."""
KEPT = Path(__file__).with_name("controls.txt")
HEADER = ("holds", "protection", "switch", "failing test")
SEARCH = (
    "tests/model/test_search.py::test_a_mistake_in_the_core_or_a_lane_is_found_by_the_invariant_it_breaks"
)
NUMBER = re.compile(r"^([a-z])([0-9]+)_")
LEGEND = (
    "Each row: without the protection (a patch of a private copy, or a function put in its place) the test\n"
    "fails, and tests/controls shows it. Switches that begin with mutant- stand in tests/model/mutants.py.\n"
    "Written by `python -m tests.controls.table`."
)


@dataclass(frozen=True, slots=True)
class Row:
    """One control or one mutant of the search. `proof` is the test that takes the protection out."""

    numbers: tuple[str, ...]
    protection: str
    switch: str
    test: str
    proof: str

    def cells(self) -> tuple[str, ...]:
        """As text, in the order of `HEADER`."""
        return " ".join(self.numbers), self.protection, self.switch, self.test


def _row_of(control: Control, group: str) -> Row:
    proof = (
        f"tests/controls/test_without_{HALVES[group]}.py::test_without_it_its_test_fails[{control.switch}]"
    )
    return Row(control.numbers, control.protection, control.switch, control.test, proof)


def _row_of_mutant(mutant: Mutant) -> Row:
    found = NUMBER.match(mutant.caught_by)
    assert found is not None, mutant.caught_by
    number = (found[1] + found[2]).upper()
    test = (
        "tests/model/test_search.py::test_in_every_reachable_state_the_invariants_hold_and_a_way_leads_up_again"
        f"[{mutant.slice}]"
    )
    switch = "mutant-" + "-".join(re.findall(r"[a-z0-9]+", mutant.name.lower()))
    return Row((number,), f"seeded mistake: {mutant.name}", switch, test, f"{SEARCH}[{mutant.name}]")


HALVES = {
    "picture": "the_gate",
    "ends": "the_gate",
    "workers": "the_gate",
    "memory": "the_gate",
    "openings": "the_log",
    "closings": "the_log",
    "chain": "the_log",
    "facts": "the_door",
    "boundary": "the_door",
    "people": "the_door",
    "parking": "the_door",
}
"""Which of the three slow files takes which group out: they run beside each other."""
ROWS = tuple(
    sorted(
        [
            *(_row_of(control, name) for name, group in GROUPS.items() for control in group),
            *map(_row_of_mutant, MUTANTS),
        ],
        key=lambda row: ("SKL".index(row.numbers[0][0]), int(row.numbers[0][1:])),
    )
)


def of(half: str) -> tuple[Control, ...]:
    """The controls that one of the slow files takes out."""
    return tuple(control for name, group in GROUPS.items() if HALVES[name] == half for control in group)


def drawn(lines: Sequence[Sequence[str]]) -> str:
    """Columns under each other, the last one as long as it is."""
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]) - 1)]
    return "\n".join(
        "  ".join([*(cell.ljust(width) for cell, width in zip(line, widths, strict=False)), line[-1]])
        for line in lines
    )


def text() -> str:
    """The table as it is kept."""
    none = [f"{number}: {why}" for number, why in NO_CONTROL.items()]
    rows = [HEADER, *(row.cells() for row in ROWS)]
    return "\n".join([LEGEND, "", drawn(rows), "", "Without a control:", *none, ""])


def verdicts(outcomes: Mapping[str, str]) -> str:
    """The rows whose proof has run (`outcomes`: how it ended, by node id), each with what became of it."""
    ran: Iterable[Row] = (row for row in ROWS if row.proof in outcomes)
    told = {"passed": "fails", "failed": "NOT SHOWN", "skipped": "skipped"}
    lines = [
        (" ".join(row.numbers), row.switch, told.get(outcomes[row.proof], "NOT SHOWN"), row.test)
        for row in ran
    ]
    return drawn([("holds", "switch", "without it", "the test"), *lines]) if lines else ""


if __name__ == "__main__":
    KEPT.write_text(text())
