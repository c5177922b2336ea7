"""A benchmark's figures: ours beside another's from the same run, as one table and as JSON."""

from __future__ import annotations

import json
import math
import os
import platform
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

HEADER = ("benchmark", "n", "volet", "beside it", "ratio", "aim", "met")


@dataclass(frozen=True, slots=True)
class Samples:
    """What one side took, `unit` each; `name` says who it was."""

    name: str
    unit: str
    values: tuple[float, ...]

    @property
    def p50(self) -> float:
        """The median."""
        return statistics.median(self.values)

    @property
    def p99(self) -> float:
        """The nearest rank; below a hundred samples that is the largest."""
        ranked = sorted(self.values)
        return ranked[math.ceil(0.99 * len(ranked)) - 1]

    @property
    def shown(self) -> str:
        """For the table: a single figure as it is, several as median and 99th percentile."""
        if len(self.values) == 1:
            return f"{_short(self.values[0])} {self.unit}"
        return f"{_short(self.p50)} (p99 {_short(self.p99)}) {self.unit}"

    def told(self) -> dict[str, Any]:
        """For `bench.json`."""
        return {
            "name": self.name,
            "unit": self.unit,
            "n": len(self.values),
            "p50": _kept(self.p50),
            "p99": _kept(self.p99),
            "values": [_kept(value) for value in self.values],
        }


@dataclass(frozen=True, slots=True)
class Aim:
    """A limit for `what`: the ratio of the medians (`ratio`) or of the 99th percentiles (`p99 ratio`), or our
    own median or 99th percentile."""

    what: str
    limit: float
    at_least: bool = False

    @property
    def shown(self) -> str:
        """For the table."""
        return f"{self.what} {'≥' if self.at_least else '≤'} {self.limit:g}"


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table; `raw` are further figures that explain it."""

    benchmark: str
    ours: Samples
    beside: Samples | None = None
    aim: Aim | None = None
    raw: dict[str, Any] = field(default_factory=dict)

    @property
    def ratio(self) -> float | None:
        """Our figure over the other's: the medians, or the 99th percentiles where those have the limit."""
        if self.beside is None:
            return None
        of_p99 = self.aim is not None and self.aim.what == "p99 ratio"
        ours, other = (self.ours.p99, self.beside.p99) if of_p99 else (self.ours.p50, self.beside.p50)
        return ours / other if other else None

    @property
    def met(self) -> bool | None:
        """Whether the aim was met in this run; None without one."""
        if self.aim is None:
            return None
        figure = {"p50": self.ours.p50, "p99": self.ours.p99}.get(self.aim.what, self.ratio)
        if figure is None:
            return None
        return figure >= self.aim.limit if self.aim.at_least else figure <= self.aim.limit

    def cells(self) -> tuple[str, ...]:
        """For the table, in the order of HEADER."""
        beside = f"{self.beside.name}: {self.beside.shown}" if self.beside else "-"
        return (
            self.benchmark,
            str(len(self.ours.values)),
            self.ours.shown,
            beside,
            "-" if self.ratio is None else f"{self.ratio:.2f}",
            self.aim.shown if self.aim else "-",
            {True: "yes", False: "NO", None: "-"}[self.met],
        )

    def told(self) -> dict[str, Any]:
        """For `bench.json`."""
        return {
            "benchmark": self.benchmark,
            "ours": self.ours.told(),
            "beside": self.beside.told() if self.beside else None,
            "ratio": None if self.ratio is None else _kept(self.ratio),
            "aim": self.aim.shown if self.aim else None,
            "met": self.met,
            "raw": self.raw,
        }


class Report:
    """The rows of one run, and what else the machine had to do meanwhile."""

    def __init__(self) -> None:
        self.rows: list[Row] = []
        self._began = datetime.now(UTC)
        self._load_before = os.getloadavg()

    def add(self, row: Row) -> None:
        """One more line."""
        self.rows.append(row)

    def write(self, path: Path) -> None:
        """All figures, the single values included; each row is one line."""
        told = {
            "began": self._began.isoformat(timespec="seconds"),
            "seconds": round((datetime.now(UTC) - self._began).total_seconds()),
            "machine": _machine(),
            "load_1_5_15_before": self._load_before,
            "load_1_5_15_after": os.getloadavg(),
        }
        above = [f"{json.dumps(name)}: {json.dumps(value)}," for name, value in told.items()]
        rows = ",\n".join(json.dumps(row.told(), separators=(",", ":")) for row in self.rows)
        path.write_text("\n".join(["{", *above, '"rows": [', rows, "]}", ""]))

    def table(self) -> str:
        """The rows, and below each its further figures."""
        lines = [HEADER, *(row.cells() for row in self.rows)]
        widths = [max(len(line[column]) for line in lines) for column in range(len(HEADER))]
        shown = ["  ".join(cell.ljust(width) for cell, width in zip(HEADER, widths, strict=True)).rstrip()]
        for row in self.rows:
            cells = zip(row.cells(), widths, strict=True)
            shown.append("  ".join(cell.ljust(width) for cell, width in cells).rstrip())
            shown += [f"    {name}: {_plain(value)}" for name, value in row.raw.items()]
        load = f"load {self._load_before[0]:.2f} before, {os.getloadavg()[0]:.2f} after"
        return "\n".join([*shown, f"{_machine()}; {load} (what others ran here is in these figures)"])


def milliseconds(name: str, seconds: Sequence[float]) -> Samples:
    """Samples of durations in seconds, shown in milliseconds."""
    return Samples(name, "ms", tuple(value * 1e3 for value in seconds))


def microseconds(name: str, seconds: Sequence[float]) -> Samples:
    """Samples of durations in seconds, shown in microseconds."""
    return Samples(name, "us", tuple(value * 1e6 for value in seconds))


def _machine() -> str:
    return f"{os.cpu_count()} CPUs, {platform.system()} {platform.machine()}, {platform.python_version()}"


def _kept(value: float) -> float:
    """As many digits as a measurement has."""
    return float(f"{value:.5g}")


def _short(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _plain(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {_plain(item)}" for key, item in value.items())
    return _short(value) if isinstance(value, float) else str(value)
