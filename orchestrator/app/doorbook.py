"""Who was refused at the door, and the program's own figures: readiness and metrics (CONTRACT 5)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

from orchestrator.core.commands import SERVICE
from orchestrator.core.events import observation
from orchestrator.core.moment import Moment
from orchestrator.runtime.site import Site

MINUTE_US = 60_000_000
KINDS_KEPT = 64


class DoorBook:
    """Counts what was denied and writes at most one line a minute and kind (S19: addresses in details)."""

    def __init__(self, site: Site, now: Callable[[], Moment]) -> None:
        self._site, self._now = site, now
        self._waiting: Counter[str] = Counter()
        self._written_us: dict[str, int] = {}
        self._total: Counter[str] = Counter()
        self.counters: Counter[str] = Counter()

    def denied(self, address: str, code: str) -> None:
        """One refusal."""
        if len(self._total) >= KINDS_KEPT and code not in self._total:
            return
        self._total[code] += 1
        self._waiting[code] += 1
        now_us = self._now().boottime_us
        if now_us - self._written_us.get(code, -MINUTE_US) < MINUTE_US:
            return
        self._written_us[code] = now_us
        data = {"code": code, "count": self._waiting.pop(code)}
        self._site.note(observation("denied", SERVICE, data=data, details={"address": address[:500]}))

    def ready(self) -> tuple[bool, Mapping[str, Any]]:
        """Whether each dependency is well, and each by name."""
        board = self._site.board
        proofs = {
            "vpn-interface": board.interface,
            "vpn-listener": board.listener,
            "config": board.config,
            "bus": board.bus_now(),
            "memory-only": board.memory,
            "log": board.log,
        }
        # After the proofs: one that another thread puts there meanwhile would be from the future.
        now_us = self._now().boottime_us
        parts = {
            name: {"ready": p.fault_at(now_us) is None, "detail": p.detail} for name, p in proofs.items()
        }
        return all(part["ready"] for part in parts.values()), {"dependencies": parts}

    def measures(self) -> Mapping[str, Mapping[str, float]]:
        """Figures by name and camera ("" for the site); no person stands in them (S19)."""
        figures: dict[str, dict[str, float]] = {
            "denied_total": {"": sum(self._total.values())},
            "events_total": {"": self._site.ledger.store.last.seq if self._site.ledger.store.last else 0},
            "bus_commands_ignored_total": {"": self.counters["bus-ignored"]},
        }
        for name in ("open", "viewers", "worker_running", "worker_failures", "locked", "closing_pending"):
            figures[name] = {}
        for camera, parts in self._site.cameras.items():
            state, session = parts.actor.state, parts.actor.state.session
            figures["open"][camera] = float(parts.gate.is_open)
            figures["viewers"][camera] = len(session.viewers) if session else 0
            figures["worker_running"][camera] = float(parts.actor.keeper.running)
            figures["worker_failures"][camera] = len(session.failures) if session else 0
            figures["locked"][camera] = len(state.locks)
            figures["closing_pending"][camera] = float(parts.actor.closing_pending)
        return figures
