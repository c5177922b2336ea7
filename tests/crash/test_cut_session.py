"""SIGKILL at every step of a session: nothing promised is lost, nothing runs on (F17, S2, S9, S10, S20)."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.crash.cutting import cut_everywhere

pytestmark = pytest.mark.slow

NARROW = (
    "runtime/event_store/writer.py",
    "runtime/gate.py",
    "runtime/shutter.py",
    "runtime/worker_keeper.py",
)


@pytest.mark.timeout(1800)
def test_a_session_survives_a_cut_at_every_step(
    root: Path, record_property: Callable[[str, object], None]
) -> None:
    tally = cut_everywhere(root, record_property, "a_session", NARROW, spread=30)
    assert tally.workers
    assert tally.promises
