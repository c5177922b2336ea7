"""A program whose wall clock stands off by what a file says; the file is read at each look at the clock.

    python -m tests.e2e.off_clock FILE MODULE ARGUMENT…

FILE holds JSON: `offset_s`; of the daemon also `synchronised`, the kernel's word, and `broken`, what of it
does not do its work now (F20): `timer`, the camera's own; of the scheduler's wake-ups `missed`, `raising` or
`hung`.
"""

import asyncio
import json
import runpy
import sys
import time
from datetime import datetime, tzinfo
from pathlib import Path
from typing import Any, Self

_time_ns = time.time_ns
BROKE = "the scheduler's wake-up is "


class Setting:
    """What the file says now."""

    def __init__(self, path: Path) -> None:
        self._path, self._text = path, ""
        self._said: dict[str, Any] = {}

    def said(self) -> dict[str, Any]:
        text = self._path.read_text()
        if text != self._text:
            self._said, self._text = json.loads(text), text
        return self._said

    def broken(self) -> list[str]:
        words: list[str] = self.said().get("broken", [])
        return words

    def wall_ns(self) -> int:
        return _time_ns() + int(self.said()["offset_s"] * 1_000_000_000)


def _hold_the_scheduler(setting: Setting) -> None:
    """APScheduler reads the same clock; its wake-up does what the file says; so does the camera's timer."""
    from apscheduler.executors import base as executors
    from apscheduler.schedulers import base as schedulers

    from orchestrator.edges.schedule import Schedule
    from orchestrator.runtime.camera_actor import CameraActor

    class OffDatetime(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> Self:
            off_ns = 0 if "missed" in setting.broken() else setting.wall_ns() - _time_ns()
            return cls.fromtimestamp((_time_ns() + off_ns) / 1_000_000_000, tz)

    executors.datetime = schedulers.datetime = OffDatetime
    wake, on_timer = Schedule._wake, CameraActor._on_timer

    async def wake_up(schedule: Schedule) -> None:
        how = next((word for word in ("raising", "hung") if word in setting.broken()), "")
        if how:
            sys.stdout.write(f"{BROKE}{how}\n")
            sys.stdout.flush()
        if how == "hung":
            await asyncio.Event().wait()
        if how == "raising":
            raise RuntimeError("told to fail")
        await wake(schedule)

    def time_is_up(actor: CameraActor) -> None:
        if "timer" not in setting.broken():
            on_timer(actor)

    setattr(Schedule, "_wake", wake_up)  # noqa: B010 - mypy lets nobody assign a method
    setattr(CameraActor, "_on_timer", time_is_up)  # noqa: B010


def main() -> None:
    setting, module = Setting(Path(sys.argv[1])), sys.argv[2]
    time.time_ns = setting.wall_ns
    time.time = lambda: setting.wall_ns() / 1_000_000_000
    if module == "orchestrator":
        from orchestrator.edges import clock

        clock.synchronised = lambda: bool(setting.said().get("synchronised", True))
        _hold_the_scheduler(setting)
    sys.argv = [module, *sys.argv[3:]]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
