"""What is typed: help, version, words that are not built yet, and exit status 2 for what is not right."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from orchestrator import __version__
from orchestrator.cli import PLANNED, VERBS, main


def test_the_version_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"volet {__version__}\n"


def test_the_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    told = capsys.readouterr().out
    assert all(f"  {verb} " in told for verb in VERBS)


@pytest.mark.parametrize("verb", VERBS)
def test_every_command_has_help_of_its_own(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([verb, "--help"]) == 0
    assert f"usage: volet {verb}" in capsys.readouterr().out


def test_every_command_that_a_sentence_of_ours_tells_somebody_to_type_is_there() -> None:
    root = Path(__file__).parents[2]
    program, told = root / "orchestrator", [*(root / "ops").glob("*.md"), root / "README.md"]
    texts = [*program.rglob("*.py"), *program.rglob("*.js"), *told]
    typed = {
        (path.name, command)
        for path in texts
        for command in re.findall(r"`volet ([^`\n]+)`", path.read_text())
    }
    assert len(typed) > 20
    known = {*VERBS, *PLANNED, "COMMAND", "--help", "--version"}
    assert {(where, what) for where, what in typed if what.split()[0] not in known} == set()


@pytest.mark.parametrize("word", sorted(PLANNED))
def test_what_is_planned_is_refused_as_not_built_yet(word: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([word, "list", "--next", "3"]) == 2
    told = capsys.readouterr()
    assert "not built yet" in told.err
    assert told.out == ""


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["open"],
        ["--frobnicate"],
        ["status", "--frobnicate"],
        ["close"],
        ["close", "cam1", "--all"],
        ["request", "cam1", "--reason", "r", "--for", "15", "--url", "http://127.0.0.1:1"],
        ["request", "cam1", "--reason", "r", "--for", "1500ms", "--url", "http://127.0.0.1:1"],
        ["extend", "cam1", "--reason", "r", "--url", "http://127.0.0.1:1"],
        ["events", "--since", "yesterday"],
        ["events", "--since", "2026-11-22T10:00:00"],
        ["status", "--url", "100.64.0.1"],
        ["status", "--url", "ftp://100.64.0.1"],
        ["status", "--url", "http://100.64.0.1:99999999"],
        ["status", "--url", "http://127.0.0.1:1", "--socket", "volet.sock"],
        ["serve"],
        ["check"],
        ["doctor", "--config", "volet.toml", "--wait", "long"],
        ["demo", "--duration", "soon"],
        ["demo", "--duration", "nan"],
        ["verify"],
        ["replay"],
        ["export"],
        ["replay", "--log", "events.db", "--until", "later"],
        ["chart", "--format", "svg"],
    ],
)
def test_what_is_not_right_is_one_line_and_exit_status_2(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words) == 2
    told = capsys.readouterr().err
    assert told.startswith("volet: ")
    assert told.count("\n") == 1


@pytest.mark.parametrize(
    "words",
    [
        ["request", "cam1", "--reason", "align"],
        ["extend", "cam1", "--for", "10m", "--reason", "longer"],
        ["acknowledge", "cam1", "--reason", "mended"],
    ],
)
def test_opening_without_an_address_on_the_vpn_says_how_to_give_one(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """S18."""
    assert main(words) == 2
    told = capsys.readouterr().err
    assert "over the VPN only" in told
    assert "--url http://100.x.y.z:8080" in told


@pytest.mark.parametrize(
    "words", [["request", "cam1"], ["request"], ["acknowledge", "cam1", "--reason", "  "]]
)
def test_what_is_missing_is_not_asked_for_where_nobody_can_answer(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*words, "--url", "http://127.0.0.1:1"]) == 2
    assert "missing" in capsys.readouterr().err


def test_a_command_loads_no_other_commands_module() -> None:
    """The log's and the statechart's libraries would make `volet status` slow."""
    script = (
        "import sys; from orchestrator.cli import main; main(['status', '--help']); "
        "print(sorted({'sqlalchemy', 'transitions', 'pydantic', 'paho', 'apscheduler'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
