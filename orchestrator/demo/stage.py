"""Puts the demo together: camera, broker and lane beside the daemon, and takes it down again."""

from __future__ import annotations

import asyncio
import shutil
import socket
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from orchestrator.demo import configuration
from orchestrator.demo.lifetime import end_child_with_us, stop_requested
from orchestrator.demo.part import PartError, running
from orchestrator.demo.script import StepFailed, play_session

_USUAL_PORT = 8080
_READY_S = 30
_STOP_S = 5
_MEMORY = Path("/dev/shm")  # noqa: S108 - the one tmpfs that every Linux gives to everybody; ours alone below it
_VEHICLE_EVERY_S = 60


@dataclass(frozen=True, slots=True)
class Stage:
    """A running demo: where the console is, and where its log lies."""

    url: str
    log: Path
    daemon: asyncio.subprocess.Process


def play(once: bool, duration_s: float) -> int:
    """The demo until Ctrl-C, or one scripted session; the exit status."""
    try:
        return asyncio.run(_once(duration_s) if once else _until_stopped())
    except (PartError, StepFailed) as failed:
        print(f"volet: demo: {failed}", file=sys.stderr)
        return 1


async def _until_stopped() -> int:
    stopping = stop_requested()
    async with _stage(max_session_s=600, vehicle_every_s=_VEHICLE_EVERY_S) as stage:
        print(f"The console: {stage.url}/", flush=True)
        print("A vehicle comes by each minute and shuts the picture. Ctrl-C ends the demo.", flush=True)
        asked = asyncio.create_task(stopping.wait())
        ended = asyncio.create_task(stage.daemon.wait())
        await asyncio.wait({asked, ended}, return_when=asyncio.FIRST_COMPLETED)
        for task in (asked, ended):
            task.cancel()
        if stage.daemon.returncode is not None:
            raise PartError(f"the daemon ended with status {stage.daemon.returncode}")
    return 0


async def _once(duration_s: float) -> int:
    async with _stage(max_session_s=max(60, int(duration_s) + 1), vehicle_every_s=0) as stage:
        await play_session(stage.url, stage.log, max(1, round(duration_s)))
    return 0


@asynccontextmanager
async def _stage(*, max_session_s: int, vehicle_every_s: int) -> AsyncIterator[Stage]:
    async with AsyncExitStack() as stack:
        folder = stack.enter_context(_own_folder(None))
        segments = stack.enter_context(_own_folder(_MEMORY))
        broker = await stack.enter_async_context(running("broker"))
        camera = await stack.enter_async_context(running("camera"))
        await stack.enter_async_context(
            running("lane", f"--port={broker.port}", "--interval=1", f"--vehicle-every={vehicle_every_s}")
        )
        port = _free_port()
        path = configuration.write(
            folder,
            segments,
            port=port,
            broker_port=broker.port,
            camera_port=camera.port,
            max_session_s=max_session_s,
        )
        daemon = await stack.enter_async_context(_daemon(path))
        yield Stage(f"http://{configuration.ADDRESS}:{port}", folder / "events.db", daemon)


@contextmanager
def _own_folder(parent: Path | None) -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="volet-demo-", dir=parent))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _free_port() -> int:
    for port in (_USUAL_PORT, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((configuration.ADDRESS, port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise PartError(f"no free port on {configuration.ADDRESS}")


@asynccontextmanager
async def _daemon(path: Path) -> AsyncIterator[asyncio.subprocess.Process]:
    """`volet serve`, in a session of its own so that Ctrl-C reaches us alone; gone when we are."""
    daemon = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "orchestrator",
        "serve",
        f"--config={path}",
        stdout=asyncio.subprocess.PIPE,
        start_new_session=True,
        preexec_fn=end_child_with_us(),
    )
    assert daemon.stdout
    try:
        try:
            async with asyncio.timeout(_READY_S):
                ready = await daemon.stdout.readline()
        except TimeoutError:
            raise PartError(f"the daemon was not ready within {_READY_S} s") from None
        if not ready:
            raise PartError(f"the daemon ended with status {await daemon.wait()}; its reason stands above")
        yield daemon
    finally:
        if daemon.returncode is None:
            daemon.terminate()
            try:
                await asyncio.wait_for(daemon.wait(), _STOP_S)
            except TimeoutError:
                daemon.kill()
                await daemon.wait()
