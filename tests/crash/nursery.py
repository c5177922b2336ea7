"""Forks lives from one process that has no thread, ends each at its cut, and has the next one recover.

Reads an order a line, answers a line of JSON each. It is the reaper of all orphans below it: a worker that
outlives its gateway is seen here."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import shutil
import signal
import socket
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from ctypes import CDLL
from functools import partial
from pathlib import Path
from typing import Any

from tests.crash import scenery, steps
from tests.crash.gateway import Place, gateway, hurry
from tests.crash.recovery import Promised, recovers
from tests.crash.stories import FIRST, KEPT, STORIES
from tests.crash.system_calls import counted, traced

PR_SET_CHILD_SUBREAPER = 36
GONE_S = 20.0
"""For the kernel to end a worker of the lowest priority on a machine that does much else; S10's second is
measured, and a worker that nobody ends lives for minutes."""
LIFE_S = 60
GO_ON_EACH = 4
"""After a cut at each so-manieth line the next life goes on to open again; the others end once recovered."""


class Line:
    """What a child says: a JSON line at a time, written at once."""

    def __init__(self) -> None:
        self.reader, self.writer = os.pipe()

    def say(self, kind: str, what: Any) -> None:
        """In the child."""
        os.write(self.writer, (json.dumps([kind, what]) + "\n").encode())
        steps.word_told()

    def heard(self) -> list[tuple[str, Any]]:
        """In the parent: everything, once the child has ended."""
        os.close(self.writer)
        with open(self.reader, "rb") as lines:
            # The last one may be cut; it promises nothing then.
            return [tuple(json.loads(line)) for line in lines if line.endswith(b"\n")]


def _child(
    work: Callable[[Line], None], watch: Callable[[int], AbstractContextManager[None]] | None = None
) -> tuple[int, list[tuple[str, Any]]]:
    """Run it in a fork; its wait status and what it said. It begins once `watch` has taken hold of it."""
    line, (held, hold) = Line(), os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(line.reader)
        os.close(hold)
        # What a collection would touch, the kernel would have to copy.
        gc.disable()
        signal.alarm(LIFE_S)
        os.read(held, 1)
        try:
            work(line)
        except BaseException:
            line.say("failed", traceback.format_exc())
            os._exit(1)
        os._exit(0)
    os.close(held)
    with nullcontext() if watch is None else watch(pid):
        os.close(hold)
        said = line.heard()
        return os.waitpid(pid, 0)[1], said


def _strace(place: Place, inject: Sequence[str], pid: int) -> AbstractContextManager[None]:
    names = (place.database, place.box)
    more = [
        path.with_name(path.name + end) for path in names for end in ("-wal", ".lock", ".new", ".damaged")
    ]
    return traced(pid, [*names, *more], place.folder / "calls", inject=inject)


def _connected() -> tuple[socket.socket, socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        far = socket.create_connection(listener.getsockname())
        near, _ = listener.accept()
    near.setblocking(False)
    return near, far


def _received(far: socket.socket) -> int:
    size_bytes = 0
    far.settimeout(GONE_S)
    with far:
        try:
            while data := far.recv(1 << 16):
                size_bytes += len(data)
        except ConnectionError:
            pass
    return size_bytes


def _orphans() -> tuple[int, float]:
    """How many processes a life left behind, and how long until the last was gone (S10)."""
    count, begun = 0, time.monotonic()
    while True:
        try:
            pid, _ = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return count, time.monotonic() - begun
        if pid:
            count += 1
        elif time.monotonic() - begun > GONE_S:
            for left in Path(f"/proc/self/task/{os.getpid()}/children").read_text().split():
                os.kill(int(left), signal.SIGKILL)
            raise AssertionError("a worker lives on (S10)")
        else:
            time.sleep(0.001)


def _live(place: Place, story: str, near: socket.socket, line: Line) -> None:
    async def life() -> None:
        async with gateway(place, line.say, near) as way:
            await STORIES[story](way)

    asyncio.run(life())


def _walk(place: Place, work: Callable[[Line], None]) -> list[steps.Step]:
    """A whole life's steps."""

    def walk(line: Line) -> None:
        walked: list[steps.Step] = []
        steps.recorded(walked)
        work(line)
        sys.settrace(None)
        (place.folder / "steps").write_text(json.dumps(walked))

    status, said = _child(walk)
    assert status == 0, said
    _orphans()
    return [tuple(step) for step in json.loads((place.folder / "steps").read_text())]


