"""`volet doctor` at 3 a.m.: what keeps the boundary from standing is named, with one step that mends it.

Before the daemon ever ran; beside a running one is in test_planted.py.
"""

import asyncio
import json
import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from orchestrator.app.doctor_port import of_the_daemon, running_daemon
from orchestrator.edges.vpn.sockets import Declared, audit
from tests.e2e.configuration import ALWAYS, MEMBERS, put, text_of
from tests.e2e.conftest import MakeGateway
from tests.e2e.gateway import Gateway
from tests.e2e.incident import volet
from tests.e2e.processes import ROOT, Process, python
from tests.edges.vpn.namespaces import Namespace, namespace
from tests.edges.vpn.tailscaled import GATEWAY as NODE
from tests.edges.vpn.tailscaled import StandIn

pytestmark = pytest.mark.slow

KEY = "kQvZ3mFq0vTn0mMZ1l3b9m9lqWc0f8sYyq3Q4v1mX2c="
WIREGUARD = (
    f'[[members]]\nname = "A"\nroles = ["maintainer"]\ndevices = [{{ label = "laptop", key = "{KEY}" }}]\n'
)
TAILSCALE = (
    '[[members]]\nname = "A"\nroles = ["maintainer"]\ndevices = [{ label = "laptop", node = "nLAPTOP" }]\n'
)
STRANGER = """
import socket, sys, time
sock = socket.create_server((sys.argv[1], int(sys.argv[2])))
print("listens", flush=True)
sys.stdin.read()
"""
IMPOSTOR = """
import socket, sys
sock = socket.socket(socket.AF_UNIX)
sock.bind(sys.argv[1])
sock.listen()
print("listens", flush=True)
sys.stdin.read()
"""
ALL_BUT_ROOT = "warning: doctor runs as root, which may take a socket off its device again"


def doctor(gateway: Gateway) -> tuple[int, list[str]]:
    """Its exit status and lines, without waiting for the lane."""
    status, said = volet("doctor", "--config", str(gateway.config), "--wait", "0s")
    return status, said.splitlines()


def doctor_alone(gateway: Gateway, *words: str) -> tuple[int, str]:
    """The same by a process of its own, which has no children: this one's would be strays."""
    command = python("-m", "orchestrator", "doctor", "--config", str(gateway.config), *words)
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, cwd=ROOT)
    assert done.stderr == ""
    return done.returncode, done.stdout


def about(check: str, lines: list[str]) -> list[str]:
    """Its verdict on that check, what it found, the evidence, and the step where there is one."""
    [at, *_] = [i for i, line in enumerate(lines) if f" {check}: " in line]
    more = [line.strip() for line in lines[at + 1 : at + 3] if line.startswith("          ")]
    return [lines[at].split()[0], lines[at].partition(f" {check}: ")[2], *more]


def told(said: str, check: str) -> dict[str, Any]:
    """That check of cam1 in the machine form."""
    [found] = [one for one in json.loads(said)["cameras"][0]["checks"] if one["id"] == check]
    assert isinstance(found, dict)
    return found


@pytest.fixture(scope="module")
def site(make_shared_gateway: MakeGateway) -> Gateway:
    """Everything but the daemon, which never ran."""
    gateway = make_shared_gateway(boundary_settle="0s")
    gateway.write_configuration()
    gateway.start_broker()
    gateway.start_camera()
    gateway.start_lane()
    return gateway


@contextmanager
def another_program(gateway: Gateway, name: str, *words: str) -> Iterator[Process]:
    """A program that says when it listens."""
    process = Process(name, python("-c", *words), gateway.folder)
    gateway.processes.append(process)
    try:
        process.wait_line(lambda line: line == "listens")
        yield process
    finally:
        process.stop()


