"""`volet peers`: an unprivileged daemon learns who the peers are, and nobody learns a secret (S9)."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import grp
import io
import json
import os
import signal
import socket
import stat
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from orchestrator.cli import main
from orchestrator.edges.vpn.boundary import NotADevice
from orchestrator.edges.vpn.wireguard import WireGuard

from .lab import Lab, lab, run
from .open_folder import open_folder
from .provider import answered

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[3]
NOBODY = 65534
GROUP = "nogroup"
READY_S = 10.0
CAPABILITIES = "-all,+net_admin,+sys_ptrace,+dac_override,+setgid"


@dataclass
class Helper:
    """A running `volet peers`."""

    socket: Path
    process: subprocess.Popen[str] = field(repr=False)

    def say(self, *sent: bytes) -> bytes:
        """All that it answers to these, one after the other on one connection, until it hangs up."""
        with socket.socket(socket.AF_UNIX) as sock:
            sock.settimeout(READY_S)
            sock.connect(os.fspath(self.socket))
            received = b""
            try:
                for each in sent:
                    sock.sendall(each)
                sock.shutdown(socket.SHUT_WR)
                while data := sock.recv(1 << 16):
                    received += data
            except (BrokenPipeError, ConnectionResetError):
                pass
            return received

    def end(self) -> str:
        """Stop it as a service manager does; what it logged."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.communicate(timeout=READY_S)[0]


