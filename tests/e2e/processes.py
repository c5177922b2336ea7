"""A process that a test started: its output is kept, it is ended by its id, and it dies with the test run."""

import json
import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from orchestrator.demo.lifetime import end_child_with_us

ROOT = Path(__file__).parents[2]
READY_S = 30.0
STOP_S = 20.0


class Process:
    """One child. Standard output and error go to `<folder>/<name>.log`, line by line."""

    def __init__(
        self, name: str, argv: Sequence[str], folder: Path, environment: Mapping[str, str] | None = None
    ) -> None:
        self.name, self.argv = name, list(argv)
        self.output = folder / f"{name}.log"
        self.lines: list[str] = []
        self._news = threading.Condition()
        self._ended = False
        self._popen = subprocess.Popen(
            self.argv,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=ROOT,
            env={**os.environ, **(environment or {})},
            preexec_fn=end_child_with_us(),
        )
        self._reader = threading.Thread(target=self._read, name=f"output-{name}", daemon=True)
        self._reader.start()

    @property
    def pid(self) -> int:
        """The process id; the test's to signal until `stop`."""
        return self._popen.pid

    @property
    def running(self) -> bool:
        """Whether it has not ended."""
        return self._popen.poll() is None

    def _read(self) -> None:
        assert self._popen.stdout is not None
        with self.output.open("a", encoding="utf-8") as file:
            for line in self._popen.stdout:
                file.write(line)
                file.flush()
                with self._news:
                    self.lines.append(line.rstrip("\n"))
                    self._news.notify_all()
        with self._news:
            self._ended = True
            self._news.notify_all()

    def wait_line(self, fits: Callable[[str], bool], *, after: int = 0, timeout_s: float = READY_S) -> str:
        """The first line, from number `after` on, that fits. AssertionError when it ends or time is up."""
        until = time.monotonic() + timeout_s
        with self._news:
            while True:
                for line in self.lines[after:]:
                    if fits(line):
                        return line
                assert not self._ended, f"{self.name} ended: {self.text()}"
                left = until - time.monotonic()
                assert left > 0, f"{self.name} did not say what was awaited: {self.text()}"
                self._news.wait(left)

    def wait_json(self, key: str, *, after: int = 0) -> Any:
        """The value of `key` in the first JSON line that has it."""
        line = self.wait_line(lambda line: line.startswith("{") and key in json.loads(line), after=after)
        return json.loads(line)[key]

    def say(self, command: str) -> None:
        """A line to its standard input."""
        assert self._popen.stdin is not None
        self._popen.stdin.write(command + "\n")
        self._popen.stdin.flush()

    def kill(self, number: int = signal.SIGKILL) -> None:
        """Send it a signal."""
        self._popen.send_signal(number)

    def wait(self, timeout_s: float = STOP_S) -> int:
        """Its exit status. subprocess.TimeoutExpired when it does not end."""
        status = self._popen.wait(timeout_s)
        self._reader.join(timeout_s)
        return status

    def stop(self) -> int:
        """End it: SIGTERM, then SIGKILL; one that was stopped (SIGSTOP) goes on first."""
        if self.running:
            for number in (signal.SIGCONT, signal.SIGTERM):
                self._popen.send_signal(number)
        try:
            return self.wait()
        except subprocess.TimeoutExpired:
            self._popen.kill()
            return self.wait()
        finally:
            for pipe in (self._popen.stdin, self._popen.stdout):
                if pipe is not None and not self._reader.is_alive():
                    pipe.close()

    def text(self, last: int = 60) -> str:
        """The last lines it said."""
        return "\n".join(self.lines[-last:])


class ProcessWatch:
    """Knows when another process, known by its id, came to its end."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.gone_us: int | None = None
        self._gone = threading.Event()
        try:
            self._pidfd = os.pidfd_open(pid)
        except ProcessLookupError:
            self._note()
            return
        threading.Thread(target=self._watch, name=f"watch-{pid}", daemon=True).start()

    def _note(self) -> None:
        self.gone_us = time.time_ns() // 1000
        self._gone.set()

    def _watch(self) -> None:
        select.select([self._pidfd], [], [])
        self._note()
        os.close(self._pidfd)

    def wait(self, timeout_s: float) -> int:
        """The wall time in microseconds at which it ended."""
        assert self._gone.wait(timeout_s), f"process {self.pid} is still there after {timeout_s} s"
        assert self.gone_us is not None
        return self.gone_us


def python(*arguments: str) -> list[str]:
    """The interpreter of this environment with these arguments."""
    return [sys.executable, *arguments]


def workers_of(segments: Path) -> list[int]:
    """The ids of all processes that work in that segment folder, or name it: ours, whoever started them."""
    found = []
    for entry in os.scandir("/proc"):
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            folder = os.readlink(f"/proc/{entry.name}/cwd")
            words = Path(f"/proc/{entry.name}/cmdline").read_bytes()
        except OSError:
            continue
        if folder.startswith(str(segments)) or (b"ffmpeg" in words and str(segments).encode() in words):
            found.append(int(entry.name))
    return found
