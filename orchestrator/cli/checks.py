"""Checks as a person reads them: which fail, and one line for each."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from orchestrator.cli.terminal import plain

Check = Mapping[str, Any]


def failing(checks: Iterable[Check] | None) -> list[Check]:
    """The checks that do not pass; a waived one counts as passed."""
    return [check for check in checks or () if not check.get("passed") and not check.get("waived")]


def line(check: Check, detail: str = "") -> str:
    """The check's id and what was found; where only the log's form is known, its fault and evidence."""
    found = plain(check.get("detail") or detail)
    if not found:
        found = f"{plain(check.get('fault') or 'failed')} ({evidence(check) or 'no evidence'})"
    return f"{plain(check.get('id'))}: {found}"


def evidence(check: Check) -> str:
    """The evidence on one line: `value 1, equals 0`."""
    found = check.get("evidence") or {}
    return ", ".join(f"{plain(name)} {_said(value)}" for name, value in found.items() if value is not None)


def count(checks: list[Check]) -> str:
    """`1 check` or `3 checks`."""
    return f"{len(checks)} check{'' if len(checks) == 1 else 's'}"


def _said(value: object) -> str:
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else plain(value)
