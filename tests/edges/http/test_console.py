"""The console in a real browser, with a real picture: it plays, and nothing of it is left after closing."""

from __future__ import annotations

import asyncio
import re
import shutil
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from orchestrator.core.policy import Role
from orchestrator.edges.worker.fragments import FragmentSplitter, Header

from .conftest import Client
from .scripted_house import SESSION, WATCH, ScriptedHouse, member
from .webdriver import Browser

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not (shutil.which("chromedriver") and shutil.which("ffmpeg")),
        reason="needs the Debian packages chromium-driver and ffmpeg",
    ),
]

PICTURE = (
    "ffmpeg", "-v", "error", "-re", "-f", "lavfi", "-i", "testsrc2=size=320x180:rate=12",
    "-c:v", "libx264", "-preset", "ultrafast", "-tune", "zerolatency", "-g", "12", "-pix_fmt", "yuv420p",
    "-f", "mp4", "-movflags", "empty_moov+default_base_moof+frag_every_frame", "pipe:1",
)  # fmt: skip
PLAYING = "document.querySelector('.showing video')?.currentTime > {}"
WIPED = """(() => {
    const [video, ...others] = document.querySelectorAll('video');
    return !others.length && !video.hasAttribute('src') && !video.srcObject && video.buffered.length === 0
        && video.videoWidth === 0 && getComputedStyle(video).visibility === 'hidden';
})()"""
LIMIT_S = 30
SHUT_TEXT = "document.querySelector('.shade-text').textContent"


class Worker:
    """A real picture that flows into the scripted watch until the next `replace` or the end of the test. It
    is cut as the product does: a player that has seen no byte for a while may ask again."""

    def __init__(self, house: ScriptedHouse) -> None:
        self._house = house
        self._process: asyncio.subprocess.Process | None = None
        self._pump: asyncio.Task[None] | None = None
        self._headed = asyncio.Event()

    async def start(self) -> None:
        self._process = await asyncio.create_subprocess_exec(*PICTURE, stdout=asyncio.subprocess.PIPE)
        reader = self._process.stdout
        assert reader is not None
        self._headed.clear()
        self._pump = asyncio.create_task(self._flow(reader))
        await asyncio.wait_for(self._headed.wait(), LIMIT_S)

    async def replace(self) -> None:
        await self.stop()
        self._house.the_watch.pieces.put_nowait(None)
        await self.start()

    async def stop(self) -> None:
        if self._process is not None and self._pump is not None:
            self._process.kill()
            await self._process.wait()
            await self._pump
            self._process = self._pump = None

    async def _flow(self, reader: asyncio.StreamReader) -> None:
        watch, splitter = self._house.the_watch, FragmentSplitter()
        while data := await reader.read(65_536):
            for part in splitter.feed(data):
                if isinstance(part, Header):
                    watch.header, watch.codecs = part.data, part.codecs
                    self._headed.set()
                else:
                    watch.pieces.put_nowait(part.data)


@pytest.fixture
async def worker(house: ScriptedHouse) -> AsyncIterator[Worker]:
    worker = Worker(house)
    yield worker
    await worker.stop()


@pytest.fixture
async def page(browser: Browser, client: Client, house: ScriptedHouse) -> Browser:
    """The console, showing one shut camera."""
    await browser.open(f"http://127.0.0.1:{client.port}/")
    await browser.until("document.querySelector('.chip')?.textContent === 'Shut'")
    return browser


def soon(seconds: float) -> str:
    return (datetime.now(UTC) + timedelta(seconds=seconds)).isoformat().replace("+00:00", "Z")


async def move(house: ScriptedHouse, trigger: str, state: str, substate: str | None, **rest: Any) -> None:
    """The camera's next state and its event."""
    house.state |= {"state": state, "substate": substate, "version": len(house.log) + 1} | rest
    data = {"fault": rest["fault"]} if rest.get("fault") else {}
    await house.happen(trigger=trigger, to=state, to_substate=substate, at=soon(0), data=data)


async def opened(house: ScriptedHouse, worker: Worker) -> None:
    await worker.start()
    rest = {"session": SESSION, "deadline": soon(600), "permitted": ["close", "extend"], "viewers": 1}
    await move(house, "first_frame", "streaming", "live", **rest)


async def shut(house: ScriptedHouse, fault: str) -> None:
    house.the_watch.flows = False
    house.the_watch.pieces.put_nowait(b"never to be seen")
    rest = {"session": None, "deadline": None, "permitted": ["request"], "viewers": 0}
    await move(house, "fault", "disabled", "closing", fault=fault, **rest)


async def watching(page: Browser, house: ScriptedHouse, worker: Worker) -> None:
    await opened(house, worker)
    await page.until("document.querySelector('.watch:not([hidden])')?.checkVisibility()")
    await page.run("document.querySelector('.watch').click()")
    await page.until(PLAYING.format(0.5))


