"""A log with a snapshot: a start goes on from it, and opens only once all of the log is checked."""

import sqlite3

import pytest

from tests.bench.sessions import write_log
from tests.e2e.conftest import MakeGateway
from tests.e2e.gateway import Gateway
from tests.e2e.incident import log_is_whole
from tests.runtime.log_parts import unguarded

pytestmark = pytest.mark.slow

EVENTS = 2100
"""A few more than between two snapshots."""


def _restart(gateway: Gateway) -> None:
    assert gateway.daemon.stop() == 0
    assert gateway.database.with_name(gateway.database.name + ".snapshot").exists()
    gateway.start_daemon()
    gateway.follow()


def _edit_a_column(outside: sqlite3.Connection) -> None:
    outside.execute("UPDATE events SET camera = 'cam2' WHERE seq = 7")


def test_it_opens_after_a_start_from_the_snapshot_and_an_old_change_locks_it(
    make_gateway: MakeGateway,
) -> None:
    """F12, S13: the change lies before the snapshot, where the start itself does not look."""
    gateway = make_gateway()
    gateway.database.parent.mkdir(parents=True, exist_ok=True)
    write_log(gateway.database, EVENTS)
    gateway.database.chmod(0o600)
    gateway.start()
    _restart(gateway)
    flow = gateway.flow()
    gateway.shut(flow.session)
    log_is_whole(gateway)
    assert gateway.daemon.stop() == 0
    with unguarded(gateway.database) as outside:
        _edit_a_column(outside)
    gateway.start_daemon()
    gateway.wait_disabled(substate="locked")
    assert gateway.checks()["log"]["fault"] == "log-tampered"
    assert gateway.transition("request", reason="align the camera").body["type"].endswith("/locked")
    assert gateway.transition("close").status == 200
    assert {gateway.get(f"/api/v1/cameras/{name}")["fault"] for name in ("cam1", "cam2")} == {"log-tampered"}
    assert gateway.daemon.stop() == 0
    assert gateway.serve().wait(30) == 1
    assert "event 7" in gateway.daemon.lines[0]
