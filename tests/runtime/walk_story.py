"""Stories of a walk: drawn line by line from a seed, told, done, judged, and made shorter when one breaks a
rule."""

from __future__ import annotations

import inspect
import logging
import random
import shutil
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from unittest import mock

from orchestrator.runtime import camera_actor, site, window_actor, worker_keeper
from tests.runtime.actor_walk import CAMERAS, Walk
from tests.runtime.walk_camera_steps import Step
from tests.runtime.walk_parts import Broken, Lane
from tests.runtime.walk_rules import (
    OPENING,
    judge_fence,
    judge_log,
    judge_others,
    judge_rest,
    judge_rows,
    judge_start,
    s4_whatever_is_wrong_has_shut_the_gate,
)
from tests.runtime.walk_steps import BETWEEN, STEPS

log = logging.getLogger(__name__)
MEANWHILE = " | in the append after {}: "
INTERRUPTED = 0.4
"""How often something comes while the log's thread stands in an append of the line."""
SHORTENING_S = 60
UNTIL_IT_STREAMS = 60


@dataclass(frozen=True, slots=True)
class Line:
    """A step; or a step and what came while the log's thread stood in the append after `appends` others."""

    step: str
    between: str = ""
    appends: int = 0

    def __str__(self) -> str:
        return self.step + (MEANWHILE.format(self.appends) + self.between if self.between else "")


@dataclass
class Told:
    """What a walk has been through."""

    lines: list[Line] = field(default_factory=list)
    events: Counter[str] = field(default_factory=Counter)
    kills: int = 0
    interrupted: int = 0


class Teller:
    """Does one line after the other on a walk, and judges each."""

    def __init__(self, folder: Path) -> None:
        self.walk = Walk(folder)
        self.told = Told()
        self._overtaken: set[str] = set()

    def draw(self, dice: random.Random) -> Line:
        """What could come next."""
        walk = self.walk
        names = [name for name, step in STEPS.items() if step.can(walk)]
        name = dice.choices(names, [STEPS[name].weight for name in names])[0]
        if STEPS[name].kills or not walk.log.works or dice.random() >= INTERRUPTED:
            return Line(name)
        between = dice.choices(BETWEEN, [STEPS[each].weight for each in BETWEEN])[0]
        return Line(name, between, dice.choice((0, 0, 1, 2)))

    async def does(self, line: Line) -> None:
        """One line, up to rest. Raises Broken."""
        walk = self.walk
        if not STEPS[line.step].can(walk):
            return
        self.told.lines.append(line)
        self._overtaken = set()
        before = {camera: walk.seen(camera) for camera in CAMERAS}
        site_before, seq = walk.known.site, len(walk.known.rows)
        walk.killed = False
        concerns = set(STEPS[line.step].concerns)
        if line.between:
            walk.log.stop_in(line.appends)
        await self._step(STEPS[line.step])
        if line.between:
            await walk.stands_or_rests()
            if walk.log.stands:
                concerns |= await self._meanwhile(STEPS[line.between])
            walk.log.stops_in = None
        await walk.rests()
        rows = walk.known.rows[seq:]
        self.told.events.update(row.event.name for row in rows)
        judge_rows(site_before, rows, seq)
        judge_log(walk, rows)
        judge_fence(walk, self._overtaken)
        if walk.killed:
            judge_start(walk)
        else:
            judge_others(before, {camera: walk.seen(camera) for camera in CAMERAS}, concerns)
        judge_rest(walk)

    async def _meanwhile(self, step: Step) -> set[str]:
        walk = self.walk
        if not step.can(walk):
            await walk.log.go_on("asks")
            return set()
        self.told.interrupted += 1
        before = {camera: walk.gate(camera).generation for camera in CAMERAS}
        await self._step(step)
        if walk.log.works and not step.kills:
            shut = {camera for camera in CAMERAS if walk.gate(camera).generation != before[camera]}
            self._overtaken = {
                one.id for one in walk.log.standing if one.event.camera in shut and one.event.name in OPENING
            }
            await walk.log.go_on("asks")
        return set(step.concerns)

    async def _step(self, step: Step) -> None:
        walk = self.walk
        if step.kills:
            self.told.kills += 1
            if step.kills == "lands":
                await walk.log.go_on("lands")
            await walk.starts(reboots=step.kills == "reboots")
            return
        doing = step.does(walk)
        for camera in step.shuts:
            if walk.gate(camera).is_open:
                raise Broken("s13_closing_waits_for_nothing", f"{camera} is open")
        for camera in CAMERAS:
            wrong = s4_whatever_is_wrong_has_shut_the_gate(walk, camera)
            if wrong is not None:
                raise Broken("s13_closing_waits_for_nothing", f"{camera}: {wrong}")
        if inspect.isawaitable(doing):
            await doing

    async def mends(self) -> None:
        """L3: whatever has happened, each camera streams again, without a restart."""
        opened: set[str] = set()
        for _ in range(UNTIL_IT_STREAMS):
            for name in self._next():
                await self.does(Line(name))
                opened |= {camera for camera in CAMERAS if self.walk.gate(camera).is_open}
            if opened == set(CAMERAS):
                return
        places = {camera: str(self.walk.actor(camera).state.place) for camera in CAMERAS}
        raise Broken("l3_it_opens_again", f"it does not: {places}")

    def _next(self) -> list[str]:
        """What a site does next to see both."""
        mending = [name for name, step in STEPS.items() if step.mends and step.can(self.walk)]
        if mending:
            return mending
        names = ("an approver acknowledges", "m-1 asks", "the first frame comes")
        steps = [f"{camera}: {name}" for name in names for camera in CAMERAS]
        return ["a window for both cameras is added", *steps, "ten seconds pass"]


