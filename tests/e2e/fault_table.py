"""What each fault cost: from its injection to the gate, the last byte, the worker and the proof."""

from collections.abc import Sequence
from dataclasses import astuple, dataclass

ROWS: list["Row"] = []
NOTES: list[str] = []
"""What a test has to say at the end besides."""
ROW, NOTE = "fault", "note"
"""The properties of a test's report that carry its rows and notes to the process that prints them."""
HEADER = (
    "fault injected",
    "trigger",
    "code",
    "seen ms",
    "shut us",
    "gate ms",
    "logged ms",
    "last byte ms",
    "worker gone ms",
    "closed ms",
)
LEGEND = (
    "Milliseconds since the injection. seen: when the daemon saw the reason (the event's time). "
    "shut us: from seen until no byte could be written any more. gate: seen + shut. "
    "logged: when a follower heard of the closing event. last byte: when the viewer's kernel took in the "
    "last of it (negative: before the injection). closed: when all was proven gone."
)


@dataclass(frozen=True, slots=True)
class Row:
    """One fault; times in milliseconds since its injection, but for `shut_us`."""

    fault: str
    trigger: str
    code: str
    seen_ms: int
    shut_us: int
    gate_ms: float
    logged_ms: int
    last_byte_ms: int
    worker_gone_ms: int
    closed_ms: int

    def cells(self) -> tuple[str, ...]:
        """As text, in the order of `HEADER`."""
        return tuple(f"{cell:.1f}" if isinstance(cell, float) else str(cell) for cell in astuple(self))


def taken() -> list[tuple[str, object]]:
    """The rows and notes since the last time, as properties of a report."""
    found: list[tuple[str, object]] = [(ROW, row.cells()) for row in ROWS]
    found += [(NOTE, note) for note in NOTES]
    ROWS.clear()
    NOTES.clear()
    return found


def table(rows: Sequence[Sequence[str]], notes: Sequence[str]) -> str:
    """Those rows below `HEADER`, and the notes."""
    lines = [HEADER, *rows]
    widths = [max(len(line[i]) for line in lines) for i in range(len(HEADER))]
    text = [
        "  ".join(
            c.ljust(w) if i < 3 else c.rjust(w) for i, (c, w) in enumerate(zip(line, widths, strict=True))
        )
        for line in lines
    ]
    return "\n".join([*text, "", LEGEND, *notes])
