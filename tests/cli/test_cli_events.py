"""`volet events`: pages of the log, then what comes."""

import json
import signal
import subprocess
import sys

import pytest

from orchestrator.cli import main
from tests.cli.scripted_daemon import SESSION, ScriptedDaemon, event, problem

pytestmark = pytest.mark.slow


def page(*events: dict[str, object], more: int | None = None) -> tuple[int, dict[str, object]]:
    return 200, {"items": list(events), "next": more}


def test_events_are_listed_newest_last_over_every_page(
    daemon: ScriptedDaemon, capsys: pytest.CaptureFixture[str]
) -> None:
    fault = event(3, trigger="fault", to="disabled", to_substate="closing", data={"fault": "lane-unsafe"})
    daemon.answers("GET /events", page(event(1), event(2), more=2), page(fault))
    assert main(["events", "--url", daemon.url, "--camera", "cam1", "--session", SESSION]) == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert [row[0] for row in rows] == ["SEQ", "1", "2", "3"]
    assert rows[1][2:] == ["cam1", "request", "disabled.ready", "requested", "member:m-5f0c", "-"]
    assert rows[3][-1] == "lane-unsafe"
    asked = daemon.bodies("GET /events")
    assert [body["after"] for body in asked] == ["0", "2"]
    assert all((body["camera"], body["session"]) == ("cam1", SESSION) for body in asked)


def test_since_leaves_out_what_is_older(daemon: ScriptedDaemon, capsys: pytest.CaptureFixture[str]) -> None:
    daemon.answers("GET /events", page(event(1), event(2), event(3)))
    assert main(["events", "--url", daemon.url, "--since", "2026-11-22T11:00:02+01:00", "--json"]) == 0
    assert [json.loads(line)["seq"] for line in capsys.readouterr().out.splitlines()] == [2, 3]


def test_since_takes_a_duration_ago(daemon: ScriptedDaemon, capsys: pytest.CaptureFixture[str]) -> None:
    daemon.answers(
        "GET /events", page(event(1, at="2001-01-01T00:00:00Z"), event(2, at="2099-01-01T00:00:00Z"))
    )
    assert main(["events", "--url", daemon.url, "--since", "15m", "--json"]) == 0
    assert [json.loads(line)["seq"] for line in capsys.readouterr().out.splitlines()] == [2]


def test_nothing_to_read_is_said(daemon: ScriptedDaemon, capsys: pytest.CaptureFixture[str]) -> None:
    daemon.answers("GET /events", page())
    assert main(["events", "--url", daemon.url]) == 0
    assert capsys.readouterr().out == "no such event that you may read\n"
    assert main(["events", "--url", daemon.url, "--json"]) == 0
    assert capsys.readouterr().out == ""


def test_the_socket_shows_no_log_and_says_where_it_is_shown(
    daemon: ScriptedDaemon, capsys: pytest.CaptureFixture[str]
) -> None:
    """S19, CONTRACT 5."""
    daemon.answers("GET /events", problem(403, "vpn-only", "The log is read over the VPN."))
    assert main(["events"]) == 1
    assert "(vpn-only); give the address on the VPN with --url" in capsys.readouterr().err


def test_following_goes_on_where_the_stream_broke_and_ends_well_on_ctrl_c(daemon: ScriptedDaemon) -> None:
    def sse(seq: int, **members: object) -> bytes:
        return f": beat\n\nid: {seq}\ndata: {json.dumps(event(seq, **members))}\n\n".encode()

    daemon.answers("GET /events", page(event(1)))
    second = sse(2)
    daemon.streams(second[:50], second[50:], sse(3, camera="cam2"))
    daemon.streams(sse(4))
    following = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "orchestrator",
            "events",
            "--follow",
            "--camera",
            "cam1",
            "--json",
            "--url",
            daemon.url,
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert following.stdout is not None
    seen = [json.loads(following.stdout.readline())["seq"] for _ in range(3)]
    following.send_signal(signal.SIGINT)
    assert following.wait(20) == 0
    following.stdout.close()
    assert seen == [1, 2, 4]
    assert [body["after"] for body in daemon.bodies("GET /events/stream")][:2] == ["1", "3"]


def test_a_reader_that_leaves_gets_no_traceback(daemon: ScriptedDaemon) -> None:
    daemon.answers(
        "GET /events", page(*(event(seq % 60, data={"fault": "x" * 400}) for seq in range(1, 900)))
    )
    listing = subprocess.Popen(
        [sys.executable, "-m", "orchestrator", "events", "--url", daemon.url],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert listing.stdout is not None
    listing.stdout.readline()
    listing.stdout.close()
    assert listing.stderr is not None
    assert listing.stderr.read() == ""
    assert listing.wait(20) == 1
