"""`volet status`: the state of each camera, and over the VPN who watches and what would keep it shut."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Mapping
from typing import Any

from orchestrator.cli import checks, client
from orchestrator.cli.outcome import DONE
from orchestrator.cli.rows import place
from orchestrator.cli.terminal import coloured, plain, show_json, span, table, until

OPEN_STATES = frozenset({"streaming", "expiring"})


def arguments(verb: str, parser: argparse.ArgumentParser) -> None:
    """The words after `volet status`."""
    parser.add_argument("camera", nargs="?", metavar="CAMERA", help="this camera alone (default: all)")
    client.add_target(parser)
    parser.add_argument("--json", action="store_true", help="the machine form, and nothing else")
    parser.set_defaults(run=lambda values: client.run(_status(values)))


async def _status(values: argparse.Namespace) -> int:
    async with client.Client(client.target(values)) as daemon:
        if values.camera:
            found = await daemon.get(client.camera_path(values.camera))
            cameras = [found]
        else:
            found = await daemon.get("/cameras")
            cameras = found["items"]
        on_vpn = daemon.target.url is not None
        judged = {
            str(camera["id"]): await daemon.get(client.camera_path(camera["id"], "checks"))
            for camera in cameras
            if on_vpn
        }
    if values.json:
        told = [{**camera, "checks": judged[camera["id"]]} if on_vpn else camera for camera in cameras]
        show_json(told[0] if values.camera else {**found, "items": told})
        return DONE
    for line in _lines(cameras, judged, on_vpn=on_vpn):
        print(line)
    return DONE


def _lines(
    cameras: Iterable[Mapping[str, Any]], judged: Mapping[str, Mapping[str, Any]], *, on_vpn: bool
) -> Iterable[str]:
    cameras = list(cameras)
    if not cameras:
        return ["no camera that you may see"]
    header = ("CAMERA", "STATE", "SESSION", "DEADLINE", "FAULT", *(("VIEWERS", "WORKER") if on_vpn else ()))
    lines = table(header, [_row(camera, on_vpn=on_vpn) for camera in cameras])
    painted = [lines[0], *(_painted(line, camera) for line, camera in zip(lines[1:], cameras, strict=True))]
    for camera in cameras:
        found = judged.get(str(camera["id"]))
        if found is not None and camera.get("state") not in OPEN_STATES:
            painted += ["", *_check_lines(camera, found)]
    return painted


def _row(camera: Mapping[str, Any], *, on_vpn: bool) -> tuple[object, ...]:
    fault = ", ".join(
        dict.fromkeys(plain(code) for code in (camera.get("fault"), *(camera.get("locks") or ())) if code)
    )
    cells = (
        camera["id"],
        place(camera.get("state"), camera.get("substate")),
        camera.get("session"),
        until(camera.get("deadline")),
        fault,
    )
    return (*cells, _viewers(camera.get("viewers")), _worker(camera.get("worker"))) if on_vpn else cells


def _painted(line: str, camera: Mapping[str, Any]) -> str:
    if camera.get("state") in OPEN_STATES:
        return coloured(line, "yellow")
    return coloured(line, "red") if camera.get("substate") == "locked" else line


def _check_lines(camera: Mapping[str, Any], found: Mapping[str, Any]) -> list[str]:
    name = plain(camera["id"])
    if found.get("could_open"):
        return [f"{name} {coloured('could open', 'green')}: every check passes"]
    failing = checks.failing(found.get("checks"))
    if not failing:
        return [
            f"{name} could not be opened by you now: the checks pass, but its state or your role forbids it"
        ]
    ready_in_ms = found.get("ready_in_ms")
    soon = f", ready in {span(ready_in_ms / 1000)} if nothing changes" if ready_in_ms else ""
    lines = [f"  {checks.line(check)}" for check in failing]
    return [f"{name} {coloured('could not open now', 'red')}{soon}:", *lines]


def _viewers(viewers: object) -> str:
    return str(len(viewers)) if isinstance(viewers, list | dict) else plain(viewers)


def _worker(worker: object) -> str:
    if not isinstance(worker, Mapping):
        return plain(worker)
    if not worker.get("running"):
        return ""
    failures = f", {plain(worker['failures'])} failed" if worker.get("failures") else ""
    return f"run {plain(worker.get('run'))}{failures}"
