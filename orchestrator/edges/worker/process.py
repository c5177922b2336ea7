"""One ffmpeg child, from spawn to reaped: its outputs, its progress, its exit, its kill."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from orchestrator.core.worker import FailureClass, FirstFrame, Report, WorkerExited, WorkerSpec, WorkerStarted
from orchestrator.edges.worker.exits import Diagnostics, classify
from orchestrator.edges.worker.fragments import Fragment, FragmentSplitter, Header
from orchestrator.edges.worker.segments import SegmentReader
from orchestrator.edges.worker.spawn import Child, spawn

PIECE_BYTES = 64 * 1024
MAX_PROGRESS_LINE_BYTES = 4096
GRACE_S = 0.3
# A flood of diagnostics is read this often and no more; the pipe makes the writer wait.
DIAGNOSTICS_EVERY_S = 0.05
STANDSTILL_S = 0.25
"""A look that is late by more met a gateway that stood still itself: it proves nothing of the camera, and
another is taken."""


class Worker:
    """One ffmpeg child, from spawn to reaped.

    Every callback is called in the loop's thread and none before `start` has returned. `on_header` gets
    the MP4 header and its codecs string (RFC 6381), `on_fragment` a moof with its mdat and whether it
    starts with a key frame, `on_segment` number, bytes and duration in ms of an HLS segment. Once the
    worker was told to die no more picture is handed over. The last report is WorkerExited, given once.
    """

    def __init__(
        self,
        spec: WorkerSpec,
        *,
        ffmpeg: str,
        folder: Path,
        on_report: Callable[[Report], None],
        on_header: Callable[[bytes, str], None],
        on_fragment: Callable[[bytes, bool], None],
        on_segment: Callable[[int, bytes, int], None],
    ) -> None:
        self.pid: int | None = None
        self._spec = spec
        self._ffmpeg = ffmpeg
        self._folder = folder
        self._on_report = on_report
        self._on_header = on_header
        self._on_fragment = on_fragment
        self._on_segment = on_segment
        # Held for single system calls only: a signal must never meet a pid that was reaped and reused.
        self._alive = threading.RLock()
        self._child: Child | None = None
        self._asked = False
        self._stalled = False
        self._broken = ""
        self._frames = 0
        self._splitter = FragmentSplitter()
        self._diagnostics = Diagnostics(spec)
        self._progress_rest = b""
        self._channels: dict[int, Callable[[bytes], None]] = {}
        self._timers: dict[str, asyncio.TimerHandle] = {}

    def start(self) -> None:
        """Spawns the child; from the loop's main thread, since the child dies with the thread that made it.

        ValueError when the spec is not allowed, OSError when there is no such process to be had.
        """
        if threading.current_thread() is not threading.main_thread():
            raise RuntimeError("a worker must be started from the main thread: it dies with its thread")
        if self._child is not None:
            raise RuntimeError("a worker is started once")
        self._loop = asyncio.get_running_loop()
        self._exited: asyncio.Future[WorkerExited] = self._loop.create_future()
        self._segments: SegmentReader | None = None
        if "hls" in self._spec.outputs:
            self._segments = SegmentReader(self._folder, self._hand_over_segment)
        try:
            child = spawn(self._spec, self._ffmpeg, self._folder)
        except BaseException:
            if self._segments is not None:
                self._segments.close()
            raise
        self._follow(child)
        self._loop.call_soon(
            self._on_report, WorkerStarted(self._spec.run, child.process.pid, child.confinement)
        )
        if self._asked:
            self.tell_to_die()

    def tell_to_die(self) -> None:
        """SIGTERM to the whole group at once, from any thread; never raises, never waits.

        The loop follows up with SIGKILL after 300 ms.
        """
        self._asked = True
        self._signal(signal.SIGTERM)
        if self._child is not None:
            with suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._follow_up)

    async def stop(self) -> WorkerExited:
        """Tells the worker to die, kills it after 300 ms, returns when it is reaped. May be called often."""
        self.tell_to_die()
        if self._child is None:
            return WorkerExited(self._spec.run, None, None, None, "it was never started", 0, True)
        return await self.wait()

    async def wait(self) -> WorkerExited:
        """The end of the worker, whatever brings it. May be called often, also after the end."""
        if self._child is None:
            raise RuntimeError("there is nothing to wait for: the worker was not started")
        return await asyncio.shield(self._exited)

    def _follow(self, child: Child) -> None:
        with self._alive:
            self._child = child
            self.pid = child.process.pid
        self._loop.add_reader(child.pidfd, self._reap)
        self._channels = {
            child.picture: self._take_picture,
            child.diagnostics: self._take_diagnostics,
            child.progress: self._take_progress,
        }
        for descriptor in self._channels:
            self._loop.add_reader(descriptor, self._readable, descriptor)
        if self._segments is not None:
            self._loop.add_reader(self._segments.descriptor, self._take_segments, self._segments)
        self._patience_until = self._loop.time() + self._spec.first_frame_s
        self._timers["stall"] = self._loop.call_at(self._patience_until, self._look_for_stall)

    def _readable(self, descriptor: int) -> int:
        """Reads one piece of one channel and hands it on; how many bytes it was."""
        try:
            data = os.read(descriptor, PIECE_BYTES)
        except BlockingIOError:
            return 0
        take = self._channels[descriptor]
        if not data:
            self._close_channel(descriptor)
            return 0
        if take == self._take_diagnostics and self.pid is not None:
            self._loop.remove_reader(descriptor)
            self._timers["diagnostics"] = self._loop.call_later(
                DIAGNOSTICS_EVERY_S, self._loop.add_reader, descriptor, self._readable, descriptor
            )
        take(data)
        return len(data)

    def _close_channel(self, descriptor: int) -> None:
        self._loop.remove_reader(descriptor)
        del self._channels[descriptor]
        os.close(descriptor)

    def _take_picture(self, data: bytes) -> None:
        if self._broken or self._asked:
            return
        try:
            found = self._splitter.feed(data)
        except ValueError as error:
            self._break_off(str(error))
            return
        if any(isinstance(item, Fragment) for item in found):
            self._frames_are(max(self._frames, 1))
        for item in found:
            self._hand_over(item)

    def _hand_over(self, item: Header | Fragment) -> None:
        if self._asked:
            return
        if isinstance(item, Header):
            self._on_header(item.data, item.codecs)
        else:
            self._on_fragment(item.data, item.key)

    def _take_diagnostics(self, data: bytes) -> None:
        self._diagnostics.feed(data)

    def _take_progress(self, data: bytes) -> None:
        *lines, self._progress_rest = (self._progress_rest + data).split(b"\n")
        self._progress_rest = self._progress_rest[-MAX_PROGRESS_LINE_BYTES:]
        counts = [line[6:].strip() for line in lines if line.startswith(b"frame=")]
        frames = max((int(count) for count in counts if count.isdigit() and len(count) < 16), default=0)
        if frames > self._frames:
            self._patience_until = self._loop.time() + self._spec.stall_s
            self._frames_are(frames)

    def _frames_are(self, frames: int) -> None:
        first, self._frames = self._frames == 0 < frames, frames
        if not first or self._asked:
            return
        self._patience_until = self._loop.time() + self._spec.stall_s
        self._timers["stall"].cancel()
        self._look_for_stall()
        self._on_report(FirstFrame(self._spec.run))

    def _take_segments(self, segments: SegmentReader) -> None:
        try:
            segments.read_ready()
        except OSError as error:
            self._loop.remove_reader(segments.descriptor)
            self._break_off(str(error))

    def _break_off(self, why: str) -> None:
        """Its output is of no use: kills it."""
        if not self._asked:
            self._broken = self._broken or why
        self._signal(signal.SIGKILL)

    def _hand_over_segment(self, number: int, data: bytes, duration_ms: int) -> None:
        if not self._asked:
            self._on_segment(number, data, duration_ms)

    def _look_for_stall(self) -> None:
        if self._asked:
            return
        if self._loop.time() - self._patience_until > STANDSTILL_S:
            self._patience_until = self._loop.time() + self._spec.stall_s
        if self._loop.time() < self._patience_until:
            self._timers["stall"] = self._loop.call_at(self._patience_until, self._look_for_stall)
            return
        self._stalled = True
        self._signal(signal.SIGKILL)

    def _follow_up(self) -> None:
        if "kill" not in self._timers and self.pid is not None:
            self._timers["kill"] = self._loop.call_later(GRACE_S, self._signal, signal.SIGKILL)

    def _signal(self, number: int) -> None:
        with self._alive:
            if self.pid is not None:
                with suppress(OSError):
                    os.killpg(self.pid, number)

    def _reap(self) -> None:
        """The child has ended: the rest of its group too, then its last words, then the report."""
        child = self._child
        if child is None:
            return
        with self._alive:
            self._signal(signal.SIGKILL)
            returncode = child.process.poll()
            if returncode is None:
                return
            self.pid = None
        self._loop.remove_reader(child.pidfd)
        os.close(child.pidfd)
        for timer in self._timers.values():
            timer.cancel()
        for descriptor in list(self._channels):
            self._drain(descriptor)
        if self._segments is not None:
            self._loop.remove_reader(self._segments.descriptor)
            self._segments.close()
        exited = self._exit(returncode)
        self._exited.set_result(exited)
        self._on_report(exited)

    def _drain(self, descriptor: int) -> None:
        """What is left in a pipe, at most what a pipe holds, then closes it."""
        for _ in range(32):
            if descriptor not in self._channels or self._readable(descriptor) == 0:
                break
        if descriptor in self._channels:
            self._close_channel(descriptor)

    def _exit(self, returncode: int) -> WorkerExited:
        exit_code, number = (returncode, None) if returncode >= 0 else (None, -returncode)
        lines = self._diagnostics.lines()
        failure, last_line = classify(
            lines, exit_code=exit_code, signal=number, frames=self._frames, stalled=self._stalled
        )
        if self._broken:
            failure, last_line = FailureClass.UNKNOWN, self._broken
        told = self._asked and not self._stalled and not self._broken
        return WorkerExited(
            self._spec.run, None if told else failure, exit_code, number, last_line, self._frames, self._asked
        )
