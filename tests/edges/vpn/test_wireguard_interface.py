"""The proof of the interface: only a tunnel that runs in our own network namespace, on a private address."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import threading
from contextlib import suppress

import pytest

from orchestrator.edges.vpn.wireguard import WireGuard

from .lab import interface_name, lab, wireguard_go
from .namespaces import namespace
from .provider import Watched, answered, inside, now_us, on_gateway, refused

pytestmark = pytest.mark.slow


def test_an_address_that_is_not_the_configured_one_is_vpn_address_changed() -> None:
    async def scenario(boundary: Watched) -> None:
        sight = boundary.look(now_us())
        assert (sight.good, sight.fault) == (False, "vpn-address-changed")
        assert "not the address 10.77.0.200" in sight.detail
        assert boundary.addresses() == ()

    with lab() as found:
        on_gateway(found, scenario, "10.77.0.200")


def test_a_globally_routable_address_is_not_private() -> None:
    async def scenario(boundary: Watched) -> None:
        sight = boundary.look(now_us())
        assert (sight.good, sight.fault) == (False, "vpn-not-private")
        assert boundary.addresses() == ()

    with lab() as found:
        found.gateway.place.ip("address", "add", "8.8.8.8/32", "dev", found.interface)
        on_gateway(found, scenario, "8.8.8.8")


def test_a_private_address_is_listened_on_beside_a_public_one() -> None:
    async def scenario(boundary: Watched) -> None:
        assert boundary.look(now_us()).good
        assert boundary.addresses() == ("10.77.0.1", "fd77::1")

    with lab() as found:
        found.gateway.place.ip("address", "flush", "dev", found.interface)
        for address in ("8.8.8.8/32", "10.77.0.1/24", "fd77::1/64"):
            found.gateway.place.ip("address", "add", address, "dev", found.interface)
        on_gateway(found, scenario)


@pytest.mark.parametrize("kind", ["veth", "bridge", "tuntap"])
def test_an_interface_that_only_has_the_name_of_a_tunnel_is_refused(kind: str) -> None:
    async def scenario(boundary: Watched) -> None:
        sight = boundary.look(now_us())
        assert (sight.good, sight.fault) == (False, "vpn-down")
        if kind != "tuntap":
            assert f"is of kind {kind}" in sight.detail
            assert boundary.addresses() == ()
        assert (await refused(boundary, "10.77.0.2")).code == "unknown-device"

    with namespace() as place:
        name = interface_name()
        if kind == "tuntap":
            place.ip("tuntap", "add", "dev", name, "mode", "tun")
        else:
            place.ip("link", "add", name, "type", kind)
        place.ip("address", "add", "10.77.0.1/24", "dev", name)
        place.ip("link", "set", name, "up")
        inside(place, Watched(name), scenario)


def test_a_wireguard_of_that_name_in_another_namespace_proves_nothing() -> None:
    """The sockets of all namespaces lie in one folder (FIELD 2)."""

    async def scenario(boundary: Watched) -> None:
        sight = boundary.look(now_us())
        assert (sight.good, sight.fault) == (False, "vpn-down")
        assert "does not hold the tun device" in sight.detail

    name = interface_name()
    with namespace() as elsewhere, namespace() as place, wireguard_go(elsewhere, name):
        place.ip("tuntap", "add", "dev", name, "mode", "tun")
        place.ip("address", "add", "10.77.0.1/24", "dev", name)
        place.ip("link", "set", name, "up")
        inside(place, Watched(name), scenario)


def test_who_answers_instead_of_the_one_that_runs_the_tunnel_is_not_believed() -> None:
    """Another namespace's wireguard-go of the same name can take the socket's place."""

    async def scenario(boundary: Watched) -> None:
        sight = boundary.look(now_us())
        assert (sight.good, sight.fault) == (False, "vpn-down")
        assert "does not hold the tun device" in sight.detail

    def answer(server: socket.socket) -> None:
        with suppress(OSError):
            while True:
                connection, _ = server.accept()
                with connection:
                    connection.recv(100)
                    connection.sendall(b"errno=0\n\n")
                    connection.recv(100)

    with lab() as found, socket.socket(socket.AF_UNIX) as server:
        path = found.gateway.socket
        aside = path.rename(path.with_suffix(".aside"))
        try:
            server.bind(os.fspath(path))
            server.listen()
            answering = threading.Thread(target=answer, args=(server,))
            answering.start()
            try:
                inside(found.gateway.place, Watched(found.interface), scenario)
            finally:
                server.shutdown(socket.SHUT_RDWR)
                answering.join()
        finally:
            aside.rename(path)


def test_a_wireguard_go_in_the_background_is_proven_too() -> None:
    """Who began to listen has ended by then: SO_PEERCRED names a process that is no more."""

    async def scenario(boundary: Watched) -> None:
        await answered(boundary)
        sight = boundary.look(now_us())
        assert sight.good, sight

    name = interface_name()
    with namespace() as place:
        subprocess.run(place.argv("wireguard-go", name), check=True, capture_output=True)
        try:
            place.ip("address", "add", "10.77.0.1/24", "dev", name)
            place.ip("link", "set", name, "up")
            inside(place, Watched(name), scenario)
        finally:
            for pid in subprocess.run(
                ["ip", "netns", "pids", place.name], capture_output=True, text=True, check=True
            ).stdout.split():
                os.kill(int(pid), signal.SIGKILL)
            with suppress(FileNotFoundError):
                os.unlink(f"/var/run/wireguard/{name}.sock")


async def test_a_missing_interface_is_waited_for() -> None:
    boundary = WireGuard(interface_name())
    await boundary.start()
    try:
        sight = boundary.look(now_us())
        assert (sight.good, sight.fault, boundary.addresses()) == (False, "vpn-down", ())
        assert "start the tunnel" in sight.detail
    finally:
        await boundary.stop()
    assert [sentence async for sentence in boundary.changes()] == []
