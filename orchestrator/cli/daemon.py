"""`volet serve`, `check`, `doctor` and `demo`: they build the program instead of talking to it."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orchestrator.cli import checks, spans
from orchestrator.cli.mending import mending
from orchestrator.cli.outcome import DONE, NO, NOT_VALID
from orchestrator.cli.terminal import coloured, plain, show_json, span
from orchestrator.core.moment import SECOND_US

if TYPE_CHECKING:
    from orchestrator import settings

DOCTOR_WAIT_US = 20_000_000


def arguments(verb: str, parser: argparse.ArgumentParser) -> None:
    """The words after one of the four."""
    if verb == "demo":
        parser.add_argument("--once", action="store_true", help="one scripted session instead of running on")
        parser.add_argument(
            "--duration",
            type=_seconds,
            default=8.0,
            metavar="SECONDS",
            help="length of that session (default: 8)",
        )
    else:
        parser.add_argument(
            "--config", type=Path, required=True, metavar="FILE", help="the configuration: volet.toml"
        )
    if verb == "doctor":
        parser.add_argument(
            "--wait",
            dest="wait_us",
            type=spans.span_us,
            default=DOCTOR_WAIT_US,
            metavar="20s",
            help="how long to wait for the lane's facts (default: 20s)",
        )
    if verb in {"check", "doctor"}:
        parser.add_argument("--json", action="store_true", help="the machine form, and nothing else")
    parser.set_defaults(run={"serve": _serve, "check": _check, "doctor": _doctor, "demo": _demo}[verb])


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 1 <= seconds <= 3600:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds from 1 to 3600")
    return seconds


def _serve(values: argparse.Namespace) -> int:
    from orchestrator import app, settings

    try:
        return app.serve(values.config)
    except settings.SettingsInvalid as invalid:
        return _not_valid(values.config, invalid.faults)


def _demo(values: argparse.Namespace) -> int:
    from orchestrator import demo

    return demo.run(values.once, values.duration)


def _check(values: argparse.Namespace) -> int:
    from orchestrator import settings

    faults: Sequence[settings.Fault] = ()
    try:
        settings.load(values.config, os.environ)
    except settings.SettingsInvalid as invalid:
        faults = invalid.faults
    if values.json:
        rows = [{"path": fault.path, "found": fault.found, "expected": fault.expected} for fault in faults]
        show_json({"valid": not faults, "faults": rows})
        return NOT_VALID if faults else DONE
    if faults:
        return _not_valid(values.config, faults)
    print(f"{plain(values.config)} is valid")
    return DONE


def _not_valid(config: Path, faults: Iterable[settings.Fault]) -> int:
    for fault in faults:
        file = "" if fault.path == str(config) else f"{plain(config)}: "
        print(f"volet: {file}{plain(fault)}", file=sys.stderr)
    return NOT_VALID


def _doctor(values: argparse.Namespace) -> int:
    from orchestrator import app, settings

    try:
        report = app.doctor(values.config, values.wait_us / SECOND_US)
    except settings.SettingsInvalid as invalid:
        return _not_valid(values.config, invalid.faults)
    if values.json:
        show_json({"ok": report.ok, "cameras": _mended(report.cameras), "warnings": list(report.warnings)})
    else:
        for camera in report.cameras:
            print("\n".join(_diagnosis(camera)))
        for warning in report.warnings:
            print(f"{coloured('warning', 'yellow')}: {plain(warning)}")
    return DONE if report.ok else NO


def _mended(cameras: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The machine form: what fails has its mending step beside it."""
    return [{**camera, "checks": [_with_step(check) for check in camera["checks"]]} for camera in cameras]


def _with_step(check: Mapping[str, Any]) -> dict[str, Any]:
    return {**check, "do": _step(check)} if _word(check)[0] == "FAILED" else dict(check)


def _diagnosis(camera: Mapping[str, Any]) -> list[str]:
    could = coloured("could open", "green") if camera["could_open"] else coloured("could not open", "red")
    lines = [f"{plain(camera['camera'])} {could}"]
    for check in camera["checks"]:
        word, colour = _word(check)
        lines.append(f"  {coloured(f'{word:<7}', colour)} {checks.line(check)}")
        if evidence := checks.evidence(check):
            lines.append(coloured(f"          {evidence}", "dim"))
        if word == "FAILED":
            lines.append(f"          do: {_step(check)}")
    return lines


def _step(check: Mapping[str, Any]) -> str:
    if check.get("ready_in_ms"):
        return f"wait {span(check['ready_in_ms'] / 1000)} more; it holds, but not for long enough yet"
    return mending(check)


def _word(check: Mapping[str, Any]) -> tuple[str, str]:
    if check.get("waived"):
        return "waived", "yellow"
    return ("passed", "green") if check.get("passed") else ("FAILED", "red")
