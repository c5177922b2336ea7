"""Maintenance windows in the console over the running daemon: from a proposal to a session that it ends."""

from pathlib import Path

import aiohttp
import pytest

from tests.e2e.configuration import COLLEAGUE, MAINTAINER_PLAYER, MEMBERS, OTHER_MAINTAINER
from tests.e2e.conftest import MakeGateway
from tests.e2e.gateway import Gateway
from tests.e2e.incident import log_is_whole
from tests.edges.http.webdriver import Browser, chromium

pytestmark = pytest.mark.slow

MAINTAINERS_BROWSER = (
    MEMBERS.replace(COLLEAGUE, "swapped").replace(f'"{MAINTAINER_PLAYER}"', f'"{COLLEAGUE}"')
).replace("swapped", MAINTAINER_PLAYER)
"""This machine's browser is the device of somebody who is a maintainer and no more."""
PATH = "/api/v1/windows"
ADD = """
const form = document.querySelector('#window-form');
form.querySelector('[value=cam1]').checked = true;
form.elements.reason.value = 'aim <b>after</b> the storm';
form.requestSubmit();
"""
CHIP = "document.querySelector('.stretch .chip')?.textContent === {!r}"
"""The first stretch of the list stands so."""


async def press(browser: Browser, selector: str) -> None:
    await browser.until(f"document.querySelector('{selector}')?.checkVisibility()")
    await browser.run(f"document.querySelector('{selector}').click()")


def permitted(gateway: Gateway, *, source: str) -> list[list[str]]:
    return [item["permitted"] for item in gateway.get(PATH, source=source)["items"]]


async def test_a_proposal_is_approved_elsewhere_and_cancelling_it_closes_the_session(
    make_gateway: MakeGateway, tmp_path: Path
) -> None:
    """CONTRACT 5, F19: proposed and cancelled in the browser, approved by another person."""
    gateway = make_gateway(windows="", max_session="10m", idle_close="10m", members=MAINTAINERS_BROWSER)
    gateway.start()
    with chromium(tmp_path / "profile") as session:
        async with aiohttp.ClientSession() as http:
            browser = Browser(http, session)
            await browser.look()
            await browser.open(f"http://{gateway.address}:{gateway.port}/")
            await browser.until("document.querySelector('#window-form [value=cam2]')")
            await browser.run(ADD)
            await browser.until(CHIP.format("Proposed"))
            title = await browser.run("return document.querySelector('.window .title').textContent")
            assert title == "aim <b>after</b> the storm"
            assert not await browser.run(
                "return document.querySelector('.window .approve').checkVisibility()"
            )
            [item] = gateway.get(PATH)["items"]
            assert item["permitted"] == ["approve", "shorten", "cancel"]
            assert permitted(gateway, source=MAINTAINER_PLAYER) == [["shorten", "cancel"]]
            assert permitted(gateway, source=OTHER_MAINTAINER) == []
            assert gateway.ask("POST", f"{PATH}/{item['id']}/approve", {}).status == 200
            await browser.until(CHIP.format("In force now"))
            opened = gateway.open()
            await press(browser, ".window .cancel")
            await press(browser, ".window .confirm")
            ended = gateway.wait_end(opened)
            assert (ended["trigger"], ended["data"]["fault"]) == ("fault", "window-closed")
            await browser.until("document.querySelector('#no-windows').checkVisibility()")
            assert await browser.messages() == []
    log_is_whole(gateway)
