"""`volet request`: ask for a session and stay beside it until it streams or has ended."""

from __future__ import annotations

import argparse
import asyncio
import shutil
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any

from orchestrator.cli import checks, client, spans
from orchestrator.cli.outcome import DONE, NO, Failure
from orchestrator.cli.status import OPEN_STATES
from orchestrator.cli.terminal import ask, is_terminal, plain, span, until

POLL_S = 0.5
END_TRIES = 6
SILENCE_LIMIT_S = 10.0
"""How long the daemon may be unreachable in between before following is given up."""


def arguments(verb: str, parser: argparse.ArgumentParser) -> None:
    """The words after `volet request`."""
    parser.add_argument("camera", nargs="?", metavar="CAMERA")
    parser.add_argument("--reason", metavar="TEXT", help="why, 1 to 500 characters; it goes into the log")
    parser.add_argument(
        "--for", dest="duration_s", type=spans.span_s, metavar="15m", help="how long the picture should flow"
    )
    parser.add_argument(
        "--purpose", metavar="P", help="what for: one of the site's purposes (default: its first)"
    )
    parser.add_argument("--ticket", metavar="ID", help="the work order, where the site asks for one")
    parser.add_argument(
        "--wait",
        dest="wait_s",
        type=spans.span_s,
        metavar="60s",
        help="how long to wait for the checks (0s: judged once)",
    )
    parser.add_argument(
        "--resume",
        metavar="SESSION",
        help="take over purpose, reason and ticket of your session that just ended",
    )
    client.add_target(parser)
    parser.set_defaults(run=_run)


def _run(values: argparse.Namespace) -> int:
    to = client.target_on_vpn(values, "request")
    camera = values.camera or ask("camera", "its name after `volet request`")
    body = {
        "trigger": "request",
        "reason": (values.reason or "").strip()
        or (None if values.resume else ask("reason", "--reason TEXT")),
        "duration_s": values.duration_s,
        "wait_s": values.wait_s,
        "purpose": values.purpose,
        "ticket": values.ticket,
        "resume": values.resume,
    }
    body = {name: value for name, value in body.items() if value is not None}
    try:
        return client.run(_request(to, camera, body))
    except client.Refused as refused:
        # Whether a ticket is wanted is the site's to say, so it is asked for at the second try.
        if refused.problem.get("pointer") != "/ticket" or "ticket" in body:
            raise
    return client.run(_request(to, camera, body | {"ticket": ask("ticket", "--ticket ID")}))


async def _request(to: client.Target, camera: str, body: dict[str, Any]) -> int:
    left = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, left.set)
    async with client.Client(to) as daemon:
        session = str((await daemon.post(client.camera_path(camera, "transitions"), body))["session"])
        waiting = _Waiting()
        try:
            seen = await _follow(daemon, camera, session, waiting, left)
        finally:
            waiting.clear()
        if seen is not None:
            print(
                f"{plain(camera)} is streaming until {until(seen.get('deadline'))}, session {plain(session)}"
            )
            print(f"watch it with `volet watch {plain(camera)} --url {to.name}`")
            return DONE
        if left.is_set():
            return await _give_up(daemon, camera, session)
        return _tell_end(camera, await _ended(daemon, session), waiting.details)


async def _follow(
    daemon: client.Client, camera: str, session: str, waiting: _Waiting, left: asyncio.Event
) -> Mapping[str, Any] | None:
    """The camera once the session streams; None once it has ended or the person has left."""
    heard_s = time.monotonic()
    while not left.is_set():
        try:
            seen: Mapping[str, Any] = await daemon.get(client.camera_path(camera))
            ours = seen.get("session") == session
            if not ours or seen.get("state") == "disabled":
                return None
            if seen.get("state") in OPEN_STATES:
                return seen
            waiting.show(seen, await daemon.get(client.camera_path(camera, "checks")))
            heard_s = time.monotonic()
        except client.Unreachable as failure:
            if time.monotonic() - heard_s > SILENCE_LIMIT_S:
                raise client.Unreachable(
                    f"the daemon stopped answering while session {session} was being opened; look with "
                    f"`volet status {camera}`, shut with `volet close {camera}` ({failure.message})"
                ) from None
        try:
            async with asyncio.timeout(POLL_S):
                await left.wait()
        except TimeoutError:
            pass
    return None


