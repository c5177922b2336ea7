"""Runs pytest in a child of this process, which has read the large libraries already: that saves a second.

One JSON line on standard input is one run: `{"words": [...], "output": "a file"}`; the answer is one line,
its exit status. Nothing of the product is read here, so that each child reads what stands in the tree then.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import sys
from contextlib import suppress

LIBRARIES = (
    "aiohttp.web",
    "alembic.command",
    "hypothesis",
    "paho.mqtt.client",
    "pydantic",
    "pytest_asyncio.plugin",
    "pytest_timeout",
    "sqlalchemy",
    "transitions",
)


def main() -> None:
    """Until standard input ends."""
    import pytest

    for library in LIBRARIES:
        with suppress(ImportError):
            importlib.import_module(library)
    # What is here already is no garbage of the runs: pytest collects at each one's end.
    gc.freeze()
    for line in sys.stdin:
        run = json.loads(line)
        child = os.fork()
        if child == 0:
            output = os.open(run["output"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
            os.dup2(output, 1)
            os.dup2(output, 2)
            status = int(pytest.main(run["words"]))
            sys.stdout.flush()
            os._exit(status)
        _, ended = os.waitpid(child, 0)
        sys.stdout.write(f"{os.waitstatus_to_exitcode(ended)}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
