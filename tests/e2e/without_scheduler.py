"""The daemon with its scheduler dead: APScheduler never starts (F20). Run as `python -m`."""

import sys

from orchestrator.cli import main
from orchestrator.edges.schedule import Schedule

if __name__ == "__main__":
    setattr(Schedule, "start", lambda schedule: None)  # noqa: B010 - mypy lets nobody assign a method
    sys.exit(main())
