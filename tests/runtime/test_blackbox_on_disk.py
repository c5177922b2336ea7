"""What the black box was told is on the disk before it says so (S13, L4)."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from orchestrator.core.chain import GENESIS
from orchestrator.runtime.blackbox import BlackBox
from tests.runtime.log_parts import closing


def test_every_line_is_on_the_disk_when_write_returns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No test can take the power away: what is looked at is that the kernel was asked, and asked last."""
    box = BlackBox.open(tmp_path / "blackbox", 16 * 1024)
    asked: list[str] = []
    write, sync = os.pwrite, os.fdatasync

    def pwrite(descriptor: int, data: bytes, offset: int) -> int:
        asked.append("write")
        return write(descriptor, data, offset)

    def fdatasync(descriptor: int) -> None:
        asked.append("sync")
        sync(descriptor)

    monkeypatch.setattr(os, "pwrite", pwrite)
    monkeypatch.setattr(os, "fdatasync", fdatasync)
    box.write([closing(1)], GENESIS)
    box.close()
    assert asked == ["write", "sync"]
