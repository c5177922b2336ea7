"""`volet watch`: joins, prints the addresses for a player, and leaves."""

import signal
import subprocess
import sys
from typing import Any

import pytest

from orchestrator.cli import main
from tests.cli.scripted_daemon import SHUT, STREAMING, ScriptedDaemon, problem

pytestmark = pytest.mark.slow

JOINED: dict[str, Any] = {
    "watch": "w1",
    "mp4": "/live/w1/stream.mp4",
    "hls": "/live/w1/index.m3u8",
    "codecs": "avc1.42c01e",
}


def test_watch_prints_both_addresses_and_leaves_when_the_picture_ends(
    daemon: ScriptedDaemon, capsys: pytest.CaptureFixture[str]
) -> None:
    daemon.answers("POST /cameras/cam1/watches", (201, JOINED))
    daemon.answers("GET /cameras/cam1", (200, STREAMING | {"state": "expiring"}), (200, SHUT))
    daemon.answers("DELETE /watches/w1", problem(404, "unknown-watch", "There is no such watch."))
    assert main(["watch", "cam1", "--url", daemon.url]) == 0
    told = capsys.readouterr().out
    assert f"  mp4  {daemon.url}/live/w1/stream.mp4\n" in told
    assert f"  hls  {daemon.url}/live/w1/index.m3u8\n" in told
    assert "ffplay" in told
    assert "the session ends 2099-01-01T10:15:00Z" in told
    assert "the picture has ended: cam1 is disabled.ready" in told
    assert not any(path.startswith("/live") for _, path, _ in daemon.asked)


def test_watch_offers_only_what_the_camera_puts_out(
    daemon: ScriptedDaemon, capsys: pytest.CaptureFixture[str]
) -> None:
    daemon.answers("POST /cameras/cam1/watches", (201, JOINED | {"mp4": None}))
    daemon.answers("GET /cameras/cam1", (200, SHUT))
    daemon.answers("DELETE /watches/w1", (204, ""))
    assert main(["watch", "cam1", "--url", daemon.url]) == 0
    told = capsys.readouterr().out
    assert "mp4" not in told
    assert "ffplay" not in told
    assert "vlc" in told


@pytest.mark.parametrize(
    ("left", "word"),
    [((204, ""), "left"), (problem(404, "unknown-watch", "No."), "nobody read it for 10 s")],
)
def test_ctrl_c_leaves_the_watch_and_is_a_success(
    left: tuple[int, Any], word: str, daemon: ScriptedDaemon
) -> None:
    daemon.answers("POST /cameras/cam1/watches", (201, JOINED))
    daemon.answers("GET /cameras/cam1", (200, STREAMING))
    daemon.answers("DELETE /watches/w1", left)
    watching = subprocess.Popen(
        [sys.executable, "-m", "orchestrator", "watch", "cam1", "--url", daemon.url],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    daemon.wait_for("GET /cameras/cam1")
    watching.send_signal(signal.SIGINT)
    out, err = watching.communicate(timeout=20)
    assert (watching.returncode, err) == (0, "")
    assert word in out.splitlines()[-1]
    assert daemon.count("DELETE /watches/w1") == 1


@pytest.mark.parametrize(
    ("refusal", "word"),
    [
        (problem(404, "shut", "The camera is shut."), "The camera is shut (shut)"),
        (problem(503, "no-frame-yet", "No frame yet.", retry=1), "(no-frame-yet); try again in 1 s"),
        (problem(403, "vpn-only", "Only over the VPN."), "--url http://100.x.y.z:8080"),
    ],
)
def test_a_watch_that_is_refused_exits_1(
    refusal: tuple[int, Any], word: str, daemon: ScriptedDaemon, capsys: pytest.CaptureFixture[str]
) -> None:
    daemon.answers("POST /cameras/cam1/watches", refusal)
    assert main(["watch", "cam1"]) == 1
    assert word in capsys.readouterr().err
