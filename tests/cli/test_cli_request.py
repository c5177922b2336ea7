"""`volet request`: follows until the picture comes or the answer is no; leaving before closes."""

import os
import pty
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

from orchestrator.cli import main
from tests.cli.scripted_daemon import (
    CHECKS,
    LANE_CHECK,
    REQUESTED,
    SESSION,
    SHUT,
    STREAMING,
    ScriptedDaemon,
    problem,
)

pytestmark = pytest.mark.slow

POST = "POST /cameras/cam1/transitions"
ASKED: dict[str, Any] = {
    "session": SESSION,
    "state": "requested",
    "substate": None,
    "version": 8,
    "events": [],
}
ENDED: dict[str, Any] = {
    "id": SESSION,
    "camera": "cam1",
    "state": "disabled",
    "opened_at": None,
    "checks": [],
}


def takes_the_request(daemon: ScriptedDaemon, *states: dict[str, Any]) -> None:
    daemon.answers(POST, (202, ASKED))
    daemon.answers("GET /cameras/cam1", *((200, state) for state in states))
    daemon.answers("GET /cameras/cam1/checks", (200, CHECKS))


def test_request_follows_until_streaming_and_prints_the_deadline(
    daemon: ScriptedDaemon, capsys: pytest.CaptureFixture[str]
) -> None:
    takes_the_request(daemon, REQUESTED, REQUESTED | {"state": "safety_checked"}, STREAMING)
    words = [
        "request",
        "cam1",
        "--reason",
        "align",
        "--for",
        "15m",
        "--purpose",
        "alignment",
        "--ticket",
        "T-1",
    ]
    assert main([*words, "--wait", "0s", "--url", daemon.url]) == 0
    assert daemon.bodies(POST) == [
        {
            "trigger": "request",
            "reason": "align",
            "duration_s": 900,
            "wait_s": 0,
            "purpose": "alignment",
            "ticket": "T-1",
        }
    ]
    assert "cam1 is streaming until 2099-01-01T10:15:00Z" in capsys.readouterr().out


def test_a_resumed_request_needs_no_reason(daemon: ScriptedDaemon) -> None:
    takes_the_request(daemon, STREAMING)
    assert main(["request", "cam1", "--resume", SESSION, "--url", daemon.url]) == 0
    assert daemon.bodies(POST) == [{"trigger": "request", "resume": SESSION}]


def test_a_refused_request_lists_the_failing_checks_and_exits_1(
    daemon: ScriptedDaemon, capsys: pytest.CaptureFixture[str]
) -> None:
    takes_the_request(daemon, REQUESTED, SHUT)
    chained = {name: value for name, value in LANE_CHECK.items() if name != "detail"}
    silent = chained | {"id": "lane-sensor-alive", "fault": "lane-unknown", "evidence": {"age_ms": 9000}}
    end = {"trigger": "checks_failed", "fault": "lane-unsafe", "limit": None}
    daemon.answers(f"GET /sessions/{SESSION}", (200, ENDED | {"end": end, "checks": [chained, silent]}))
    assert main(["request", "cam1", "--reason", "align", "--url", daemon.url]) == 1
    told = capsys.readouterr()
    assert told.out.splitlines() == [
        "lane-no-vehicle: a vehicle stands in the lane",
        "lane-sensor-alive: lane-unknown (age_ms 9000)",
    ]
    assert "refused: 2 checks did not pass" in told.err


@pytest.mark.parametrize(
    ("end", "word"),
    [
        ({"trigger": "fault", "fault": "broker-lost", "limit": None}, "broker-lost"),
        ({"trigger": "start_failed", "fault": "worker-failed", "limit": None}, "start_failed"),
        ({"trigger": "close", "fault": None, "limit": None}, "closed by somebody"),
    ],
)
def test_a_session_that_ends_before_the_picture_says_why_and_exits_1(
    end: dict[str, Any], word: str, daemon: ScriptedDaemon, capsys: pytest.CaptureFixture[str]
) -> None:
    takes_the_request(daemon, SHUT | {"substate": "closing", "session": SESSION})
    daemon.answers(f"GET /sessions/{SESSION}", (200, ENDED | {"end": None}), (200, ENDED | {"end": end}))
    assert main(["request", "cam1", "--reason", "align", "--url", daemon.url]) == 1
    assert word in capsys.readouterr().err


def test_a_session_that_streamed_between_two_looks_was_not_refused(
    daemon: ScriptedDaemon, capsys: pytest.CaptureFixture[str]
) -> None:
    takes_the_request(daemon, REQUESTED, SHUT)
    end = {"trigger": "expire", "fault": None, "limit": "asked"}
    streamed = ENDED | {"opened_at": "2026-11-22T10:00:01.000000Z", "end": end}
    daemon.answers(f"GET /sessions/{SESSION}", (200, streamed))
    assert main(["request", "cam1", "--reason", "align", "--url", daemon.url]) == 0
    assert "shut again (asked)" in capsys.readouterr().out


