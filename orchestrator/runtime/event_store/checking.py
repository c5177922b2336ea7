"""The whole log, checked and folded from nothing behind a start that took its state from a snapshot.

By a process of its own at the lowest priority: in a thread it would share the loop's interpreter for minutes,
and a processor that the parking needs.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orchestrator
from orchestrator.runtime.event_store.errors import LogTampered, NotChecked
from orchestrator.runtime.event_store.snapshot import Snapshot

AGAIN_S = 10.0
"""After a check that ended without a verdict (killed, out of memory, the file could not be read)."""
STOP_S = 1.0


class WholeCheck:
    """Runs until there is a verdict. `ended` is called then, in a thread of its own."""

    def __init__(
        self, database: Path, module: str, snapshot: Snapshot[Any], of: int, ended: Callable[[], None]
    ) -> None:
        """`of`: how many events there are."""
        record = snapshot.record
        self._asked = (module, str(database), str(record.seq), record.hash, snapshot.state_digest)
        self._of, self._ended = of, ended
        self._checked = 0
        self._trouble = ""
        self._passed = False
        self._tampered: LogTampered | None = None
        self._stopping = threading.Event()
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._run, name="volet-log-check", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    @property
    def passed(self) -> bool:
        """Whether the log is whole and the snapshot was what it folds to."""
        return self._passed

    @property
    def tampered(self) -> LogTampered | None:
        """What was found, which stands until the next start."""
        return self._tampered

    def demand(self) -> None:
        """LogTampered when it is not what was written, NotChecked while that is not known."""
        if self._tampered is not None:
            raise self._tampered
        if not self._passed:
            shown = f"{self._checked:,} of {self._of:,} events are checked so far"
            raise NotChecked(f"the log is being checked since the start: {shown}{self._trouble}")

    def stop(self) -> None:
        """End it without a verdict. Blocking, a second at most."""
        with self._lock:
            self._stopping.set()
            if self._process is not None:
                self._process.kill()
        if self._thread.ident is not None:
            self._thread.join(STOP_S)

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                self._one_run()
            except OSError as error:
                self._trouble = f"; it could not be begun: {error.strerror}"
            if self._passed or self._tampered is not None:
                self._ended()
                return
            self._stopping.wait(AGAIN_S)

    def _one_run(self) -> None:
        module, *asked = self._asked
        with self._lock:
            if self._stopping.is_set():
                return
            # Where our own modules were found, and nothing else of the environment.
            place = {"PYTHONPATH": str(Path(orchestrator.__file__).parent.parent)}
            process = self._process = subprocess.Popen(
                [sys.executable, "-B", "-P", "-m", module, *asked],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                cwd=os.sep,
                env=place,
                start_new_session=True,
            )
        with process:
            assert process.stdout is not None
            for line in process.stdout:
                self._hear(json.loads(line))
        self._trouble = f"; the last try ended early ({process.returncode}), the next one comes by itself"

    def _hear(self, said: Any) -> None:
        if "checked" in said:
            self._checked = said["checked"]
        if "tampered" in said:
            self._tampered = LogTampered(said["tampered"], said["why"])
        self._passed = bool(said.get("whole"))
