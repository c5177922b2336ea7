"""Starts, instructs and stops one part of the demo."""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Literal

_READY_S = 15
_STOP_S = 3


class PartError(RuntimeError):
    """A part of the demo did not start, or ended before it was asked to."""


class Part:
    """A running part: its process, and what it said when it was ready."""

    def __init__(self, name: str, process: asyncio.subprocess.Process, ready: dict[str, Any]) -> None:
        self.name = name
        self.process = process
        self.ready = ready

    @property
    def pid(self) -> int:
        """The part's process id."""
        return self.process.pid

    @property
    def port(self) -> int:
        """The TCP port on 127.0.0.1 that the part listens on (camera and broker)."""
        return int(self.ready["port"])

    def say(self, command: str) -> None:
        """Give the part a command: a line on its standard input."""
        assert self.process.stdin
        self.process.stdin.write(f"{command}\n".encode())

    async def hear(self) -> dict[str, Any]:
        """The part's next JSON line; `PartError` when it has ended."""
        assert self.process.stdout
        line = await self.process.stdout.readline()
        if not line:
            raise PartError(f"the demo's {self.name} ended with status {await self.process.wait()}")
        heard: dict[str, Any] = json.loads(line)
        return heard

    async def stop(self) -> None:
        """Ask the part to end, and kill it when it does not within 3 s; a part that has ended is fine."""
        if self.process.returncode is None:
            self.process.terminate()
        try:
            await asyncio.wait_for(self.process.wait(), _STOP_S)
        except TimeoutError:
            self.process.kill()
            await self.process.wait()


@asynccontextmanager
async def running(name: Literal["camera", "broker", "lane"], *arguments: str) -> AsyncIterator[Part]:
    """Start a part and wait until it is ready; stop it at the end.

    It has a session of its own, so that Ctrl-C reaches the caller alone, and it ends with the caller's
    process. Raises `PartError` when it is not ready within 15 s; its complaint is on standard error.
    """
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        f"orchestrator.demo.{name}",
        f"--parent={os.getpid()}",
        *arguments,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        start_new_session=True,
    )
    part = Part(name, process, {})
    try:
        async with asyncio.timeout(_READY_S):
            part.ready = await part.hear()
    except TimeoutError:
        await part.stop()
        raise PartError(f"the demo's {name} was not ready within {_READY_S} s") from None
    try:
        yield part
    finally:
        await part.stop()
