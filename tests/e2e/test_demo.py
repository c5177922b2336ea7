"""`volet demo`, as a new user runs it: a console with a moving picture, and one scripted session."""

import re
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import pytest

from tests.e2e.processes import Process, python
from tests.edges.http.webdriver import Browser, chromium

pytestmark = pytest.mark.slow

ASK = """
const form = document.querySelector('form.request');
form.querySelector('[name=reason]').value = 'align after the storm';
form.querySelector('button').click();
"""
PLAYS = (
    "document.querySelector('video').videoWidth === 320 && document.querySelector('video').currentTime > 1"
)
BLACK = "!document.querySelector('video').src && document.querySelector('.chip').textContent === 'Shut'"


@pytest.fixture
def demo(tmp_path: Path) -> Iterator[Process]:
    demo = Process("demo", python("-m", "orchestrator", "demo"), tmp_path)
    yield demo
    demo.kill(signal.SIGINT)
    assert demo.wait() == 0


async def test_the_console_shows_a_moving_picture_and_goes_black_on_closing(
    demo: Process, tmp_path: Path
) -> None:
    line = demo.wait_line(lambda line: "http://" in line)
    url = re.search(r"http://\S+", line)
    assert url is not None
    with chromium(tmp_path / "profile") as session:
        async with aiohttp.ClientSession() as http:
            browser = Browser(http, session)
            await browser.look()
            await browser.open(url[0])
            await browser.until("document.querySelector('form.request:not([hidden])')")
            await browser.run(ASK)
            await browser.until(PLAYS)
            await browser.screenshot(tmp_path / "console.png")
            await browser.run("document.querySelector('button.close').click()")
            await browser.until(BLACK)
            assert await browser.messages() == []


def test_one_scripted_session_says_every_step_and_ends_well() -> None:
    done = subprocess.run(
        python("-m", "orchestrator", "demo", "--once", "--duration", "16"),
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    walk = ["disabled.ready", "requested", "safety_checked", "streaming.live", "expiring.live"]
    walk += ["disabled.closing", "disabled.ready"]
    moves = re.findall(r" cam1 +\w+ +([a-z_.]+) +([a-z_.]+) ", done.stdout)
    assert [source for source, _ in moves] + [moves[-1][1]] == walk
    assert "Evidence in checks_passed:" in done.stdout
    assert re.search(r"Proof in closed: .*segments_wiped=True", done.stdout)
    assert "consistent: the chain is whole" in done.stdout
