"""The configuration in force: a valid change within a second, an invalid one shuts all (CONTRACT 3)."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

from orchestrator.core.commands import CHECKS, SERVICE, Why
from orchestrator.core.events import Event, observation
from orchestrator.core.moment import Moment
from orchestrator.runtime.board import Board, renewed
from orchestrator.runtime.event_store.errors import LogError
from orchestrator.runtime.site import Site
from orchestrator.settings import Changes, Fault, Settings, SettingsInvalid, changes, load

CHANGED = Why("fault", CHECKS, "config-changed", {"fault": "config-changed"})


@dataclass(slots=True)
class Configuration:
    """Owns which settings are in force. `apply` rebuilds what a change needs; `on_change` may be called
    at any time in the loop's thread, `run` does the work, one change at a time."""

    path: Path
    settings: Settings
    board: Board
    site: Site
    now: Callable[[], Moment]
    apply: Callable[[Settings, Changes], Awaitable[None]]
    _due: asyncio.Event = field(default_factory=asyncio.Event)

    def on_change(self) -> None:
        """The file, or its folder, is not what it was, or somebody sent SIGHUP."""
        self._due.set()
        try:
            load(self.path, os.environ)
        except SettingsInvalid as invalid:
            self._put_invalid(invalid.faults)

    def _put_invalid(self, faults: tuple[Fault, ...]) -> None:
        fault = faults[0]
        first = f"{fault.path}: {fault.found}; expected {fault.expected}"
        more = f" (and {len(faults) - 1} more: `volet check`)" if len(faults) > 1 else ""
        self._put(False, f"{self.path} is not valid: {first}{more}", len(faults))
        self.site.look()

    def _put(self, good: bool, detail: str, faults: int) -> None:
        self.board.config = renewed(
            self.board.config,
            self.now().boottime_us,
            good,
            fault="config-invalid",
            detail=detail,
            evidence={"faults": faults},
        )

    def start(self) -> None:
        """The settings that the daemon started with are in force."""
        self._put(True, f"{self.path} is valid", 0)

    async def run(self) -> None:
        """Take one change after the other, until cancelled."""
        while True:
            await self._due.wait()
            self._due.clear()
            await self._take_over()

    async def _take_over(self) -> None:
        try:
            new = load(self.path, os.environ)
        except SettingsInvalid as invalid:
            self._put_invalid(invalid.faults)
            return
        difference = changes(self.settings, new)
        if difference.restart:
            self._put_invalid(difference.restart)
            return
        if not difference.nothing:
            self.site.close(CHANGED, difference.close)
            try:
                await self.apply(new, difference)
            except (OSError, LogError) as problem:
                self._put_invalid((Fault("", str(problem), "a configuration that can be taken over"),))
                return
            self.settings = new
            self.site.note(config_loaded(new))
        self._put(True, f"{self.path} is valid", 0)
        self.site.look()


def config_loaded(settings: Settings) -> Event:
    """The observation of a configuration that came into force: the whole policy without secrets."""
    return observation("config_loaded", SERVICE, data=settings.public(), details=settings.personal())
