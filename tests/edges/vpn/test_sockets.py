"""S7, S8: what we listen on is read back from the kernel, and nothing but the declared is there."""

import errno
import json
import os
import re
import socket
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing
from ctypes import CDLL
from itertools import count
from typing import Any

import pytest

from orchestrator.edges.vpn import sockets
from orchestrator.edges.vpn.sockets import Declared, Listener, audit, bound_device, listen

from .namespaces import Namespace, gateway_and_lan

ADDRESS = "127.0.0.77"
PR_SET_DUMPABLE = 4
LISTENING_CHILD = """
import socket, sys
sock = socket.create_server(("127.0.0.1", 0))
print(sock.getsockname()[1], flush=True)
sys.stdin.read()
"""
LISTENING_GRANDCHILD = f"""
import subprocess, sys
sys.exit(subprocess.run([sys.executable, "-c", {LISTENING_CHILD!r}]).returncode)
"""


@pytest.fixture
def ours() -> Iterator[tuple[socket.socket, Declared]]:
    """A listener as it should be, and its declaration."""
    with closing(listen(ADDRESS, 0, "lo")) as sock:
        yield sock, Declared(ADDRESS, sock.getsockname()[1], "lo")


def planted(kind: int, family: int, address: str) -> socket.socket:
    sock = socket.socket(family, kind)
    sock.bind((address, 0))
    if kind == socket.SOCK_STREAM:
        sock.listen()
    return sock


def before_the_second_look(monkeypatch: pytest.MonkeyPatch, act: Callable[[], None]) -> None:
    look, looks = sockets._ours, count(1)

    def acting(roots: Sequence[int]) -> tuple[list[Listener], list[int]]:
        if next(looks) == 2:
            act()
        return look(roots)

    monkeypatch.setattr(sockets, "_ours", acting)


def test_the_declared_listener_alone_is_good(ours: tuple[socket.socket, Declared]) -> None:
    looked = audit([ours[1]])
    assert looked.good, looked
    assert bound_device(ours[0]) == "lo"


def test_nothing_declared_and_nothing_there_is_good() -> None:
    assert audit([]).good


@pytest.mark.parametrize(
    ("protocol", "family", "address"),
    [
        ("tcp", socket.AF_INET, "0.0.0.0"),
        ("tcp", socket.AF_INET, "127.0.0.1"),
        ("tcp", socket.AF_INET6, "::"),
        ("tcp", socket.AF_INET6, "::1"),
        ("udp", socket.AF_INET, "0.0.0.0"),
        ("udp", socket.AF_INET6, "::1"),
    ],
)
def test_a_planted_listener_is_a_stray(
    protocol: str, family: int, address: str, ours: tuple[socket.socket, Declared]
) -> None:
    """F5."""
    kind = socket.SOCK_STREAM if protocol == "tcp" else socket.SOCK_DGRAM
    with closing(planted(kind, family, address)) as stray:
        looked = audit([ours[1]])
        inode = os.fstat(stray.fileno()).st_ino
        assert looked.strays == (
            Listener(protocol, address, stray.getsockname()[1], "", inode, os.getpid()),  # type: ignore[arg-type]
        )
        assert not looked.good
        assert f":{stray.getsockname()[1]} on every device" in looked.detail
    assert audit([ours[1]]).good


