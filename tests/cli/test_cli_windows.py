"""`volet windows`: what is typed, what the daemon is asked, what a person is told (CONTRACT 2)."""

import json
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from orchestrator.cli import main
from orchestrator.cli.outcome import Failure
from orchestrator.cli.when import when
from orchestrator.core.moment import parse_rfc3339, rfc3339
from tests.cli.scripted_daemon import ScriptedDaemon, problem

ID = "01930000-0000-7000-8000-000000000002"
COMING = "20261124T080000Z-5f0c1a2b3c4d"
PARIS = ZoneInfo("Europe/Paris")
WINDOW: dict[str, Any] = {
    "id": ID,
    "name": "storm",
    "cameras": ["cam1", "cam2"],
    "start": "2026-11-22T13:00:00.000000Z",
    "end": "2026-11-22T15:00:00.000000Z",
    "reason": "aim",
    "ticket": None,
    "state": "approved",
    "recurring": False,
    "proposed_by": "m-5f0c",
    "approved_by": ["m-5f0c"],
    "skipped": None,
}
ADD = ["windows", "add", "cam1", "cam2", "--start", "2026-11-22 14:00", "--for", "2h", "--reason", "aim"]


@pytest.fixture(autouse=True)
def _zone(daemon: ScriptedDaemon) -> None:
    daemon.answers("GET /me", (200, {"timezone": "Europe/Paris"}))


def test_a_local_time_is_meant_in_the_sites_zone_and_the_answer_says_so(
    daemon: ScriptedDaemon, capsys: pytest.CaptureFixture[str]
) -> None:
    daemon.answers("POST /windows", (201, WINDOW))
    assert main([*ADD, "--ticket", "T-7", "--name", "storm", "--url", daemon.url]) == 0
    assert daemon.bodies("POST /windows") == [
        {
            "cameras": ["cam1", "cam2"],
            "start": "2026-11-22T13:00:00.000000Z",
            "end": "2026-11-22T15:00:00.000000Z",
            "reason": "aim",
            "ticket": "T-7",
            "name": "storm",
        }
    ]
    assert capsys.readouterr().out == (
        f"{ID} is approved: cam1, cam2, 2026-11-22 14:00 CET to 2026-11-22 16:00 CET (Europe/Paris)\n"
    )


@pytest.mark.parametrize("words", [ADD, ["windows", "approve", ID], ["windows", "cancel", ID]])
def test_changing_a_window_works_over_the_vpn_only_and_says_so(
    words: list[str], daemon: ScriptedDaemon, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words) == 2
    told = capsys.readouterr()
    assert (told.out, "over the VPN only" in told.err, told.err.count("\n")) == ("", True, 1)


@pytest.mark.parametrize(
    "wrong",
    [
        ["--start", "tomorrow"],
        ["--start", "2026-13-22 14:00"],
        ["--start", "+soon"],
        ["--start", "14:00"],
        ["--for", "long"],
    ],
)
def test_what_is_no_time_is_refused_before_the_daemon_is_asked(
    wrong: list[str], daemon: ScriptedDaemon, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*ADD, *wrong, "--url", daemon.url]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert daemon.asked == []


def test_a_local_time_that_the_clocks_never_show_is_refused(
    daemon: ScriptedDaemon, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*ADD, "--start", "2027-03-28 02:30", "--url", daemon.url]) == 2
    assert "there is no 2027-03-28 02:30 in Europe/Paris" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("now", "2026-11-22T10:00:00Z"),
        ("+30m", "2026-11-22T10:30:00Z"),
        ("2026-11-22T14:00:00+01:00", "2026-11-22T13:00:00Z"),
        ("2026-11-22T14:00", "2026-11-22T13:00:00Z"),
        ("2026-07-01 14:00:30", "2026-07-01T12:00:30Z"),
        ("2026-10-25 02:30", "2026-10-25T00:30:00Z"),
    ],
)
def test_times_are_typed_in_several_ways_and_a_repeated_hour_is_its_first_coming(
    typed: str, meant: str
) -> None:
    now_us = int(datetime(2026, 11, 22, 10, tzinfo=UTC).timestamp()) * 1_000_000
    assert rfc3339(when(typed).resolved(PARIS, now_us)) == rfc3339(parse_rfc3339(meant))


def test_a_time_in_a_gap_is_a_failure() -> None:
    with pytest.raises(Failure, match="go forward"):
        when("2027-03-28 02:30").resolved(PARIS, 0)


