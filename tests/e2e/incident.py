"""One fault from its injection to the next session: what every one of them must show."""

import io
import time
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from datetime import datetime
from typing import Any

from orchestrator.cli import main
from tests.e2e import fault_table
from tests.e2e.follower import Event, name_of, told
from tests.e2e.gateway import Flow, Gateway

S10_US = 1_000_000
L2_MS = 2_000
STILL_THERE_S = 10.0
"""A worker that is there after this long was left behind; how soon it went is said by S10 and the log."""


def now_us() -> int:
    """The wall clock in microseconds."""
    return time.time_ns() // 1000


def at_us(event: Event) -> int:
    """When an event happened, by the wall clock in microseconds."""
    moment = datetime.fromisoformat(event["at"])
    return int(moment.timestamp()) * 1_000_000 + moment.microsecond


def volet(*arguments: str) -> tuple[int, str]:
    """The command `volet` with these arguments: its exit status, and what it said."""
    said = io.StringIO()
    with redirect_stdout(said), redirect_stderr(said):
        status = main(list(arguments))
    return status, said.getvalue()


def log_is_whole(gateway: Gateway) -> None:
    """S12: the chain is whole, and folding it meets nothing that the statechart forbids."""
    status, said = volet("verify", "--log", str(gateway.database))
    assert (status, said.split()[0].strip(":,")) == (0, "consistent"), said
    status, said = volet("replay", "--log", str(gateway.database))
    assert status == 0, said


def house_is_clean(gateway: Gateway) -> None:
    """S10, S11: nothing of the picture is left, and the daemon answers."""
    gateway.wait_no_workers(STILL_THERE_S)
    assert [path.name for path in gateway.segments.iterdir()] == []
    assert gateway.get("/healthz") == {"status": "ok"}
    metrics = gateway.get("/metrics")
    for camera in gateway.cameras:
        assert f'volet_open{{camera="{camera}"}} 0' in metrics
        assert f'volet_worker_running{{camera="{camera}"}} 0' in metrics


class Incident:
    """A session of cam1 with bytes flowing, then what is done to it."""

    def __init__(self, gateway: Gateway, fault: str, record: Callable[[str, object], None]) -> None:
        self.gateway, self.fault, self._record = gateway, fault, record
        self.flow: Flow
        self.injected_us = 0
        self.closing: Event
        self.closed: Event

    def begin(self, **wish: Any) -> "Incident":
        """Open and let bytes flow."""
        self.flow = self.gateway.flow(**wish)
        return self

    def inject(self, action: Callable[[], object]) -> None:
        """Do it, and remember when; the worker watched from now on is the one that runs now."""
        self.injected_us = now_us()
        action()

    def shuts(self, trigger: str, code: str | None = None, *, timeout_s: float = 30.0) -> Event:
        """The closing event, as soon as the log has it."""
        self.closing = self.gateway.wait_end(self.flow.session, timeout_s=timeout_s)
        assert (name_of(self.closing), self.closing["data"].get("fault")) == (trigger, code), self.closing
        return self.closing

    def is_proven(self, rests: str = "ready") -> None:
        """The closing is complete and in order, and no byte came after it: S1, S10, L2, CONTRACT 7. The
        camera `rests` in that substate of disabled."""
        session, viewer = self.flow.session, self.flow.viewer
        self.closed = self.gateway.wait("closed", session)
        viewer.wait_end()
        # Either witness proves it: our own thread, which may have to wait for its turn, or the daemon.
        exits = [at_us(e) for e in self._in_order(session) if name_of(e) == "worker_exited"]
        worker_gone_us = min([self.flow.worker.wait(STILL_THERE_S), *exits])
        assert (self.closed["to"], self.closed["to_substate"]) == ("disabled", rests)
        proof = self.closed["data"]
        seen_us = at_us(self.closing)
        gate_us = seen_us + proof["shut_us"]
        assert viewer.last_us <= gate_us, f"{viewer.last_us - gate_us} us after the gate was shut"
        assert proof["segments_wiped"] is True
        assert worker_gone_us - gate_us <= S10_US
        assert proof["gone_ms"] <= L2_MS
        self._write_row(gate_us, worker_gone_us)

    def _in_order(self, session: str) -> list[Event]:
        events = [e for e in self.gateway.events(session) if e["seq"] >= self.closing["seq"]]
        names = [name_of(event) for event in events]
        left, exited = names.count("viewer_left"), names.count("worker_exited")
        expected = [names[0], *["viewer_left"] * left, *["worker_exited"] * exited, "closed"]
        assert names == expected, told(events)
        assert left == 1
        assert exited == (0 if self._died_before(session) else 1)
        return events

    def _died_before(self, session: str) -> bool:
        events = [e for e in self.gateway.events(session) if e["seq"] < self.closing["seq"]]
        lives = [name_of(e) for e in events if name_of(e) in ("worker_started", "worker_exited")]
        return bool(lives) and lives[-1] == "worker_exited"

    def _write_row(self, gate_us: int, worker_gone_us: int) -> None:
        assert self.gateway.follower is not None
        since = self.injected_us
        row = fault_table.Row(
            fault=self.fault,
            trigger=name_of(self.closing),
            code=str(self.closing["data"].get("fault") or self.closing["data"].get("limit") or ""),
            seen_ms=(at_us(self.closing) - since) // 1000,
            shut_us=self.closed["data"]["shut_us"],
            gate_ms=(gate_us - since) / 1000,
            logged_ms=(self.gateway.follower.seen_us[self.closing["seq"]] - since) // 1000,
            last_byte_ms=(self.flow.viewer.last_us - since) // 1000,
            worker_gone_ms=(worker_gone_us - since) // 1000,
            closed_ms=(at_us(self.closed) - since) // 1000,
        )
        fault_table.ROWS.append(row)
        self._record(row.fault, " | ".join(row.cells()))

    def leaves_no_trace_and_opens_again(self, camera: str = "cam1") -> None:
        """S10, S11, S12, and L3: the next request succeeds."""
        house_is_clean(self.gateway)
        assert self.gateway.state() == "disabled.ready"
        again = self.gateway.flow(camera)
        assert again.session != self.flow.session
        self.gateway.shut(again.session, camera)
        again.viewer.wait_end()
        house_is_clean(self.gateway)
        log_is_whole(self.gateway)
