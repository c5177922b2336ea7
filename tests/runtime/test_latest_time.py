"""How late it has ever been by the log: what a clock that was set back is held against (S25, F26)."""

from __future__ import annotations

from orchestrator.core.commands import SERVICE
from orchestrator.core.events import Record, Sealed, observation
from orchestrator.core.moment import SECOND_US, Moment
from orchestrator.runtime.ledger import SiteState, fold

DAY_US = 86_400 * SECOND_US
NOON_US = 1_790_000_000 * SECOND_US


def after(*times: tuple[int, bool]) -> SiteState:
    """The site after one event at each of these times, under a clock that was synchronised or not."""
    site = SiteState()
    for seq, (wall_us, synchronised) in enumerate(times, start=1):
        at = Moment(wall_us, seq, synchronised)
        event = observation("service_started", SERVICE)
        site = fold(site, Record(seq, Sealed(event, f"id-{seq}", at, "", ""), "", "", b""))
    return site


def test_an_event_of_a_machine_that_booted_in_1970_does_not_make_1970_the_time() -> None:
    assert after((NOON_US, True), (100, False)).latest_wall_us == NOON_US


def test_a_time_that_the_kernel_did_not_vouch_for_is_kept_apart() -> None:
    """A machine that booted a day ahead, before its clock was put right, is not shut out for a day."""
    site = after((NOON_US, True), (NOON_US + DAY_US, False), (NOON_US + SECOND_US, True))
    assert site.latest_synchronised_us == NOON_US + SECOND_US
    assert site.latest_wall_us == NOON_US + DAY_US
