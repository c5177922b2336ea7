"""`volet chart`: the statechart in force, and whether the committed picture of it is still true."""

from __future__ import annotations

import argparse

from orchestrator import resources
from orchestrator.cli.outcome import DONE, Failure
from orchestrator.cli.terminal import show_json
from orchestrator.core import diagram
from orchestrator.core.statechart import Chart

PICTURE = "camera.mmd"


def arguments(verb: str, parser: argparse.ArgumentParser) -> None:
    """The words after `volet chart`."""
    parser.add_argument(
        "--format", choices=("mermaid", "dot", "json"), default="mermaid", help="default: mermaid"
    )
    parser.add_argument(
        "--json", dest="format", action="store_const", const="json", help="the same as --format json"
    )
    parser.add_argument(
        "--check", action="store_true", help=f"only say whether statecharts/{PICTURE} is up to date"
    )
    parser.set_defaults(run=_run)


def _run(values: argparse.Namespace) -> int:
    chart = in_force()
    if values.check:
        return _check(chart)
    if values.format == "json":
        show_json(_rows(chart))
    else:
        print(diagram.dot(chart) if values.format == "dot" else diagram.mermaid(chart), end="")
    return DONE


def in_force() -> Chart:
    """The statechart that this version runs by."""
    return Chart((resources.folder("statecharts") / "camera.toml").read_bytes())


def _check(chart: Chart) -> int:
    path = resources.folder("statecharts") / PICTURE
    if not path.exists() or path.read_text(encoding="utf-8") != diagram.mermaid(chart):
        raise Failure(
            f"{path} does not show the statechart in force; write it anew with `volet chart > {path}`"
        )
    print(f"{path} shows the statechart in force")
    return DONE


def _rows(chart: Chart) -> dict[str, object]:
    return {
        "chart": chart.digest,
        "initial": str(chart.initial),
        "states": [
            {"name": state.name, "means": state.means, "serves": state.serves} for state in chart.states
        ],
        "transitions": [
            {
                "trigger": move.trigger,
                "from": move.source,
                "to": move.target,
                "guard": move.guard,
                "who": move.who,
            }
            for move in chart.moves
        ],
    }
