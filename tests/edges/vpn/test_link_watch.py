"""F1, F2, F25: what the kernel tells about an interface arrives, in order, before anybody asks."""

import asyncio
import subprocess
from collections.abc import Awaitable, Callable

import pytest

from orchestrator.edges.vpn.link_watch import LinkChange, LinkWatch

from .namespaces import Namespace, namespace

pytestmark = pytest.mark.slow


class Heard:
    """What a watch heard, as it comes."""

    def __init__(self) -> None:
        self.changes: asyncio.Queue[LinkChange] = asyncio.Queue()

    async def next_fault(self) -> LinkChange:
        while not (change := await self.changes.get()).fault:
            pass
        return change


def watching(place: Namespace, name: str, scenario: Callable[[Heard, LinkWatch], Awaitable[None]]) -> None:
    """Run the scenario on a loop inside the namespace, beside a watch of that interface."""

    async def run() -> None:
        heard = Heard()
        watch = LinkWatch(name, heard.changes.put_nowait)
        watch.start()
        try:
            async with asyncio.timeout(10):
                await scenario(heard, watch)
        finally:
            watch.stop()

    place.inside(lambda: asyncio.run(run()))


def interface(place: Namespace, name: str) -> None:
    place.ip("link", "add", name, "type", "bridge")
    place.ip("address", "add", "10.0.0.1/24", "dev", name)
    place.ip("address", "add", "fd77::1/64", "dev", name, "nodad")
    place.ip("link", "set", name, "up")


def test_down_up_and_deletion_are_told_and_another_interface_is_not() -> None:
    async def scenario(heard: Heard, _: LinkWatch) -> None:
        place.ip("link", "set", "other0", "down")
        place.ip("link", "set", "vpn0", "down")
        assert await heard.next_fault() == LinkChange("vpn-down", "vpn0 is down")
        place.ip("link", "set", "vpn0", "up")
        while await heard.changes.get() != LinkChange("", "vpn0 is up"):
            pass
        place.ip("link", "delete", "vpn0")
        assert (await heard.next_fault()).fault == "vpn-down"
        while (change := await heard.changes.get()).detail != "vpn0 is gone":
            assert "other0" not in change.detail

    with namespace() as place:
        interface(place, "vpn0")
        interface(place, "other0")
        watching(place, "vpn0", scenario)


def test_down_and_up_again_at_once_is_both_told() -> None:
    """F25: the socket would serve again by itself."""

    async def scenario(heard: Heard, _: LinkWatch) -> None:
        batch = "link set vpn0 down\nlink set vpn0 up\n"
        subprocess.run(["ip", "-n", place.name, "-batch", "-"], input=batch, text=True, check=True)
        told = [await heard.changes.get() for _ in range(2)]
        assert LinkChange("vpn-down", "vpn0 is down") in told

    with namespace() as place:
        interface(place, "vpn0")
        watching(place, "vpn0", scenario)


@pytest.mark.parametrize("address", ["10.0.0.1/24", "fd77::1/64"])
def test_a_lost_address_is_told_with_its_name(address: str) -> None:
    async def scenario(heard: Heard, _: LinkWatch) -> None:
        place.ip("address", "delete", address, "dev", "vpn0")
        change = await heard.next_fault()
        assert (change.fault, change.address) == ("vpn-address-changed", address.partition("/")[0])
        place.ip("address", "add", address, "dev", "vpn0")
        assert (await heard.changes.get()).address == address.partition("/")[0]

    with namespace() as place:
        interface(place, "vpn0")
        watching(place, "vpn0", scenario)


def test_an_interface_is_waited_for_and_its_replacement_noticed() -> None:
    async def scenario(heard: Heard, _: LinkWatch) -> None:
        interface(place, "vpn0")
        while (await heard.changes.get()).address != "10.0.0.1":
            pass
        place.ip("link", "delete", "vpn0")
        assert (await heard.next_fault()).fault == "vpn-down"
        interface(place, "vpn0")
        while (await heard.changes.get()) != LinkChange("", "vpn0 is up"):
            pass

    with namespace() as place:
        watching(place, "vpn0", scenario)


def test_an_interface_that_takes_another_name_is_gone() -> None:
    async def scenario(heard: Heard, _: LinkWatch) -> None:
        place.ip("link", "set", "vpn0", "down")
        place.ip("link", "set", "vpn0", "name", "vpn1")
        while (await heard.next_fault()).detail != "vpn0 has become vpn1":
            pass

    with namespace() as place:
        interface(place, "vpn0")
        watching(place, "vpn0", scenario)


def test_messages_that_the_kernel_could_not_hold_count_as_down() -> None:
    async def scenario(heard: Heard, watch: LinkWatch) -> None:
        assert watch._socket is not None
        watch._socket.setsockopt(1, 8, 1)  # SOL_SOCKET, SO_RCVBUF: the least there is
        batch = "".join(
            f"address add 10.9.{number}.1/32 dev vpn0\naddress del 10.9.{number}.1/32 dev vpn0\n"
            for number in range(200)
        )
        subprocess.run(["ip", "-n", place.name, "-batch", "-"], input=batch, text=True, check=True)
        while "were lost" not in (change := await heard.next_fault()).detail:
            assert change.fault == "vpn-address-changed"
        assert change.fault == "vpn-down"

    with namespace() as place:
        interface(place, "vpn0")
        watching(place, "vpn0", scenario)


def test_sentences_are_bounded_and_end_with_the_watch() -> None:
    async def scenario(heard: Heard, watch: LinkWatch) -> None:
        batch = "".join(f"address add 10.9.{number}.1/32 dev vpn0\n" for number in range(100))
        subprocess.run(["ip", "-n", place.name, "-batch", "-"], input=batch, text=True, check=True)
        while (await heard.changes.get()).address != "10.9.99.1":
            pass
        watch.stop()
        sentences = [sentence async for sentence in watch.changes()]
        assert 1 < len(sentences) <= 64
        assert sentences[0] == "vpn0 has the address 10.9.0.1"

    with namespace() as place:
        interface(place, "vpn0")
        watching(place, "vpn0", scenario)
