"""Makes ffmpeg workers from the settings in force, and wipes what they leave behind (S11)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

from orchestrator.core import ending
from orchestrator.core.camera_state import CameraState
from orchestrator.core.moment import SECOND_US, Moment
from orchestrator.core.policy import WorkerPolicy
from orchestrator.core.window import Span
from orchestrator.core.worker import Mask, Report, WorkerSpec
from orchestrator.edges.worker.process import Worker
from orchestrator.edges.worker.segments import prepare, wipe
from orchestrator.runtime.picture import Picture
from orchestrator.settings import CameraSettings, Settings


class FfmpegWorkshop:
    """Implements `worker_keeper.Workshop`. `settings` is asked anew for each worker; `window` says which one
    is open for a camera and a member at a wall time."""

    def __init__(
        self,
        settings: Callable[[], Settings],
        ffmpeg: Callable[[], str],
        window: Callable[[str, str, int], Span | None],
    ) -> None:
        self._settings, self._ffmpeg, self._window = settings, ffmpeg, window

    def make(
        self, state: CameraState, run: int, now: Moment, picture: Picture, report: Callable[[Report], None]
    ) -> Worker:
        """A worker for that run, not started."""
        settings = self._settings()
        session = state.session
        if session is None:
            raise ValueError(f"{state.camera} has no session to start a worker for (S10)")
        folder = prepare(settings.worker.segments, state.camera, session.id, run)
        return Worker(
            self._spec(settings, state, run, now),
            ffmpeg=self._ffmpeg(),
            folder=folder,
            on_report=report,
            on_header=picture.header,
            on_fragment=picture.fragment,
            on_segment=lambda _, content, duration_ms: picture.segment(content, duration_ms),
        )

    def _spec(self, settings: Settings, state: CameraState, run: int, now: Moment) -> WorkerSpec:
        session, camera = state.session, settings.cameras[state.camera]
        assert session is not None
        rules = settings.policy.worker
        purpose = settings.policy.purpose(session.purpose)
        return WorkerSpec(
            camera=state.camera,
            session=session.id,
            run=run,
            source=camera.source.text,
            source_secret=camera.source_secret,
            size="source" if camera.size is None else f"{camera.size[0]}x{camera.size[1]}",
            fps=camera.fps,
            bitrate=f"{camera.bitrate_bps // 1000}k",
            masks=_masks(camera) if purpose is None or purpose.masks else (),
            watermark=session.id if camera.watermark else None,
            outputs=camera.outputs,
            longest_end_s=self._longest_end_us(settings, state, now, rules) / SECOND_US,
            nice=settings.worker.nice,
            stall_s=rules.stall_us / SECOND_US,
            first_frame_s=rules.first_frame_us / SECOND_US,
        )

    def _longest_end_us(
        self, settings: Settings, state: CameraState, now: Moment, rules: WorkerPolicy
    ) -> int:
        """From now to the latest end this worker could have (S6): the longest session, or the window's."""
        policy, session = settings.policy, state.session
        assert session is not None
        longest_us = ending.longest_us(policy, policy.cameras[state.camera], session.purpose)
        if session.opened_boottime_us is None:
            left_us = longest_us + rules.first_frame_us
        else:
            left_us = session.opened_boottime_us + longest_us - now.boottime_us
        span = self._window(state.camera, session.member, now.wall_us)
        if span is not None:
            left_us = min(left_us, span.end_us - now.wall_us)
        return max(SECOND_US, left_us)

    async def wipe(self, camera: str) -> bool:
        """Whether nothing of this camera is left in the segment folder."""
        root = self._settings().worker.segments
        return await asyncio.to_thread(_wipe_each, root, camera)


def _wipe_each(root: Path, camera: str) -> bool:
    left = [folder for folder in root.glob(f"{camera}.*.*") if not wipe(folder)]
    return not left


def _masks(camera: CameraSettings) -> tuple[Mask, ...]:
    return tuple(
        Mask(m.x_milli / 1000, m.y_milli / 1000, m.width_milli / 1000, m.height_milli / 1000)
        for m in camera.masks
    )
