"""The birth of a worker's process: its pipes, its arguments, its confinement."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from orchestrator.core.worker import WorkerSpec
from orchestrator.edges.worker.command import arguments
from orchestrator.edges.worker.confinement import Confinement
from orchestrator.edges.worker.source import source_of

# The kernel's timer stands behind ffmpeg's own `-t` (S6).
LIFE_MARGIN_S = 2.0


@dataclass(frozen=True, slots=True)
class Child:
    """A process that runs; the descriptors (not blocking, the reader's ends) are the owner's to close."""

    process: subprocess.Popen[bytes]
    pidfd: int
    picture: int
    diagnostics: int
    progress: int
    confinement: Mapping[str, bool | int | str]


def spawn(spec: WorkerSpec, ffmpeg: str, folder: Path) -> Child:
    """A new ffmpeg in a session of its own, with nothing of ours but its four pipes.

    ValueError when the spec is not allowed, OSError when there is no such process to be had. Must be called
    from the main thread: the child dies with the thread that made it.
    """
    source = source_of(spec)
    with ExitStack() as ours, ExitStack() as theirs:
        picture, their_picture = _pipe(ours, theirs)
        diagnostics, their_diagnostics = _pipe(ours, theirs)
        progress, their_progress = _pipe(ours, theirs)
        confinement = Confinement(
            folder, nice=spec.nice, life_s=spec.longest_end_s + LIFE_MARGIN_S, device=source.device
        )
        theirs.callback(confinement.close)
        try:
            process = subprocess.Popen(
                arguments(spec, ffmpeg, folder, progress=their_progress),
                stdin=_standard_input(source.standard_input, theirs),
                stdout=their_picture,
                stderr=their_diagnostics,
                cwd=folder,
                env={},
                umask=0o077,
                pass_fds=(their_progress,),
                start_new_session=True,
                preexec_fn=confinement.apply,
            )
        except subprocess.SubprocessError as error:
            raise OSError(f"the worker could not be confined, so it was not started: {error}") from error
        try:
            pidfd = os.pidfd_open(process.pid)
        except OSError:
            process.kill()
            process.wait()
            raise
        ours.pop_all()
        return Child(process, pidfd, picture, diagnostics, progress, confinement.in_force(process.pid))


def _pipe(ours: ExitStack, theirs: ExitStack) -> tuple[int, int]:
    """A pipe whose reader never blocks; each end is closed with its stack."""
    reader, writer = os.pipe2(os.O_CLOEXEC)
    ours.callback(os.close, reader)
    theirs.callback(os.close, writer)
    os.set_blocking(reader, False)
    return reader, writer


def _standard_input(data: bytes | None, theirs: ExitStack) -> int:
    """A descriptor that gives `data` and then ends; it holds a secret, so it is never a file."""
    if data is None:
        return subprocess.DEVNULL
    reader, writer = os.pipe2(os.O_CLOEXEC)
    theirs.callback(os.close, reader)
    try:
        os.set_blocking(writer, False)
        os.write(writer, data)
    finally:
        os.close(writer)
    return reader
