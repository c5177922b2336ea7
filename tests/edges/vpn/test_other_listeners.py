"""F24: each listener of a camera's source beyond this machine is found and named; so is who has our port."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace

import pytest

from orchestrator.edges.vpn.other_listeners import exposed, in_the_way, named
from orchestrator.edges.vpn.sockets import audit, listen

from .namespaces import gateway_and_lan

FOREVER = "import socket, sys\nsock = socket.create_server((sys.argv[1], 0))\n"
FOREVER += "print(sock.getsockname()[1], flush=True)\nsys.stdin.read()\n"


@contextmanager
def another_program(address: str) -> Iterator[tuple[int, int]]:
    """A program of its own that listens there: its pid and its port."""
    argv = [sys.executable, "-c", FOREVER, address]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        yield process.pid, int(process.stdout.readline())


def source(address: str, port: int = 0) -> socket.socket:
    """A listener on that address; on `::` for IPv6 alone."""
    sock = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET)
    if ":" in address:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    sock.bind((address, port))
    sock.listen()
    return sock


@pytest.mark.parametrize("address", ["0.0.0.0", "::"])
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1", "0.0.0.0", "this-machine.invalid"])
def test_a_source_that_listens_everywhere_is_exposed(address: str, host: str) -> None:
    with closing(source(address)) as sock:
        port = sock.getsockname()[1]
        [found] = exposed(host, port)
        assert (found.address, found.port, found.pid) == (address, port, None)
        assert exposed("203.0.113.9", port) == ()
    assert exposed(host, port) == ()


def test_each_listener_of_the_port_is_a_door_of_its_own() -> None:
    """One that is accepted in writing must not hide another."""
    with closing(source("0.0.0.0")) as four:
        port = four.getsockname()[1]
        with closing(source("::", port)):
            assert {each.place for each in exposed("127.0.0.1", port)} == {f"0.0.0.0:{port}", f"[::]:{port}"}


@pytest.mark.parametrize("address", ["127.0.0.1", "127.9.9.9", "::1"])
def test_a_source_on_loopback_is_not_exposed(address: str) -> None:
    with closing(source(address)) as sock:
        assert exposed(address, sock.getsockname()[1]) == ()


def test_a_source_bound_to_the_loopback_device_is_not_exposed() -> None:
    with closing(listen("0.0.0.0", 0, "lo")) as sock:
        assert exposed("127.0.0.1", sock.getsockname()[1]) == ()


@pytest.mark.slow
def test_a_source_on_our_lan_address_is_exposed() -> None:
    with (
        gateway_and_lan() as (gateway, _),
        closing(gateway.inside(lambda: socket.create_server(("192.0.2.1", 8000)))),
    ):
        assert gateway.inside(lambda: exposed("192.0.2.1", 8000))
        assert gateway.inside(lambda: exposed("127.0.0.1", 8000))
        assert gateway.inside(lambda: exposed("192.0.2.2", 8000)) == ()
        assert gateway.inside(lambda: exposed("127.0.0.1", 8001)) == ()


def test_who_has_the_source_is_named() -> None:
    with another_program("0.0.0.0") as (pid, port):
        [found] = named(exposed("127.0.0.1", port))
    assert found.pid == pid
    assert str(found) == f"tcp 0.0.0.0:{port} on every device, process {pid} ({found.program})"
    assert found.program.startswith("python")


def test_whose_it_is_cannot_be_told_of_a_socket_that_is_gone() -> None:
    with closing(source("0.0.0.0")) as sock:
        [found] = exposed("127.0.0.1", sock.getsockname()[1])
    [still] = named([found])
    assert still.pid is None
    assert still.holder == "a process that only root can name"


@pytest.mark.parametrize("theirs", ["127.0.0.1", "0.0.0.0", "::"])
def test_who_has_our_port_is_named(theirs: str) -> None:
    with (
        closing(source(theirs))
        if theirs != "::"
        else closing(socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True)) as sock
    ):
        port = sock.getsockname()[1]
        found = in_the_way("127.0.0.1", port)
        assert found is not None
        assert (found.address, found.pid) == (theirs, os.getpid())
        assert in_the_way("127.0.0.1", port + 1) is None
    assert in_the_way("127.0.0.1", port) is None


def test_another_address_is_not_in_the_way() -> None:
    with closing(source("127.0.0.3")) as sock:
        assert in_the_way("127.0.0.1", sock.getsockname()[1]) is None


def test_a_stray_says_its_program() -> None:
    with closing(source("127.0.0.1")) as sock:
        [stray] = audit([]).strays
        assert f"127.0.0.1:{sock.getsockname()[1]}" in str(stray)
    assert stray.program
    assert replace(stray, program="") == stray
