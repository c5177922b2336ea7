"""A folder in memory for each laboratory."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.conftest import incident_of as incident_of
from tests.e2e.conftest import make_shared_gateway as make_shared_gateway
from tests.e2e.conftest import pytest_runtest_makereport as pytest_runtest_makereport


@pytest.fixture
def root() -> Iterator[Path]:
    """A folder of its own in memory: what a killed process has written is there, synced or not."""
    folder = Path(tempfile.mkdtemp(prefix="volet-crash-", dir="/dev/shm"))
    yield folder
    shutil.rmtree(folder)