def test_before_the_daemon_ever_ran_it_says_what_it_saw(site: Gateway) -> None:
    """CONTRACT 2: 0 when every check but `window` passes; and that we are root is worth a word."""
    site.write_configuration(windows="")
    try:
        status, said = doctor_alone(site, "--wait", "15s")
    finally:
        site.write_configuration(windows=ALWAYS)
    assert status == 0, said
    lines = said.splitlines()
    assert about("window", lines)[0] == "FAILED"
    assert about("vpn-listener", lines)[:2] == [
        "passed",
        "only what is declared listens, bound to the VPN's device",
    ]
    assert about("vpn-side-door", lines)[:2] == ["passed", "no source of ours listens beyond this machine"]
    assert not site.database.exists()
    assert any(line.startswith(ALL_BUT_ROOT) for line in lines) is (os.geteuid() == 0)


def test_a_port_that_another_program_has_is_named_with_who_it_is(site: Gateway) -> None:
    with another_program(site, "stranger", STRANGER, "0.0.0.0", str(site.port)) as stranger:
        status, said = doctor_alone(site, "--wait", "0s", "--json")
    check = told(said, "vpn-listener")
    assert (status, check["passed"]) == (1, False)
    assert check["detail"].startswith(
        f"{site.address}:{site.port} is taken by process {stranger.pid} (python"
    )
    assert check["detail"].endswith(f"which listens on 0.0.0.0:{site.port}")
    assert check["do"].startswith("stop python")
    assert check["do"].endswith(f"(process {stranger.pid}), or give us another port with vpn.port")
    [taker] = check["found"]
    assert (taker["kind"], taker["address"], taker["pid"]) == ("port-taken", "0.0.0.0", stranger.pid)


def test_a_local_socket_that_answers_is_no_proof_that_the_port_is_the_daemons(site: Gateway) -> None:
    """What a process holds proves it, and not that somebody answers for it."""
    with (
        another_program(site, "impostor", IMPOSTOR, str(site.socket)) as impostor,
        another_program(site, "stranger", STRANGER, site.address, str(site.port)) as stranger,
    ):
        _, lines = doctor(site)
    site.socket.unlink()
    verdict, found, *_ = about("vpn-listener", lines)
    assert verdict == "FAILED"
    assert found.startswith(f"the running daemon (process {impostor.pid}) does not listen on {site.address}:")
    assert f"is taken by process {stranger.pid}" in found


def test_a_side_door_is_named_with_what_shuts_it(site: Gateway) -> None:
    """F24: ops/side-door.md, step 1."""
    place = f"0.0.0.0:{site.camera_port}"
    site.move_camera("0.0.0.0")
    try:
        status, lines = doctor(site)
        _, machine = volet("doctor", "--config", str(site.config), "--wait", "0s", "--json")
    finally:
        site.move_camera("127.0.0.1")
    verdict, found, _, step = about("vpn-side-door", lines)
    assert (status, verdict) == (1, "FAILED")
    assert f"beyond this machine, on {place} (process {site.camera.pid} (" in found
    for part in (
        f"(process {site.camera.pid}) listen on 127.0.0.1:{site.camera_port}",
        f'`app.run(host="127.0.0.1", port={site.camera_port})`',
        f'`iifname != "lo" tcp dport {site.camera_port} drop`',
        f'accept listener = "{place}" with an end',
        "(ops/side-door.md, step 1)",
    ):
        assert part in step
    [door] = told(machine, "vpn-side-door")["found"]
    assert (door["kind"], door["accepted"], door["accepted_until"]) == ("side-door", False, None)


def test_a_site_where_nobody_could_open_is_told_so(site: Gateway) -> None:
    site.write_configuration(members=MEMBERS.replace('"maintainer"', '"viewer"').replace('"viewer", ', ""))
    try:
        status, lines = doctor(site)
    finally:
        site.write_configuration(members=MEMBERS)
    assert status == 1
    verdict, found, *more = about("identity", lines)
    assert (verdict, found) == (
        "FAILED",
        "no member could open cam1: nobody with that camera is a maintainer and has a device",
    )
    assert (
        more[-1]
        == "do: give a person under [[members]] the role maintainer, this camera and a device of theirs"
    )


