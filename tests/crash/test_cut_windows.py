"""SIGKILL at every step of locks and windows, and of a first start (F17, S16, S20)."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.crash.cutting import cut_everywhere

pytestmark = pytest.mark.slow


@pytest.mark.timeout(1800)
def test_locks_and_windows_survive_a_cut_at_every_step(
    root: Path, record_property: Callable[[str, object], None]
) -> None:
    narrow = ("runtime/window_actor.py", "runtime/event_store/store.py")
    cut_everywhere(root, record_property, "locks_and_windows", narrow, spread=30)


@pytest.mark.timeout(1800)
def test_a_first_start_survives_a_cut_at_every_step(
    root: Path, record_property: Callable[[str, object], None]
) -> None:
    narrow = ("runtime/event_store/files.py", "runtime/event_store/migrate.py", "runtime/restart.py")
    cut_everywhere(root, record_property, "a_start", narrow, spread=40)
