"""A worker is held: it ends when told, when its parent dies, when its time is over, and reaches nothing."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.core.worker import FailureClass
from orchestrator.edges.worker.segments import prepare, wipe_all

from .conftest import Launch
from .running import Run, children_of, ends_within, exit_signal, make_run, scripted, spec

pytestmark = pytest.mark.slow

REPOSITORY = Path(__file__).parents[3]


async def test_a_worker_told_to_die_ends_and_hands_over_no_more_picture_s1(
    launch: Launch, each_ffmpeg: str
) -> None:
    run = launch(spec(), each_ffmpeg)
    await run.until(lambda run: len(run.fragments) >= 3 and len(run.segments) >= 1)
    run.worker.tell_to_die()
    seen = len(run.fragments), len(run.segments)
    exited = await run.worker.wait()
    assert (len(run.fragments), len(run.segments)) == seen
    assert exited.failure is None
    assert exited.asked
    assert exited.frames >= 1


async def test_any_thread_may_tell_it_to_die_as_often_as_it_likes(launch: Launch) -> None:
    run = launch(spec())
    await run.until(lambda run: run.has_frame)
    threads = [threading.Thread(target=run.worker.tell_to_die) for _ in range(8)]
    for thread in threads:
        thread.start()
    first, second = await asyncio.gather(run.worker.stop(), run.worker.stop())
    for thread in threads:
        thread.join()
    run.worker.tell_to_die()
    assert first is second is await run.worker.wait()
    assert len(run.exits) == 1


async def test_a_worker_told_to_die_before_its_first_breath_never_shows_a_picture(
    launch: Launch, root: Path
) -> None:
    run = launch(spec())
    exited = await run.worker.stop()
    assert exited.asked
    assert run.fragments == []
    assert not run.has_frame


async def test_a_worker_that_was_never_started_is_stopped_at_once(root: Path) -> None:
    run = make_run(spec(), "/nowhere/ffmpeg", prepare(root, "cam1", "s1", 1))
    with pytest.raises(FileNotFoundError):
        run.worker.start()
    assert (await run.worker.stop()).asked
    assert run.reports == []


async def test_a_worker_may_not_be_started_from_another_thread_s10(root: Path, ffmpeg: str) -> None:
    run = make_run(spec(), ffmpeg, prepare(root, "cam1", "s1", 1))
    with pytest.raises(RuntimeError, match="main thread"):
        await asyncio.to_thread(run.worker.start)


STUBBORN = """
signal.signal(signal.SIGTERM, signal.SIG_IGN)
if os.fork() == 0:
    time.sleep(60)
frame(1)
time.sleep(60)
"""


async def test_a_worker_that_ignores_sigterm_is_killed_with_its_whole_group_f10(
    launch: Launch, tmp_path: Path
) -> None:
    run = launch(spec(), scripted(tmp_path, STUBBORN))
    await run.until(lambda run: run.has_frame)
    group = children_of(run.started.pid)
    assert len(group) == 2
    ends = [os.pidfd_open(pid) for pid in group]
    exited = await run.worker.stop()
    assert (exited.failure, exited.signal) == (None, signal.SIGKILL)
    # The leader is reaped as soon as it has ended; its child may wait for a CPU to die on.
    assert all(ends_within(end, 10.0) for end in ends)
    for end in ends:
        os.close(end)


async def test_a_stopped_worker_is_killed_when_it_is_told_to_die_f10(
    launch: Launch, each_ffmpeg: str
) -> None:
    run = launch(spec(), each_ffmpeg)
    await run.until(lambda run: run.has_frame)
    os.kill(run.started.pid, signal.SIGSTOP)
    exited = await run.worker.stop()
    assert (exited.failure, exited.signal) == (None, signal.SIGKILL)


async def test_a_stopped_worker_that_nobody_tells_is_found_stalled_f10(
    launch: Launch, each_ffmpeg: str
) -> None:
    run = launch(spec(stall_s=1.0), each_ffmpeg)
    await run.until(lambda run: run.has_frame)
    os.kill(run.started.pid, signal.SIGSTOP)
    exited = await run.worker.wait()
    assert exited.failure == FailureClass.STALLED
    assert not exited.asked


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV, signal.SIGTERM])
async def test_a_worker_that_somebody_else_kills_is_killed_and_leaves_no_core_file_f27(
    number: int, launch: Launch, each_ffmpeg: str, root: Path
) -> None:
    run = launch(spec(), each_ffmpeg)
    await run.until(lambda run: len(run.fragments) >= 1)
    os.kill(run.started.pid, number)
    assert (await run.worker.wait()).failure == "killed"
    assert not [path.name for path in root.rglob("*") if "core" in path.name]


FLOOD = """
def flood():
    while True:
        os.write(2, b"x" * 4096 if time.monotonic() % 2 < 1 else b"garbage \\\\n" * 400)