async def _give_up(daemon: client.Client, camera: str, session: str) -> int:
    """Shut what was asked for: the person has left before the picture came."""
    try:
        seen = await daemon.get(client.camera_path(camera))
        if seen.get("session") == session and seen.get("state") != "disabled":
            await daemon.post(client.camera_path(camera, "transitions"), {"trigger": "close"})
    except client.Unreachable as failure:
        raise client.Unreachable(
            f"session {session} could not be closed; close it with `volet close {camera}` ({failure.message})"
        ) from None
    print(f"volet: left before the picture came; {plain(camera)} is closed", file=sys.stderr)
    return NO


async def _ended(daemon: client.Client, session: str) -> Mapping[str, Any]:
    """The session with its end; a closing may be in force before the log has taken it (DESIGN)."""
    for _ in range(END_TRIES):
        found = await daemon.get(f"/sessions/{session}")
        if found.get("end"):
            return found
        await asyncio.sleep(POLL_S)
    raise Failure(f"session {session} is shut, but the log has not taken why yet; `volet events` will say")


def _tell_end(camera: str, session: Mapping[str, Any], details: Mapping[str, str]) -> int:
    end = session.get("end") or {}
    why = plain(end.get("failure") or end.get("fault") or end.get("limit") or end.get("trigger"))
    name, trigger = plain(camera), plain(end.get("trigger"))
    if session.get("opened_at"):
        print(f"{name} streamed and is shut again ({why})")
        return DONE
    failed = checks.failing(end.get("checks") or session.get("checks"))
    for check in failed:
        print(checks.line(check, details.get(str(check.get("id")), "")))
    if trigger == "checks_failed":
        raise Failure(
            f"{name} was refused: {checks.count(failed)} did not pass; mend what is listed and ask again"
        )
    if trigger == "close":
        raise Failure(f"{name} was closed by somebody before the picture came; ask again if it may be open")
    raise Failure(
        f"{name} did not open: {trigger} ({why}); `volet events --session {session.get('id')}` says more"
    )


class _Waiting:
    """What is being waited for: remembered for the end and, on a terminal, redrawn in place."""

    def __init__(self) -> None:
        self.details: dict[str, str] = {}
        self._since_s: dict[str, float] = {}
        self._drawn = 0

    def show(self, camera: Mapping[str, Any], found: Mapping[str, Any]) -> None:
        """Take the checks in, and draw those that do not hold yet with how long each is waited for."""
        if camera.get("state") == "safety_checked":
            self._draw(["every check passed; the camera is starting"])
            return
        now_s = time.monotonic()
        failing = checks.failing(found.get("checks"))
        self.details |= {str(check["id"]): str(check.get("detail") or "") for check in failing}
        self._since_s = {str(check["id"]): self._since_s.get(str(check["id"]), now_s) for check in failing}
        lines = [
            f"  {checks.line(check)} (for {span(now_s - self._since_s[str(check['id'])])})"
            for check in failing
        ]
        ready_in_ms = found.get("ready_in_ms")
        soon = f", ready in {span(ready_in_ms / 1000)} if nothing changes" if ready_in_ms else ""
        self._draw([f"waiting for {checks.count(failing)}{soon}:", *lines])

    def clear(self) -> None:
        """Take the drawing off the terminal again."""
        if self._drawn:
            print(f"\x1b[{self._drawn}F\x1b[J", end="", flush=True)
            self._drawn = 0

    def _draw(self, lines: Sequence[str]) -> None:
        if not is_terminal():
            return
        self.clear()
        width = _columns()
        print("\n".join(line[: width - 1] for line in lines), flush=True)
        self._drawn = len(lines)


def _columns() -> int:
    return max(20, shutil.get_terminal_size().columns)
