"""A private copy of the tree, in which protections are taken out and the tests run without them.

The tree itself is never touched. What a test starts there (`python -m orchestrator` and the like) runs the
copy's code: its folder comes first on the path that children inherit, and is where they start.
"""

from __future__ import annotations

import json
import os
import select
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import cache_from_source
from pathlib import Path
from typing import Literal
from xml.etree import ElementTree

import pytest

from tests.controls.control import ROOT, Control

LEFT_OUT = {"build", "dist"}
BEING_WRITTEN = shutil.ignore_patterns("*.pyc.*")
"""Modules that another run compiles meanwhile: gone when they are whole."""
FOREIGN = ("PYTEST_", "COV_", "PYTHON")
"""What the run outside has in its environment for itself alone."""
GRACE_S = 60.0
"""How long a run may take beyond its test's own limit."""
RAN = (0, 1)
LESS = {
    "tests/runtime/gate_parts.py": ("LIMIT_S = 20", "LIMIT_S = 8"),
    "tests/runtime/stoppable_store.py": ("LIMIT_S = 20", "LIMIT_S = 8"),
    "tests/edges/lane_broker.py": ("PATIENCE_S = 30", "PATIENCE_S = 15"),
}
"""Without a protection many of these tests wait for what never comes, so they wait less there."""


@dataclass(frozen=True, slots=True)
class Ran:
    """How one test ended. `failed`: in itself; `broke`: before or after it, or it was not even there."""

    how: Literal["passed", "failed", "skipped", "broke"]
    told: str
    """What was printed of the failure, or why it was skipped."""


class PrivateCopy:
    """Lives below `folder`, which is the caller's to remove after `close`."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "tree"
        self._folder = folder
        self.root.mkdir()
        for entry in ROOT.iterdir():
            if entry.name.startswith(".") or entry.name in LEFT_OUT:
                continue
            target = self.root / entry.name
            if entry.is_dir():
                shutil.copytree(entry, target, symlinks=True, ignore=BEING_WRITTEN)
            else:
                shutil.copy2(entry, target)
        for path, (old, new) in LESS.items():
            self._write(self.root / path, (self.root / path).read_text().replace(old, new))
        self._runner = subprocess.Popen(
            [sys.executable, "-m", "tests.controls.forked"],
            cwd=self.root,
            env=self.environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    @property
    def environment(self) -> Mapping[str, str]:
        """Ours, but that the copy's modules come first for every process that has it."""
        ours = {name: value for name, value in os.environ.items() if not name.startswith(FOREIGN)}
        return {**ours, "PYTHONPATH": str(self.root)}

    def close(self) -> None:
        """End what runs the tests."""
        self._runner.kill()
        self._runner.communicate()

    @contextmanager
    def without(self, control: Control) -> Iterator[None]:
        """While the control's protection is out; afterwards the file is as it was."""
        file = self.root / control.file
        whole, times = file.read_text(), file.stat()
        self._write(file, control.patched(whole))
        try:
            yield
        finally:
            self._write(file, whole)
            os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))

    @staticmethod
    def _write(file: Path, text: str) -> None:
        file.write_text(text)
        if file.suffix == ".py":
            # Compiled modules are told apart by second and size alone.
            Path(cache_from_source(str(file))).unlink(missing_ok=True)

    def run(self, test: str, limit_s: int = 100) -> Ran:
        """Run one test (or all parameters of one, up to the first that fails) as the copy stands."""
        report, output = self._folder / "report.xml", self._folder / "output"
        report.unlink(missing_ok=True)
        words = ["-q", "-x", "--tb=short", "-m", "slow or not slow", "-p", "no:cacheprovider"]
        words += ["-p", "no:xdist", f"--timeout={limit_s}", f"--basetemp={self._folder / 't'}"]
        status = self._ran([*words, f"--junitxml={report}", test], output, limit_s + GRACE_S)
        found = _read(report) if status in RAN and report.exists() else None
        return found or Ran("broke", f"exit status {status}\n{output.read_text(errors='replace')}")

    def _ran(self, words: list[str], output: Path, limit_s: float) -> int:
        output.write_text("")
        assert self._runner.stdin is not None
        assert self._runner.stdout is not None
        self._runner.stdin.write(json.dumps({"words": words, "output": str(output)}) + "\n")
        self._runner.stdin.flush()
        if not select.select([self._runner.stdout], [], [], limit_s)[0]:
            raise TimeoutError(f"{words[-1]} did not end within {limit_s} s: {output.read_text()}")
        return int(self._runner.stdout.readline())


def _read(report: Path) -> Ran | None:
    """What pytest's report says; None when it tells of no test."""
    cases = list(ElementTree.parse(report).iter("testcase"))
    for tag, how in _MEANS.items():
        found = [part for case in cases for part in case.iter(tag)]
        if found:
            return Ran(how, "\n".join(f"{part.get('message')}\n{part.text}" for part in found))
    return Ran("passed", "") if cases else None


_MEANS: dict[str, Literal["broke", "failed", "skipped"]] = {
    "failure": "failed",
    "error": "broke",
    "skipped": "skipped",
}


def show(copy: PrivateCopy, control: Control) -> None:
    """Without the protection its test fails and says what the control says; skipped where its test is."""
    with copy.without(control):
        ran = copy.run(control.test, control.limit_s)
    if ran.how == "skipped":
        pytest.skip(ran.told)
    found = f"without “{control.protection}” {control.test} {ran.how}, and must fail:\n{ran.told}"
    assert ran.how == "failed", found
    assert control.says in ran.told, f"it does not say {control.says!r}: {found}"
