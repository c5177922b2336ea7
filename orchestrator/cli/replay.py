"""`volet replay`: fold a log from nothing; the timeline, the state it leads to, and what disagrees."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from orchestrator import resources
from orchestrator.cli import spans
from orchestrator.cli.fold import Divergence, Fold
from orchestrator.cli.log import add_log, event_of, records
from orchestrator.cli.outcome import DONE, NO
from orchestrator.cli.replay_page import page
from orchestrator.cli.rows import HEADER, row
from orchestrator.cli.terminal import plain, show_json, table
from orchestrator.core.camera_state import CameraState
from orchestrator.core.events import Record
from orchestrator.core.moment import rfc3339
from orchestrator.core.statechart import Chart

BATCH = 500


def arguments(verb: str, parser: argparse.ArgumentParser) -> None:
    """The words after `volet replay`."""
    add_log(parser)
    parser.add_argument("--camera", metavar="C", help="this camera alone")
    parser.add_argument("--session", metavar="S", help="show the events of this session alone")
    parser.add_argument(
        "--until",
        type=_point,
        metavar="SEQ|TIME",
        help="stop after this sequence number, or at this RFC 3339 time",
    )
    parser.add_argument("--html", type=Path, metavar="FILE", help="write a self-contained page instead")
    parser.add_argument("--json", action="store_true", help="the machine form, and nothing else")
    parser.set_defaults(run=_run)


def _point(text: str) -> tuple[str, int]:
    if text.isascii() and text.isdigit():
        return ("seq", int(text))
    return ("wall_us", spans.instant_us(text))


def _run(values: argparse.Namespace) -> int:
    charts = Charts()
    fold = Fold(charts.by_digest)
    shown = _folded(values, fold)
    if values.html or values.json:
        told = {
            "timeline": list(shown),
            "cameras": [_state(state) for state in fold.states.values()],
            "divergences": [asdict(divergence) for divergence in fold.divergences],
        }
        if values.json:
            show_json(told)
        if values.html:
            values.html.write_text(page(told), encoding="utf-8")
            if not values.json:
                print(f"{values.html} written")
    else:
        _print_timeline(shown)
        _print_states(fold.states.values())
    _tell(fold.divergences)
    return NO if fold.divergences else DONE


class Charts:
    """The statecharts that this version knows: the one in force, and old ones so that old logs replay."""

    def __init__(self) -> None:
        files = sorted(resources.folder("statecharts").glob("*.toml"))
        self._charts = {chart.digest: chart for chart in (Chart(file.read_bytes()) for file in files)}

    def by_digest(self, digest: str) -> Chart | None:
        """The statechart that an event names, or None."""
        return self._charts.get(digest)


def _folded(values: argparse.Namespace, fold: Fold) -> Iterator[dict[str, Any]]:
    """Each event that is to be shown, once it is folded in."""
    with records(values.log, camera=values.camera) as found:
        for record in found:
            if values.until and _is_past(record, *values.until):
                return
            fold.take(record)
            if values.session is None or record.event.session == values.session:
                yield event_of(record)


def _is_past(record: Record, kind: str, point: int) -> bool:
    return (record.seq if kind == "seq" else record.sealed.at.wall_us) > point


def _print_timeline(events: Iterable[dict[str, Any]]) -> None:
    batch: list[tuple[str, ...]] = []
    has_header = False

    def flush() -> None:
        nonlocal has_header
        lines = table(HEADER, batch)
        print("\n".join(lines[1:] if has_header else lines))
        has_header = True
        batch.clear()

    for event in events:
        batch.append(row(event))
        if len(batch) == BATCH:
            flush()
    if batch or not has_header:
        flush()


def _state(state: CameraState) -> dict[str, Any]:
    session = state.session
    return {
        "camera": state.camera,
        "state": state.place.state,
        "substate": state.place.substate,
        "session": session.id if session else None,
        "deadline": rfc3339(session.ends_wall_us) if session and session.opened else None,
        "fault": state.fault,
        "locks": sorted(state.locks),
        "version": state.version,
    }


def _print_states(states: Iterable[CameraState]) -> None:
    rows = [
        (
            told["camera"],
            state.place,
            told["session"],
            told["deadline"],
            told["fault"],
            ", ".join(told["locks"]),
        )
        for state in states
        for told in (_state(state),)
    ]
    print()
    print("\n".join(table(("CAMERA", "STATE", "SESSION", "DEADLINE", "FAULT", "LOCKS"), rows)))


def _tell(divergences: list[Divergence]) -> None:
    for divergence in divergences:
        line = f"event {divergence.seq}, {plain(divergence.camera)}: {plain(divergence.why)}"
        print(f"volet: {line}", file=sys.stderr)