threading.Thread(target=flood, daemon=True).start()
for number in range(1, 10_000):
    frame(number)
    time.sleep(0.02)
"""


async def test_a_flood_of_diagnostics_neither_stalls_the_worker_nor_fills_our_memory_f10_k3(
    launch: Launch, tmp_path: Path
) -> None:
    run = launch(spec(stall_s=5.0), scripted(tmp_path, FLOOD))
    await run.until(lambda run: run.has_frame)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(run.worker.wait(), 7.0)
    exited = await run.worker.stop()
    assert exited.failure is None
    assert exited.frames > 20
    assert len(exited.last_line) <= 200


LOOK = """
def tried(what):
    try:
        what()
        return "done"
    except OSError as error:
        return type(error).__name__
def listen(kind, address):
    with socket.socket(kind) as s:
        s.bind(address)
status = dict(line.split(":", 1) for line in open("/proc/self/status"))
found = {
    "outside": tried(lambda: open("OUTSIDE/planted", "w")),
    "remove": tried(lambda: os.unlink("OUTSIDE/kept")),
    "device": tried(lambda: open("/dev/null", "w")),
    "read": tried(lambda: open("OUTSIDE/kept").read()),
    "listen": tried(lambda: listen(socket.AF_INET, ("127.0.0.1", 0))),
    "signal": tried(lambda: os.kill(os.getppid(), 0)),
    "no_new_privs": status["NoNewPrivs"].strip(),
    "environment": sorted(os.environ),
    "descriptors": sorted(os.listdir("/proc/self/fd")),
    "expected": sorted(["0", "1", "2", str(channel)]),
    "nice": os.getpriority(os.PRIO_PROCESS, 0),
    "session": os.getsid(0) == os.getpid() == os.getpgid(0),
    "limits": open("/proc/self/limits").read(),
    "umask": os.umask(0),
    "timer": signal.getitimer(signal.ITIMER_REAL)[0],
    "blocked": sorted(int(n) for n in signal.pthread_sigmask(signal.SIG_BLOCK, ())),
    "alarm": signal.getsignal(signal.SIGALRM) == signal.SIG_DFL,
}
with open("found.json", "w") as file:
    json.dump(found, file)
