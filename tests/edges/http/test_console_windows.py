"""The console's maintenance windows in a real browser: what is told, offered to whom, and asked for."""

from __future__ import annotations

import asyncio
import shutil
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from orchestrator.core.moment import parse_rfc3339, rfc3339
from orchestrator.core.refusal import Refusal
from orchestrator.edges.http.ports import WindowWish

from .conftest import Client
from .scripted_house import WINDOW, ScriptedHouse, member
from .webdriver import Browser

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not shutil.which("chromedriver"), reason="needs the Debian package chromium-driver"),
]

HOUR = timedelta(hours=1)
NEXT_YEAR = datetime.now(UTC).year + 1
NARROW = ["shorten", "cancel"]
ALL = ["approve", *NARROW]
BUTTONS = "[...document.querySelectorAll('#windows button')].filter((button) => button.checkVisibility())"
OFFERED = f"return {BUTTONS}.map((button) => button.textContent)"
SAID = "document.querySelector('#windows-say').textContent"
PROBLEM = "document.querySelector('#windows .problem:not([hidden])')?.textContent"
CLICK = f"{BUTTONS}.find((button) => button.textContent === arguments[0]).click()"
FITS = "return document.documentElement.scrollWidth <= 320"


def window(
    permitted: list[str], *, state: str = "approved", begun: bool = True, **more: Any
) -> dict[str, Any]:
    start = datetime.now(UTC) + (-HOUR if begun else HOUR)
    return {
        "id": WINDOW, "name": None, "cameras": ["cam1"], "start": start.isoformat(),
        "end": (start + 3 * HOUR).isoformat(), "reason": "aim after the storm", "ticket": "T-7",
        "state": state, "recurring": False, "proposed_by": "m-5f0c", "approved_by": [], "skipped": None,
        "permitted": permitted,
    } | more  # fmt: skip


def stretch(of: dict[str, Any]) -> dict[str, Any]:
    names = [of["name"] if of["recurring"] else of["id"]]
    return {key: of[key] for key in ("cameras", "start", "end", "state", "skipped")} | {"windows": names}


def stand(house: ScriptedHouse, *windows: dict[str, Any]) -> None:
    """These windows stand, none of them touching another. The page may ask for them at any time: what a
    click brings about is put in `house.upon`."""
    house.listed, house.coming = list(windows), [stretch(one) for one in windows]


async def opened(browser: Browser, client: Client) -> None:
    await browser.open(f"http://127.0.0.1:{client.port}/")
    await browser.until("document.querySelector('#windows')?.checkVisibility()")
    await browser.until("document.querySelector('.chip')?.textContent === 'Shut'")


async def heard_of_a_window(house: ScriptedHouse) -> None:
    await house.happen(type="observation", camera=None, name="window_added", at=rfc3339(0), data={})


async def click(browser: Browser, text: str) -> None:
    await browser.run(CLICK, text)


async def fill(browser: Browser, **fields: str) -> None:
    await browser.run("document.querySelector('#add-window').open = true")
    for name, value in fields.items():
        await browser.run(
            "const field = document.querySelector('#window-form').elements[arguments[0]];"
            "field.value = arguments[1]; field.dispatchEvent(new Event('change'))",
            name, value,
        )  # fmt: skip
    await browser.run("document.querySelector('#window-form').requestSubmit()")


