"""Has a nursery cut a story in many places, and says what came of it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.crash.steps import Call, Cut, Step, chosen

ONE = "VOLET_CRASH_CUT"
"""Set to `story/cut`, as a failure names it, to have that one alone."""
PROPERTY = "cuts"
MISSED_PERCENT = 30
"""A life is not the same twice: threads take turns. So many cuts at most may find that it went another way;
it then lived to its end, and its next start is looked at all the same."""
FAILURES_SHOWN = 3
ROOT = Path(__file__).parents[2]


@dataclass
class Tally:
    """What a story's cuts came to."""

    story: str
    steps: int
    cuts: int = 0
    missed: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    promises: int = 0
    workers: int = 0
    gone_ms: int = 0
    wrote: Counter[str] = field(default_factory=Counter)
    begun: float = field(default_factory=time.monotonic)

    def add(self, cut: str, answer: dict[str, Any]) -> None:
        """One more."""
        self.cuts += 1
        if "failed" in answer:
            replay = f"{ONE}={self.story}/{cut}"
            self.failures.append(f"{replay}\n{answer['failed']}")
            return
        if not answer["reached"]:
            self.missed.append(cut)
        self.workers += answer["orphans"]
        self.promises += answer["promises"]
        self.gone_ms = max(self.gone_ms, answer["gone_ms"])
        self.wrote[" ".join(answer["wrote"]) or "nothing"] += 1

    def row(self) -> str:
        """A line of the table."""
        seconds = round(time.monotonic() - self.begun)
        counts = (self.promises, self.workers, self.gone_ms, len(self.wrote), seconds)
        return _aligned((self.story, self.steps, self.cuts, len(self.missed), *counts))

    def judge(self, record: Any) -> None:
        """Fails when one cut found something wrong; the row goes into the table at the end."""
        record(PROPERTY, self.row())
        found = "\n\n".join(self.failures[:FAILURES_SHOWN])
        assert not self.failures, f"{len(self.failures)} of {self.cuts} cuts:\n{found}"
        assert len(self.missed) * 100 <= self.cuts * MISSED_PERCENT, f"never came there: {self.missed}"


_WIDTHS = (28, 7, 5, 6, 8, 7, 7, 8, 7)
_COLUMNS = ("story", "steps", "cuts", "missed", "promises", "workers", "gone ms", "outcomes", "seconds")


def _aligned(cells: Sequence[object]) -> str:
    pairs = list(zip(map(str, cells), _WIDTHS, strict=True))
    return " ".join([pairs[0][0].ljust(pairs[0][1]), *(cell.rjust(width) for cell, width in pairs[1:])])


HEADER = _aligned(_COLUMNS)


class Nursery:
    """The process that forks lives, spoken to a line at a time."""

    def __init__(self, root: Path) -> None:
        argv = [sys.executable, "-m", "tests.crash.nursery", str(root)]
        self._process = subprocess.Popen(
            argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT
        )

    def ask(self, story: str, cut: str | None, **more: str) -> dict[str, Any]:
        """One order carried out."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps({"story": story, "cut": cut} | more) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        assert line, f"the nursery ended with {self._process.wait(10)}"
        answer: dict[str, Any] = json.loads(line)
        return answer

    def steps(self, story: str, cut: str | None = None, **more: str) -> list[Step]:
        """The steps of a whole life, or of the start after a cut."""
        answer = self.ask(story, cut, **more)
        assert "failed" not in answer, answer["failed"]
        return [tuple(step) for step in answer["steps"]]

    def close(self) -> None:
        """End it."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(60)
        self._process.stdout.close()


@contextmanager
def nursery(root: Path) -> Iterator[Nursery]:
    """A nursery in a folder of its own."""
    one = Nursery(root)
    try:
        yield one
    finally:
        one.close()


def carried_out(
    one: Nursery, tally: Tally, cuts: Sequence[Cut | Call], ask: Callable[[str], dict[str, Any]] | None = None
) -> None:
    """Each cut, or the one that was asked for; `ask` has one carried out in another way than a life's."""
    wanted = os.environ.get(ONE)
    names = [str(cut) for cut in cuts]
    if wanted is not None:
        story, _, name = wanted.partition("/")
        if story != tally.story:
            pytest.skip(f"{ONE} asks for another story")
        names = [name]
    for name in names:
        tally.add(name, ask(name) if ask is not None else one.ask(tally.story, name))


def cut_everywhere(root: Path, record: Any, story: str, narrow: Sequence[str], *, spread: int) -> Tally:
    """Every line of the `narrow` modules, and `spread` cuts evenly over the whole story."""
    with nursery(root) as one:
        steps = one.steps(story)
        tally = Tally(story, len(steps))
        carried_out(one, tally, chosen(steps, narrow, spread))
    tally.judge(record)
    return tally
