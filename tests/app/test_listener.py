"""The listener goes with the interface, and does not come back with the link by itself (F25, S8)."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from orchestrator.app.listener import Listener
from orchestrator.edges.clock import now
from orchestrator.edges.http.server import HttpEdge
from orchestrator.edges.vpn.loopback import Loopback
from orchestrator.runtime.board import Board, renewed
from tests.edges.http.scripted_house import ScriptedHouse
from tests.ports import free_port
from tests.settings.configuration import loaded

ADDRESS = "127.0.0.79"


class Scene:
    """A listener that serves on an interface that has been good for a minute."""

    def __init__(self, folder: Path) -> None:
        self.board, self.http, self.port = (
            Board(loaded(folder).policy),
            HttpEdge(ScriptedHouse()),
            free_port(),
        )
        self.judged: list[bool] = []
        self.listener = Listener(
            self.board,
            self.http,
            boundary=lambda: Loopback(ADDRESS),
            port=lambda: self.port,
            now=now,
            judge=lambda: self.judged.append(bool(self.http.addresses)),
            served=lambda: None,
        )
        self.interface_is(good=True)
        self.board.interface = replace(self.board.interface, since_us=now().boottime_us - 60_000_000)

    def interface_is(self, *, good: bool) -> None:
        before, at_us = self.board.interface, now().boottime_us
        self.board.interface = renewed(before, at_us, good, fault="vpn-down", detail="lo")
        self.board.interface = replace(self.board.interface, max_age_us=60_000_000)

    async def answers(self) -> bool:
        try:
            _, writer = await asyncio.open_connection(ADDRESS, self.port)
        except OSError:
            return False
        writer.close()
        return True


@pytest.fixture
async def scene(tmp_path: Path) -> AsyncIterator[Scene]:
    scene = Scene(tmp_path)
    await scene.listener.serve(scene.listener.bind())
    yield scene
    await scene.http.stop()


async def test_it_goes_with_the_interface_and_is_not_back_with_the_link(scene: Scene) -> None:
    assert await scene.answers()
    scene.interface_is(good=False)
    scene.listener.look()
    assert (scene.http.addresses, scene.listener.declared) == ([], ())
    assert not await scene.answers()
    scene.interface_is(good=True)
    scene.listener.look()
    assert not await scene.answers()


async def test_what_is_exposed_is_judged_before_the_listener_goes(scene: Scene) -> None:
    """S7, S8: every gate first."""
    scene.listener.exposed("a connection came in bound to no device")
    assert scene.board.listener.fault_at(now().boottime_us) == "listener-exposed"
    assert scene.judged == [True]
    assert scene.http.addresses == []