async def test_it_tells_what_will_really_happen_in_the_sites_zone_and_what_will_not(
    browser: Browser, client: Client, house: ScriptedHouse
) -> None:
    """CONTRACT 3: the hour that is missing; a night over which the clocks change."""
    spring = f"{NEXT_YEAR}-07-01T22:30:00Z"
    weekly: dict[str, Any] = {
        "recurring": True,
        "name": "weekly",
        "proposed_by": None,
        "reason": None,
        "ticket": None,
    }
    stand(
        house,
        window([]),
        window([], state="proposed", start=spring, end=f"{NEXT_YEAR}-07-01T23:30:00Z"),
        window([], id="skipped", state="skipped", skipped="missing-hour", start=spring, end=spring, **weekly),
        window(
            [], id="cancelled", state="cancelled", start=spring, end=f"{NEXT_YEAR}-12-24T10:00:00Z", **weekly
        ),
    )
    await opened(browser, client)
    text = await browser.run("return document.querySelector('#windows').innerText")
    assert "Europe/Paris" in text
    heads = await browser.run(
        "return [...document.querySelectorAll('.stretch')].map((one) => one.innerText.replace(/\\s+/g, ' '))"
    )
    now, proposed, skipped, cancelled = heads
    assert now.startswith("In force now")
    assert "cam1" in now
    assert "aim after the storm ticket T-7" in now.replace(" · ", " ")
    assert "proposed by you" in now
    assert f"Jul {NEXT_YEAR}, 00:30 – 01:30" in proposed
    assert "until an approver approves it" in proposed
    assert skipped.startswith("Skipped")
    assert "the clocks skip this hour" in skipped
    assert "weekly" in skipped
    assert "00:30 GMT+2 – " in cancelled
    assert "11:00 GMT+1 " in cancelled
    assert await browser.run(OFFERED) == []
    assert await browser.messages() == []


async def test_a_viewer_sees_the_windows_and_is_offered_nothing(
    browser: Browser, client: Client, house: ScriptedHouse
) -> None:
    house.member = member("viewer")
    stand(house, window([], reason=None, ticket=None))
    await opened(browser, client)
    await browser.until("document.querySelector('.window .title')?.textContent === 'One-off window'")
    assert await browser.run(OFFERED) == []
    assert not await browser.run("return document.querySelector('#window-form').checkVisibility()")
    assert await browser.run("return document.querySelector('#add-window').hidden")


async def test_a_maintainer_proposes_from_now_on(
    browser: Browser, client: Client, house: ScriptedHouse
) -> None:
    house.added = {"id": WINDOW, "state": "proposed"}
    house.upon["add_window"] = lambda: stand(house, window(NARROW, state="proposed"))
    await opened(browser, client)
    before = datetime.now(UTC)
    await fill(browser, reason="  aim after the storm ", lasts="120")
    assert (await browser.until(SAID)).startswith("Proposed")
    [(_, wish)] = house.window_calls
    assert (wish.cameras, wish.reason, wish.ticket) == (("cam1",), "aim after the storm", None)
    assert wish.end_us - wish.start_us > 119 * 60_000_000
    assert abs(wish.start_us - before.timestamp() * 1e6) < 60_000_000
    await browser.until("document.querySelector('.stretch .chip')?.textContent === 'Proposed'")
    assert await browser.run(OFFERED) == ["End earlier", "Cancel", "Add the window"]
    assert await browser.run("return document.querySelector('#window-form').elements.reason.value") == ""


async def test_a_local_time_is_the_sites_and_one_that_the_clocks_skip_is_refused_in_words(
    browser: Browser, client: Client, house: ScriptedHouse
) -> None:
    house.member = member("approver")
    house.added = {"id": WINDOW, "state": "approved"}
    await opened(browser, client)
    await browser.devtools("Emulation.setTimezoneOverride", timezoneId="America/New_York")
    await fill(browser, when="at", start="2026-03-29T02:30", reason="aim", ticket="T-7")
    assert "skip that time" in await browser.until(PROBLEM)
    assert await browser.run("return document.activeElement.name") == "start"
    assert house.window_calls == []
    await fill(browser, start="2026-10-25T02:30")
    assert (await browser.until(SAID)).startswith("Added")
    start_us = parse_rfc3339("2026-10-25T00:30:00Z")
    wish = WindowWish(("cam1",), start_us, start_us + 3_600_000_000, "aim", "T-7", None)
    assert house.window_calls == [("add", wish)]
    await browser.devtools("Emulation.setTimezoneOverride", timezoneId="")


