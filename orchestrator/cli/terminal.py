"""Text for people: nothing from outside steers the terminal, and colours stay where somebody sees them."""

from __future__ import annotations

import json
import os
import sys
import unicodedata
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, TextIO

from orchestrator.cli.outcome import USAGE, Failure

_BIDIRECTIONAL = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
_COLOURS = {"red": "31", "green": "32", "yellow": "33", "dim": "2"}


def plain(value: object) -> str:
    """`value` as text on one line, without control and bidirectional characters; None is empty."""
    if value is None:
        return ""
    return "".join(
        " " if character in "\t\n\r\u2028\u2029" else character
        for character in str(value)
        if character in "\t\n\r" or _is_harmless(character)
    )


def _is_harmless(character: str) -> bool:
    return character not in _BIDIRECTIONAL and unicodedata.category(character) not in {"Cc", "Cs"}


def is_terminal(stream: TextIO | None = None) -> bool:
    """Whether a person looks at this stream (default: standard output)."""
    return (stream or sys.stdout).isatty()


def coloured(text: str, colour: str) -> str:
    """`text` in that colour on a terminal, unless NO_COLOR is set (no-color.org) or the terminal is dumb."""
    if not is_terminal() or os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        return text
    return f"\x1b[{_COLOURS[colour]}m{text}\x1b[0m"


def show_json(value: Any) -> None:
    """One JSON value on one line of standard output, in ASCII: whatever it holds steers no terminal."""
    print(json.dumps(value, separators=(",", ":")), flush=True)


def table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> list[str]:
    """Lines of aligned columns under a header; the last column is as wide as it likes."""
    cells = [tuple(header), *(tuple(plain(cell) or "-" for cell in row) for row in rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(header))]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in cells
    ]


def ask(what: str, option: str) -> str:
    """What the person at the terminal answers; Failure (usage) where nobody can be asked, or says nothing."""
    if is_terminal() and is_terminal(sys.stdin):
        try:
            answer = input(f"{what}: ").strip()
        except EOFError:
            answer = ""
        if answer:
            return answer
    raise Failure(f"{what} is missing; give it with {option}", USAGE)


def span(seconds: float) -> str:
    """A length of time as a person says it: `45s`, `14m 03s`, `2h 05m`."""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m {whole % 60:02d}s"
    return f"{whole // 3600}h {whole % 3600 // 60:02d}m"


def until(rfc3339: object) -> str:
    """An instant of the daemon's with what is left until it by this machine's clock; empty for None."""
    if not isinstance(rfc3339, str):
        return ""
    try:
        left_s = (datetime.fromisoformat(rfc3339) - datetime.now(UTC)).total_seconds()
    except (ValueError, TypeError):
        return plain(rfc3339)
    return f"{_to_the_second(rfc3339)} ({f'in {span(left_s)}' if left_s > 0 else 'past'})"


def _to_the_second(rfc3339: str) -> str:
    text, dot, fraction = plain(rfc3339).partition(".")
    return text + fraction.lstrip("0123456789") if dot else text
