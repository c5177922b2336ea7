"""The bytes of the configuration and of its secrets, and who else may write or read them."""

from __future__ import annotations

import os
import re
import stat
import tomllib
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

from orchestrator.settings.faults import Fault, SettingsInvalid, key_text

_FILE_BYTES = 256 << 10
_MAX_VALUES = 10_000
_MAX_LEVELS = 8
_SECRET_BYTES = 4096
_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH
_OTHERS_READ = stat.S_IROTH
# tomllib takes minutes over a key of very many parts, and raises no TOMLDecodeError over very many digits.
_LONG_KEY = re.compile(
    rb"""^[ \t]*\[{0,2}(?:[ \t]*(?:[A-Za-z0-9_-]+|"[^"\n]*"|'[^'\n]*')[ \t]*\.){8}""", re.MULTILINE
)
_LONG_NUMBER = re.compile(rb"(?<![0-9_])[0-9][0-9_]{4000}")
_TOO_DEEP = ("values within values without an end", "tables and lists of a few levels")
_AT_LINE = re.compile(r"\s*\(at line (\d+), column (\d+)\)$")


def read_toml(path: Path) -> dict[str, Any]:
    """The file's tables, decimals as Decimal.

    Raises SettingsInvalid when it is missing, unreadable or no TOML, holds more than any configuration does,
    or others may write it or its folder.
    """
    faults: list[Fault] = []
    try:
        _judge_folders(path, faults)
        data = _read_regular(path, _FILE_BYTES, faults)
    except OSError as error:
        raise SettingsInvalid((_unreadable(path, "", error, "a readable TOML file"),)) from None
    if faults:
        raise SettingsInvalid(tuple(faults))
    _refuse(_beyond_toml(data))
    raw = _parsed(data)
    _refuse(_beyond_measure(raw))
    return raw


def _refuse(fault: Fault | None) -> None:
    if fault is not None:
        raise SettingsInvalid((fault,))


def _parsed(data: bytes) -> dict[str, Any]:
    try:
        return tomllib.loads(data.decode(), parse_float=_decimal)
    except UnicodeDecodeError as error:
        where = _line(data, error.start)
        raise SettingsInvalid((Fault(where, "bytes that are not UTF-8", "TOML in UTF-8"),)) from None
    except RecursionError:
        raise SettingsInvalid((Fault("", *_TOO_DEEP),)) from None
    except tomllib.TOMLDecodeError as error:
        found, at = _AT_LINE.sub("", str(error)), _AT_LINE.search(str(error))
        where = f"line {at[1] if at else len(data.splitlines())}"
        raise SettingsInvalid((Fault(where, found[:1].lower() + found[1:], "TOML"),)) from None


def _decimal(text: str) -> Decimal:
    try:
        return Decimal(text)
    except InvalidOperation:
        return Decimal("Infinity")  # its exponent is beyond what can be counted


def _line(data: bytes, at: int) -> str:
    newlines = data.count(b"\n", 0, at)
    return f"line {newlines + 1}"


def _beyond_toml(data: bytes) -> Fault | None:
    """What must not come before tomllib."""
    if found := _LONG_KEY.search(data):
        return Fault(_line(data, found.start()), "a key of more than 8 parts", "a key of this file's tables")
    if found := _LONG_NUMBER.search(data):
        return Fault(_line(data, found.start()), "thousands of digits", "a number that fits 64 bits")
    return None


def _beyond_measure(raw: dict[str, Any]) -> Fault | None:
    """The first value that is larger, deeper or one more than any that could be meant (K3)."""
    waiting: list[tuple[str, Any, int]] = [("", raw, 0)]
    for _ in range(_MAX_VALUES):
        if not waiting:
            return None
        at, value, level = waiting.pop()
        if level > _MAX_LEVELS:
            return Fault(at, *_TOO_DEEP)
        if isinstance(value, dict):
            waiting += ((f"{at}.{key_text(key)}".lstrip("."), one, level + 1) for key, one in value.items())
        elif isinstance(value, list):
            waiting += ((f"{at}[{i}]", one, level + 1) for i, one in enumerate(value))
        elif isinstance(value, int) and value.bit_length() > 63:
            return Fault(at, f"an integer of {value.bit_length()} bits", "one that fits 64 bits")
    return Fault("", f"more than {_MAX_VALUES} values", "a configuration with fewer")


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
    for folder in dict.fromkeys((path.absolute().parent, Path(os.path.realpath(path)).parent)):
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
