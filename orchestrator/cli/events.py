"""`volet events`: the log as the daemon shows it, newest last, and on as it grows."""

from __future__ import annotations

import argparse
import asyncio
import signal
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any

from orchestrator.cli import client, spans
from orchestrator.cli.outcome import DONE
from orchestrator.cli.rows import HEADER, row
from orchestrator.cli.terminal import show_json, table
from orchestrator.core.moment import parse_rfc3339

PAGE = 1000
RETRY_S = 1.0
MAX_RETRIES = 30

Event = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class _Wanted:
    camera: str | None
    session: str | None
    since_us: int | None

    def has(self, event: Event) -> bool:
        return (
            (self.camera is None or event.get("camera") == self.camera)
            and (self.session is None or event.get("session") == self.session)
            and (self.since_us is None or parse_rfc3339(event["at"]) >= self.since_us)
        )


def arguments(verb: str, parser: argparse.ArgumentParser) -> None:
    """The words after `volet events`."""
    parser.add_argument("--camera", metavar="C", help="events of this camera alone")
    parser.add_argument("--session", metavar="S", help="events of this session alone")
    parser.add_argument(
        "--since",
        dest="since_us",
        type=spans.since_us,
        metavar="T",
        help="an RFC 3339 time, or a duration ago: 15m",
    )
    parser.add_argument("--follow", action="store_true", help="stay and print what comes")
    client.add_target(parser)
    parser.add_argument("--json", action="store_true", help="one event a line as JSON, and nothing else")
    parser.set_defaults(run=lambda values: client.run(_events(values)))


async def _events(values: argparse.Namespace) -> int:
    wanted = _Wanted(values.camera, values.session, values.since_us)
    printer = _Printer(as_json=values.json)
    async with client.Client(client.target(values)) as daemon:
        work = asyncio.ensure_future(_print(daemon, wanted, printer, follow=values.follow))
        if values.follow:
            # Leaving is how following ends, so it is a success.
            asyncio.get_running_loop().add_signal_handler(signal.SIGINT, work.cancel)
        try:
            await work
        except asyncio.CancelledError:
            if not values.follow:
                raise
    return DONE


async def _print(daemon: client.Client, wanted: _Wanted, printer: _Printer, *, follow: bool) -> None:
    after = 0
    async for page in _pages(daemon, wanted):
        printer.show([event for event in page if wanted.has(event)])
        after = int(page[-1]["seq"])
    if not follow:
        printer.end()
        return
    failures = 0
    while True:
        try:
            async for event in daemon.stream(after):
                after, failures = int(event["seq"]), 0
                if wanted.has(event):
                    printer.show([event])
        except client.Unreachable:
            failures += 1
            if failures > MAX_RETRIES:
                raise
        await asyncio.sleep(RETRY_S)


async def _pages(daemon: client.Client, wanted: _Wanted) -> AsyncIterator[list[Event]]:
    after: int | None = 0
    while after is not None:
        query = {"after": after, "limit": PAGE, "camera": wanted.camera, "session": wanted.session}
        answer = await daemon.get(
            "/events", {name: value for name, value in query.items() if value is not None}
        )
        if answer["items"]:
            yield answer["items"]
        after = answer["next"]


class _Printer:
    """Prints events as they come; the header once."""

    def __init__(self, *, as_json: bool) -> None:
        self._as_json = as_json
        self._has_header = False

    def show(self, events: list[Event]) -> None:
        """Print these events, each on a line."""
        if self._as_json:
            for event in events:
                show_json(event)
            return
        if not events:
            return
        lines = table(HEADER, [row(event) for event in events])
        print("\n".join(lines[1:] if self._has_header else lines), flush=True)
        self._has_header = True

    def end(self) -> None:
        """Tell a person that there was nothing."""
        if not self._as_json and not self._has_header:
            print("no such event that you may read")