@pytest.mark.parametrize(
    ("pointer", "detail", "words", "focus"),
    [
        ("/ticket", "the site needs a ticket that matches T-.+",
         "The site needs a ticket that matches T-.+.", "ticket"),
        ("/end", "the end must come after 2026-11-22T10:00:00.000000Z",
         "The end must come after Sun 22 Nov 2026, 11:00.", "lasts"),
    ],
)  # fmt: skip
async def test_a_refusal_stands_in_words_beside_what_caused_it(
    browser: Browser, client: Client, house: ScriptedHouse, pointer: str, detail: str, words: str, focus: str
) -> None:
    members = {"pointer": pointer}
    house.refusals["add_window"] = Refusal("invalid-body", f"{pointer}: {detail}", members=members)
    await opened(browser, client)
    await fill(browser, reason="aim")
    assert await browser.until(PROBLEM) == words
    assert await browser.run("return document.activeElement.name") == focus
    assert await browser.run("return document.activeElement.ariaInvalid") == "true"
    assert await browser.run("return document.querySelector('#window-form').elements.reason.value") == "aim"


async def test_an_approver_approves_and_the_focus_stays_in_the_section(
    browser: Browser, client: Client, house: ScriptedHouse
) -> None:
    house.member = member("approver")
    stand(house, window(ALL, state="proposed"))
    await opened(browser, client)
    await browser.until("document.querySelector('.window .approve')?.checkVisibility()")
    await browser.run("document.querySelector('.window .approve').focus()")
    house.upon["approve_window"] = lambda: stand(house, window(NARROW, approved_by=["m-5f0c"]))
    await click(browser, "Approve")
    await browser.until("document.querySelector('.stretch .chip').textContent === 'In force now'")
    assert house.window_calls == [("approve", WINDOW)]
    assert "approved by you" in await browser.run("return document.querySelector('.about').textContent")
    await browser.until("document.activeElement.id === 'windows-title'")


async def test_a_window_is_shortened_or_ended_now(
    browser: Browser, client: Client, house: ScriptedHouse
) -> None:
    end = f"{NEXT_YEAR}-06-01T10:00:00Z"
    stand(house, window(NARROW, end=end))
    await opened(browser, client)
    await browser.until("document.querySelector('.window .shorten')?.checkVisibility()")
    await click(browser, "End earlier")
    field = "document.querySelector('.shorten-form [name=end]')"
    assert await browser.run(f"return {field}.value") == f"{NEXT_YEAR}-06-01T12:00"
    await browser.run(f"{field}.value = '{NEXT_YEAR}-06-01T11:30'")
    await click(browser, "End then")
    await browser.until(f"{SAID}.startsWith('Shortened')")
    await click(browser, "End earlier")
    await click(browser, "End now")
    await browser.until("!document.querySelector('.shorten-form').checkVisibility()")
    (_, earlier), (_, now) = house.window_calls
    assert rfc3339(earlier) == f"{NEXT_YEAR}-06-01T09:30:00.000000Z"
    assert abs(now - datetime.now(UTC).timestamp() * 1e6) < 60_000_000


