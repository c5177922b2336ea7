"""A new log is made at once, an older one is brought there by Alembic: both are the same, word for word."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import Connection

from orchestrator.runtime.event_store.migrate import migrate, upgrade
from orchestrator.runtime.event_store.schema import HEAD, compare_with_golden, writing_engine

LOADED = """
import asyncio, sys
from pathlib import Path
from tests.runtime.log_parts import make

asyncio.run(make(Path(sys.argv[1])).open())
print("alembic" in sys.modules)
"""


def made_by(way: Callable[[Connection], None], path: Path) -> set[tuple[object, ...]]:
    """All that is in a new file's schema afterwards, and its revision."""
    path.touch(mode=0o600)
    with writing_engine(path).connect() as connection:
        with connection.begin():
            way(connection)
        with connection.begin():
            compare_with_golden(connection)
            revision = connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalars().all()
            rows = connection.exec_driver_sql("SELECT type, name, tbl_name, sql FROM sqlite_master").all()
    assert revision == [HEAD]
    return {tuple(row) for row in rows}


def test_a_new_log_is_what_alembic_would_make_of_it(tmp_path: Path) -> None:
    """FIELD 5: and both are the golden copy."""
    assert made_by(migrate, tmp_path / "new.db") == made_by(upgrade, tmp_path / "upgraded.db")


def test_a_log_that_is_there_is_brought_to_the_newest_version_by_alembic(tmp_path: Path) -> None:
    """A file with an empty `alembic_version` is at no revision: every migration is still to come."""
    path = tmp_path / "events.db"

    def from_nothing_done(connection: Connection) -> None:
        connection.exec_driver_sql("CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL)")
        migrate(connection)

    made_by(from_nothing_done, path)


@pytest.mark.slow
def test_a_first_start_loads_no_alembic(tmp_path: Path) -> None:
    """It would stay in the daemon's memory for as long as that runs."""
    command = [sys.executable, "-c", LOADED, str(tmp_path / "events.db")]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.split() == ["False"]
