"""`volet windows`: list, add, approve, shorten and cancel maintenance windows."""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import quote
from zoneinfo import ZoneInfo

from orchestrator.cli import client
from orchestrator.cli.outcome import DONE, USAGE, Failure
from orchestrator.cli.spans import span_us
from orchestrator.cli.terminal import ask, plain, show_json, table
from orchestrator.cli.when import LIKE_THIS, in_utc, shown, when, zone_of

PATH = "/windows"
PAGES = 100
"""More than this many pages are not read: a window that begins each minute has no end."""

Body = Mapping[str, Any]


def arguments(verb: str, parser: argparse.ArgumentParser) -> None:
    """The words after `volet windows`."""
    verbs = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    listing = verbs.add_parser("list", help="what runs and what is to come")
    listing.add_argument(
        "--next", type=int, metavar="N", help="what will really happen: the next N, skipped hours included"
    )
    _finish(listing, _list)

    adding = verbs.add_parser("add", help="a one-off window: in force if you are an approver, else proposed")
    adding.add_argument("cameras", nargs="+", metavar="CAMERA")
    adding.add_argument("--start", type=when, required=True, metavar="T", help=LIKE_THIS)
    adding.add_argument("--for", dest="lasts_us", type=span_us, required=True, metavar="2h")
    adding.add_argument("--reason", metavar="TEXT", help="why, 1 to 500 characters; it goes into the log")
    adding.add_argument("--ticket", metavar="ID")
    adding.add_argument("--name", metavar="TEXT", help="what to call it")
    _finish(adding, _add)

    for name, run, does in (
        ("approve", _approve, "put a proposed window in force"),
        ("cancel", _cancel, "be rid of a window; a camera that is open in it shuts at once"),
        ("shorten", _shorten, "make a window end earlier"),
    ):
        one = verbs.add_parser(name, help=does)
        one.add_argument("id", metavar="ID", help="as `volet windows list` says it")
        if name == "shorten":
            one.add_argument("--end", type=when, required=True, metavar="T", help=LIKE_THIS)
        _finish(one, run)


def _finish(parser: argparse.ArgumentParser, run: Any) -> None:
    client.add_target(parser)
    parser.add_argument("--json", action="store_true", help="the machine form, and nothing else")
    parser.set_defaults(run=lambda values: client.run(run(values)))


async def _list(values: argparse.Namespace) -> int:
    async with client.Client(client.target(values)) as daemon:
        if values.next is not None:
            found = dict(await daemon.get(PATH, {"next": values.next}))
        else:
            found = {"items": await _all(daemon), "next": None}
        if values.json:
            show_json(found)
            return DONE
        zone = await _zone(daemon)
    lines = _stretches(found["items"], zone) if values.next is not None else _windows(found["items"], zone)
    print("\n".join(lines))
    return DONE


async def _all(daemon: client.Client) -> list[Any]:
    items: list[Any] = []
    after: str | None = None
    for _ in range(PAGES):
        page = await daemon.get(PATH, {"limit": 100, **({"after": after} if after else {})})
        items += page["items"]
        after = page["next"]
        if after is None:
            break
    return items


async def _zone(daemon: client.Client) -> ZoneInfo:
    return zone_of((await daemon.get("/me"))["timezone"])


def _windows(items: list[Body], zone: ZoneInfo) -> Iterable[str]:
    if not items:
        return ["no window that you may see within 31 days"]
    rows = [
        (
            one["id"],
            _state(one),
            ", ".join(map(str, one["cameras"])),
            shown(one["start"], zone),
            shown(one["end"], zone),
            one.get("name") or one.get("reason"),
        )
        for one in items
    ]
    return table(("ID", "STATE", "CAMERAS", "START", "END", "WHAT"), rows)


def _stretches(items: list[Body], zone: ZoneInfo) -> Iterable[str]:
    if not items:
        return ["no camera that you may see can be opened: there is no window to come"]
    rows = [
        (
            shown(one["start"], zone),
            shown(one["end"], zone) if one["state"] == "approved" else "",
            ", ".join(map(str, one["cameras"])),
            "opens" if one["state"] == "approved" else f"does not open: {_state(one)}",
            ", ".join(map(str, one["windows"])),
        )
        for one in items
    ]
    return table(("START", "END", "CAMERAS", "", "WINDOWS"), rows)


def _state(one: Body) -> str:
    skipped = one.get("skipped")
    return f"{plain(one['state'])} ({plain(skipped)})" if skipped else plain(one["state"])


async def _add(values: argparse.Namespace) -> int:
    to = client.target_on_vpn(values, "windows add")
    reason = (values.reason or "").strip() or ask("reason", "--reason TEXT")
    async with client.Client(to) as daemon:
        zone = await _zone(daemon)
        start_us = values.start.resolved(zone, _now_us())
        body: dict[str, Any] = {
            "cameras": values.cameras,
            "start": in_utc(start_us),
            "end": in_utc(start_us + values.lasts_us),
            "reason": reason,
        }
        body |= {key: given for key in ("ticket", "name") if (given := getattr(values, key))}
        return _tell(values, await daemon.post(PATH, body), zone)


async def _approve(values: argparse.Namespace) -> int:
    to = client.target_on_vpn(values, "windows approve")
    async with client.Client(to) as daemon:
        return _tell(values, await daemon.post(_path(values.id, "approve"), {}), await _zone(daemon))


async def _shorten(values: argparse.Namespace) -> int:
    to = client.target_on_vpn(values, "windows shorten")
    async with client.Client(to) as daemon:
        zone = await _zone(daemon)
        body = {"end": in_utc(values.end.resolved(zone, _now_us()))}
        return _tell(values, await daemon.patch(_path(values.id), body), zone)


async def _cancel(values: argparse.Namespace) -> int:
    to = client.target_on_vpn(values, "windows cancel")
    async with client.Client(to) as daemon:
        return _tell(values, await daemon.delete(_path(values.id)), await _zone(daemon))


def _path(identifier: str, *below: str) -> str:
    if not identifier:
        raise Failure("the id is empty; `volet windows list` says it", USAGE)
    return "/".join((PATH, quote(identifier, safe=""), *below))


def _tell(values: argparse.Namespace, window: Body, zone: ZoneInfo) -> int:
    if values.json:
        show_json(window)
        return DONE
    cameras = ", ".join(plain(camera) for camera in window["cameras"])
    start, end = shown(window["start"], zone), shown(window["end"], zone)
    times = f"{start} to {end} ({plain(zone.key)})"
    later = "; the log has not taken it yet" if window.get("pending") else ""
    print(f"{plain(window['id'])} is {_state(window)}: {cameras}, {times}{later}")
    return DONE


def _now_us() -> int:
    return time.time_ns() // 1000
