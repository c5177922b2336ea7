"""`verify` and `replay` of 20,000 events beside a bare scan that takes the SHA-256 of each row."""

from __future__ import annotations

import hashlib
import sqlite3
import time
from collections import deque
from collections.abc import Callable
from itertools import islice
from pathlib import Path

import pytest

from orchestrator.cli.fold import Fold
from orchestrator.cli.replay import Charts
from orchestrator.core.canonical import decoded, is_canonical
from orchestrator.core.chain import digest, record_of, shaped
from orchestrator.runtime.event_store import open_read_only, stream, verify
from orchestrator.runtime.event_store.rows import columns_of
from tests.bench.conftest import LONG_LOG_EVENTS
from tests.bench.figures import Aim, Report, Row, Samples

ROUNDS = 2
PIECES_EVENTS = 2000


def bare_scan(path: Path) -> int:
    """How many rows have the hash that stands beside them."""
    connection = sqlite3.connect(f"file:{path}?mode=ro&immutable=1", uri=True)
    good = 0
    for row in connection.execute("SELECT * FROM events ORDER BY seq"):
        good += "sha256:" + hashlib.sha256(row[7]).hexdigest() == row[9]
    connection.close()
    return good


def verified(path: Path) -> int:
    with open_read_only(path) as reader:
        verdict = verify(reader)
    assert verdict.word == "consistent", verdict
    return verdict.events


def replayed(path: Path) -> int:
    fold, count = Fold(Charts().by_digest), 0
    with open_read_only(path) as reader:
        for record in stream(reader):
            fold.take(record)
            count += 1
    assert fold.divergences == []
    return count


def pieces(path: Path) -> dict[str, float]:
    """What is spent on an event beside the scan, in microseconds of this process, each step alone."""
    with open_read_only(path) as reader:
        records = list(islice(stream(reader), PIECES_EVENTS))
    bodies = [decoded(record.canonical) for record in records]
    whole = list(zip(records, bodies, strict=True))
    state = Fold(Charts().by_digest)
    steps: dict[str, Callable[[], object]] = {
        "SHA-256": lambda: deque((digest(record.canonical) for record in records), 0),
        "JSON": lambda: deque((decoded(record.canonical) for record in records), 0),
        "JSON and shape": lambda: deque((shaped(record.canonical) for record in records), 0),
        "canonical form": lambda: deque((is_canonical(r.canonical, body) for r, body in whole), 0),
        "columns": lambda: deque((columns_of(body, r.canonical, r.hash) for r, body in whole), 0),
        "record": lambda: deque((record_of(body, r.canonical, r.hash) for r, body in whole), 0),
        "fold": lambda: deque(map(state.take, records), 0),
    }
    return {name: round(cpu_s(step) / len(records) * 1e6, 1) for name, step in steps.items()}


def cpu_s(work: Callable[[], object]) -> float:
    began = time.process_time()
    work()
    return time.process_time() - began


def rate(work: Callable[[Path], int], path: Path) -> float:
    """Events a second."""
    began = time.perf_counter()
    count = work(path)
    taken_s = time.perf_counter() - began
    assert count == LONG_LOG_EVENTS
    return count / taken_s


@pytest.mark.timeout(900)
def test_verify_and_replay(long_log: Path, report: Report) -> None:
    bare_scan(long_log)
    sides = {"scan + SHA-256": bare_scan, "verify": verified, "replay": replayed}
    rates: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(ROUNDS):
        for name, work in sides.items():
            rates[name].append(rate(work, long_log))
    beside = Samples("scan + SHA-256", "events/s", tuple(rates["scan + SHA-256"]))
    raw = {"CPU us an event": pieces(long_log)}
    for name in ("verify", "replay"):
        ours = Samples(name, "events/s", tuple(rates[name]))
        report.add(
            Row(f"{name} of {LONG_LOG_EVENTS:,} events", ours, beside, Aim("ratio", 0.55, at_least=True), raw)
        )
