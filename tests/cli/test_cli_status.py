"""`volet status`, and what every command says when the daemon cannot be reached or says no."""

import json
from pathlib import Path

import pytest

from orchestrator.cli import main
from tests.cli.scripted_daemon import CHECKS, SESSION, SHUT, STREAMING, ScriptedDaemon, problem


def test_status_on_the_local_socket_shows_state_session_and_deadline(
    daemon: ScriptedDaemon, capsys: pytest.CaptureFixture[str]
) -> None:
    daemon.answers("GET /cameras", (200, {"items": [SHUT, STREAMING | {"id": "cam2"}], "next": None}))
    assert main(["status"]) == 0
    header, first, second = capsys.readouterr().out.splitlines()
    assert header.split() == ["CAMERA", "STATE", "SESSION", "DEADLINE", "FAULT"]
    assert first.split() == ["cam1", "disabled.ready", "-", "-", "-"]
    assert second.startswith(f"cam2    streaming.live  {SESSION}  2099-01-01T10:15:00Z (in ")


def test_the_socket_is_never_asked_for_checks(daemon: ScriptedDaemon) -> None:
    """CONTRACT 5: it serves states alone."""
    daemon.answers("GET /cameras", (200, {"items": [SHUT], "next": None}))
    assert main(["status", "--socket", str(daemon.socket)]) == 0
    assert [path for _, path, _ in daemon.asked] == ["/cameras"]


def test_status_over_the_vpn_shows_viewers_worker_and_the_checks_that_fail(
    daemon: ScriptedDaemon, capsys: pytest.CaptureFixture[str]
) -> None:
    daemon.answers("GET /cameras/cam1", (200, SHUT))
    daemon.answers("GET /cameras/cam1/checks", (200, CHECKS))
    assert main(["status", "cam1", "--url", daemon.url]) == 0
    told = capsys.readouterr().out
    assert "VIEWERS  WORKER" in told
    assert "cam1 could not open now:\n  lane-no-vehicle: a vehicle stands in the lane\n" in told
    assert "clock" not in told


def test_status_says_when_a_camera_could_open(
    daemon: ScriptedDaemon, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VOLET_URL", daemon.url)
    daemon.answers("GET /cameras", (200, {"items": [SHUT], "next": None}))
    daemon.answers("GET /cameras/cam1/checks", (200, {"could_open": True, "ready_in_ms": 0, "checks": []}))
    assert main(["status"]) == 0
    assert "cam1 could open" in capsys.readouterr().out


@pytest.mark.parametrize("camera", [None, "cam1"])
def test_json_over_the_vpn_holds_the_checks_too(
    camera: str | None, daemon: ScriptedDaemon, capsys: pytest.CaptureFixture[str]
) -> None:
    daemon.answers("GET /cameras", (200, {"items": [SHUT], "next": None}))
    daemon.answers("GET /cameras/cam1", (200, SHUT))
    daemon.answers("GET /cameras/cam1/checks", (200, CHECKS))
    assert main(["status", *([camera] if camera else []), "--json", "--url", daemon.url]) == 0
    judged = SHUT | {"checks": CHECKS}
    assert json.loads(capsys.readouterr().out) == (judged if camera else {"items": [judged], "next": None})


def test_an_answer_of_another_shape_is_exit_status_69(
    daemon: ScriptedDaemon, capsys: pytest.CaptureFixture[str]
) -> None:
    daemon.answers("GET /cameras", (200, {"cameras": []}))
    assert main(["status"]) == 69
    assert "lacks `items`" in capsys.readouterr().err


@pytest.mark.parametrize("camera", [None, "cam1"])
def test_json_is_the_daemons_answer_and_nothing_else(
    camera: str | None, daemon: ScriptedDaemon, capsys: pytest.CaptureFixture[str]
) -> None:
    listed = {"items": [SHUT], "next": None}
    daemon.answers("GET /cameras", (200, listed))
    daemon.answers("GET /cameras/cam1", (200, SHUT))
    assert main(["status", *([camera] if camera else []), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == (SHUT if camera else listed)


def test_text_from_outside_steers_no_terminal(
    daemon: ScriptedDaemon, capsys: pytest.CaptureFixture[str]
) -> None:
    daemon.answers("GET /cameras", (200, {"items": [SHUT | {"fault": "\x1b[2Jx\u202ey\x07"}], "next": None}))
    assert main(["status"]) == 0
    told = capsys.readouterr().out
    assert "[2Jxy" in told
    assert not {"\x1b", "\u202e", "\x07"} & set(told)


def test_a_camera_name_stays_one_segment_of_the_path(daemon: ScriptedDaemon) -> None:
    daemon.answers("GET /cameras/../me?x=1", problem(404, "unknown-camera", "There is no such camera."))
    assert main(["status", "../me?x=1"]) == 1
    assert [path for _, path, _ in daemon.asked] == ["/cameras/../me?x=1"]


def test_a_problem_document_is_one_line_and_exit_status_1(
    daemon: ScriptedDaemon, capsys: pytest.CaptureFixture[str]
) -> None:
    daemon.answers("GET /cameras/cam9", problem(404, "unknown-camera", "There is no camera cam9."))
    assert main(["status", "cam9"]) == 1
    told = capsys.readouterr()
    assert told.err == "volet: There is no camera cam9 (unknown-camera)\n"
    assert told.out == ""


def test_no_socket_is_exit_status_69_and_says_what_to_do(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["status", "--socket", str(tmp_path / "none.sock")]) == 69
    told = capsys.readouterr().err
    assert "none.sock (No such file or directory)" in told
    assert "volet serve" in told
    assert told.count("\n") == 1


def test_an_address_where_nobody_listens_is_exit_status_69(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["status", "--url", "http://127.0.0.1:9"]) == 69
    assert "on the VPN" in capsys.readouterr().err


@pytest.mark.parametrize(
    "answer", [(200, "<html>router</html>"), (404, "<html>not here</html>"), (302, "elsewhere")]
)
def test_something_else_at_the_address_is_exit_status_69(
    answer: tuple[int, str], daemon: ScriptedDaemon, capsys: pytest.CaptureFixture[str]
) -> None:
    daemon.answers("GET /cameras", answer)
    assert main(["status", "--url", daemon.url]) == 69
    assert "is not volet" in capsys.readouterr().err


def test_an_open_camera_shows_its_viewers_and_which_run_of_the_worker_it_is(
    daemon: ScriptedDaemon, capsys: pytest.CaptureFixture[str]
) -> None:
    daemon.answers("GET /cameras", (200, {"items": [STREAMING], "next": None}))
    daemon.answers("GET /cameras/cam1/checks", (200, CHECKS))
    assert main(["status", "--url", daemon.url]) == 0
    assert capsys.readouterr().out.splitlines()[1].endswith("1        run 2, 1 failed")