def test_a_missing_ticket_is_exit_status_2_where_nobody_can_answer(
    daemon: ScriptedDaemon, capsys: pytest.CaptureFixture[str]
) -> None:
    daemon.answers(POST, problem(422, "invalid-body", "This purpose needs a ticket.", pointer="/ticket"))
    assert main(["request", "cam1", "--reason", "align", "--url", daemon.url]) == 2
    assert "--ticket ID" in capsys.readouterr().err


def test_a_request_that_is_not_permitted_exits_1(
    daemon: ScriptedDaemon, capsys: pytest.CaptureFixture[str]
) -> None:
    daemon.answers(POST, problem(403, "role-required", "This needs a maintainer.", roles=["maintainer"]))
    assert main(["request", "cam1", "--reason", "align", "--url", daemon.url]) == 1
    assert "(role-required); roles: maintainer" in capsys.readouterr().err


def command(daemon: ScriptedDaemon, *words: str) -> list[str]:
    return [sys.executable, "-m", "orchestrator", *words, "--url", daemon.url]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_leaving_before_the_picture_closes_the_session(
    number: signal.Signals, daemon: ScriptedDaemon
) -> None:
    takes_the_request(daemon, REQUESTED)
    asking = subprocess.Popen(
        command(daemon, "request", "cam1", "--reason", "align"),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    daemon.wait_for("GET /cameras/cam1")
    asking.send_signal(number)
    out, err = asking.communicate(timeout=20)
    assert asking.returncode == 1
    assert daemon.bodies(POST)[1:] == [{"trigger": "close"}]
    assert (out, err) == ("", "volet: left before the picture came; cam1 is closed\n")


def test_leaving_never_closes_somebody_elses_session(daemon: ScriptedDaemon) -> None:
    takes_the_request(daemon, REQUESTED, REQUESTED, SHUT)
    asking = subprocess.Popen(
        command(daemon, "request", "cam1", "--reason", "align"),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    daemon.wait_for("GET /cameras/cam1")
    daemon.answers("GET /cameras/cam1", (200, STREAMING | {"session": "another"}))
    daemon.answers(f"GET /sessions/{SESSION}", (200, ENDED | {"end": {"trigger": "close"}}))
    asking.send_signal(signal.SIGINT)
    assert asking.wait(20) == 1
    assert daemon.count(POST) == 1


def on_a_terminal(words: list[str], *, until: Callable[[str], bool], type_in: str = "") -> tuple[int, str]:
    """Run on a pseudo-terminal until it shows that, then leave: the exit status and all that was shown."""
    ours, theirs = pty.openpty()
    environment = {name: value for name, value in os.environ.items() if name != "NO_COLOR"} | {
        "TERM": "xterm"
    }
    running = subprocess.Popen(
        words, stdin=theirs, stdout=theirs, stderr=theirs, env=environment, close_fds=True
    )
    os.close(theirs)
    shown = ""
    if type_in:
        os.write(ours, type_in.encode())
    try:
        while not until(shown):
            shown += os.read(ours, 4096).decode(errors="replace")
        running.send_signal(signal.SIGINT)
        while True:
            shown += os.read(ours, 4096).decode(errors="replace")
    except OSError:
        # EIO: the other end has closed its terminal.
        pass
    finally:
        os.close(ours)
    return running.wait(20), shown


def test_a_terminal_shows_which_checks_do_not_hold_yet_and_for_how_long(daemon: ScriptedDaemon) -> None:
    takes_the_request(daemon, REQUESTED)
    status, shown = on_a_terminal(
        command(daemon, "request", "cam1", "--reason", "align"),
        until=lambda text: re.search(r"\(for [1-9]\d*s\)", text) is not None,
    )
    assert status == 1
    assert "waiting for 1 check:" in shown
    assert "lane-no-vehicle: a vehicle stands in the lane (for 0s)" in shown


def test_a_terminal_is_asked_for_what_is_missing(daemon: ScriptedDaemon) -> None:
    missing = problem(422, "invalid-body", "This purpose needs a ticket.", pointer="/ticket")
    takes_the_request(daemon, REQUESTED)
    daemon.answers(POST, missing, (202, ASKED))
    status, shown = on_a_terminal(
        command(daemon, "request"),
        until=lambda text: "waiting for" in text,
        type_in="cam1\nnew lens\nT-7\n",
    )
    assert status == 1
    assert "reason: " in shown
    asked = {"trigger": "request", "reason": "new lens"}
    assert daemon.bodies(POST)[:2] == [asked, asked | {"ticket": "T-7"}]
