"""The steps of a life, line by line in every thread, and its end by SIGKILL right before one of them."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import orchestrator

PACKAGE = Path(orchestrator.__file__).parent
ROOMS = tuple(f"{PACKAGE / room}{os.sep}" for room in ("app", "core", "edges", "runtime"))
"""Where everything lies that runs between the taking of a command and its last effect."""
WRITING = ("runtime/event_store/writer.py", "runtime/blackbox.py")
CUTS_A_PROMISE = 1
Step = tuple[str, int, str, int]
"""Module, line, thread (`main`, or `other` for the log's and the black box's), and how many words had been
told: a life is traced only from the last of these on."""
_told = 0
_at: tuple[int, Callable[[FrameType, str, Any], Any]] | None = None


@dataclass(frozen=True, slots=True)
class Cut:
    """SIGKILL before that line is run for the `time`-th time in such a thread after so many words."""

    module: str
    line: int
    thread: str
    told: int
    time: int

    def __str__(self) -> str:
        return ":".join(map(str, (self.module, self.line, self.thread, self.told, self.time)))

    @classmethod
    def at(cls, steps: Sequence[Step], number: int) -> Cut:
        """Before the step of that number."""
        return cls(*steps[number], steps[: number + 1].count(steps[number]))

    @classmethod
    def parse(cls, text: str) -> Cut:
        """What `str` gives."""
        module, line, thread, told, time = text.split(":")
        return cls(module, int(line), thread, int(told), int(time))


@dataclass(frozen=True, slots=True)
class Call:
    """SIGKILL at the beginning of that system call of one thread on the log or the black box, at the
    `time`-th time; it is not carried out."""

    name: str
    time: int

    def __str__(self) -> str:
        return f"{self.name}@{self.time}"


def parsed(text: str) -> Cut | Call:
    """What `str` gives of either."""
    if "@" in text:
        name, _, time = text.partition("@")
        return Call(name, int(time))
    return Cut.parse(text)


def word_told() -> None:
    """A promise has been made; only those of the main thread come in an order of their own."""
    global _told
    if threading.current_thread() is threading.main_thread():
        _told += 1
        if _at is not None and _at[0] == _told:
            sys.settrace(_at[1])


def recorded(steps: list[Step]) -> None:
    """From now on each line that is run is put there, whatever thread runs it."""
    names: dict[str, str | None] = {}
    main = threading.get_ident()

    def line(frame: FrameType, event: str, _: Any) -> Any:
        if event == "line":
            thread = "main" if threading.get_ident() == main else "other"
            steps.append((names[frame.f_code.co_filename] or "", frame.f_lineno, thread, _told))
        return line

    def call(frame: FrameType, event: str, _: Any) -> Any:
        file = frame.f_code.co_filename
        if file not in names:
            names[file] = os.path.relpath(file, PACKAGE) if file.startswith(ROOMS) else None
        return None if names[file] is None else line

    threading.settrace(call)
    sys.settrace(call)


def killed_at(cut: Cut) -> None:
    """From now on this process lives until that cut."""
    global _at
    file, left = str(PACKAGE / cut.module), cut.time
    concerned: dict[CodeType, bool] = {}

    def line(frame: FrameType, event: str, _: Any) -> Any:
        nonlocal left
        if event == "line" and frame.f_lineno == cut.line and _told >= cut.told:
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
        return line

    def call(frame: FrameType, event: str, _: Any) -> Any:
        code = frame.f_code
        if code not in concerned:
            lines = (number for _, _, number in code.co_lines())
            concerned[code] = code.co_filename == file and cut.line in lines
        return line if concerned[code] else None

    if cut.thread == "other":
        threading.settrace(call)
    elif cut.told == 0:
        sys.settrace(call)
    else:
        _at = cut.told, call


def chosen(steps: Sequence[Step], narrow: Sequence[str], spread: int) -> list[Cut]:
    """Each line of the `narrow` modules, in turn at its first and at its last time; cuts in the writing
    of each promise; and `spread` cuts spread evenly over all steps. In order."""
    times: Counter[Step] = Counter()
    cuts = []
    ends: dict[tuple[str, int], list[Cut]] = {}
    for step in steps:
        times[step] += 1
        cuts.append(Cut(*step, times[step]))
        ends.setdefault(step[:2], [cuts[-1]])[1:] = [cuts[-1]]
    lines = (both for (module, _), both in ends.items() if module in narrow)
    wanted = {both[-1 if number % 2 else 0] for number, both in enumerate(lines)}
    wanted.update(_evenly(cuts, spread))
    writing: dict[int, list[Cut]] = {}
    for cut in cuts:
        if cut.module in WRITING:
            writing.setdefault(cut.told, []).append(cut)
    for some in writing.values():
        wanted.update(_evenly(some, CUTS_A_PROMISE))
    return [cut for cut in cuts if cut in wanted]


def _evenly(cuts: Sequence[Cut], count: int) -> list[Cut]:
    return [cuts[(2 * number + 1) * len(cuts) // (2 * count)] for number in range(count)]