def test_shorten_approve_and_cancel_say_what_the_window_is_now(
    daemon: ScriptedDaemon, capsys: pytest.CaptureFixture[str]
) -> None:
    daemon.answers(f"PATCH /windows/{ID}", (200, WINDOW | {"end": "2026-11-22T14:30:00.000000Z"}))
    daemon.answers(f"POST /windows/{ID}/approve", (200, WINDOW))
    daemon.answers(f"DELETE /windows/{ID}", (202, WINDOW | {"state": "cancelled", "pending": True}))
    assert main(["windows", "shorten", ID, "--end", "2026-11-22 15:30", "--url", daemon.url]) == 0
    assert daemon.bodies(f"PATCH /windows/{ID}") == [{"end": "2026-11-22T14:30:00.000000Z"}]
    assert main(["windows", "approve", ID, "--url", daemon.url]) == 0
    assert main(["windows", "cancel", ID, "--url", daemon.url]) == 0
    first, second, third = capsys.readouterr().out.splitlines()
    assert "to 2026-11-22 15:30 CET" in first
    assert second.startswith(f"{ID} is approved")
    assert third.startswith(f"{ID} is cancelled")
    assert third.endswith("the log has not taken it yet")


def test_a_refusal_is_one_line(daemon: ScriptedDaemon, capsys: pytest.CaptureFixture[str]) -> None:
    daemon.answers("DELETE /windows/w-9", problem(404, "unknown-window", "There is no window w-9 for you."))
    assert main(["windows", "cancel", "w-9", "--url", daemon.url]) == 1
    assert capsys.readouterr().err == "volet: There is no window w-9 for you (unknown-window)\n"


def test_the_list_reads_every_page(daemon: ScriptedDaemon, capsys: pytest.CaptureFixture[str]) -> None:
    coming = WINDOW | {
        "id": COMING,
        "name": "weekly",
        "cameras": ["cam1"],
        "state": "skipped",
        "recurring": True,
        "skipped": "missing-hour",
    }
    daemon.answers(
        "GET /windows",
        (200, {"items": [WINDOW], "next": f"1795341600000000.{ID}"}),
        (200, {"items": [coming], "next": None}),
    )
    assert main(["windows", "list", "--url", daemon.url]) == 0
    header, first, second = capsys.readouterr().out.splitlines()
    assert header.split() == ["ID", "STATE", "CAMERAS", "START", "END", "WHAT"]
    assert first.split()[:2] == [ID, "approved"]
    assert "skipped (missing-hour)" in second
    assert [body.get("after") for body in daemon.bodies("GET /windows")] == [None, f"1795341600000000.{ID}"]


def test_next_shows_what_will_really_happen(
    daemon: ScriptedDaemon, capsys: pytest.CaptureFixture[str]
) -> None:
    items = [
        {"cameras": ["cam1"], "start": WINDOW["start"], "end": WINDOW["end"], "state": "approved",
         "windows": ["weekly", ID], "skipped": None},
        {"cameras": ["cam1"], "start": "2027-03-28T01:30:00.000000Z", "end": "2027-03-28T01:30:00.000000Z",
         "state": "skipped", "windows": ["nightly"], "skipped": "missing-hour"},
    ]  # fmt: skip
    daemon.answers("GET /windows", (200, {"items": items, "next": None}))
    assert main(["windows", "list", "--next", "2", "--url", daemon.url]) == 0
    assert daemon.bodies("GET /windows") == [{"next": "2"}]
    _, first, second = capsys.readouterr().out.splitlines()
    assert first.split()[:7] == ["2026-11-22", "14:00", "CET", "2026-11-22", "16:00", "CET", "cam1"]
    assert "  opens  " in first
    assert "does not open: skipped (missing-hour)" in second
    assert main(["windows", "list", "--next", "2", "--json", "--url", daemon.url]) == 0
    assert json.loads(capsys.readouterr().out) == {"items": items, "next": None}


def test_a_list_on_the_local_socket_is_told_where_to_ask(
    daemon: ScriptedDaemon, capsys: pytest.CaptureFixture[str]
) -> None:
    daemon.answers("GET /windows", problem(403, "vpn-only", "The local socket shows states and closes."))
    assert main(["windows", "list"]) == 1
    assert "--url" in capsys.readouterr().err


@pytest.mark.parametrize("words", [[], ["open"], ["add"], ["shorten", ID], ["list", "--next", "many"]])
def test_words_that_are_not_right_are_exit_2(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["windows", *words]) == 2
    assert capsys.readouterr().err.count("\n") == 1
