"""`volet chart` and its drawings of the statechart in force."""

import json
import re
from pathlib import Path

import pytest

from orchestrator import resources
from orchestrator.cli import chart as command
from orchestrator.cli import main
from orchestrator.core import diagram
from orchestrator.core.statechart import Chart


@pytest.fixture
def chart() -> Chart:
    return command.in_force()


def test_the_committed_drawing_shows_the_statechart_in_force() -> None:
    assert main(["chart", "--check"]) == 0


def test_a_stale_drawing_is_exit_status_1(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], chart: Chart
) -> None:
    folder = resources.folder("statecharts")
    (tmp_path / "camera.toml").write_bytes((folder / "camera.toml").read_bytes())
    (tmp_path / "camera.mmd").write_text(diagram.mermaid(chart).replace("fault", "mishap"))
    monkeypatch.setattr(resources, "folder", lambda name: tmp_path)
    assert main(["chart", "--check"]) == 1
    assert "write it anew with `volet chart >" in capsys.readouterr().err


def test_mermaid_draws_every_state_and_every_move(chart: Chart) -> None:
    drawn = diagram.mermaid(chart)
    for state in chart.states:
        assert re.search(rf"\b{state.name.replace('.', '_')}\b", drawn)
    for move in chart.moves:
        source, target = move.source.replace(".", "_"), move.target.replace(".", "_")
        labels = re.findall(rf"^\s*{source} --> {target} : (.*)$", drawn, re.MULTILINE)
        assert len(labels) == 1
        assert move.trigger + (f" [{move.guard}]" if move.guard else "") in labels[0].split(", ")


def test_mermaid_draws_substates_inside_their_state(chart: Chart) -> None:
    lines = diagram.mermaid(chart).splitlines()
    inside = lines[lines.index("    state streaming {") :]
    assert "        streaming_reconnecting : reconnecting" in inside[: inside.index("    }")]


def test_dot_doubles_the_states_that_serve_picture(chart: Chart, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["chart", "--format", "dot"]) == 0
    drawn = capsys.readouterr().out
    doubled = set(re.findall(r'"([a-z_.]+)" \[[^]]*peripheries=2\]', drawn))
    assert doubled == {state.name for state in chart.states if state.serves}


def test_json_tells_the_moves_and_the_digest_that_events_name(
    chart: Chart, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["chart", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["chart"] == chart.digest
    assert len(told["transitions"]) == len(chart.moves)
