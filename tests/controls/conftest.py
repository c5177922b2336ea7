"""A private copy of the tree for each of the slow files."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.controls.private_copy import PrivateCopy


@pytest.fixture(scope="module")
def copy() -> Iterator[PrivateCopy]:
    """Not below pytest's own folder, whose name is too long for the sockets that tests make in it."""
    folder = Path(tempfile.mkdtemp(prefix="volet-"))
    copy = PrivateCopy(folder)
    yield copy
    copy.close()
    shutil.rmtree(folder)
