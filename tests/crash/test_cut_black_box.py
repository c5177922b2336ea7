"""SIGKILL at every step of closings that the log does not take: the black box has them, and then the log
(F17, S13, L4)."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.crash.cutting import cut_everywhere

pytestmark = pytest.mark.slow

NARROW = ("runtime/blackbox.py", "runtime/camera_actor.py", "runtime/ledger.py")


@pytest.mark.timeout(1800)
def test_closings_that_the_log_refuses_survive_a_cut_at_every_step(
    root: Path, record_property: Callable[[str, object], None]
) -> None:
    tally = cut_everywhere(root, record_property, "the_log_refuses", NARROW, spread=20)
    copied = [wrote for wrote in tally.wrote if wrote.startswith(("close", "fault"))]
    assert len(copied) > 1
