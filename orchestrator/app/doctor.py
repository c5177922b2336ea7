"""Says, with evidence, whether each camera could open: every check as of now, without the daemon."""

from __future__ import annotations

import asyncio
import os
import random
from collections import Counter
from collections.abc import Iterable
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from functools import reduce
from pathlib import Path
from typing import Any

from orchestrator.app.boundaries import boundary_of
from orchestrator.app.doctor_port import Port, declared_of, of_the_daemon, running_daemon, try_to_listen
from orchestrator.app.host_facts import HostFacts
from orchestrator.app.lane_facts import LaneFacts
from orchestrator.core.camera_state import CameraState
from orchestrator.core.checks import Check, Stage, case_of, failing, judge
from orchestrator.core.commands import Why
from orchestrator.core.events import LOCKED
from orchestrator.core.facts import Proof
from orchestrator.core.policy import Member
from orchestrator.edges.clock import now
from orchestrator.edges.vpn.boundary import Boundary
from orchestrator.edges.vpn.sockets import Listener
from orchestrator.runtime.board import Board
from orchestrator.runtime.event_store.errors import LogError
from orchestrator.runtime.event_store.reader import open_read_only, stream
from orchestrator.runtime.event_store.verify import verify
from orchestrator.runtime.ledger import CameraStates, SiteState, fold
from orchestrator.settings import Settings

LOOK_AGAIN_S = 0.5


@dataclass(frozen=True, slots=True)
class Report:
    """Per camera `{camera, could_open, checks: […]}`; `ok` when every check but `window` passes.

    A check is as the API shows it; one that found listeners of others names them under `found`. `warnings`
    are sentences about what passes and could be better.
    """

    cameras: tuple[dict[str, Any], ...]
    ok: bool
    warnings: tuple[str, ...] = ()


class _NothingToShut:
    """`doctor` opens nothing, so a lane that turns unsafe shuts nothing."""

    cameras: tuple[str, ...] = ()

    def masked(self, camera: str) -> bool:
        """Nothing is shown."""
        return False

    def look(self, lane: str | None = None) -> None:
        """Nobody watches."""

    def close(self, why: Why, cameras: Iterable[str] | None = None) -> None:
        """Nothing is open."""


async def examine(settings: Settings, wait_s: float) -> Report:
    """Look at everything; wait up to `wait_s` for the lane's facts to settle."""
    board = Board(settings.policy)
    board.members = _members(settings)
    board.config = Proof(True, "", f"{settings.path} is valid", "configuration", now().boottime_us)
    board.log, known = await asyncio.to_thread(_look_at_log, settings.log.database)
    board.windows = known.windows
    board.last_event_wall_us = known.latest_us(settings.policy.require_clock_sync)
    boundary = boundary_of(lambda: settings)
    await boundary.start()
    with ExitStack() as stack:
        sight = _Sight(settings, board, boundary, known.cameras, stack)
        sight.look()
        lane = LaneFacts(board, _NothingToShut(), Counter(), now=now, random=random.random, only_listens=True)
        board.bus_alive_at_us = lane.alive_at_us
        lane.start(settings)
        asking = asyncio.create_task(lane.keep_asking())
        try:
            await _until_settled(sight, wait_s)
            sight.look()
            return sight.report()
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


def _look_at_log(database: Path) -> tuple[Proof, SiteState]:
    """Whether it takes events, and what it says of each camera and window."""
    at_us = now().boottime_us
    if not database.exists():
        parent = database.parent
        good = parent.is_dir() and os.access(parent, os.W_OK)
        detail = f"{database} will be made at the first start" if good else f"{parent} cannot be written"
        return Proof(good, "log-unwritable", detail, "log", at_us, at_us if good else None), SiteState()
    known = SiteState()
    try:
        with open_read_only(database) as reader:
            verdict = verify(reader)
            if verdict.word != "broken":
                known = reduce(fold, stream(reader), known)
    except LogError as problem:
        return Proof(False, "log-unwritable", str(problem), "log", at_us), SiteState()
    good = verdict.word != "broken" and os.access(database, os.W_OK)
    why = f"the log is {verdict.word}" if os.access(database, os.W_OK) else f"{database} cannot be written"
    fault = "log-tampered" if verdict.word == "broken" else "log-unwritable"
    said = f"{why}; {verdict.last_seq} events"
    return Proof(good, fault, said, "log", at_us, at_us if good else None), known


