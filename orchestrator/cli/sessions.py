"""`volet extend`, `close` and `acknowledge`: one trigger each, and what came of it."""

from __future__ import annotations

import argparse
import asyncio
import sys
from typing import Any

from orchestrator.cli import client, spans
from orchestrator.cli.outcome import DONE, NO, USAGE, Failure
from orchestrator.cli.rows import place
from orchestrator.cli.terminal import ask, plain, until


def arguments(verb: str, parser: argparse.ArgumentParser) -> None:
    """The words after one of the three."""
    if verb == "close":
        which = parser.add_mutually_exclusive_group(required=True)
        which.add_argument("camera", nargs="?", metavar="CAMERA", help="the camera to shut")
        which.add_argument("--all", action="store_true", help="every camera you may see")
    else:
        parser.add_argument("camera", metavar="CAMERA")
    if verb == "extend":
        parser.add_argument(
            "--for",
            dest="duration_s",
            type=spans.span_s,
            metavar="10m",
            required=True,
            help="how much later it ends",
        )
    parser.add_argument("--reason", metavar="TEXT", help="why, 1 to 500 characters; it goes into the log")
    client.add_target(parser)
    commands = {"extend": _extend, "close": _close, "acknowledge": _acknowledge}
    parser.set_defaults(run=commands[verb])


def _extend(values: argparse.Namespace) -> int:
    to = client.target_on_vpn(values, "extend")
    body = {"trigger": "extend", "reason": _reason(values), "duration_s": values.duration_s}
    return client.run(_trigger(to, values.camera, body))


def _acknowledge(values: argparse.Namespace) -> int:
    to = client.target_on_vpn(values, "acknowledge")
    return client.run(_trigger(to, values.camera, {"trigger": "acknowledge", "reason": _reason(values)}))


def _reason(values: argparse.Namespace) -> str:
    return (values.reason or "").strip() or ask("reason", "--reason TEXT")


async def _trigger(to: client.Target, camera: str, body: client.Body) -> int:
    async with client.Client(to) as daemon:
        answer = await daemon.post(client.camera_path(camera, "transitions"), body)
        print(_told(camera, answer))
        if body["trigger"] == "extend":
            deadline = (await daemon.get(client.camera_path(camera))).get("deadline")
            print(f"the session now ends {until(deadline) or 'already'}")
    return DONE


def _close(values: argparse.Namespace) -> int:
    return client.run(_close_cameras(values))


async def _close_cameras(values: argparse.Namespace) -> int:
    body: dict[str, Any] = {"trigger": "close"}
    if (values.reason or "").strip():
        body["reason"] = values.reason.strip()
    async with client.Client(client.target(values)) as daemon:
        if not values.all:
            print(_told(values.camera, await _closed(daemon, values.camera, body)))
            return DONE
        names = [str(camera["id"]) for camera in (await daemon.get("/cameras"))["items"]]
        answers = await asyncio.gather(
            *(_closed(daemon, name, body) for name in names), return_exceptions=True
        )
    return _tell_all(names, answers)


async def _closed(daemon: client.Client, camera: str, body: client.Body) -> Any:
    return await daemon.post(client.camera_path(camera, "transitions"), body)


def _tell_all(names: list[str], answers: list[Any]) -> int:
    status = DONE
    for name, answer in zip(names, answers, strict=True):
        if isinstance(answer, Failure):
            print(f"volet: {plain(name)}: {plain(answer.message)}", file=sys.stderr)
            status = NO if status in {DONE, NO} and answer.status in {NO, USAGE} else answer.status
        elif isinstance(answer, BaseException):
            raise answer
        else:
            print(_told(name, answer))
    return status


def _told(camera: str, answer: client.Body) -> str:
    told = f"{plain(camera)} is {place(answer.get('state'), answer.get('substate'))}"
    return f"{told}; the log has not taken it yet" if answer.get("pending") else told
