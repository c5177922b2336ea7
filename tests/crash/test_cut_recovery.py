"""SIGKILL in the middle of a start that recovers, and at system calls on the log and the black box (F17)."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.crash.cutting import Tally, carried_out, cut_everywhere, nursery
from tests.crash.steps import Call, Cut, chosen
from tests.crash.system_calls import needs_strace

pytestmark = pytest.mark.slow

Record = Callable[[str, object], None]
RESTARTS = 20
CALLS_A_KIND = 10


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("story", ["a_session", "the_log_refuses"])
def test_a_start_that_is_cut_short_is_gone_on_with_by_the_next(
    root: Path, record_property: Record, story: str
) -> None:
    """S20: after a cut in a session, and after one that has left the last closing in the black box alone."""
    with nursery(root) as one:
        steps = one.steps(story)
        where = len(steps) // 2 if story == "a_session" else len(steps) - 1
        first = str(Cut.at(steps, where))
        recovery = one.steps(story, first, again="record")
        tally = Tally(f"start_after_{story}", len(recovery))
        cuts = chosen(recovery, ("runtime/restart.py",), RESTARTS)
        carried_out(one, tally, cuts, lambda cut: one.ask(story, first, again=cut))
    tally.judge(record_property)


@pytest.mark.timeout(1800)
def test_a_snapshot_that_is_cut_short_is_the_old_one_or_the_new_one(
    root: Path, record_property: Record
) -> None:
    """S12: what is taken up from it is what the log folds to from nothing."""
    tally = cut_everywhere(root, record_property, "snapshots", ("runtime/event_store/snapshot.py",), spread=5)
    assert tally.cuts > 30


@pytest.mark.timeout(1800)
def test_a_cut_at_a_write_to_the_disk_is_survived(root: Path, record_property: Record) -> None:
    """Between any two of the calls that make a promise durable."""
    needs_strace()
    with nursery(root) as one:
        calls = one.ask("the_log_refuses", "calls")["calls"]
        cuts = []
        for name, times in calls.items():
            step = max(1, times // CALLS_A_KIND)
            cuts += [Call(name, time) for time in range(1, times + 1, step)]
        tally = Tally("the_log_refuses", sum(calls.values()))
        carried_out(one, tally, cuts)
    tally.judge(record_property)
