"""Says, with evidence, whether each camera could open: every check as of now, without the daemon."""

from __future__ import annotations

import asyncio
import os
import random
import socket
from collections import Counter
from collections.abc import Iterable
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from orchestrator.app.boundaries import boundary_of
from orchestrator.app.host_facts import HostFacts
from orchestrator.app.lane_facts import LaneFacts
from orchestrator.core.camera_state import CameraState
from orchestrator.core.checks import Check, Stage, case_of, failing, judge
from orchestrator.core.commands import Why
from orchestrator.core.facts import Proof
from orchestrator.core.policy import Member
from orchestrator.edges.clock import now
from orchestrator.edges.vpn.boundary import Boundary
from orchestrator.edges.vpn.sockets import Declared, listen
from orchestrator.runtime.board import Board
from orchestrator.runtime.event_store.errors import LogError
from orchestrator.runtime.event_store.reader import open_read_only
from orchestrator.runtime.event_store.verify import verify
from orchestrator.settings import Settings

LOOK_AGAIN_S = 0.25


@dataclass(frozen=True, slots=True)
class Report:
    """Per camera `{camera, could_open, checks: […]}`; `ok` when every check but `window` passes."""

    cameras: tuple[dict[str, Any], ...]
    ok: bool


class _NothingToShut:
    """`doctor` opens nothing, so a lane that turns unsafe shuts nothing."""

    cameras: tuple[str, ...] = ()

    def look(self, lane: str | None = None) -> None:
        """Nobody watches."""

    def close(self, why: Why, cameras: Iterable[str] | None = None) -> None:
        """Nothing is open."""


async def examine(settings: Settings, wait_s: float) -> Report:
    """Look at everything; wait up to `wait_s` for the lane's facts to settle."""
    board = Board(settings.policy)
    board.members = _members(settings)
    board.config = Proof(True, "", f"{settings.path} is valid", "configuration", now().boottime_us)
    board.log = await asyncio.to_thread(_look_at_log, settings.log.database)
    boundary = boundary_of(lambda: settings)
    await boundary.start()
    with ExitStack() as stack:
        declared = _try_to_listen(settings, boundary, stack)
        host = HostFacts(
            board,
            now=now,
            settings=lambda: settings,
            boundary=lambda: boundary,
            declared=lambda: declared,
        )
        host.look()
        if not declared:
            board.listener = _running_listener(settings)
        lane = LaneFacts(board, _NothingToShut(), Counter(), now=now, random=random.random, only_listens=True)
        board.bus_alive_at_us = lane.alive_at_us
        lane.start(settings)
        asking = asyncio.create_task(lane.keep_asking())
        try:
            await _until_settled(board, wait_s)
            host.look()
            if not declared:
                board.listener = _running_listener(settings)
            return _report(board)
        finally:
            asking.cancel()
            with suppress(asyncio.CancelledError):
                await asking
            await lane.stop()
            await boundary.stop()


def _members(settings: Settings) -> dict[str, Member]:
    return {
        entry.name: Member(
            entry.name,
            entry.name,
            entry.roles,
            entry.cameras,
            {device.value: device.value for device in entry.devices},
        )
        for entry in settings.members
    }


def _look_at_log(database: Path) -> Proof:
    at_us = now().boottime_us
    if not database.exists():
        parent = database.parent
        good = parent.is_dir() and os.access(parent, os.W_OK)
        detail = f"{database} will be made at the first start" if good else f"{parent} cannot be written"
        return Proof(good, "log-unwritable", detail, "log", at_us, at_us if good else None)
    try:
        with open_read_only(database) as reader:
            verdict = verify(reader)
    except LogError as problem:
        return Proof(False, "log-unwritable", str(problem), "log", at_us)
    good = verdict.word != "broken" and os.access(database, os.W_OK)
    why = f"the log is {verdict.word}" if os.access(database, os.W_OK) else f"{database} cannot be written"
    fault = "log-tampered" if verdict.word == "broken" else "log-unwritable"
    return Proof(good, fault, f"{why}; {verdict.last_seq} events", "log", at_us, at_us if good else None)


def _try_to_listen(settings: Settings, boundary: Boundary, stack: ExitStack) -> tuple[Declared, ...]:
    declared = []
    for address in boundary.addresses():
        try:
            sock = listen(address, settings.vpn.port, boundary.interface)
        except OSError:
            return ()
        stack.enter_context(sock)
        declared.append(Declared(address, settings.vpn.port, boundary.interface))
    return tuple(declared)


def _running_listener(settings: Settings) -> Proof:
    """The port is taken: by the running daemon, which answers on its local socket, or by a stranger."""
    at_us = now().boottime_us
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1)
        answers = probe.connect_ex(str(settings.local_socket)) == 0
    detail = (
        "the daemon runs and listens there" if answers else "another program has the port, or it is refused"
    )
    return Proof(
        answers, "listener-exposed", detail, "sockets", at_us, at_us if answers else None, None, {"strays": 0}
    )


def _maintainer(board: Board, camera: str) -> Member | None:
    able = (m for m in board.members.values() if "maintainer" in m.roles and m.devices and m.may_see(camera))
    return next(able, None)


def _checks(board: Board, camera: str) -> tuple[Check, ...]:
    member = _maintainer(board, camera)
    case = case_of(board.policy, CameraState.new(camera), board.facts(camera, now))
    device = next(iter(member.devices.values())) if member else None
    return judge(replace(case, member=member.id if member else None, device=device))


def _lacking(board: Board, camera: str) -> list[Check]:
    return [check for check in failing(_checks(board, camera), Stage.OPENING) if check.id != "window"]


async def _until_settled(board: Board, wait_s: float) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(wait_s):
            # Settling is a matter of time, which no event announces.
            while any(_lacking(board, camera) for camera in board.policy.cameras):  # noqa: ASYNC110
                await asyncio.sleep(LOOK_AGAIN_S)


def _report(board: Board) -> Report:
    cameras = []
    for camera in board.policy.cameras:
        checks = _checks(board, camera)
        shown = [check.shown(Stage.OPENING) for check in checks]
        for entry in shown:
            if entry["id"] == "identity":
                entry["evidence"] = {"role": entry["evidence"]["role"]}
        opens = not failing(checks, Stage.OPENING)
        cameras.append({"camera": camera, "could_open": opens, "checks": shown})
    ok = not any(_lacking(board, camera) for camera in board.policy.cameras)
    return Report(tuple(cameras), ok)
