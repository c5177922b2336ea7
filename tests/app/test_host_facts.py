"""What a look at this machine says of our memory and of who listens, and the check it becomes (S7, S11)."""

import shutil
import socket
import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from orchestrator.app.host_facts import HostFacts
from orchestrator.core.facts import Proof
from orchestrator.core.faults import LOCKING
from orchestrator.edges import host
from orchestrator.edges.clock import now
from orchestrator.edges.vpn.loopback import Loopback
from orchestrator.runtime.board import Board
from tests.settings.configuration import SMALL, loaded

NO_SWAP = "Filename Type Size Used Priority\n"
ON_A_DISK = NO_SWAP + "/swap.img file 2097148 0 -2\n"


@pytest.fixture
def in_memory() -> Iterator[Path]:
    path = Path(tempfile.mkdtemp(prefix="volet-", dir="/dev/shm"))
    yield path
    shutil.rmtree(path)


def seen(folder: Path, segments: Path) -> Board:
    """What one look puts on the board."""
    settings = loaded(folder, SMALL + f'[worker]\nsegments = "{segments}"\n')
    board = Board(settings.policy)
    facts = HostFacts(
        board, now=now, settings=lambda: settings, boundary=lambda: Loopback("127.0.0.77"), declared=tuple
    )
    facts.look()
    return board


def memory_seen(folder: Path, segments: Path, monkeypatch: pytest.MonkeyPatch, swaps: str) -> Proof:
    """Of the memory, on a machine with that `/proc/swaps`."""
    (folder / "swaps").write_text(swaps)
    monkeypatch.setattr(host, "look", partial(host.look, folder, folder))
    return seen(folder, segments).memory


def test_memory_that_no_disk_stands_behind_is_private(
    tmp_path: Path, in_memory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = memory_seen(tmp_path, in_memory, monkeypatch, NO_SWAP)
    assert found.good
    assert found.evidence["in_memory"] is True


def test_a_segment_folder_on_a_disk_opens_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """F15; a link into memory is on the disk too."""
    segments = tmp_path / "segments"
    segments.symlink_to("/dev/shm")
    found = memory_seen(tmp_path, segments, monkeypatch, NO_SWAP)
    assert (found.good, found.fault) == (False, "memory-not-private")
    assert f"{segments} is symlink, not tmpfs" in found.detail


def test_memory_that_could_be_swapped_to_a_disk_opens_nothing(
    tmp_path: Path, in_memory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """F27."""
    found = memory_seen(tmp_path, in_memory, monkeypatch, ON_A_DISK)
    assert (found.good, found.fault) == (False, "memory-not-private")
    assert "swapoff" in found.detail


def test_a_listener_that_nobody_declared_is_a_fault_that_locks(tmp_path: Path) -> None:
    """S7; a listener that is merely not there yet is another one, and does not."""
    before = seen(tmp_path, tmp_path).listener
    assert (before.good, before.fault) == (False, "vpn-down")
    with socket.create_server(("127.0.0.1", 0)):
        found = seen(tmp_path, tmp_path).listener
    assert (found.good, found.fault) == (False, "listener-exposed")
    assert found.fault in LOCKING
    assert found.evidence["strays"] == 1
