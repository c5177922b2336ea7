"""`volet verify`, `export` and `replay` on real databases, without a daemon."""

import csv
import io
import json
import os
import sqlite3
from html.parser import HTMLParser
from pathlib import Path

import pytest

from orchestrator.cli import main
from tests.cli.written_log import (
    CLOSED,
    FIRST,
    LIVE,
    PASSED,
    REQUEST,
    SESSION,
    STARTED,
    WHOLE,
    step,
    write,
)


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return write(tmp_path, WHOLE)


def change(log: Path, seq: int, old: str, new: str) -> None:
    """Change an event as the file's owner could: the triggers that refuse it are dropped and put back."""
    with sqlite3.connect(log) as connection:
        triggers = connection.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'").fetchall()
        for name, _ in triggers:
            connection.execute(f"DROP TRIGGER {name}")
        statement = "UPDATE events SET canonical = CAST(replace(canonical, ?, ?) AS BLOB) WHERE seq = ?"
        connection.execute(statement, (old, new, seq))
        for _, sql in triggers:
            connection.execute(sql)
    connection.close()


def test_a_whole_log_is_consistent(log: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", "--log", f"sqlite:///{log}"]) == 0
    told = capsys.readouterr().out
    assert told.startswith("consistent: ")
    assert "last event: 6 of 2026-11-22T10:00:05.000000Z" in told
    assert "it leaves 6 events uncovered" in told


def test_one_changed_byte_breaks_the_log_and_is_named(log: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """S12, F12."""
    change(log, 2, "requested", "streaming")
    assert main(["verify", "--log", str(log)]) == 1
    told = capsys.readouterr().out
    assert told.startswith("broken: ")
    assert "event 2: " in told
    assert main(["verify", "--log", str(log), "--json"]) == 1
    verdict = json.loads(capsys.readouterr().out)
    assert (verdict["word"], verdict["first_bad_seq"], verdict["last_seq"]) == ("broken", 2, 1)


@pytest.mark.parametrize("option", ["--public-key", "--checkpoint"])
def test_checkpoints_are_not_built_yet(option: str, log: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", "--log", str(log), option, "file"]) == 2
    assert "not built yet" in capsys.readouterr().err


@pytest.mark.parametrize("verb", ["verify", "export", "replay"])
def test_a_log_that_is_not_there_is_one_line_and_exit_status_1(
    verb: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([verb, "--log", str(tmp_path / "none.db")]) == 1
    told = capsys.readouterr()
    assert told.out == ""
    assert f"there is no log at {tmp_path / 'none.db'}" in told.err
    assert told.err.count("\n") == 1


@pytest.mark.parametrize("verb", ["verify", "export", "replay"])
def test_a_file_that_is_no_log_is_one_line_and_exit_status_1(
    verb: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "notes.txt").write_text("not a database, but long enough to look at\n" * 50)
    assert main([verb, "--log", str(tmp_path / "notes.txt")]) == 1
    assert capsys.readouterr().err.count("\n") == 1


def test_jsonl_holds_every_event_with_its_hash(log: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", "--log", str(log), "--format", "jsonl"]) == 0
    events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [event["seq"] for event in events] == [1, 2, 3, 4, 5, 6]
    assert [event["prev"] for event in events[1:]] == [event["hash"] for event in events[:-1]]


def test_csv_holds_every_event_under_one_header(log: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", "--log", str(log), "--format", "csv"]) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [row["trigger"] or row["name"] for row in rows] == [event.name for event in WHOLE]
    assert (rows[4]["to"], rows[4]["to_substate"], rows[4]["actor_kind"]) == ("disabled", "closing", "check")
    assert json.loads(rows[4]["data"]) == {"fault": "lane-unsafe"}


def test_a_copied_database_is_the_same_log(log: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy.db"
    assert main(["export", "--log", str(log), "--database", str(copy)]) == 0
    assert main(["verify", "--log", str(copy)]) == 0


def test_a_copy_overwrites_nothing(log: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "copy.db").write_text("mine")
    assert main(["export", "--log", str(log), "--database", str(tmp_path / "copy.db")]) == 1
    assert (tmp_path / "copy.db").read_text() == "mine"
    assert "is there already" in capsys.readouterr().err


def test_replay_shows_the_timeline_and_the_state_it_leads_to(
    log: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["replay", "--log", str(log)]) == 0
    timeline, states = capsys.readouterr().out.split("\n\n")
    rows = [line.split() for line in timeline.splitlines()]
    assert [row[0] for row in rows] == ["SEQ", "1", "2", "3", "4", "5", "6"]
    assert rows[5][2:] == [
        "cam1",
        "fault",
        "streaming.live",
        "disabled.closing",
        "check:checks",
        "lane-unsafe",
    ]
    assert states.splitlines()[1].split() == ["cam1", "disabled.ready", "-", "-", "lane-unsafe", "-"]


@pytest.mark.parametrize("until", ["4", "2026-11-22T10:00:03.5Z"])
def test_replay_stops_at_a_point_and_says_the_state_there(
    until: str, log: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["replay", "--log", str(log), "--until", until, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert [event["seq"] for event in told["timeline"]] == [1, 2, 3, 4]
    assert told["divergences"] == []
    assert told["cameras"] == [
        {
            "camera": "cam1",
            "state": "streaming",
            "substate": "live",
            "session": SESSION,
            "deadline": "2026-11-22T10:15:00.000000Z",
            "fault": None,
            "locks": [],
            "version": 4,
        }
    ]


def test_replay_of_a_session_shows_it_alone(log: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["replay", "--log", str(log), "--session", SESSION, "--json"]) == 0
    assert [event["seq"] for event in json.loads(capsys.readouterr().out)["timeline"]] == [2, 3, 4, 5, 6]


DIVERGENT = {
    "recorded from disabled.ready, but everything before it leads to requested": (STARTED, REQUEST, REQUEST),
    "does not permit first_frame from requested": (REQUEST, step("first_frame", PASSED.source or LIVE, LIVE)),
    "has no trigger force_open": (step("force_open", REQUEST.source or LIVE, LIVE),),
    "its data cannot be folded": (REQUEST, PASSED, step("first_frame", PASSED.target or LIVE, LIVE)),
}


@pytest.mark.parametrize("why", DIVERGENT)
def test_a_log_that_the_statechart_does_not_permit_diverges(
    why: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """S12."""
    log = write(tmp_path, DIVERGENT[why])
    assert main(["verify", "--log", str(log)]) == 0
    capsys.readouterr()
    assert main(["replay", "--log", str(log)]) == 1
    told = capsys.readouterr().err
    assert why in told
    assert told.startswith(f"volet: event {len(DIVERGENT[why])}, cam1: ")


def test_a_statechart_that_this_version_does_not_have_proves_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = write(tmp_path, (REQUEST,), chart="sha256:" + "f" * 64)
    assert main(["replay", "--log", str(log)]) == 1
    assert "not among this version's" in capsys.readouterr().err


class Page(HTMLParser):
    """The tags and the text of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.references: list[str] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.references += [name for name, _ in attrs if name in {"src", "href"} or name.startswith("on")]

    def handle_data(self, data: str) -> None:
        self.text += data


def test_the_page_needs_nothing_else_and_shows_the_evidence_of_openings(log: Path, tmp_path: Path) -> None:
    file = tmp_path / "replay.html"
    assert main(["replay", "--log", str(log), "--html", str(file)]) == 0
    written = file.read_text(encoding="utf-8")
    page = Page(written)
    assert not {"script", "link", "img", "iframe", "b"} & set(page.tags)
    assert page.references == []
    assert "color-scheme: light dark" in written
    assert page.tags.count("details") == 2
    assert page.text.count("equals <b>0</b>") == 2
    assert "Every recorded transition is one that the statechart permits." in page.text


def test_the_page_of_a_divergent_log_says_so(tmp_path: Path) -> None:
    log, file = write(tmp_path, (REQUEST, PASSED, FIRST, CLOSED)), tmp_path / "replay.html"
    assert main(["replay", "--log", str(log), "--html", str(file)]) == 1
    assert "The log diverges" in Page(file.read_text(encoding="utf-8")).text


def test_a_page_that_cannot_be_written_is_one_line(
    log: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["replay", "--log", str(log), "--html", str(tmp_path / "none" / "replay.html")]) == 1
    assert capsys.readouterr().err.count("\n") == 1


def test_nothing_is_left_beside_a_log_that_was_read(tmp_path: Path) -> None:
    log = write(tmp_path, (*WHOLE[:5], CLOSED))
    before = {name: (tmp_path / name).read_bytes() for name in os.listdir(tmp_path)}
    for words in (["verify"], ["replay"], ["export", "--format", "csv"]):
        assert main([*words, "--log", str(log)]) == 0
    assert {name: (tmp_path / name).read_bytes() for name in os.listdir(tmp_path)} == before


def test_a_changed_event_stops_replay_and_export_with_one_line(
    log: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    change(log, 5, "lane-unsafe", "safe")
    assert main(["replay", "--log", str(log)]) == 1
    assert capsys.readouterr().err.startswith("volet: the log is broken: event 5: ")
    assert main(["export", "--log", str(log)]) == 1
    assert capsys.readouterr().err.startswith("volet: the log is broken: event 5: ")
