"""What wireguard-go and `wg show` answer, and what is not taken for an answer."""

from __future__ import annotations

import base64
import os
import socket
import threading
import time
from pathlib import Path

import pytest

from orchestrator.edges.vpn import peers_reader, wireguard_show, wireguard_uapi
from orchestrator.edges.vpn.links import Link
from orchestrator.edges.vpn.peers_reader import PeersReader
from orchestrator.edges.vpn.wireguard_peers import NotProven, PeerEntry, key_from
from orchestrator.edges.vpn.wireguard_show import show, shown
from orchestrator.edges.vpn.wireguard_uapi import Uapi

from .lab import lab

KEY, OTHER = key_from(b"k" * 32), key_from(b"o" * 32)
SECRET = "5e" * 32
ANSWER = f"""\
private_key={SECRET}
listen_port=51820
public_key={base64.b64decode(KEY).hex()}
preshared_key={SECRET}
protocol_version=1
endpoint=192.0.2.2:51820
last_handshake_time_sec=1000
last_handshake_time_nsec=5
tx_bytes=148
allowed_ip=10.0.0.2/32
allowed_ip=fd77::2/128
public_key={base64.b64decode(OTHER).hex()}
last_handshake_time_sec=0
allowed_ip=10.0.0.0/24
errno=0

"""


def read(answer: str) -> tuple[PeerEntry, ...]:
    return tuple(wireguard_uapi._peers(answer.encode(), 1012))


def test_the_uapi_answer_becomes_keys_networks_and_handshake_ages() -> None:
    first, second = read(ANSWER)
    assert (first.key, list(map(str, first.allowed_ips))) == (KEY, ["10.0.0.2/32", "fd77::2/128"])
    assert (first.handshake_age_s, first.is_device) == (12, True)
    assert (second.key, second.handshake_age_s, second.is_device) == (OTHER, None, False)


def test_no_secret_of_the_answer_is_in_what_was_read_of_it() -> None:
    told = repr(read(ANSWER))
    for form in (SECRET, base64.b64encode(bytes.fromhex(SECRET)).decode()):
        assert form not in told


def test_a_handshake_from_the_future_is_no_negative_age() -> None:
    assert read(ANSWER.replace("sec=1000\n", "sec=9999\n", 1))[0].handshake_age_s == 0


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("errno=0", "errno=22", "errno=22"),
        ("errno=0\n", "", "errno="),
        ("allowed_ip=10.0.0.2/32", "allowed_ip=10.0.0.300/32", "cannot be read"),
        ("public_key=", "public_key=zz", "cannot be read"),
        ("public_key=", "public_key=00", "cannot be read"),
        ("tx_bytes=148", "tx_bytes=é", "cannot be read"),
    ],
)
def test_an_answer_that_is_not_wireguards_proves_nothing(old: str, new: str, sentence: str) -> None:
    with pytest.raises(NotProven, match=sentence):
        read(ANSWER.replace(old, new))


def test_an_answer_is_bounded_in_bytes_and_in_time() -> None:
    ours, theirs = socket.socketpair()

    def flood() -> None:
        try:
            while True:
                theirs.send(b"x" * 65536)
        except OSError:
            return

    with ours, theirs:
        theirs.send(b"errno=0\n")
        with pytest.raises(TimeoutError):
            wireguard_uapi._answer(ours, time.monotonic() + 0.05)
        flooding = threading.Thread(target=flood)
        flooding.start()
        with pytest.raises(NotProven, match="more than 1048576 bytes"):
            wireguard_uapi._answer(ours, time.monotonic() + 60)
        ours.close()
        flooding.join()


@pytest.mark.slow
def test_both_readers_say_the_same_of_one_tunnel() -> None:
    with lab(("laptop", "phone")) as found:
        by_socket, by_program = found.gateway.place.inside(
            lambda: (Uapi(found.interface).read(), shown(found.interface))
        )
    assert {(one.key, frozenset(one.allowed_ips)) for one in by_socket} == {
        (one.key, frozenset(one.allowed_ips)) for one in by_program
    }
    assert {one.key for one in by_socket} == {tunnel.key for tunnel in found.peers.values()}
    for one in (*by_socket, *by_program):
        assert one.handshake_age_s is not None
        assert one.handshake_age_s < 60


@pytest.fixture
def fake_wg(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A `wg` that writes down what it was asked, and does what the test lets it do."""
    program = tmp_path / "wg"
    program.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/asked\n. {tmp_path}/does\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    return tmp_path


def test_the_kernels_peers_are_asked_for_without_its_keys(
    fake_wg: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (fake_wg / "does").write_text(
        f"case $3 in allowed-ips) printf '{KEY}\\t10.0.0.2/32 fd77::2/128\\n{OTHER}\\t(none)\\n';;"
        f" *) printf '{KEY}\\t1\\n{OTHER}\\t0\\n';; esac"
    )
    monkeypatch.setattr(peers_reader, "link", lambda name: Link(3, name, True, "wireguard"))
    first, second = PeersReader("volet-none0").read()
    assert (first.key, list(map(str, first.allowed_ips))) == (KEY, ["10.0.0.2/32", "fd77::2/128"])
    assert first.handshake_age_s is not None
    assert (second.key, second.allowed_ips, second.handshake_age_s) == (OTHER, (), None)
    asked = (fake_wg / "asked").read_text().splitlines()
    assert asked == ["show volet-none0 allowed-ips", "show volet-none0 latest-handshakes"]


@pytest.mark.parametrize(
    ("does", "sentence"),
    [
        (
            "echo 'Unable to access interface: Operation not permitted' >&2; exit 1",
            "run `volet peers` as root",
        ),
        ("echo nonsense", "cannot be read"),
        (f"printf '{KEY}\\t10.0.0.300/32\\n'", "cannot be read"),
        ("printf '\\377'", "could not be run"),
        ("exec sleep 60", "did not answer in"),
    ],
)
def test_a_wg_that_refuses_hangs_or_is_another_program_proves_nothing(
    fake_wg: Path, does: str, sentence: str
) -> None:
    (fake_wg / "does").write_text(does)
    with pytest.raises(NotProven, match=sentence):
        shown("volet-none0")


def test_without_wg_one_is_told_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(NotProven, match="wireguard-tools"):
        shown("volet-none0")


def test_a_socket_in_front_of_the_kernels_interface_is_not_asked(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """`wg` would ask whoever made it, and believe them."""
    (tmp_path / "volet-none0.sock").touch()
    monkeypatch.setattr(wireguard_show, "FOLDER", str(tmp_path))
    with pytest.raises(NotProven, match="stands in front of the kernel's"):
        show("volet-none0")