"""


@pytest.fixture
def foreign_descriptor() -> Iterator[int]:
    """A descriptor of ours that was made inheritable by mistake."""
    reader, writer = os.pipe()
    os.set_inheritable(reader, True)
    yield reader
    os.close(reader)
    os.close(writer)


async def test_a_worker_reaches_nothing_but_its_folder_and_says_so_s26(
    launch: Launch, tmp_path: Path, root: Path, foreign_descriptor: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VOLET_SECRET", "hunter2")
    (tmp_path / "kept").write_text("ours")
    run = launch(
        spec(nice=15, longest_end_s=30.0), scripted(tmp_path, LOOK.replace("OUTSIDE", str(tmp_path)))
    )
    await run.worker.wait()
    found = json.loads((root / "cam1.s1.1" / "found.json").read_text())
    confinement = run.started.confinement
    assert all(isinstance(held, bool | int) for held in confinement.values())
    # Python adds this one itself when it finds no locale.
    assert set(found["environment"]) <= {"LC_CTYPE"}
    # One more is open while the list is read.
    extra = set(found["descriptors"]) - set(found["expected"])
    assert len(extra) <= 1
    assert str(foreign_descriptor) not in extra
    assert (found["no_new_privs"], found["nice"], found["session"], found["umask"]) == ("1", 15, True, 0o077)
    assert 20 < found["timer"] <= 32
    assert (found["blocked"], found["alarm"]) == ([], True)
    limits = {line[:26].strip(): line[26:].split()[:2] for line in found["limits"].splitlines()}
    assert max(map(int, limits["Max core file size"])) <= 1
    assert limits["Max data size"] == [str(1 << 30)] * 2
    assert limits["Max file size"] == [str(16 << 20)] * 2
    assert limits["Max open files"] == ["64", "64"]
    assert (found["read"], found["device"]) == ("done", "done")
    assert (tmp_path / "kept").exists()
    if not confinement["landlock"]:
        pytest.skip("this kernel has no Landlock")
    assert (found["outside"], found["remove"]) == ("PermissionError", "PermissionError")
    abi = int(confinement["landlock_abi"])
    if abi >= 4:
        assert found["listen"] == "PermissionError"
    if abi >= 6:
        assert found["signal"] == "PermissionError"


PARENT = """
import asyncio, sys
from pathlib import Path
from tests.edges.worker.running import make_run, spec
async def main(source, ffmpeg, folder, seconds):
    asked = spec(source=source, longest_end_s=float(seconds), bitrate="20M", outputs=("mp4",))
    run = make_run(asked, ffmpeg, Path(folder))
    run.worker.start()
    await run.until(lambda run: len(run.fragments) >= 1)
    print(run.worker.pid, flush=True)
    await run.worker.wait()
asyncio.run(main(*sys.argv[1:]))
"""


@pytest.fixture
def parent(
    root: Path, each_ffmpeg: str, request: pytest.FixtureRequest
) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """A process of its own that runs a worker, and the worker's pid; the parameter is its `longest_end_s`."""
    folder = prepare(root, "cam1", "s1", 1)
    source, seconds = "lavfi:testsrc2=size=1280x720:rate=30", str(request.param)
    process = subprocess.Popen(
        [sys.executable, "-c", PARENT, source, each_ffmpeg, str(folder), seconds],
        stdout=subprocess.PIPE,
        text=True,
        cwd=REPOSITORY,
    )
    assert process.stdout is not None
    yield process, int(process.stdout.readline())
    process.kill()
    process.stdout.close()
    process.wait()
    assert wipe_all(root)


@pytest.mark.parametrize("parent", [60], indirect=True)
def test_a_worker_dies_with_its_parent_however_that_died_s10(
    parent: tuple[subprocess.Popen[str], int],
) -> None:
    process, pid = parent
    worker = os.pidfd_open(pid)
    process.kill()
    assert ends_within(worker, 10.0)
    os.close(worker)


@pytest.mark.parametrize("parent", [8], indirect=True)
def test_a_worker_whose_reader_hangs_is_ended_by_the_kernels_timer_s6(
    parent: tuple[subprocess.Popen[str], int],
) -> None:
    process, pid = parent
    worker = os.pidfd_open(pid)
    process.send_signal(signal.SIGSTOP)
    assert ends_within(worker, 30.0)
    assert exit_signal(pid) == signal.SIGALRM
    os.close(worker)


async def test_segments_are_gone_after_the_wipe_even_of_a_worker_that_was_killed_s11(
    launch: Launch, root: Path
) -> None:
    run: Run = launch(spec())
    await run.until(lambda run: len(run.segments) >= 1)
    os.kill(run.started.pid, signal.SIGKILL)
    await run.worker.wait()
    assert list(root.rglob("*.ts"))
    assert wipe_all(root)
    assert list(root.iterdir()) == []
