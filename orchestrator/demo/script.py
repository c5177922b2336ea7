"""One scripted session, as a person would have it: ask, wait for the checks, watch, be told, end."""

from __future__ import annotations

import asyncio
import http.client
import json
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from orchestrator.edges.worker.find import find_ffmpeg

CAMERA = "cam1"
_STEP_S = 40.0
_LOOK_AGAIN_S = 0.2
_PICTURE_BYTES = 320 * 180
_MP4_PIECE_S = 1.0


class StepFailed(RuntimeError):
    """A step of the script did not come true."""


class _Client:
    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._host, self._port = parts.hostname or "", parts.port or 80

    async def call(self, method: str, path: str, body: Any = None) -> Any:
        """The JSON answer; StepFailed with the problem's own words otherwise."""
        status, content = await asyncio.to_thread(self._exchange, method, path, body, None)
        answer = json.loads(content) if content else {}
        if status >= 400:
            raise StepFailed(f"{method} {path}: {answer.get('detail', answer)}")
        return answer

    async def read(self, path: str, piece_s: float | None = None) -> bytes:
        """The content, or what comes of a stream within `piece_s`."""
        status, content = await asyncio.to_thread(self._exchange, "GET", path, None, piece_s)
        if status != 200:
            raise StepFailed(f"GET {path}: status {status}")
        return content

    def _exchange(self, method: str, path: str, body: Any, piece_s: float | None) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection(self._host, self._port, timeout=_STEP_S)
        try:
            headers = {"Content-Type": "application/json"} if body is not None else {}
            connection.request(method, path, None if body is None else json.dumps(body), headers)
            answer = connection.getresponse()
            return answer.status, answer.read() if piece_s is None else _piece(answer, piece_s)
        finally:
            connection.close()


def _piece(answer: http.client.HTTPResponse, piece_s: float) -> bytes:
    content, until = b"", time.monotonic() + piece_s
    while time.monotonic() < until and (more := answer.read1()):
        content += more
    return content


async def play_session(url: str, log: Path, duration_s: int) -> None:
    """Every step in order; then the log as a table and what `verify` says of it. Raises StepFailed."""
    client = _Client(url)
    session: dict[str, Any] = {}
    await _step("a window is open and the camera is shut", _shut_in_window(client))
    await _step("a session is asked for", _ask(client, session, duration_s))
    await _step("every check passes, the worker starts, the picture flows", _until(client, "streaming"))
    watch = await _step("a viewer joins", client.call("POST", f"/api/v1/cameras/{CAMERA}/watches", {}))
    mp4 = await _step("the MP4 plays", client.read(watch["mp4"], _MP4_PIECE_S))
    await _step("a frame of the MP4 decodes", _decode(mp4))
    segment = await _step("a segment of the HLS playlist loads", _first_segment(client, watch["hls"]))
    await _step("a frame of the HLS segment decodes", _decode(segment))
    await _step("the viewers are told that the end is near", _until(client, "expiring"))
    await _step("the session ends and the camera is shut", _until(client, "disabled"))
    await _step("the proof of the closing is in the log", _closed(client, session["id"]))
    await _tell_evidence(client, session["id"])
    await _command("replay", "--log", str(log))
    await _command("verify", "--log", str(log))


async def _step(what: str, work: Awaitable[Any]) -> Any:
    began = time.monotonic()
    try:
        async with asyncio.timeout(_STEP_S * 2):
            outcome = await work
    except TimeoutError:
        raise StepFailed(f"{what}: not within {_STEP_S * 2:.0f} s") from None
    except (StepFailed, OSError, ValueError) as problem:
        raise StepFailed(f"{what}: {problem}") from None
    print(f"  ok  {time.monotonic() - began:6.2f} s  {what}", flush=True)
    return outcome


async def _shut_in_window(client: _Client) -> None:
    async def window_is_open() -> bool:
        state = await client.call("GET", f"/api/v1/cameras/{CAMERA}")
        if state["state"] != "disabled":
            raise StepFailed(f"the camera is {state['state']} before anybody asked")
        checks = await client.call("GET", f"/api/v1/cameras/{CAMERA}/checks")
        return next(bool(check["passed"]) for check in checks["checks"] if check["id"] == "window")

    await _eventually(window_is_open)


async def _ask(client: _Client, session: dict[str, Any], duration_s: int) -> None:
    body = {"trigger": "request", "reason": "the demo", "duration_s": duration_s, "wait_s": 30}
    answer = await client.call("POST", f"/api/v1/cameras/{CAMERA}/transitions", body)
    session["id"] = answer["session"]


async def _until(client: _Client, wanted: str) -> None:
    async def is_there() -> bool:
        state = await client.call("GET", f"/api/v1/cameras/{CAMERA}")
        if wanted != "disabled" and state["state"] == "disabled":
            raise StepFailed(f"the camera was shut meanwhile ({state['fault'] or 'no fault'})")
        return bool(state["state"] == wanted and state["substate"] != "closing")

    await _eventually(is_there)


async def _eventually(holds: Callable[[], Awaitable[bool]]) -> None:
    # The script looks as a person would: nothing of the daemon's is at hand to wait for.
    while not await holds():  # noqa: ASYNC110
        await asyncio.sleep(_LOOK_AGAIN_S)


async def _first_segment(client: _Client, playlist: str) -> bytes:
    content = (await client.read(playlist)).decode()
    name = next((line for line in content.splitlines() if line and not line.startswith("#")), None)
    if name is None:
        raise StepFailed("the playlist names no segment")
    return await client.read(playlist.rpartition("/")[0] + "/" + name)


async def _decode(content: bytes) -> None:
    """One frame of `content`, decoded to grey by ffmpeg, at the source's size."""
    decoder = await asyncio.create_subprocess_exec(
        *(find_ffmpeg(), "-v", "error", "-i", "pipe:0", "-frames:v", "1"),
        *("-pix_fmt", "gray", "-f", "rawvideo", "pipe:1"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    picture, complaint = await decoder.communicate(content)
    if len(picture) != _PICTURE_BYTES:
        last = complaint.decode(errors="replace").strip().splitlines()[-1:]
        raise StepFailed(f"{len(picture)} bytes decoded, expected {_PICTURE_BYTES}: {' '.join(last)}")


async def _closed(client: _Client, session: str) -> None:
    async def is_written() -> bool:
        told = await client.call("GET", f"/api/v1/sessions/{session}")
        return told["closing"] is not None

    await _eventually(is_written)


async def _tell_evidence(client: _Client, session: str) -> None:
    events = await client.call("GET", f"/api/v1/events?session={session}&limit=1000")
    for event in events["items"]:
        if event.get("trigger") == "checks_passed":
            print("\nEvidence in checks_passed:")
            for check in event["data"]["checks"]:
                verdict = "waived" if check["waived"] else "passed" if check["passed"] else "FAILED"
                print(f"  {verdict}  {check['id']:<20} {_flat(check['evidence'])}")
        if event.get("trigger") == "closed":
            print(f"\nProof in closed: {_flat(event['data'])}\n", flush=True)


def _flat(values: dict[str, Any]) -> str:
    return ", ".join(f"{name}={value}" for name, value in values.items())


async def _command(*words: str) -> None:
    """One of our own commands, its output below ours; StepFailed when it says no."""
    process = await asyncio.create_subprocess_exec(sys.executable, "-m", "orchestrator", *words)
    if await process.wait() != 0:
        raise StepFailed(f"volet {words[0]} said no")
