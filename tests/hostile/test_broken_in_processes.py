"""The same broken configurations before the real program: a command, a start, a running daemon."""

import os
import shutil
import socket
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import count, islice
from pathlib import Path

import pytest

from orchestrator.settings import SettingsInvalid, load
from tests.e2e.another_user import NOBODY, argv_as
from tests.e2e.conftest import MakeGateway
from tests.e2e.gateway import Gateway
from tests.e2e.incident import log_is_whole
from tests.e2e.processes import ROOT, python
from tests.hostile.broken import SEED, broken
from tests.hostile.broken_files import NO_FILES
from tests.hostile.test_broken_configurations import ANSWER, MAX_ANSWER_BYTES
from tests.hostile.valid_files import UNTOLD
from tests.settings.configuration import SMALL

pytestmark = pytest.mark.slow

COMMANDS, STARTS, CHANGES = 40, 3, 190
STEP = 211
"""From one number that is tried to the next: so that few show many kinds."""
LIMIT_S = 60
MAX_EVENTS = 12


def _said(*words: str) -> str:
    """The lines of a program that refuses its configuration. AssertionError when it ended otherwise."""
    ended = subprocess.run(words, capture_output=True, text=True, timeout=LIMIT_S, cwd=ROOT, check=False)
    assert (ended.returncode, ended.stdout) == (78, ""), (words, ended)
    assert len(ended.stderr) <= MAX_ANSWER_BYTES
    assert ended.stderr
    assert all(ANSWER.fullmatch(line) for line in ended.stderr.splitlines()), ended.stderr
    assert [word for word in UNTOLD if word in ended.stderr] == []
    return ended.stderr


def test_the_command_refuses_them(tmp_path: Path) -> None:
    def one(number: int) -> None:
        folder = tmp_path / str(number)
        folder.mkdir(mode=0o700)
        case = broken(SEED, number, folder)
        said = _said(*python("-m", "orchestrator", "check", "--config", str(case.path)))
        assert case.at in said, case

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(one, range(0, COMMANDS * STEP, STEP)))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_the_command_refuses_a_file_that_it_may_not_read(tmp_path: Path) -> None:
    path, hold = tmp_path / "volet.toml", tmp_path / "hold"
    path.write_text(SMALL)
    path.chmod(0o600)
    hold.mkdir(mode=0o755)
    for folder in (tmp_path, *tmp_path.parents):
        if not folder.stat().st_mode & 0o001:
            folder.chmod(folder.stat().st_mode | 0o001)
    words = argv_as(NOBODY, "volet.service", hold, ["-m", "orchestrator", "check", "--config", str(path)])
    assert "permission denied" in _said(*words)


def test_the_daemon_refuses_them_and_opens_no_port(make_gateway: MakeGateway, tmp_path: Path) -> None:
    for number in islice(_plain_numbers(), STARTS):
        gateway = make_gateway()
        case = broken(SEED, number, gateway.folder)
        _said(*python("-m", "orchestrator", "serve", "--config", str(case.path)))
        with socket.socket() as sock, pytest.raises(ConnectionRefusedError):
            sock.connect((gateway.address, gateway.port))
        assert not gateway.socket.exists()
        assert not gateway.database.exists()


def _plain_numbers() -> Iterator[int]:
    """Numbers whose file is a plain one and broken by itself."""
    return (number for number in count(0, STEP) if _data(number) is not None)


def _data(number: int) -> bytes | None:
    folder = Path("/dev/shm") / f"volet-one-{os.getpid()}"
    folder.mkdir(mode=0o700)
    try:
        case = broken(SEED, number, folder)
        plain = case.kind not in ("no file", "others may write it", "the file of a secret")
        return case.path.read_bytes() if plain else None
    finally:
        shutil.rmtree(folder)


def _put(path: Path, data: bytes | None) -> None:
    assert data is not None
    new = path.with_name("volet.toml.new")
    new.write_bytes(data)
    new.chmod(0o600)
    os.replace(new, path)


def _put_no_file(path: Path, what: str) -> None:
    _clear(path)
    NO_FILES[what](path)
    if os.path.lexists(path):
        # Made in place it may still be unfinished, for all that is known; now it is what it will be.
        os.utime(path, follow_symlinks=False)


def _fault(path: Path) -> str:
    """What the daemon will say of the file that lies there."""
    with pytest.raises(SettingsInvalid) as invalid:
        load(path, os.environ)
    fault = invalid.value.faults[0]
    return f"{fault.path}: {fault.found}; expected {fault.expected}"


def _clear(path: Path) -> None:
    for each in (path, path.with_name("other")):
        if each.is_symlink() or not os.path.isdir(each):
            each.unlink(missing_ok=True)
        else:
            each.rmdir()


@pytest.mark.timeout(240)
def test_under_a_running_daemon_each_of_them_keeps_it_shut_and_a_valid_one_opens_again(
    own_gateway: Gateway,
) -> None:
    """F13, CONTRACT 3 Reload."""
    gateway, path = own_gateway, own_gateway.config
    flow, pid = gateway.flow(), gateway.daemon.pid
    before = gateway.last_seq()
    numbers = islice(_plain_numbers(), CHANGES)
    puts: list[Callable[[], object]] = [partial(_put, path, _data(number)) for number in numbers]
    puts += [partial(_put_no_file, path, what) for what in NO_FILES]
    for taken, put in enumerate(puts):
        put()
        gateway.wait_detail("config", _fault(path))
        assert gateway.checks()["config"]["passed"] is False
        if taken == 0:
            assert gateway.wait_end(flow.session)["data"]["fault"] == "config-invalid"
    assert gateway.transition("request", reason="look").code == "config-invalid"
    assert (gateway.daemon.running, gateway.daemon.pid) == (True, pid)
    _clear(path)
    gateway.write_configuration()
    gateway.wait_configured()
    new = [event for event in gateway.events() if event["seq"] > before and event["session"] != flow.session]
    assert len(new) <= MAX_EVENTS, new
    gateway.shut(gateway.flow().session)
    log_is_whole(gateway)
    assert "Traceback" not in gateway.daemon.text(10_000)
