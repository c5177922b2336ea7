"""A child of a child that outlives its parent stays in our tree, so that what it listens on is found (S7)."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).parents[3]
LEAVES = """
import subprocess
quiet = subprocess.DEVNULL
left = subprocess.Popen(["sleep", "60"], start_new_session=True, stdout=quiet, stderr=quiet)
print(left.pid)
"""
OURS = f"""
import os, signal, subprocess, sys
from orchestrator.edges.vpn.processes import Orphans, tree
Orphans()
middle = subprocess.run([sys.executable, "-c", {LEAVES!r}], capture_output=True, text=True, check=True)
orphan = int(middle.stdout)
print(orphan in tree([os.getpid()]))
os.kill(orphan, signal.SIGKILL)
"""


def test_an_orphan_of_our_children_is_found_below_us() -> None:
    done = subprocess.run(
        [sys.executable, "-c", OURS], cwd=REPOSITORY, capture_output=True, text=True, check=True
    )
    assert done.stdout == "True\n"
