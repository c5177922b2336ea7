"""Why a worker ended: its own words, of both versions, and what it did."""

from __future__ import annotations

import pytest

from orchestrator.core.worker import FailureClass
from orchestrator.edges.worker.exits import FIRST_LINES, LAST_LINES, MAX_SHOWN, Diagnostics, classify

from .running import spec

WORDS = {
    "Connection to tcp://127.0.0.1:1 failed: Connection refused": "refused",
    "[in#0 @ 0x55c] Error opening input: Connection refused": "refused",
    "[tcp @ 0x55] Failed to resolve hostname camera.invalid: Name or service not known": "unreachable",
    "http://10.0.0.9/a: Connection timed out": "unreachable",
    "http://10.0.0.9/a: No route to host": "unreachable",
    "[http @ 0x5] HTTP error 503 Service Unavailable": "unreachable",
    "[http @ 0x55a] HTTP error 404 Not Found": "not-found",
    "[rtsp @ 0x5] method DESCRIBE failed: 404 Not Found": "not-found",
    "[v4l2 @ 0x5] Cannot open video device /dev/video7: No such file or directory": "not-found",
    "[http @ 0x55] HTTP error 401 Unauthorized": "unauthorised",
    "[in#0 @ 0x55] method OPTIONS failed: 401 (Unauthorized)": "unauthorised",
    "http://a/: Server returned 403 Forbidden (access denied)": "unauthorised",
    "http://a/: Invalid data found when processing input": "not-a-picture",
    "[in#0 @ 0x55ccb] Error opening input: End of file": "not-a-picture",
    "[mjpeg @ 0x5] No JPEG data found in image": "not-a-picture",
    "[http @ 0x5] Stream ends prematurely at 0, should be 18446744073709551615": "ended",
    "something nobody has seen before": "unknown",
}


@pytest.mark.parametrize(("line", "expected"), WORDS.items())
def test_before_the_first_frame_the_words_decide_and_not_the_exit_code(line: str, expected: str) -> None:
    for code in (1, 8, 145, 183):
        found, _ = classify(
            [line, "Conversion failed!"], exit_code=code, signal=None, frames=0, stalled=False
        )
        assert found == expected


def test_words_about_the_password_weigh_more_than_what_follows_from_them() -> None:
    lines = ["[http] HTTP error 401 Unauthorized", "Error opening input: Invalid data found"]
    found, said = classify(lines, exit_code=1, signal=None, frames=0, stalled=False)
    assert (found, said) == (FailureClass.UNAUTHORISED, lines[0])


@pytest.mark.parametrize(
    ("exit_code", "signal", "stalled", "expected"),
    [
        (0, None, False, "ended"),
        (None, 9, False, "killed"),
        (None, 11, False, "killed"),
        (None, 9, True, "stalled"),
        (1, None, False, "unknown"),
    ],
)
def test_after_the_first_frame_what_it_did_decides_so_that_garbage_is_tried_again(
    exit_code: int | None, signal: int | None, stalled: bool, expected: str
) -> None:
    lines = ["[mjpeg] No JPEG data found in image"]
    found, _ = classify(lines, exit_code=exit_code, signal=signal, frames=7, stalled=stalled)
    assert found == expected


def test_a_worker_that_somebody_else_told_to_end_counts_as_killed() -> None:
    assert classify([], exit_code=255, signal=None, frames=3, stalled=False)[0] == "killed"
    forbidden = ["[out#0] Operation not permitted"]
    assert classify(forbidden, exit_code=255, signal=None, frames=3, stalled=False)[0] == "unknown"


def test_a_flood_keeps_its_first_and_last_lines_and_nothing_between_k3() -> None:
    diagnostics = Diagnostics(spec())
    for number in range(500):
        diagnostics.feed(b"line %d\n" % number * 20)
    diagnostics.feed(b"x" * 1_000_000)
    lines = diagnostics.lines()
    assert len(lines) <= FIRST_LINES + LAST_LINES + 1
    assert lines[0] == "line 0"
    assert lines[-2] == "line 499"
    assert max(map(len, lines)) <= 500


def test_what_is_shown_holds_no_address_no_credential_and_no_control_character_s19() -> None:
    diagnostics = Diagnostics(spec(source="rtsp://camera.lan/live", source_secret="operator:p@ss w:rd"))
    diagnostics.feed(b"[rtsp @ 0x5581] rtsp://operator:p%40ss%20w%3Ard@camera.lan/live: \x1b[31mno\x07\n")
    diagnostics.feed("operator / p@ss w:rd at camera.lan \u202eabc\n".encode())
    text = "\n".join(diagnostics.lines())
    for hidden in ("operator", "p@ss", "p%40ss", "camera.lan", "\x1b", "\x07", "\u202e", "0x5581"):
        assert hidden not in text
    assert "[rtsp]" in text


def test_the_line_shown_is_bounded() -> None:
    said = classify(["x" * 400], exit_code=1, signal=None, frames=0, stalled=False)[1]
    assert len(said) == MAX_SHOWN