def _steps_of_a_life(place: Place, story: str) -> list[steps.Step]:
    near, far = _connected()
    with far:
        return _walk(place, lambda line: _live(place, story, near, line))


def _calls_of_a_life(place: Place, story: str) -> dict[str, int]:
    near, far = _connected()
    with far:
        status, said = _child(lambda line: _live(place, story, near, Line()), partial(_strace, place, []))
    assert status == 0, said
    _orphans()
    return counted(place.folder / "calls")


def _end_at(place: Place, story: str, cut: steps.Cut | steps.Call) -> tuple[dict[str, Any], Promised]:
    """A life that ends there; what is known of its end, and what it had promised."""
    near, far = _connected()

    def work(line: Line) -> None:
        if isinstance(cut, steps.Cut):
            steps.killed_at(cut)
        _live(place, story, near, line)

    if isinstance(cut, steps.Cut):
        status, said = _child(work)
    else:
        status, said = _child(work, partial(_strace, place, [f"{cut.name}:signal=KILL:when={cut.time}"]))
    near.close()
    promised = Promised()
    for kind, what in said:
        assert kind != "failed", what
        promised.add(kind, what)
    count, gone_s = _orphans()
    promised.worker_seen, promised.bytes_seen = count > 0, _received(far)
    reached = os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
    return {
        "reached": reached,
        "promises": len(said),
        "orphans": count,
        "gone_ms": round(gone_s * 1000),
    }, promised


def _start_after(place: Place, promised: Promised, *, goes_on: bool) -> list[str]:
    """The next life, in full; what its start wrote."""

    def work(line: Line) -> None:
        def enough(wrote: list[str]) -> None:
            line.say("wrote", wrote)
            os._exit(0)

        line.say("wrote", asyncio.run(recovers(place, promised, None if goes_on else enough)))

    status, said = _child(work)
    wrote: list[list[str]] = [what for kind, what in said if kind == "wrote"]
    assert status == 0, "\n".join(str(what) for _, what in said) or f"the next start ended with {status}"
    assert _orphans()[0] == 0, "a stop left a worker behind"
    return wrote[0]


def _start_and_end_at(place: Place, cut: steps.Cut) -> bool:
    """A start that ends there too; whether it came so far."""

    def work(line: Line) -> None:
        steps.killed_at(cut)
        asyncio.run(_only_start(place))

    status, said = _child(work)
    assert not said, said
    return os.WIFSIGNALED(status)


async def _only_start(place: Place) -> None:
    async with gateway(place):
        pass


def _carried_out(place: Place, story: str, order: dict[str, Any]) -> dict[str, Any]:
    if order["cut"] is None:
        return {"steps": _steps_of_a_life(place, story)}
    if order["cut"] == "calls":
        return {"calls": _calls_of_a_life(place, story)}
    cut = steps.parsed(order["cut"])
    result, promised = _end_at(place, story, cut)
    again = order.get("again")
    if again == "record":
        return {"steps": _walk(place, lambda line: asyncio.run(_only_start(place)))}
    if again is not None:
        result["reached"] = _start_and_end_at(place, steps.Cut.parse(again))
    goes_on = not result["reached"] or isinstance(cut, steps.Call) or cut.line % GO_ON_EACH == 0
    return result | {"wrote": _start_after(place, promised, goes_on=goes_on)}


def main() -> None:
    """Serve until the input ends."""
    CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    hurry()
    made = scenery.make(Path(sys.argv[1]))
    gc.collect()
    gc.freeze()
    for number, order in enumerate(map(json.loads, sys.stdin)):
        story = order["story"]
        place = made.place(str(number), first=story == FIRST, keeps_snapshots=story == KEPT)
        begun = time.monotonic()
        try:
            answer = _carried_out(place, story, order)
        except AssertionError as problem:
            answer = {"failed": str(problem)}
        else:
            shutil.rmtree(place.folder)
        sys.stdout.write(json.dumps(answer | {"seconds": time.monotonic() - begun}) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