class _Sight:
    """Everything as of now: the daemon's own facts and checks, looked at from beside it or in its place."""

    def __init__(
        self, settings: Settings, board: Board, boundary: Boundary, states: CameraStates, stack: ExitStack
    ) -> None:
        self._settings, self.board, self._boundary, self._states = settings, board, boundary, states
        self._daemon = running_daemon(settings.local_socket)
        self._port, self._stack = Port(), stack
        self._facts = HostFacts(
            board,
            now=now,
            settings=lambda: settings,
            boundary=lambda: boundary,
            declared=lambda: self._port.declared,
            tree_of=None if self._daemon is None else (self._daemon.pid,),
        )

    def look(self) -> None:
        """Put everything on the board."""
        daemon = self._daemon
        wanted = declared_of(self._boundary, self._settings.vpn.port)
        if daemon is not None:
            self._port = Port(wanted)
        elif not self._port.declared:
            self._port = try_to_listen(wanted, self._stack)
        self._facts.look()
        if daemon is not None and self._facts.audited is not None:
            self._port = of_the_daemon(daemon, self._facts.audited, wanted)
        found = self.board.listener
        if self._port.trouble:
            self.board.listener = replace(
                found, good=False, since_us=None, fault="vpn-down", detail=self._port.trouble
            )
        elif daemon is not None and found.good:
            whose = f"the daemon runs (process {daemon.pid}) and holds the port"
            self.board.listener = replace(found, detail=f"{whose}; {found.detail}")

    def lacking(self, camera: str) -> list[Check]:
        """What must pass before that camera could open, but for its window."""
        return [check for check in failing(self._checks(camera), Stage.OPENING) if check.id != "window"]

    def report(self) -> Report:
        """What was seen last, in words."""
        cameras = []
        for camera in self.board.policy.cameras:
            checks = self._checks(camera)
            shown = [self._shown(check) for check in checks]
            opens = not failing(checks, Stage.OPENING)
            cameras.append({"camera": camera, "could_open": opens, "checks": shown})
        ok = not any(self.lacking(camera) for camera in self.board.policy.cameras)
        return Report(tuple(cameras), ok, tuple(self._warnings()))

    def _checks(self, camera: str) -> tuple[Check, ...]:
        member = _maintainer(self.board, camera)
        case = case_of(self.board.policy, self._state(camera), self.board.facts(camera, now))
        device = next(iter(member.devices.values())) if member else None
        checks = judge(replace(case, member=member.id if member else None, device=device))
        if member is not None:
            return checks
        return tuple(
            replace(one, detail=self._nobody(camera)) if one.id == "identity" else one for one in checks
        )

    def _state(self, camera: str) -> CameraState:
        """As the log has it where it is locked; a session that runs now is not the next one's concern."""
        known = self._states.get(camera)
        return known if known is not None and known.place == LOCKED else CameraState.new(camera)

    def _nobody(self, camera: str) -> str:
        said = f"no member could open {camera}: nobody with that camera is a maintainer and has a device"
        if self._settings.vpn.provider == "tailscale":
            capability = self._settings.vpn.capability
            said += f"; whom the tailnet's policy grants {capability} shows only when they come"
        return said

    def _shown(self, check: Check) -> dict[str, Any]:
        entry = check.shown(Stage.OPENING)
        if check.id == "identity":
            entry["evidence"] = {"role": entry["evidence"]["role"]}
        if check.id == "vpn-listener":
            taker = [_told("port-taken", self._port.taker)] if self._port.taker is not None else []
            strays = self._facts.audited.strays if self._facts.audited is not None else ()
            entry["found"] = [*taker, *(_told("stray", stray) for stray in strays)]
        if check.id == "vpn-side-door":
            doors = self._facts.side_doors.doors
            entry["found"] = [
                _told("side-door", door.listener)
                | {"accepted_until": door.until or None, "accepted": door.accepted}
                for door in doors
            ]
        return entry

    def _warnings(self) -> Iterable[str]:
        if self.board.interface.evidence.get("remote_config") is True:
            yield (
                "the tailnet's admin may change Serve and Funnel here without asking: "
                "`tailscale set --remote-config=false`"
            )
        user = os.geteuid() if self._daemon is None else self._daemon.user
        if user == 0:
            who = "doctor runs" if self._daemon is None else f"the daemon (process {self._daemon.pid}) runs"
            yield (
                f"{who} as root, which may take a socket off its device again; let the daemon run as a user "
                "of its own (User=volet in ops/volet.service), for whom that binding is irrevocable"
            )


def _told(kind: str, listener: Listener) -> dict[str, Any]:
    return {
        "kind": kind,
        "protocol": listener.protocol,
        "address": listener.address,
        "port": listener.port,
        "device": listener.device or None,
        "pid": listener.pid,
        "program": listener.program or None,
    }


def _maintainer(board: Board, camera: str) -> Member | None:
    able = (m for m in board.members.values() if "maintainer" in m.roles and m.devices and m.may_see(camera))
    return next(able, None)


async def _until_settled(sight: _Sight, wait_s: float) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(wait_s):
            # Settling is a matter of time, which no event announces.
            while any(sight.lacking(camera) for camera in sight.board.policy.cameras):
                await asyncio.sleep(LOOK_AGAIN_S)
                sight.look()
