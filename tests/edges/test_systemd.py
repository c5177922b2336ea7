"""The service manager hears how we are, and never holds us up."""

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.edges.systemd import notify, watchdog_period_s


@pytest.fixture
def manager() -> Iterator[socket.socket]:
    """Stands for the service manager: a datagram socket, not bound yet."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.settimeout(5)
        yield sock


def test_a_state_reaches_the_socket_at_a_path(
    manager: socket.socket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    manager.bind(str(tmp_path / "notify"))
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
    assert notify("READY=1\nSTATUS=Shut; listening on 127.0.0.77:8080")
    assert manager.recv(4096) == b"READY=1\nSTATUS=Shut; listening on 127.0.0.77:8080"


def test_a_state_reaches_the_abstract_socket(manager: socket.socket, monkeypatch: pytest.MonkeyPatch) -> None:
    manager.bind(f"\0volet-test-{os.getpid()}")
    monkeypatch.setenv("NOTIFY_SOCKET", f"@volet-test-{os.getpid()}")
    assert notify("WATCHDOG=1")
    assert manager.recv(4096) == b"WATCHDOG=1"


@pytest.mark.parametrize("path", [None, "", "relative", "vsock:2:1234", "/nowhere/notify", "/" + "x" * 200])
def test_without_a_service_manager_nothing_is_sent_and_nothing_raised(
    path: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    if path is not None:
        monkeypatch.setenv("NOTIFY_SOCKET", path)
    assert not notify("READY=1")


def test_a_manager_that_does_not_read_does_not_hold_us_up(
    manager: socket.socket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    manager.bind(str(tmp_path / "notify"))
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
    queue_length = int(Path("/proc/sys/net/unix/max_dgram_qlen").read_text())
    sent = sum(notify("WATCHDOG=1") for _ in range(queue_length + 10))
    assert 0 < sent < queue_length + 10
    manager.recv(4096)
    assert notify("WATCHDOG=1")


def test_the_watchdog_period_is_in_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", "10000000")
    monkeypatch.delenv("WATCHDOG_PID", raising=False)
    assert watchdog_period_s() == 10.0
    monkeypatch.setenv("WATCHDOG_PID", str(os.getpid()))
    assert watchdog_period_s() == 10.0


@pytest.mark.parametrize("microseconds", ["", "0", "-5", "soon", "1.5", "²"])
def test_a_period_that_is_none_is_no_watchdog(microseconds: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WATCHDOG_PID", raising=False)
    monkeypatch.setenv("WATCHDOG_USEC", microseconds)
    assert watchdog_period_s() is None


def test_a_watchdog_that_was_set_for_our_parent_is_not_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", "10000000")
    monkeypatch.setenv("WATCHDOG_PID", str(os.getppid()))
    assert watchdog_period_s() is None
