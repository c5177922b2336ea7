"""A scripted daemon for each test, and an environment that names no other."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.scripted_daemon import ScriptedDaemon


@pytest.fixture(autouse=True)
def _no_daemon_of_this_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("VOLET_URL", raising=False)
    monkeypatch.setenv("RUNTIME_DIRECTORY", str(tmp_path))


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[ScriptedDaemon]:
    scripted = ScriptedDaemon(tmp_path / "volet.sock")
    scripted.start()
    yield scripted
    scripted.stop()
