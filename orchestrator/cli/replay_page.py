"""A replayed log as one page that needs nothing else: no script, no network; light or dark."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

from orchestrator.cli import checks
from orchestrator.cli.rows import HEADER, place, row
from orchestrator.cli.rows import checks as checks_of
from orchestrator.cli.terminal import plain

OPENINGS = frozenset({"checks_passed", "first_frame"})

_POLICY = "default-src 'none'; style-src 'unsafe-inline'"
_STYLE = """
:root { color-scheme: light dark; font: 15px/1.45 system-ui, sans-serif; }
body { margin: 2rem auto; max-width: 75rem; padding: 0 1rem; background: Canvas; color: CanvasText; }
table { border-collapse: collapse; font-size: .9rem; }
.wide { overflow-x: auto; }
th, td { text-align: left; vertical-align: top; padding: .25rem .75rem .25rem 0; }
tr { border-bottom: 1px solid GrayText; }
.failed { font-weight: bold; color: light-dark(#a40000, #ff8a80); }
summary { cursor: pointer; margin: .75rem 0 .25rem; }
""".strip()


def page(told: Mapping[str, Any]) -> str:
    """The page of what `volet replay --json` tells: timeline, cameras, divergences; every text escaped."""
    timeline = told["timeline"]
    openings = [event for event in timeline if event.get("trigger") in OPENINGS]
    site = plain(timeline[0].get("site")) if timeline else ""
    parts = [
        "<!doctype html>",
        '<html lang="en"><head><meta charset="utf-8">',
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>volet replay {escape(site)}</title><style>{_STYLE}</style></head><body>",
        f"<h1>Replay {escape(site)}</h1>",
        _divergences(told["divergences"]),
        "<h2>State at the end</h2>",
        _table(("Camera", "State", "Session", "Deadline", "Fault", "Locks"), map(_camera, told["cameras"])),
        "<h2>Openings and their evidence</h2>",
        *(map(_opening, openings) if openings else ["<p>None.</p>"]),
        "<h2>Timeline</h2>",
        _table([name.capitalize() for name in HEADER], map(row, timeline)),
        "</body></html>",
    ]
    return "\n".join(parts) + "\n"


def _divergences(divergences: Sequence[Mapping[str, Any]]) -> str:
    if not divergences:
        return "<p>Every recorded transition is one that the statechart permits.</p>"
    rows = [(found["seq"], found["camera"], found["why"]) for found in divergences]
    return '<p class="failed">The log diverges from the statechart:</p>' + _table(
        ("Seq", "Camera", "Why"), rows
    )


def _camera(camera: Mapping[str, Any]) -> tuple[object, ...]:
    where = place(camera["state"], camera["substate"])
    return (
        camera["camera"],
        where,
        camera["session"],
        camera["deadline"],
        camera["fault"],
        ", ".join(camera["locks"]),
    )


def _opening(event: Mapping[str, Any]) -> str:
    told = (*(event.get(name) for name in ("at", "camera", "trigger")), f"session {event.get('session')}")
    title = escape(" · ".join(map(plain, told)))
    rows = [
        (check.get("id"), check.get("phase"), _verdict(check), check.get("age_ms"), checks.evidence(check))
        for check in checks_of(event)
    ]
    evidence = _table(("Check", "Phase", "Verdict", "Age (ms)", "Evidence"), rows)
    return f"<details open><summary>{title}</summary>{evidence}</details>"


def _verdict(check: Mapping[str, Any]) -> str:
    if check.get("waived"):
        return "waived"
    return "passed" if check.get("passed") else "failed"


def _table(header: Iterable[str], rows: Iterable[Iterable[object]]) -> str:
    head = "".join(f"<th>{escape(cell)}</th>" for cell in header)
    body = "\n".join(
        f"<tr>{''.join(f'<td>{escape(plain(cell))}</td>' for cell in cells)}</tr>" for cells in rows
    )
    return f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'