def test_an_unprivileged_look_beside_the_daemon_says_that_it_proves_nothing(site: Gateway) -> None:
    """Who may not read the daemon's sockets learns so, instead of that all is well."""
    if os.geteuid() != 0:
        pytest.skip("a daemon of another user needs root")
    wanted = (Declared(site.address, site.port, "lo"),)

    def look() -> str:
        daemon = running_daemon(site.socket)
        assert daemon is not None
        os.setgid(65534)
        os.setuid(65534)
        return of_the_daemon(daemon, audit(wanted, [daemon.pid]), wanted).trouble

    with another_program(site, "impostor", IMPOSTOR, str(site.socket)) as impostor:
        trouble = _in_a_child(look)
    site.socket.unlink()
    assert trouble == (
        f"the sockets of process {impostor.pid} of the running daemon could not be read: run doctor as root, "
        "or as the daemon's user"
    )


def _in_a_child(work: Callable[[], str]) -> str:
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            said = work()
        except BaseException as error:
            said = repr(error)
        os.write(writer, said.encode())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as pipe:
        said = pipe.read()
    os.waitpid(pid, 0)
    return said


# -- other providers, in a network namespace --


@pytest.fixture
def place() -> Iterator[Namespace]:
    with namespace() as found:
        found.ip("link", "set", "lo", "up")
        yield found


def under(gateway: Gateway, provider: str, interface: str, members: str, *vpn: str) -> None:
    """The file with another provider, and these lines of [vpn]."""
    text = text_of({**gateway.values, "members": members}, gateway.camera_port, gateway.cameras)
    text = text.replace('provider = "loopback"', f'provider = "{provider}"')
    text = text.replace('interface = "lo"', f'interface = "{interface}"')
    put(gateway.config, text.replace(f'address = "{gateway.address}"', "\n".join(vpn), 1))


def in_(place: Namespace, gateway: Gateway, check: str) -> list[str]:
    return about(check, place.inside(lambda: doctor(gateway))[1])


def _tunnel(place: Namespace, name: str, *addresses: str, up: bool = True) -> None:
    place.ip("tuntap", "add", "mode", "tun", "name", name)
    for address in addresses:
        place.ip("address", "add", address, "dev", name)
    if up:
        place.ip("link", "set", name, "up")


Prepare = Callable[[Namespace], object]
WRONG_TUNNELS: dict[str, tuple[Prepare, str, str]] = {
    "missing": (
        lambda place: None,
        "there is no interface vdoc0: start the tunnel",
        "`wg-quick up vdoc0`, or set vpn.interface to the tunnel that `wg show interfaces` names",
    ),
    "of another kind": (
        lambda place: place.ip("link", "add", "vdoc0", "type", "veth", "peer", "name", "vdoc1"),
        "vdoc0 is of kind veth, not a WireGuard interface",
        "`wg-quick up vdoc0`, or set vpn.interface to the tunnel that `wg show interfaces` names",
    ),
    "down": (
        lambda place: _tunnel(place, "vdoc0", "10.77.0.1/24", up=False),
        "vdoc0 is down",
        "`ip link set vdoc0 up`",
    ),
    "another address": (
        lambda place: _tunnel(place, "vdoc0", "10.77.0.9/24"),
        "vdoc0 holds not the address 10.77.0.1",
        "`ip address add ADDRESS dev vdoc0`, or set vpn.address to one that it holds",
    ),
    "no helper": (
        lambda place: _tunnel(place, "vdoc0", "10.77.0.1/24"),
        "`volet peers` does not answer on /run/volet-no-such/peers.sock",
        "`systemctl start volet-peers`",
    ),
}


