"""A folder in memory for each laboratory, and the table of all cuts at the end."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.crash.cutting import HEADER, PROPERTY
from tests.e2e.conftest import incident_of as incident_of
from tests.e2e.conftest import make_shared_gateway as make_shared_gateway
from tests.e2e.conftest import pytest_runtest_makereport as pytest_runtest_makereport


@pytest.fixture
def root() -> Iterator[Path]:
    """A folder of its own in memory: what a killed process has written is there, synced or not."""
    folder = Path(tempfile.mkdtemp(prefix="volet-crash-", dir="/dev/shm"))
    yield folder
    shutil.rmtree(folder)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    reports = [each for name in ("passed", "failed") for each in terminalreporter.stats.get(name, [])]
    rows = [value for each in reports for name, value in each.user_properties if name == PROPERTY]
    if rows:
        terminalreporter.section("crash points")
        terminalreporter.write_line("\n".join([HEADER, *map(str, rows)]))
