"""How long a part of the demo lives: until it is told to stop, or until whoever started it is gone."""

import asyncio
import ctypes
import json
import os
import signal
import sys
import threading
from collections.abc import Callable

_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None, use_errno=True)


def end_with_parent(parent: int, by: signal.Signals = signal.SIGTERM) -> None:
    """Let the kernel send `by` to this process when the thread that started it ends.

    `parent` is the pid that should still be the parent: one that died before the kernel was asked is noticed.
    """
    _LIBC.prctl(_PR_SET_PDEATHSIG, int(by), 0, 0, 0)
    if os.getppid() != parent:
        os.kill(os.getpid(), by)


def end_child_with_us() -> Callable[[], None]:
    """What a child runs between fork and exec, so that it is killed when this process dies of anything.

    The child must be started from a thread that lives as long as the process: the main one.
    """
    us = os.getpid()
    return lambda: end_with_parent(us, signal.SIGKILL)


def tell(**what: object) -> None:
    """Write one JSON line to standard output, at once."""
    print(json.dumps(what), flush=True)


def stop_requested() -> asyncio.Event:
    """The event that SIGTERM and SIGINT set; call it on the running loop."""
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    return stopping


def listen_to_commands(obey: Callable[[str], None]) -> None:
    """Call `obey` on the running loop with each line of standard input, until that ends.

    A thread reads, because the loop cannot wait for a file or for /dev/null.
    """
    loop = asyncio.get_running_loop()

    def read() -> None:
        for line in sys.stdin:
            try:
                loop.call_soon_threadsafe(obey, line.strip())
            except RuntimeError:  # the loop has closed: nobody is left to obey
                return

    threading.Thread(target=read, name="commands", daemon=True).start()
