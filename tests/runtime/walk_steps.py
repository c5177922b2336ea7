"""What can be asked of a whole site or happen to it; and the table of all steps there are."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

from orchestrator.core.commands import SERVICE, Why
from orchestrator.core.events import Actor
from orchestrator.core.moment import SECOND_US
from orchestrator.core.refusal import Refusal
from orchestrator.core.window_book import Window
from orchestrator.core.window_rules import AddWindow, CancelWindow, ShortenWindow
from tests.model.weather import PROOFS
from tests.runtime.actor_walk import CAMERAS, MEMBERS, Walk
from tests.runtime.walk_camera_steps import HOUR_S, Step, always, fact, lane, people, worker


def _facts() -> dict[str, Step]:
    def tell(name: str) -> Callable[[Walk], None]:
        def told(walk: Walk) -> None:
            walk.puts(name)
            walk.way.site.look()

        return told

    def right(walk: Walk) -> None:
        walk.puts_all()
        walk.way.site.look()

    steps: dict[str, Step] = {}
    for name in PROOFS:
        words = name.replace("_", " ")
        steps |= fact(name, f"{words} is good no more", f"{words} is good again", tell(name), CAMERAS)
    for member in MEMBERS:
        name = f"{member}'s right"
        steps |= fact(name, f"{member} loses the right", f"{member} has the right again", right, CAMERAS)
    return steps


def _passes(walk: Walk, seconds: int) -> None:
    walk.way.clock.moment = walk.now.after(seconds * SECOND_US)
    walk.puts_all()
    walk.way.site.look()


def _steps_clock(walk: Walk, seconds: float) -> None:
    walk.way.clock.moment = replace(walk.now, wall_us=walk.now.wall_us + int(seconds * SECOND_US))
    walk.way.site.look()


def _synchronised(walk: Walk, synchronised: bool) -> None:
    walk.way.clock.moment = replace(walk.now, synchronised=synchronised)
    walk.way.site.look()


def _unseen(walk: Walk, unseen: bool) -> None:
    walk.known.unseen, walk.known.unseen_since_us = unseen, walk.now.boottime_us
    walk.puts("interface")
    walk.way.site.look()


def _overloaded(walk: Walk, overloaded: bool) -> None:
    walk.known.overloaded_us = walk.now.boottime_us if overloaded else None
    walk.puts_all()
    walk.way.site.look()


def _behind(walk: Walk) -> bool:
    return walk.known.site.latest_wall_us > walk.now.wall_us


def _catches_up(walk: Walk) -> None:
    _steps_clock(walk, (walk.known.site.latest_wall_us - walk.now.wall_us) / SECOND_US + 1)


def _time() -> dict[str, Step]:
    return {
        "a second passes": Step(8, always, lambda w: _passes(w, 1)),
        "ten seconds pass": Step(40, always, lambda w: _passes(w, 10)),
        "ten minutes pass": Step(
            2, lambda w: all(w.actor(c).state.is_shut for c in CAMERAS), lambda w: _passes(w, 600)
        ),
        "the wall clock steps back": Step(0.3, lambda w: not _behind(w), lambda w: _steps_clock(w, -HOUR_S)),
        "the wall clock steps on": Step(0.3, always, lambda w: _steps_clock(w, HOUR_S)),
        "the wall clock is put on a little": Step(0.6, always, lambda w: _steps_clock(w, 1.5)),
        "the wall clock is put back a little": Step(0.6, always, lambda w: _steps_clock(w, -1.5)),
        "the wall clock is set right": Step(12, _behind, _catches_up),
        "the clock loses its source": Step(
            0.5, lambda w: w.now.synchronised, lambda w: _synchronised(w, False)
        ),
        "the clock is synchronised again": Step(
            9, lambda w: not w.now.synchronised, lambda w: _synchronised(w, True)
        ),
        "nobody looks at the VPN any more": Step(
            0.5, lambda w: not w.known.unseen, lambda w: _unseen(w, True)
        ),
        "the VPN is looked at again": Step(5, lambda w: w.known.unseen, lambda w: _unseen(w, False)),
        "the gateway is overloaded": Step(
            0.5, lambda w: w.known.overloaded_us is None, lambda w: _overloaded(w, True)
        ),
        "the gateway has room again": Step(
            3, lambda w: w.known.overloaded_us is not None, lambda w: _overloaded(w, False)
        ),
    }


def _open_windows(walk: Walk) -> list[Window]:
    now_us = walk.now.wall_us
    return [w for w in walk.known.windows.values() if w.start_us <= now_us < w.end_us and not w.cancelled]


def _add(walk: Walk, cameras: tuple[str, ...], seconds: int) -> None:
    walk.ids += 1
    start_us = walk.now.wall_us
    identifier, end_us = f"window-{walk.ids}", start_us + seconds * SECOND_US

    def heard(_: object) -> None:
        window = Window(identifier, cameras, start_us, end_us, end_us, None, "m-2", ("m-2",))
        walk.known.windows[identifier] = window

    command = AddWindow(identifier, "m-2", True, cameras, start_us, end_us, None, {"reason": "alignment"})
    walk.hears(walk.way.site.windows.widen(command), heard)


def _narrow(walk: Walk, command: ShortenWindow | CancelWindow) -> None:
    window = walk.known.windows[command.id]
    try:
        walk.way.site.windows.narrow(command)
    except Refusal as refusal:
        if refusal.code not in ("invalid-body", "not-permitted"):
            raise
        return
    if isinstance(command, CancelWindow):
        walk.known.windows[command.id] = replace(window, cancelled=True)
    else:
        walk.known.windows[command.id] = replace(window, end_us=min(window.end_us, command.end_us))


def _windows() -> dict[str, Step]:
    def open_(walk: Walk) -> bool:
        return bool(_open_windows(walk))

    def cancel(walk: Walk) -> None:
        _narrow(walk, CancelWindow(_open_windows(walk)[-1].id, Actor("member", "m-1")))

    def shorten(walk: Walk) -> None:
        end_us = walk.now.wall_us + 20 * SECOND_US
        _narrow(walk, ShortenWindow(_open_windows(walk)[-1].id, end_us, SERVICE))

    def none(walk: Walk) -> bool:
        return len(walk.known.windows) < 90 and not all(walk.window_open(c) for c in CAMERAS)

    def few(walk: Walk) -> bool:
        return len(walk.known.windows) < 80

    adds = {
        "a window for both cameras is added": Step(30, none, lambda w: _add(w, CAMERAS, 2 * HOUR_S)),
        "a short window for both cameras is added": Step(1, few, lambda w: _add(w, CAMERAS, 60)),
    }
    for camera in CAMERAS:
        does = lambda w, camera=camera: _add(w, (camera,), HOUR_S)  # noqa: E731
        adds[f"a window for {camera} is added"] = Step(1, few, does, (camera,))
    return adds | {
        "the newest window is cancelled": Step(0.8, open_, cancel),
        "the newest window is shortened": Step(0.8, open_, shorten),
    }


async def _disk(walk: Walk, *, refuses: bool = False, hangs: bool = False, lands: bool = False) -> None:
    walk.log.refuses, walk.log.hangs = refuses, hangs
    if not hangs:
        await walk.log.go_on("lands" if lands else "fails")


def _log() -> dict[str, Step]:
    def works(walk: Walk) -> bool:
        return walk.log.works

    def repeats(walk: Walk) -> None:
        """The same event again: a success, and not a second one."""
        old = walk.known.rows[len(walk.known.rows) // 2]

        def heard(records: Any) -> None:
            assert [record.hash for record in records] == [old.hash], "an append was not repeated but added"

        walk.hears(walk.way.ledger.store.append([old.sealed]), heard)

    def kills(lands: str) -> Step:
        return Step(0.35, always, lambda w: None, kills=lands)

    return {
        "the disk refuses": Step(0.8, works, lambda w: _disk(w, refuses=True)),
        "the disk hangs": Step(0.8, works, lambda w: _disk(w, hangs=True)),
        "the disk works again": Step(10, lambda w: w.log.refuses or w.log.hangs, lambda w: _disk(w)),
        "the disk works again, and what hung is there": Step(
            10, lambda w: w.log.hangs, lambda w: _disk(w, lands=True)
        ),
        "another process locks the log": Step(0.15, works, lambda w: w.lock(True)),
        "the log is let go": Step(20, lambda w: w.log.locked, lambda w: w.lock(False)),
        "the black box takes nothing": Step(
            0.5, lambda w: w.box.takes, lambda w: setattr(w.box, "takes", False)
        ),
        "the black box takes again": Step(
            5, lambda w: not w.box.takes, lambda w: setattr(w.box, "takes", True)
        ),
        "an old event is appended again": Step(
            1, lambda w: w.log.works and bool(w.known.rows), repeats, concerns=()
        ),
        "all cameras are closed": Step(
            0.7, always, lambda w: w.way.site.close(Why("close", SERVICE)), shuts=CAMERAS
        ),
        "the process is killed and starts": kills("fails"),
        "the process is killed and starts, and what was under way is there": kills("lands"),
        "the machine starts anew": kills("reboots"),
    }


def _of_each(make: Iterable[Callable[[str], dict[str, Step]]]) -> dict[str, Step]:
    return {
        f"{camera}: {name}": step
        for camera in CAMERAS
        for steps in make
        for name, step in steps(camera).items()
    }


def _marked(steps: dict[str, Step]) -> dict[str, Step]:
    words = ("again", "is let go", "recovers", "the vehicle leaves", "set right", "has room")
    none = ("appended again", "what hung")
    return {
        name: replace(step, mends=any(w in name for w in words) and not any(w in name for w in none))
        for name, step in steps.items()
    }


STEPS: Mapping[str, Step] = _marked(
    _of_each((people, worker, lane)) | _facts() | _time() | _windows() | _log()
)
INTERRUPTING = (
    *("closes", "no more", "vehicle comes", "fails", "loses", "steps", "is cancelled", "is shortened"),
    *("the disk refuses", "the disk hangs", "ten seconds pass", "all cameras are closed"),
)
BETWEEN = tuple(
    name for name, step in STEPS.items() if step.kills or any(word in name for word in INTERRUPTING)
)
"""What may come while the log's thread stands between INSERT and COMMIT."""
