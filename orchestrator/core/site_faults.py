"""Site-wide faults while nothing is open: seen and gone, at most one of a code a minute (CONTRACT 4)."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace

from orchestrator.core.commands import CHECKS
from orchestrator.core.events import Event, observation
from orchestrator.core.facts import Facts
from orchestrator.core.faults import SITE_WIDE

MINUTE_US = 60_000_000


@dataclass(frozen=True, slots=True)
class _Noted:
    present: bool
    written: bool
    count: int
    last_written_us: int


@dataclass(frozen=True, slots=True)
class FaultsSeen:
    """Per code: whether it is there, and what of it was written when."""

    codes: Mapping[str, _Noted] = field(default_factory=dict)


def present(facts: Facts) -> frozenset[str]:
    """The site-wide faults that stand in these facts."""
    proofs = (
        facts.interface,
        facts.listener,
        facts.side_door,
        facts.config,
        facts.bus,
        facts.memory,
        facts.log,
    )
    codes = (proof.fault_at(facts.now.boottime_us) for proof in proofs)
    return frozenset(code for code in codes if code in SITE_WIDE)


def noticed(memory: FaultsSeen, codes: Collection[str], now_us: int) -> tuple[FaultsSeen, tuple[Event, ...]]:
    """What to remember and what to write, now that exactly `codes` stand."""
    after = dict(memory.codes)
    events: list[Event] = []
    for code in sorted({*after, *codes}):
        noted = after.get(code) or _Noted(False, False, 0, -MINUTE_US)
        here = code in codes
        if here and not noted.present:
            noted = replace(noted, count=noted.count + 1)
        noted = replace(noted, present=here)
        if here != noted.written and now_us - noted.last_written_us >= MINUTE_US * (1 if here else 0):
            name = "fault_seen" if here else "fault_gone"
            events.append(observation(name, CHECKS, data={"fault": code, "count": noted.count}))
            noted = _Noted(here, here, 0 if here else noted.count, now_us if here else noted.last_written_us)
        after[code] = noted
    return FaultsSeen(after), tuple(events)
