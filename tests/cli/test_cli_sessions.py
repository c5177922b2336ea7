"""`volet extend`, `close` and `acknowledge`."""

import pytest

from orchestrator.cli import main
from tests.cli.scripted_daemon import SESSION, SHUT, STREAMING, ScriptedDaemon, problem

CLOSED = {"session": SESSION, "state": "disabled", "substate": "closing", "version": 9, "events": []}


def test_close_on_the_local_socket_shuts_the_camera(
    daemon: ScriptedDaemon, capsys: pytest.CaptureFixture[str]
) -> None:
    daemon.answers("POST /cameras/cam1/transitions", (202, CLOSED))
    assert main(["close", "cam1", "--reason", " a child in the lane "]) == 0
    assert daemon.asked[-1][2] == {"trigger": "close", "reason": "a child in the lane"}
    assert capsys.readouterr().out == "cam1 is disabled.closing\n"


def test_a_closing_that_the_log_has_not_taken_yet_says_so(
    daemon: ScriptedDaemon, capsys: pytest.CaptureFixture[str]
) -> None:
    daemon.answers("POST /cameras/cam1/transitions", (202, CLOSED | {"pending": True}))
    assert main(["close", "cam1"]) == 0
    assert daemon.asked[-1][2] == {"trigger": "close"}
    assert "the log has not taken it yet" in capsys.readouterr().out


def test_close_all_shuts_the_others_when_one_cannot_be_shut(
    daemon: ScriptedDaemon, capsys: pytest.CaptureFixture[str]
) -> None:
    daemon.answers("GET /cameras", (200, {"items": [SHUT, SHUT | {"id": "cam2"}], "next": None}))
    daemon.answers("POST /cameras/cam1/transitions", problem(404, "unknown-camera", "It is gone."))
    daemon.answers("POST /cameras/cam2/transitions", (202, CLOSED))
    assert main(["close", "--all"]) == 1
    told = capsys.readouterr()
    assert told.out == "cam2 is disabled.closing\n"
    assert told.err == "volet: cam1: It is gone (unknown-camera)\n"


def test_extend_says_when_the_session_now_ends(
    daemon: ScriptedDaemon, capsys: pytest.CaptureFixture[str]
) -> None:
    daemon.answers("POST /cameras/cam1/transitions", (202, STREAMING | {"events": []}))
    daemon.answers("GET /cameras/cam1", (200, STREAMING))
    assert main(["extend", "cam1", "--for", "10m", "--reason", "one more screw", "--url", daemon.url]) == 0
    assert daemon.bodies("POST /cameras/cam1/transitions") == [
        {"trigger": "extend", "reason": "one more screw", "duration_s": 600}
    ]
    assert "ends 2099-01-01T10:15:00Z" in capsys.readouterr().out


def test_a_transition_that_is_not_permitted_names_those_that_are(
    daemon: ScriptedDaemon, capsys: pytest.CaptureFixture[str]
) -> None:
    refusal = problem(409, "not-permitted", "Nothing is open.", permitted=["request", "close"])
    daemon.answers("POST /cameras/cam1/transitions", refusal)
    assert main(["extend", "cam1", "--for", "10m", "--reason", "r", "--url", daemon.url]) == 1
    assert "Nothing is open (not-permitted); permitted: request, close" in capsys.readouterr().err


def test_a_refusal_for_now_says_when_to_ask_again(
    daemon: ScriptedDaemon, capsys: pytest.CaptureFixture[str]
) -> None:
    daemon.answers("POST /cameras/cam1/transitions", problem(409, "cooling-down", "Cooling down.", retry=28))
    assert main(["acknowledge", "cam1", "--reason", "looked", "--url", daemon.url]) == 1
    assert "try again in 28 s" in capsys.readouterr().err


def test_acknowledge_sends_its_reason(daemon: ScriptedDaemon) -> None:
    daemon.answers("POST /cameras/cam1/transitions", (202, SHUT | {"events": []}))
    assert main(["acknowledge", "cam1", "--reason", "funnel is off", "--url", daemon.url]) == 0
    assert daemon.asked[-1][2] == {"trigger": "acknowledge", "reason": "funnel is off"}
