"""What every life in the crash laboratory is given: settings, a picture, a program that shows it, a log."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from orchestrator.edges.worker.find import find_ffmpeg
from orchestrator.settings import Settings
from tests.crash.gateway import Place, gateway
from tests.settings.configuration import SMALL, loaded

WORKER = "#!/bin/sh\necho picture >0.ts\nprintf '{picture}'\nexec /bin/sleep 600\n"
"""Hands out a picture that was recorded before, then waits to be ended, and by nothing of its own: no broken
pipe ends it. It is one process at any time, and starts in a millisecond."""


@dataclass(frozen=True, slots=True)
class Scenery:
    """Made once; each place is a copy of it."""

    root: Path
    settings: Settings
    ffmpeg: Path

    def place(self, name: str, *, first: bool = False, keeps_snapshots: bool = False) -> Place:
        """A new place. `first`: without a log and a black box, as before the very first start."""
        folder = self.root / name
        if first:
            folder.mkdir(mode=0o700)
        else:
            shutil.copytree(self.root / "before", folder)
        place = Place(folder, self.settings, self.ffmpeg, keeps_snapshots)
        place.segments.mkdir(mode=0o700, exist_ok=True)
        return place


def make(root: Path) -> Scenery:
    """Build it below `root`."""
    picture, program, settings = root / "picture.mp4", root / "worker", root / "settings"
    settings.mkdir(mode=0o700)
    source = [find_ffmpeg(), "-loglevel", "error", "-f", "lavfi", "-i", "testsrc=size=64x64:rate=10"]
    encode = ["-frames:v", "3", "-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-f", "mp4"]
    fragments = ["-movflags", "empty_moov+default_base_moof+frag_every_frame", str(picture)]
    subprocess.run([*source, *encode, *fragments], check=True, timeout=60, stdin=subprocess.DEVNULL)
    program.write_text(WORKER.format(picture="".join(f"\\{byte:03o}" for byte in picture.read_bytes())))
    program.chmod(0o700)
    two = SMALL.replace('cameras = ["cam1"]', 'cameras = ["cam1", "cam2"]').replace(
        "[[purposes]]",
        '[cameras.cam2]\nlane = "entry"\nsource = "http://127.0.0.1:8000/mjpeg/cam2"\n[[purposes]]',
    )
    scenery = Scenery(root, loaded(settings, two), program)
    asyncio.run(_begin(scenery.place("before", first=True)))
    return scenery


async def _begin(place: Place) -> None:
    """A first start, and one session that was closed."""
    async with gateway(place) as way:
        await way.opened()
        await way.pull("close")
        await way.at("disabled.ready")
