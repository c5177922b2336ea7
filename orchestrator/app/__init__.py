"""The program as a whole: `serve` runs the daemon, `doctor` says whether it could open."""

from __future__ import annotations

import asyncio
import logging
import os
import resource
import sys
from pathlib import Path

from orchestrator.app.doctor import Report, examine

__all__ = ["Report", "doctor", "serve"]

NO_CORE_BYTES = 1
"""A limit of one byte: below any core file, and the one value that also keeps a pipe of `core_pattern`
from getting one (core(5); S11)."""


def serve(path: Path) -> int:
    """Run the daemon until it is told to stop: 0, or 1 with one line about what kept it from beginning.

    Raises SettingsInvalid before any port is opened.
    """
    from orchestrator.app.daemon import Daemon
    from orchestrator.runtime.blackbox import BlackBoxUnusable
    from orchestrator.runtime.event_store.errors import LogError
    from orchestrator.settings import load

    settings = load(path, os.environ)
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s", stream=sys.stderr)
    for chatty in ("alembic", "apscheduler"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    resource.setrlimit(resource.RLIMIT_CORE, (NO_CORE_BYTES, NO_CORE_BYTES))
    try:
        asyncio.run(_run(Daemon, settings))
    except (LogError, BlackBoxUnusable, OSError) as problem:
        sys.stderr.write(f"volet: cannot start: {problem}\n")
        return 1
    return 0


async def _run(daemon: type, settings: object) -> None:
    await daemon(settings).run()


def doctor(path: Path, wait_s: float) -> Report:
    """Every check of every camera, as of now; raises SettingsInvalid."""
    from orchestrator.settings import load

    return asyncio.run(examine(load(path, os.environ), wait_s))
