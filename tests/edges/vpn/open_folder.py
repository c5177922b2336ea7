"""A folder for what more than one user must reach."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def open_folder() -> Iterator[Path]:
    """A folder in memory that another user may enter; pytest's own are root's alone."""
    path = Path(tempfile.mkdtemp(prefix="volet-", dir="/dev/shm"))
    path.chmod(0o711)
    try:
        yield path
    finally:
        shutil.rmtree(path)
