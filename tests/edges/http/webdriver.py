"""A headless Chromium, driven by the W3C WebDriver protocol through chromedriver."""

from __future__ import annotations

import base64
import json
import os
import re
import signal
import subprocess
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import aiohttp

ARGUMENTS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--no-first-run", "--disable-dev-shm-usage",
    "--autoplay-policy=no-user-gesture-required", "--window-size=1280,900",
)  # fmt: skip


class Browser:
    """One window. Scripts run in the page; `until` asks until the answer is true."""

    def __init__(self, http: aiohttp.ClientSession, session: str) -> None:
        self._http = http
        self._session = session

    async def command(self, method: str, path: str, body: Any = None) -> Any:
        async with self._http.request(method, f"{self._session}{path}", json=body) as response:
            value = (await response.json())["value"]
            assert response.status == 200, value
            return value

    async def open(self, url: str) -> None:
        await self.command("POST", "/url", {"url": url})

    async def run(self, script: str, *arguments: Any) -> Any:
        """What `return …` in the script answers; a promise is awaited."""
        return await self.command("POST", "/execute/sync", {"script": script, "args": list(arguments)})

    async def until(self, condition: str) -> Any:
        """The first true value of the expression, asked anew at each frame of the page."""
        script = f"""
            const asked = () => {{ try {{ return {condition}; }} catch {{ return null; }} }};
            const end = performance.now() + 20000;
            return (async () => {{
                for (;;) {{
                    const value = asked();
                    if (value || performance.now() > end) return value;
                    await new Promise((next) => setTimeout(next, 30));
                }}
            }})();
        """
        value = await self.run(script)
        assert value, f"never came true: {condition}"
        return value

    async def devtools(self, command: str, **parameters: Any) -> Any:
        return await self.command("POST", "/goog/cdp/execute", {"cmd": command, "params": parameters})

    async def look(self, *, dark: bool = False, width: int = 1280, height: int = 900) -> None:
        """Emulate a screen."""
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        await self.devtools("Emulation.setEmulatedMedia", features=[scheme])
        await self.devtools(
            "Emulation.setDeviceMetricsOverride",
            width=width, height=height, deviceScaleFactor=1, mobile=width < 600,
        )  # fmt: skip

    async def screenshot(self, file: Path) -> None:
        """The whole page, however long."""
        shot = await self.devtools("Page.captureScreenshot", captureBeyondViewport=True)
        file.write_bytes(base64.b64decode(shot["data"]))

    async def messages(self) -> list[str]:
        """What the page's console has said: errors, and what the content security policy forbade."""
        said = await self.command("POST", "/se/log", {"type": "browser"})
        return [entry["message"] for entry in said]


@contextmanager
def chromium(profile: Path, *arguments: str) -> Iterator[str]:
    """A browser with a fresh profile, and with these arguments too: the address of its WebDriver session.
    Both are gone after."""
    driver = subprocess.Popen(
        ["chromedriver", "--port=0"], stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    try:
        assert driver.stdout is not None
        started = next(
            filter(None, (re.search(r"successfully on port (\d+)", line) for line in driver.stdout))
        )
        sessions = f"http://127.0.0.1:{started[1]}/session"
        options = {"args": [*ARGUMENTS, *arguments, f"--user-data-dir={profile}"]}
        wanted = {
            "browserName": "chrome",
            "goog:chromeOptions": options,
            "goog:loggingPrefs": {"browser": "ALL"},
        }
        made = _send("POST", sessions, {"capabilities": {"alwaysMatch": wanted}})
        session = f"{sessions}/{made['sessionId']}"
        yield session
        _send("DELETE", session, None)
    finally:
        os.killpg(driver.pid, signal.SIGKILL)
        driver.wait()


def _send(method: str, url: str, body: Any) -> Any:
    data = None if body is None else json.dumps(body).encode()
    with urllib.request.urlopen(urllib.request.Request(url, data, method=method), timeout=60) as response:
        return json.load(response)["value"]
