"""What a start finds of an earlier life, and what the daemon could leave behind (S11, S12, F23, F27)."""

from collections.abc import Callable
from pathlib import Path

import pytest

from orchestrator.core.chain import digest
from orchestrator.runtime.blackbox import BlackBox
from tests.e2e.conftest import MakeGateway
from tests.e2e.gateway import Gateway
from tests.runtime.log_parts import closing

pytestmark = pytest.mark.slow

LINES_BEGIN = 4096
"""Where the black box's first line stands, behind its header."""


def box_of(gateway: Gateway) -> Path:
    return gateway.database.parent / "blackbox"


def test_nothing_of_an_earlier_life_stays_and_the_daemon_may_leave_no_core_file(
    make_gateway: MakeGateway,
) -> None:
    """One byte is below any core file, and the one limit that keeps a pipe of `core_pattern` from one too."""
    gateway = make_gateway()
    gateway.write_configuration()
    left = gateway.segments / "cam7.01a1e2d3-0000-7000-8000-000000000000.1"
    left.mkdir()
    (left / "0.ts").write_bytes(b"picture")
    gateway.start_daemon()
    assert not left.exists()
    limits = Path(f"/proc/{gateway.daemon.pid}/limits").read_text().splitlines()
    found = next(line for line in limits if line.startswith("Max core file size"))
    assert found.split()[4:6] == ["1", "1"]


def with_a_damaged_line(box: Path) -> None:
    """A line of which not even the hash is right."""
    BlackBox.open(box).close()
    with box.open("r+b") as file:
        file.seek(LINES_BEGIN)
        file.write(b"sha256:0 {}\n")


def with_another_logs_last_event(box: Path) -> None:
    """It knows an event that the log has forgotten: yesterday's database was put back, or the disk cloned."""
    found = BlackBox.open(box)
    found.write([closing(1)], digest(b"the newest event of a log that is not there"))
    found.close()


@pytest.mark.parametrize("spoil", [with_a_damaged_line, with_another_logs_last_event])
def test_a_black_box_that_speaks_against_the_log_locks_every_camera(
    make_gateway: MakeGateway, spoil: Callable[[Path], None]
) -> None:
    gateway = make_gateway()
    gateway.write_configuration()
    box_of(gateway).parent.mkdir(exist_ok=True)
    spoil(box_of(gateway))
    gateway.start_daemon()
    gateway.follow()
    assert gateway.transition("request", reason="align the camera").code == "locked"
    assert gateway.wait("fault")["data"]["fault"] == "log-tampered"
    gateway.wait_disabled(substate="locked", pending=False)