@contextmanager
def helper(found: Lab, path: Path, prefix: Sequence[str] = ()) -> Iterator[Helper]:
    """`volet peers` for the lab's tunnel, in the gateway's namespace."""
    words = [sys.executable, "-m", "orchestrator", "peers", "--interface", found.interface]
    process = subprocess.Popen(
        found.gateway.place.argv(*prefix, *words, "--socket", str(path), "--group", GROUP),
        cwd=ROOT,
        text=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    try:
        assert process.stdout is not None
        assert "telling the peers" in process.stdout.readline()
        yield Helper(path, process)
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


def as_nobody(found: Lab, work: Callable[[], Any]) -> Any:
    """What `work` returns in a process without any right, in the gateway's namespace, by way of JSON."""

    def forked() -> Any:
        reader, writer = os.pipe()
        pid = os.fork()
        if pid == 0:
            try:
                os.setgroups([])
                os.setgid(grp.getgrnam(GROUP).gr_gid)
                os.setuid(NOBODY)
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

    return found.gateway.place.inside(forked)


def now_us() -> int:
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1000


def looked(interface: str, helper: Path | None, *addresses: str, answers: bool = True) -> dict[str, Any]:
    """What an unprivileged provider finds: its sight, and the key or code behind each address. `answers`: a
    helper is believed, once it has answered."""

    async def look() -> dict[str, Any]:
        boundary = WireGuard(interface, helper=helper)
        await boundary.start()
        try:
            if helper is not None and answers:
                await answered(boundary)
            sight = boundary.look(now_us())
            keys = {}
            for address in addresses:
                try:
                    keys[address] = (await boundary.identify(address, 50000)).key
                except NotADevice as no:
                    keys[address] = no.code
            return {"good": sight.good, "detail": sight.detail, "keys": keys, "user": os.getuid()}
        finally:
            await boundary.stop()

    return asyncio.run(look())


def test_without_any_right_the_provider_knows_who_is_who_by_the_helper_alone() -> None:
    with lab() as found, open_folder() as place:
        laptop = found.peers["laptop"]
        asked = (laptop.address, laptop.address6, found.gateway.address, "10.77.0.99")
        alone = as_nobody(found, lambda: looked(found.interface, None, laptop.address))
        with helper(found, place / "peers.sock") as beside:
            helped = as_nobody(found, lambda: looked(found.interface, beside.socket, *asked))
    assert (alone["good"], alone["keys"]) == (False, {laptop.address: "unknown-device"})
    assert "run `volet peers` beside the daemon" in alone["detail"]
    assert (helped["good"], helped["user"]) == (True, NOBODY)
    assert helped["keys"] == dict(
        zip(asked, (laptop.key, laptop.key, "own-address", "unknown-device"), strict=True)
    )


def test_it_runs_with_the_three_capabilities_of_its_unit() -> None:
    unit = (ROOT / "ops" / "volet-peers.service").read_text()
    assert "CapabilityBoundingSet=CAP_NET_ADMIN CAP_SYS_PTRACE CAP_DAC_OVERRIDE\n" in unit
    # The unit takes the group by Group=; here the program does it, which needs one more.
    prefix = ("setpriv", f"--bounding-set={CAPABILITIES}", "--inh-caps=-all", "--no-new-privs")
    with lab() as found, open_folder() as place:
        os.chown(place, NOBODY, NOBODY)
        place.chmod(0o750)
        with helper(found, place / "peers.sock", prefix) as beside:
            status = Path(f"/proc/{beside.process.pid}/status").read_text()
            helped = as_nobody(found, lambda: looked(found.interface, beside.socket))
    effective = next(line.split()[1] for line in status.splitlines() if line.startswith("CapEff"))
    assert int(effective, 16) == 1 << 1 | 1 << 6 | 1 << 12 | 1 << 19
    assert helped["good"], helped


def test_all_that_it_can_say_holds_no_secret() -> None:
    with lab() as found, open_folder() as place:
        shared = run("wg", "genpsk")
        laptop = found.peers["laptop"]
        found.gateway.wg("peer", laptop.key, "preshared-key", "/dev/stdin", given=shared)
        secrets = [*(tunnel.private for tunnel in (found.gateway, laptop)), shared]
        questions = [b"peers\n", b"peers\npeers\n", b"", b"\n", b"peers", b"x" * 10_000, b"\0" * 70 + b"\n"]
        questions += [
            b"get=1\n\n",
            b"set=1\nprivate_key=00\n\n",
            b"dump\n",
            b"private-key\n",
            b"preshared-keys\n",
            b"peers private-key\n",
            b"PEERS\n",
            f"peers {found.interface}\n".encode(),
            b'{"peers": true}\n',
        ]
        with helper(found, place / "peers.sock") as beside:
            said = [beside.say(question) for question in questions]
            found.gateway.kill()
            said.append(beside.say(b"peers\n"))
            said.append(beside.end().encode())
    everything = b"".join(said)
    for secret in secrets:
        for form in (secret, base64.b64decode(secret).hex(), secret.rstrip("=")):
            assert form.encode() not in everything
    for first, answer in zip(questions, said, strict=False):
        for line in answer.splitlines():
            told = json.loads(line)
            if first.startswith(b"peers\n"):
                assert set(told) == {"interface", "namespace", "peers"}
                assert [set(peer) for peer in told["peers"]] == [{"key", "allowed_ips", "handshake_age_s"}]
                assert told["peers"][0]["key"] == laptop.key
                assert 0 <= told["peers"][0]["handshake_age_s"] < 120
            else:
                assert told == {"error": "the one question here is `peers`"}
    assert b"no interface" in said[-2]


def test_it_says_who_asked_and_only_its_group_may() -> None:
    with lab() as found, open_folder() as place:
        with helper(found, place / "peers.sock") as beside:
            found_mode = beside.socket.stat()
            beside.say(b"peers\n")
            as_nobody(found, lambda: beside.say(b"peers\n").decode())
            log = beside.end()
        assert not beside.socket.exists()
    assert stat.S_IMODE(found_mode.st_mode) == 0o660
    assert found_mode.st_gid == grp.getgrnam(GROUP).gr_gid
    assert f"asked by process {os.getpid()}, user 0" in log
    assert f"user {NOBODY}" in log


def test_a_fifth_connection_is_sent_away_and_the_others_are_served() -> None:
    with lab() as found, open_folder() as place, helper(found, place / "peers.sock") as beside:
        held = [socket.socket(socket.AF_UNIX) for _ in range(4)]
        try:
            for sock in held:
                sock.connect(os.fspath(beside.socket))
                sock.sendall(b"peers\n")
                assert b'"peers":[' in sock.recv(1 << 16)
            # Without asking: what it had not read yet would turn its hanging up into a reset.
            assert b"too many connections" in beside.say()
            assert b'"peers":[' not in beside.say(b"peers\n")
            held[0].sendall(b"peers\n")
            assert b'"peers":[' in held[0].recv(1 << 16)
        finally:
            for sock in held:
                sock.close()
        until = time.monotonic() + READY_S
        while b'"peers":[' not in beside.say(b"peers\n"):
            assert time.monotonic() < until


def test_a_socket_that_was_taken_away_is_made_again_and_the_provider_finds_it() -> None:
    """As the daemon's run folder is, when the daemon restarts."""

    async def scenario(found: Lab, path: Path) -> None:
        path.unlink()
        boundary = WireGuard(found.interface, helper=path)
        await boundary.start()
        try:
            async with asyncio.timeout(20):
                assert not boundary.look(now_us()).good
                async for _ in boundary.changes():
                    if boundary.look(now_us()).good:
                        break
        finally:
            await boundary.stop()

    with lab() as found, open_folder() as place, helper(found, place / "peers.sock") as beside:
        found.gateway.place.inside(lambda: asyncio.run(scenario(found, beside.socket)))


def test_a_helper_that_ends_hangs_or_comes_back_is_noticed() -> None:
    async def scenario(found: Lab, path: Path) -> None:
        address = found.peers["laptop"].address
        faults: list[str] = []
        boundary = WireGuard(found.interface, helper=path, alarm=lambda fault, _: faults.append(fault))
        with helper(found, path) as beside:
            await boundary.start()
            await answered(boundary)
            assert boundary.look(now_us()).good
            await boundary.identify(address, 1)
            beside.process.send_signal(signal.SIGSTOP)
            async with asyncio.timeout(10):
                async for sentence in boundary.changes():
                    if "does not answer" in sentence:
                        break
            assert faults == ["vpn-down"]
            assert boundary.still(address, 1) is None
            assert not boundary.look(now_us()).good
            beside.process.send_signal(signal.SIGCONT)
            async with asyncio.timeout(10):
                async for _ in boundary.changes():
                    if boundary.look(now_us()).good:
                        break
        async with asyncio.timeout(10):
            async for sentence in boundary.changes():
                if "systemctl status volet-peers" in sentence:
                    break
        assert boundary.look(now_us()).fault == "vpn-down"
        await boundary.stop()

    with lab() as found, open_folder() as place:
        path = place / "peers.sock"
        found.gateway.place.inside(lambda: asyncio.run(scenario(found, path)))


def test_who_is_not_root_is_not_believed() -> None:
    """The socket's folder is the daemon's own: whoever takes that over must not be able to name peers."""
    with lab() as found, open_folder() as place:
        place.chmod(0o777)
        path = place / "peers.sock"
        ready, go = os.pipe()

        def impostor() -> bool:
            with socket.socket(socket.AF_UNIX) as server:
                server.bind(os.fspath(path))
                server.listen()
                os.write(go, b".")
                server.settimeout(READY_S)
                return server.accept()[0].recv(100) == b""

        pid = os.fork()
        if pid == 0:
            os.setgid(NOBODY)
            os.setuid(NOBODY)
            os._exit(0 if impostor() else 1)
        os.read(ready, 1)
        sight = found.gateway.place.inside(lambda: looked(found.interface, path, answers=False))
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
        os.close(ready)
        os.close(go)
    assert not sight["good"]
    assert f"is user {NOBODY} and not root" in sight["detail"]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--interface", "wg0", "--group", "nobodys-group"), "there is no group 'nobodys-group'"),
        (("--interface", "wg0", "--group", GROUP, "--socket", "/" + "x" * 120), "at most 107 bytes"),
        ((), "--interface"),
    ],
)
def test_what_cannot_begin_is_said_on_one_line(words: tuple[str, ...], sentence: str) -> None:
    argv = [sys.executable, "-m", "orchestrator", "peers", *words]
    told = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=False)
    assert told.returncode in (1, 2)
    assert told.stderr.startswith("volet: ")
    assert sentence in told.stderr
    assert len(told.stderr.splitlines()) == 1


def test_only_root_can_run_it() -> None:
    def attempt() -> str:
        told = io.StringIO()
        with contextlib.redirect_stderr(told):
            status = main(["peers", "--interface", "wg0"])
        return f"{status} {told.getvalue()}"

    with lab() as found:
        told = as_nobody(found, attempt)
    assert told.startswith("1 volet: ")
    assert "run `volet peers` as root" in told


def test_a_place_that_somebody_else_serves_is_left_alone() -> None:
    with lab() as found, open_folder() as place, helper(found, place / "peers.sock") as beside:
        words = [sys.executable, "-m", "orchestrator", "peers", "--interface", found.interface]
        second = subprocess.Popen(
            [*words, "--socket", str(beside.socket), "--group", GROUP],
            cwd=ROOT,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        try:
            assert second.stdout is not None
            assert "another one answers there already" in second.stdout.readline()
        finally:
            second.kill()
            second.communicate()
        assert b'"peers":[' in beside.say(b"peers\n")