def by_itself() -> ExitStack:
    """The lanes alone, and no clock but the walk's. For as long as it is entered."""
    stack = ExitStack()
    for part, name, value in (
        (camera_actor, "DRAIN_EVERY_S", 0.002),
        (window_actor, "DRAIN_EVERY_S", 0.002),
        (worker_keeper, "PROOF_LIMIT_S", 3_600),
        (worker_keeper, "PROVE_AGAIN_S", 0),
        (site, "SENTINEL_SHUT_S", 3_600),
        (site, "SENTINEL_OPEN_S", 3_600),
        (site.Site, "_housekeeping", _nobody_keeps_house),
    ):
        stack.enter_context(mock.patch.object(part, name, value))
    return stack


async def _nobody_keeps_house(site: object) -> None:
    """What it does each second of real time is told as steps here."""


async def tell(folder: Path, seed: int, lines: int) -> Told:
    """So many lines drawn from that seed, and then it must stream again. Raises Broken."""
    dice = random.Random(seed)
    return await _told(folder, lambda teller: teller.draw(dice), lines)


async def retell(folder: Path, story: Sequence[Line]) -> Told:
    """These lines; what cannot be done any more is left out. Raises Broken."""
    rest = iter(story)
    return await _told(folder, lambda _: next(rest), len(story))


async def _told(folder: Path, following: Callable[[Teller], Line], lines: int) -> Told:
    teller = Teller(folder)
    with by_itself(), mock.patch.object(site, "CameraActor", partial(Lane, turned=teller.walk.tell)):
        try:
            await teller.walk.starts()
            for _ in range(lines):
                await teller.does(following(teller))
            if lines:
                await teller.mends()
            await teller.walk.ends()
        except Broken as broken:
            await _abandoned(teller.walk)
            broken.story = teller.told.lines
            raise
    return teller.told


async def _abandoned(walk: Walk) -> None:
    """What broke a rule may not end by itself either: what it says then is no news."""
    try:
        await walk.ends()
    except Exception as problem:
        log.debug("the gateway that broke a rule did not end well: %s", problem)


async def shortened(folder: Path, rule: str, story: Sequence[Line]) -> list[Line]:
    """As few of these lines as still break that rule, as far as a minute gets; a fresh gateway each try."""
    best, size, until_s = list(story), max(1, len(story) // 2), time.monotonic() + SHORTENING_S
    while True:
        start = 0
        while start < len(best) and time.monotonic() < until_s:
            shorter = best[:start] + best[start + size :]
            if await _breaks(folder / "try", rule, shorter):
                best = shorter
            else:
                start += size
        if size == 1:
            return best
        size //= 2


async def _breaks(folder: Path, rule: str, story: Sequence[Line]) -> bool:
    folder.mkdir()
    try:
        await retell(folder, story)
    except Broken as broken:
        return broken.rule == rule
    finally:
        shutil.rmtree(folder)
    return False