async def test_cancelling_says_first_that_a_session_closes_and_what_was_refused_is_said(
    browser: Browser, client: Client, house: ScriptedHouse
) -> None:
    stand(house, window(NARROW))
    house.refusals["cancel_window"] = Refusal("not-permitted", "the window was cancelled")
    await opened(browser, client)
    await browser.until("document.querySelector('.window .cancel')?.checkVisibility()")
    await click(browser, "Cancel")
    asked = await browser.until("document.querySelector('.cancel-form:not([hidden])')?.innerText")
    assert "A session that is running in it closes at once" in asked
    assert await browser.run("return document.activeElement.textContent") == "Cancel the window"
    await click(browser, "Keep it")
    assert await browser.run("return document.activeElement.textContent") == "Cancel"
    assert house.window_calls == []
    await click(browser, "Cancel")
    await click(browser, "Cancel the window")
    await browser.until(f"{PROBLEM} === 'The window was cancelled.'")
    house.refusals.clear()
    house.refusals["admit_window"] = Refusal("unknown-window", "there is no window like that for you")
    house.upon["admit_window"] = house.coming.clear
    await click(browser, "Cancel the window")
    await browser.until(
        "document.querySelector('#windows-problem').textContent.startsWith('There is no window')"
    )
    house.refusals.clear()
    house.upon.clear()
    stand(house, window(NARROW))
    await heard_of_a_window(house)
    await browser.until("document.querySelector('.window .cancel')?.checkVisibility()")
    await click(browser, "Cancel")
    house.upon["cancel_window"] = lambda: stand(house)
    await click(browser, "Cancel the window")
    assert "The log has not taken it yet" in await browser.until(SAID)
    await browser.until("document.querySelector('#no-windows').checkVisibility()")
    assert house.window_calls == [("cancel", WINDOW)]


async def test_what_others_change_is_shown_while_a_form_that_is_being_filled_stays(
    browser: Browser, client: Client, house: ScriptedHouse
) -> None:
    proposed = window(NARROW, state="proposed")
    stand(house, proposed)
    unpolled = await browser.devtools("Page.addScriptToEvaluateOnNewDocument", source="setInterval = () => 0")
    await opened(browser, client)
    assert await asyncio.wait_for(house.followed.get(), 10) is not None
    await browser.until("document.querySelector('.window .cancel')?.checkVisibility()")
    await click(browser, "Cancel")
    stand(house, proposed | {"state": "approved"}, window(NARROW, id="other", begun=False))
    await heard_of_a_window(house)
    await browser.until("document.querySelectorAll('.stretch').length === 2")
    assert await browser.run("return document.activeElement.textContent") == "Cancel the window"
    await browser.devtools("Page.removeScriptToEvaluateOnNewDocument", **unpolled)


async def test_when_the_gateway_refuses_no_window_is_shown_as_true(
    browser: Browser, client: Client, house: ScriptedHouse
) -> None:
    stand(house, window(NARROW))
    await opened(browser, client)
    await browser.until("document.querySelector('.stretch')")
    house.member = None
    await browser.until("!document.querySelector('.stretch')")
    assert (await browser.until("document.querySelector('#no-windows').textContent")).startswith("Not known.")


async def test_hostile_words_stay_text_and_all_of_it_fits_a_narrow_phone(
    browser: Browser, client: Client, house: ScriptedHouse
) -> None:
    evil = "<img src=x onerror=alert(1)>" + "long" * 15
    weekly = window(NARROW, recurring=True, name=evil, id="weekly", begun=False, cameras=[evil], ticket=evil)
    stand(house, window(ALL, reason=evil, state="proposed", proposed_by=evil), weekly)
    house.state |= {"id": evil}
    await browser.look(dark=True, width=320, height=640)
    await opened(browser, client)
    await browser.until("document.querySelectorAll('.window').length === 2")
    house.refusals["add_window"] = Refusal("unknown-camera", evil)
    await fill(browser, when="at", start="2026-10-25T02:30", reason=evil)
    await browser.until(f"{PROBLEM}?.startsWith('<img')")
    await click(browser, "End earlier")
    assert await browser.run("return document.querySelectorAll('#windows img').length") == 0
    # In the list, the form and the problem; a redraw may be under way.
    shown = "document.querySelector('#windows').innerText.match(/onerror/g) ?? []"
    await browser.until(f"({shown}).length >= 6")
    assert await browser.run(FITS)
    await click(browser, "Cancel")
    assert await browser.run(FITS)
    assert [said for said in await browser.messages() if "404" not in said] == []
