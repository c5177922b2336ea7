"""What a run shows at its end besides its verdict: made of what the tests' reports carry, so that it does not
matter which process ran them."""

from collections.abc import Iterator, Mapping, Sequence

import pytest

from tests.controls import table as controls
from tests.crash import cutting
from tests.e2e import fault_table

Reports = Sequence[tuple[str, pytest.TestReport]]
"""Each report behind its outcome: `passed`, `failed`, `error` or `skipped`."""


def tables(stats: Mapping[str, Sequence[object]]) -> Iterator[tuple[str, str]]:
    """The title and the text of each table that this run has something for."""
    reports = [
        (how, report)
        for how in ("passed", "skipped", "failed", "error")
        for report in stats.get(how, [])
        if isinstance(report, pytest.TestReport)
    ]
    figures = _said(reports, "figure")
    if figures:
        yield "figures", "\n".join(map(str, figures))
    cuts = _said(reports, cutting.PROPERTY)
    if cuts:
        yield "crash points", "\n".join([cutting.HEADER, *map(str, cuts)])
    rows = [tuple(map(str, row)) for row in _said(reports, fault_table.ROW) if isinstance(row, list | tuple)]
    notes = [str(note) for note in _said(reports, fault_table.NOTE)]
    if rows or notes:
        yield "what each fault cost", fault_table.table(rows, notes)
    outcomes = {report.nodeid: how for how, report in reports}
    if any(test.startswith("tests/controls/test_without") for test in outcomes):
        yield "negative controls", controls.verdicts(outcomes)


def _said(reports: Reports, name: str) -> list[object]:
    """What the tests noted under that name."""
    return [value for _, report in reports for named, value in report.user_properties if named == name]