@pytest.mark.parametrize("program", [LISTENING_CHILD, LISTENING_GRANDCHILD])
@pytest.mark.parametrize("by_scan", [False, True], ids=["children", "scan"])
def test_a_descendants_listener_is_a_stray(
    program: str, by_scan: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if by_scan:
        monkeypatch.setattr(os.path, "exists", lambda path: False)
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        assert child.stdout is not None
        port = int(child.stdout.readline())
        [stray] = audit([]).strays
        of_the_child = audit([], [child.pid])
    assert (stray.address, stray.port) == ("127.0.0.1", port)
    assert (stray.pid == child.pid) == (program is LISTENING_CHILD)
    assert of_the_child.strays == (stray,)
    assert audit([]).good


def test_a_strangers_listener_is_not_ours(ours: tuple[socket.socket, Declared]) -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as stranger:
        assert audit([], [stranger.pid]).good
        assert audit([ours[1]], [stranger.pid]).missing == (ours[1],)


def test_clients_are_no_listeners(ours: tuple[socket.socket, Declared]) -> None:
    with ExitStack() as stack:
        unbound, bound, client = (stack.enter_context(socket.socket()) for _ in range(3))
        datagrams, connected = (stack.enter_context(socket.socket(type=socket.SOCK_DGRAM)) for _ in range(2))
        bound.bind(("127.0.0.1", 0))
        client.connect(ours[0].getsockname())
        stack.enter_context(ours[0].accept()[0])
        connected.connect(("127.0.0.1", 9))
        looked = audit([ours[1]])
        assert unbound.fileno() > 0
        assert datagrams.fileno() > 0
    assert looked.good, looked


def test_a_datagram_client_caught_before_it_was_connected_is_no_stray(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with closing(planted(socket.SOCK_DGRAM, socket.AF_INET, "127.0.0.1")) as client:
        before_the_second_look(monkeypatch, lambda: client.connect(("127.0.0.1", 9)))
        assert audit([]).good


def test_a_listener_that_is_gone_by_the_second_look_was_there(monkeypatch: pytest.MonkeyPatch) -> None:
    listener = planted(socket.SOCK_STREAM, socket.AF_INET, "127.0.0.1")
    port = listener.getsockname()[1]
    with closing(planted(socket.SOCK_DGRAM, socket.AF_INET, "127.0.0.1")):
        before_the_second_look(monkeypatch, listener.close)
        strays = audit([]).strays
    assert {stray.protocol for stray in strays} == {"tcp", "udp"}
    assert port in {stray.port for stray in strays}


def test_a_listener_without_its_device_is_a_stray_and_the_declared_one_missing() -> None:
    """S8: the address alone is no boundary."""
    with closing(planted(socket.SOCK_STREAM, socket.AF_INET, ADDRESS)) as bare:
        declared = Declared(ADDRESS, bare.getsockname()[1], "lo")
        looked = audit([declared])
    assert [stray.device for stray in looked.strays] == [""]
    assert looked.missing == (declared,)


def test_a_declared_listener_that_is_gone_is_missing(ours: tuple[socket.socket, Declared]) -> None:
    ours[0].close()
    looked = audit([ours[1]])
    assert (looked.good, looked.strays, looked.missing) == (False, (), (ours[1],))
    assert "nothing of ours listens" in looked.detail


def test_a_kernel_that_does_not_answer_proves_nothing(
    ours: tuple[socket.socket, Declared], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sockets, "NETLINK_SOCK_DIAG", 31)
    looked = audit([ours[1]])
    assert not looked.good
    assert looked.failure
    assert "could not be read" in looked.detail


def test_a_child_whose_sockets_cannot_be_read_proves_nothing() -> None:
    if os.geteuid() != 0:
        pytest.skip("giving up rights needs root")

    def look_without_rights() -> tuple[bool, list[int], int]:
        os.setgid(65534)
        os.setuid(65534)
        reader, writer = os.pipe()
        hidden = os.fork()
        if hidden == 0:
            CDLL(None).prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)
            os.close(writer)
            os.read(reader, 1)
            os._exit(0)
        looked = audit([])
        os.close(writer)
        os.waitpid(hidden, 0)
        return looked.good, list(looked.unread), hidden

    good, unread, hidden = _in_a_child(look_without_rights)
    assert (good, unread) == (False, [hidden])


def test_a_taken_port_is_said_with_what_to_do(ours: tuple[socket.socket, Declared]) -> None:
    message = f"{ADDRESS}:{ours[1].port} is taken: `ss -ltnp 'sport = :{ours[1].port}'`"
    with pytest.raises(OSError, match=re.escape(message)) as refused:
        listen(ADDRESS, ours[1].port, "lo")
    assert refused.value.errno == errno.EADDRINUSE


@pytest.mark.parametrize(
    ("address", "interface", "sentence"),
    [
        ("127.0.0.1", "volet-none0", "there is no interface volet-none0"),
        ("203.0.113.9", "lo", "203.0.113.9 is not on this machine"),
    ],
)
def test_a_missing_interface_or_address_is_said(address: str, interface: str, sentence: str) -> None:
    with pytest.raises(OSError, match=re.escape(sentence)):
        listen(address, 0, interface)
    assert audit([]).good


def test_the_listener_serves_on_its_device_and_does_not_block(ours: tuple[socket.socket, Declared]) -> None:
    with pytest.raises(BlockingIOError):
        ours[0].accept()
    with closing(socket.create_connection(ours[0].getsockname())):
        connection, _ = ours[0].accept()
        with closing(connection):
            assert bound_device(connection) == "lo"


@pytest.mark.slow
def test_a_host_on_the_lan_reaches_the_address_but_not_the_device() -> None:
    """S8, F5."""
    vpn = "198.51.100.1"
    with gateway_and_lan() as (gateway, host), ExitStack() as stack:
        gateway.ip("link", "add", "vpn0", "type", "veth", "peer", "name", "vpn1")
        gateway.ip("address", "add", f"{vpn}/32", "dev", "vpn0")
        for device in ("vpn0", "vpn1"):
            gateway.ip("link", "set", device, "up")
        host.ip("route", "add", vpn, "via", "192.0.2.1")
        bound = stack.enter_context(closing(gateway.inside(lambda: listen(vpn, 8080, "vpn0"))))
        stack.enter_context(closing(gateway.inside(lambda: socket.create_server((vpn, 8081)))))

        def reach(place: Namespace, port: int) -> None:
            place.inside(lambda: socket.create_connection((vpn, port), 5)).close()

        reach(host, 8081)
        reach(gateway, 8080)
        with pytest.raises(ConnectionRefusedError):
            reach(host, 8080)
        looked = gateway.inside(lambda: audit([Declared(vpn, 8080, "vpn0")]))
        assert bound_device(bound) == "vpn0"
    assert [(stray.address, stray.port, stray.device) for stray in looked.strays] == [(vpn, 8081, "")]
    assert looked.missing == ()


@pytest.mark.slow
def test_a_listener_whose_device_was_deleted_is_no_longer_the_declared_one() -> None:
    with gateway_and_lan() as (gateway, _):
        declared = Declared("192.0.2.1", 8080, "lan0")
        with closing(gateway.inside(lambda: listen("192.0.2.1", 8080, "lan0"))) as sock:
            before = gateway.inside(lambda: audit([declared]))
            gateway.ip("link", "delete", "lan0")
            after = gateway.inside(lambda: audit([declared]))
            with pytest.raises(OSError, match="No such device"):
                gateway.inside(lambda: bound_device(sock))
    assert before.good
    assert after.missing == (declared,)
    assert "which is gone" in after.strays[0].device


def _in_a_child(work: Callable[[], Any]) -> Any:
    """What `work` returns in a forked process, by way of JSON."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.write(writer, json.dumps(work()).encode())
            os._exit(0)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
    os.close(writer)
    with os.fdopen(reader, "rb") as answer:
        text = answer.read()
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    return json.loads(text)
