"""nginx beside the gateway, and wrk, which asks both of them in the same way."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from shutil import which

import pytest

from orchestrator.demo.lifetime import end_child_with_us
from tests.e2e.processes import Process
from tests.ports import free_port

LIMIT_S = 20.0
LOOK_AGAIN_S = 0.02
CONNECTIONS = 4
CONF = """
daemon off;
master_process off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log stderr;
events {{ worker_connections 256; }}
http {{
  access_log off;
  sendfile on;
  tcp_nopush on;
  keepalive_requests 1000000000;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  types {{ video/mp2t ts; }}
  server {{ listen 127.0.0.1:{port}; root {root}; }}
}}
"""


def find(program: str) -> str:
    """Where that program is; skips without it."""
    found = which(program, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
    if found is None:
        pytest.skip(f"needs {program}")
    return found


@contextmanager
def nginx(folder: Path, root: Path) -> Iterator[tuple[Process, str]]:
    """One process that serves the files in `root`; and its URL."""
    folder.mkdir()
    port = free_port()
    conf = folder / "nginx.conf"
    conf.write_text(CONF.format(folder=folder, port=port, root=root))
    process = Process("nginx", [find("nginx"), "-c", str(conf), "-e", "stderr"], folder)
    try:
        until = time.monotonic() + LIMIT_S
        while not _listens(port):
            assert process.running, process.text()
            assert time.monotonic() < until, "nginx does not listen"
            time.sleep(LOOK_AGAIN_S)
        yield process, f"http://127.0.0.1:{port}"
    finally:
        process.stop()


def _listens(port: int) -> bool:
    with socket.socket() as sock:
        return sock.connect_ex(("127.0.0.1", port)) == 0


def pin(pid: int, cpu: int) -> None:
    """All threads of a process on that core alone."""
    for task in os.listdir(f"/proc/{pid}/task"):
        os.sched_setaffinity(int(task), {cpu})


def served_per_s(url: str, seconds: int, cpu: int, *, keep: bool) -> float:
    """Answers a second to wrk, which has one thread on that core; `keep`: it uses a connection as long as it
    may, else for one answer. AssertionError when an answer was not 200."""
    command = ["taskset", "-c", str(cpu), find("wrk"), "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s"]
    if not keep:
        command += ["-H", "Connection: close"]
    done = subprocess.run(
        [*command, url],
        capture_output=True,
        text=True,
        check=True,
        timeout=LIMIT_S + seconds,
        preexec_fn=end_child_with_us(),
    )
    assert "Non-2xx" not in done.stdout, done.stdout
    found = re.search(r"Requests/sec:\s+([0-9.]+)", done.stdout)
    assert found is not None, done.stdout
    return float(found[1])
