"""The bytes of the configuration and of its secrets, and who else may write or read them."""

from __future__ import annotations

import os
import re
import stat
import tomllib
from decimal import Decimal
from pathlib import Path
from typing import Any

from orchestrator.settings.faults import Fault, SettingsInvalid

_FILE_BYTES = 1 << 20
_SECRET_BYTES = 4096
_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH
_OTHERS_READ = stat.S_IROTH
_AT_LINE = re.compile(r"\s*\(at line (\d+), column (\d+)\)$")


def read_toml(path: Path) -> dict[str, Any]:
    """The file's tables, decimals as Decimal.

    Raises SettingsInvalid when it is missing, unreadable or no TOML, or others may write it or its folder.
    """
    faults: list[Fault] = []
    try:
        _judge_folders(path, faults)
        data = _read_regular(path, _FILE_BYTES, faults)
    except OSError as error:
        raise SettingsInvalid((_unreadable(path, "", error, "a readable TOML file"),)) from None
    if faults:
        raise SettingsInvalid(tuple(faults))
    try:
        return tomllib.loads(data.decode(), parse_float=Decimal)
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise SettingsInvalid((Fault(f"line {line}", "bytes that are not UTF-8", "TOML in UTF-8"),)) from None
    except tomllib.TOMLDecodeError as error:
        found, at = _AT_LINE.sub("", str(error)), _AT_LINE.search(str(error))
        where = f"line {at[1] if at else len(data.splitlines())}"
        raise SettingsInvalid((Fault(where, found[:1].lower() + found[1:], "TOML"),)) from None


def read_secret(path: Path, at: str, faults: list[Fault]) -> str | None:
    """The one line a secret file holds, or None with a fault at TOML path `at` that does not repeat it."""
    found: list[Fault] = []
    try:
        data = _read_regular(path, _SECRET_BYTES, found, at=at, unseen=_OTHERS_READ)
    except OSError as error:
        faults.append(_unreadable(path, at, error, "a readable file that holds the secret"))
        return None
    try:
        text = data.decode().removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError:
        text = ""
    if not found and (not text or not text.isprintable()):
        found.append(Fault(at, f"no such line in {path}", "one line of printable text in UTF-8"))
    faults.extend(found)
    return None if found else text


def check_file(path: Path, longest: int, at: str, faults: list[Fault], *, secret: bool = False) -> None:
    """A fault at TOML path `at` unless the file can be read and few may write it, or read it if `secret`."""
    try:
        _read_regular(path, longest, faults, at=at, unseen=_OTHERS_READ if secret else 0)
    except OSError as error:
        faults.append(_unreadable(path, at, error, "a readable file"))


def _unreadable(path: Path, at: str, error: OSError, expected: str) -> Fault:
    why = (error.strerror or str(error)).lower()
    return Fault(at, f"{path}: {why}", expected)


def _read_regular(path: Path, longest: int, faults: list[Fault], *, at: str = "", unseen: int = 0) -> bytes:
    # Non-blocking, so that a named pipe in its place cannot hang us.
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    with open(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            faults.append(Fault(at, f"{path}: not a regular file", "a regular file"))
            return b""
        _judge(path, status, at, faults, unseen)
        data = file.read(longest + 1)
    if len(data) > longest:
        faults.append(Fault(at, f"{path}: more than {longest} bytes", f"at most {longest} bytes"))
    return data


def _judge_folders(path: Path, faults: list[Fault]) -> None:
    for folder in dict.fromkeys((path.absolute().parent, path.resolve().parent)):
        _judge(folder, os.stat(folder), "", faults, 0)


def _judge(path: Path, status: os.stat_result, at: str, faults: list[Fault], unseen: int) -> None:
    mode = stat.S_IMODE(status.st_mode)
    if mode & _OTHERS_WRITE:
        mend = f"chmod go-w {path}"
        faults.append(
            Fault(at, f"{path} has mode {mode:04o}: others may write it", f"nobody else may: {mend}")
        )
    if mode & unseen:
        mend = f"chmod o-r {path}"
        faults.append(Fault(at, f"{path} has mode {mode:04o}: everybody may read it", f"few may: {mend}"))
    if status.st_uid not in (0, os.geteuid()):
        found = f"{path} belongs to user {status.st_uid}, who may write it"
        faults.append(Fault(at, found, "a file and a folder of root or of the user the daemon runs as"))