async def test_a_person_asks_sees_the_checks_and_then_the_picture(
    page: Browser, house: ScriptedHouse, worker: Worker
) -> None:
    house.told_checks = {
        "could_open": False, "ready_in_ms": None,
        "checks": [
            {"id": "clock", "passed": True, "phase": "hold", "fault": None, "detail": "synchronised",
             "evidence": {}, "age_ms": 0, "waived": False},
            {"id": "lane-no-vehicle", "passed": False, "phase": "open", "fault": "lane-unsafe",
             "detail": "'1' stands there", "evidence": {"holding_ms": 0}, "age_ms": 1900, "waived": False},
            {"id": "lane-sensor-alive", "passed": False, "phase": "hold", "fault": None, "detail": "beats",
             "evidence": {"holding_ms": 4300, "settle_ms": 8000}, "age_ms": 400, "waived": False},
        ],
    }  # fmt: skip
    await page.run("document.querySelector('.request [name=reason]').value = '  aim the camera '")
    await page.run("document.querySelector('.request').requestSubmit()")
    await page.until("document.querySelector('.extend [name=reason]').value === 'aim the camera'")
    [(_, _, wish)] = house.wishes
    assert (wish.trigger, wish.reason, wish.duration_s) == ("request", "aim the camera", 900)
    await move(house, "request", "requested", None, session=SESSION, permitted=["close"])
    await page.until("document.querySelectorAll('.checks li').length === 3")
    marks = "return [...document.querySelectorAll('.checks .mark')].map((mark) => mark.textContent).join('')"
    assert await page.run(marks) == "✓✗…"
    evidence = await page.run("return document.querySelector('.checks').textContent")
    assert "held 4.3 s of 8.0 s" in evidence
    await opened(house, worker)
    await page.until(PLAYING.format(1))
    assert await page.run("return document.querySelector('video').videoWidth") == 320
    before = await page.run("return document.querySelector('video').currentTime")
    await page.until(PLAYING.format(before + 1))
    left = await page.run("return document.querySelector('.left-time').textContent")
    assert left == "10:00" or re.fullmatch(r"9:[0-5]\d", left), left
    assert await page.messages() == []


@pytest.mark.parametrize("roles", [("maintainer", "reviewer"), ("viewer",)])
async def test_closing_leaves_a_black_page_with_the_reason_and_no_picture_in_it(
    browser: Browser, client: Client, house: ScriptedHouse, worker: Worker, roles: tuple[Role, ...]
) -> None:
    """S11; a viewer may not read the log, and learns it from the cut."""
    house.member = member(*roles)
    await browser.open(f"http://127.0.0.1:{client.port}/")
    await watching(browser, house, worker)
    assert not await browser.run(f"return {WIPED}")
    await shut(house, "lane-unsafe")
    await browser.until(WIPED)
    await browser.until(f"{SHUT_TEXT} === 'The lane is not clear.'")
    assert house.left == []


async def test_the_picture_comes_back_when_the_worker_was_replaced(
    page: Browser, house: ScriptedHouse, worker: Worker
) -> None:
    await watching(page, house, worker)
    await page.run("document.querySelector('video').id = 'first'")
    await worker.replace()
    await page.until("!document.querySelector('#first')")
    await page.until(PLAYING.format(0.5))
    assert [method for method, _ in house.asked].count("join") == 1


async def test_a_picture_that_stands_still_is_taken_away(
    page: Browser, house: ScriptedHouse, worker: Worker
) -> None:
    await watching(page, house, worker)
    await worker.stop()
    await page.until(
        "!document.querySelector('.showing') && document.querySelector('video').videoWidth === 0"
    )


async def test_leaving_the_page_gives_the_watch_back(
    page: Browser, house: ScriptedHouse, worker: Worker
) -> None:
    await watching(page, house, worker)
    await page.open("about:blank")
    await asyncio.wait_for(house.the_watch.ended.wait(), 10)
    await asyncio.wait_for(house.given_back.wait(), 10)
    assert house.left == [WATCH]


async def test_when_the_gateway_is_out_of_reach_nothing_is_shown_as_true(
    page: Browser, house: ScriptedHouse, worker: Worker
) -> None:
    await watching(page, house, worker)
    house.member = None
    await page.until(WIPED)
    await page.until("document.querySelector('.chip').textContent === 'Not known'")
    trouble = await page.run("return document.querySelector('#trouble').textContent")
    assert trouble == "This address is no member's device."


async def test_what_the_gateway_says_is_text_and_never_markup(
    browser: Browser, client: Client, house: ScriptedHouse
) -> None:
    evil = "<img src=x onerror=alert(1)>"
    house.state |= {"lane": evil, "worker": {"state": evil}, "session": evil, "fault": evil}
    house.member = member("maintainer")
    house.told_checks = {
        "could_open": False, "ready_in_ms": None,
        "checks": [{"id": evil, "passed": False, "detail": evil, "evidence": {evil: evil}, "fault": evil}],
    }  # fmt: skip
    await house.happen(trigger=evil, at=soon(0), data={"fault": evil})
    await browser.open(f"http://127.0.0.1:{client.port}/")
    await browser.until("document.querySelectorAll('#events li').length === 1")
    await browser.run("document.querySelector('.why').open = true")
    await browser.until("document.querySelectorAll('.checks li').length === 1")
    assert await browser.run("return document.querySelectorAll('main img, #log img').length") == 0
    assert (await browser.run("return document.body.innerText")).count("onerror") >= 6
    assert await browser.messages() == []


@pytest.mark.parametrize("dark", [False, True])
async def test_it_fits_a_small_phone_in_every_state(
    page: Browser, house: ScriptedHouse, worker: Worker, dark: bool
) -> None:
    await page.look(dark=dark, width=360, height=740)
    fits = "document.documentElement.scrollWidth <= 360"
    assert await page.run(f"return {fits}")
    await watching(page, house, worker)
    await move(house, "expiry_notice", "expiring", "live", deadline=soon(40))
    await page.until("document.querySelector('.chip').textContent === 'Ends soon'")
    assert await page.run(f"return {fits} && !document.querySelector('.extend').hidden")
    await shut(house, "vpn-down")
    await page.until(WIPED)
    assert await page.run(f"return {fits}")