@pytest.mark.parametrize("wrong", WRONG_TUNNELS)
def test_what_is_wrong_with_the_tunnel_is_told(site: Gateway, place: Namespace, wrong: str) -> None:
    prepare, sentence, step = WRONG_TUNNELS[wrong]
    prepare(place)
    under(
        site, "wireguard", "vdoc0", WIREGUARD,
        'address = "10.77.0.1"', 'helper = "/run/volet-no-such/peers.sock"',
    )  # fmt: skip
    try:
        verdict, found, _, do = in_(place, site, "vpn-interface")
        listener = in_(place, site, "vpn-listener")
    finally:
        site.write_configuration()
    assert verdict == "FAILED"
    assert found.startswith(sentence)
    assert step in do
    assert do.startswith("do: ")
    if wrong != "no helper":
        assert listener[1] == "there is no address to listen on until vpn-interface passes"
        assert listener[-1] == "do: do what is said above; while vpn-interface fails, mend that first"


def funnel(port: int) -> dict[str, Any]:
    host = "edge-gw.tail0000.ts.net:443"
    handlers = {"/": {"Proxy": f"http://127.0.0.1:{port}"}}
    return {
        "TCP": {"443": {"HTTPS": True}},
        "Web": {host: {"Handlers": handlers}},
        "AllowFunnel": {host: True},
    }


def on_a_tailnet(
    site: Gateway, place: Namespace, socket: Path, change: Callable[[StandIn], object] | None
) -> list[str]:
    """The doctor's lines beside a tailscaled with that change; None: beside none at all."""
    under(site, "tailscale", "tailscale0", TAILSCALE, f'socket = "{socket}"')

    async def run() -> list[str]:
        daemon = StandIn(socket)
        if change is None:
            return (await asyncio.to_thread(doctor, site))[1]
        change(daemon)
        await daemon.start()
        try:
            return (await asyncio.to_thread(doctor, site))[1]
        finally:
            await daemon.stop()

    try:
        return place.inside(lambda: asyncio.run(run()))
    finally:
        site.write_configuration()


def test_funnel_to_the_camera_is_told_with_the_command_that_shuts_it(
    site: Gateway, place: Namespace, tmp_path: Path
) -> None:
    """F4, ops/side-door.md, steps 2 and 3; and that the admin could do it again from afar."""
    _tunnel(place, "tailscale0", *NODE)

    def publish(daemon: StandIn) -> None:
        daemon.serve_config = funnel(site.camera_port)
        daemon.prefs = daemon.prefs | {"RemoteConfig": True}

    lines = on_a_tailnet(site, place, tmp_path / "tailscaled.sock", publish)
    verdict, found, *more = about("vpn-side-door", lines)
    assert verdict == "FAILED"
    assert f"Tailscale Funnel on port 443 leads to http://127.0.0.1:{site.camera_port}" in found
    assert "`tailscale funnel --https=443 off` shuts it" in found
    assert more[-1] == (
        "do: run the command above (ops/side-door.md, steps 2 and 3); then an approver acknowledges the lock"
    )
    assert "tailscale set --remote-config=false" in "\n".join(
        line for line in lines if line.startswith("warning: ")
    )


def test_an_overlay_that_does_not_run_is_told(site: Gateway, place: Namespace, tmp_path: Path) -> None:
    _tunnel(place, "tailscale0", *NODE)
    socket = tmp_path / "tailscaled.sock"
    changes: tuple[Callable[[StandIn], object] | None, ...] = (
        None,
        lambda daemon: daemon.set_state("Stopped"),
    )
    for change in changes:
        verdict, found, _, step = about("vpn-interface", on_a_tailnet(site, place, socket, change))
        assert verdict == "FAILED"
        assert "tailscale" in found
        assert step.startswith("do: `systemctl start tailscaled`, then `tailscale up`")


def test_another_device_of_that_name_is_not_tailscales(
    site: Gateway, place: Namespace, tmp_path: Path
) -> None:
    place.ip("link", "add", "tailscale0", "type", "veth", "peer", "name", "vdoc1")
    place.ip("link", "set", "tailscale0", "up")
    lines = on_a_tailnet(site, place, tmp_path / "tailscaled.sock", lambda daemon: None)
    assert about("vpn-interface", lines)[1] == "tailscale0 is veth, not the tun device that tailscaled makes"
