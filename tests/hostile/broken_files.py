"""Broken as a file: what lies in its place, or in that of one it names, and who may write it."""

import os
import socket
from collections.abc import Callable
from pathlib import Path
from random import Random

from tests.hostile.breakage import Breakage
from tests.hostile.toml_text import document
from tests.hostile.valid_files import SECRET, at, whole
from tests.settings.configuration import SMALL

Touch = Callable[[Path], object]


def _socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as sock:
        here = os.open(path.parent, os.O_PATH)
        # A socket's own path must be short.
        sock.bind(f"/proc/self/fd/{here}/{path.name}")
        os.close(here)


def _loop(path: Path) -> None:
    other = path.with_name("other")
    other.symlink_to(path)
    path.symlink_to(other)


def _link_to(target: str) -> Touch:
    return lambda path: path.symlink_to(target)


NO_FILES: dict[str, Touch] = {
    "nothing": lambda path: None,
    "a folder": lambda path: path.mkdir(),
    "a named pipe": lambda path: os.mkfifo(path, 0o600),
    "a socket": _socket,
    "a loop of links": _loop,
    "a link to itself": lambda path: path.symlink_to(path),
    "a link to nothing": _link_to("/no/such/file"),
    "a link to a device without end": _link_to("/dev/zero"),
    "a link to a terminal": _link_to("/dev/tty"),
    "a link to a folder": _link_to("/proc"),
    "a link behind a file": _link_to("/etc/passwd/volet.toml"),
    "a link to memory": _link_to("/proc/self/mem"),
    "a link of a long name": _link_to("x" * 300),
}
"""What may lie at a path and is no file to read."""


def _no_file(random: Random, folder: Path) -> Breakage:
    what = random.choice(list(NO_FILES))
    return Breakage(f"{what} in its place", "", None, NO_FILES[what])


def _others_may_write(random: Random, folder: Path) -> Breakage:
    mode = random.choice([0o020, 0o002, 0o022, 0o066, 0o077, 0o1002, 0o2022, 0o6777]) | 0o600
    if random.random() < 0.5:
        return Breakage(
            f"a file of mode {mode:o}",
            "chmod go-w",
            SMALL.encode(),
            lambda path: path.chmod(
                mode,
            ),
        )
    mode |= 0o700
    return Breakage(
        f"a folder of mode {mode:o}", "chmod go-w", SMALL.encode(), lambda path: path.parent.chmod(mode)
    )


def _a_secrets_file(random: Random, folder: Path) -> Breakage:
    """The file itself is good; one that it names is not."""
    key = random.choice(["password_file", "source_secret_file", "ca_file"])
    tables, secret = whole(), folder / "secret"
    place = ("cameras", "cam1") if key == "source_secret_file" else ("mqtt",)
    at(tables, place)[key] = str(secret)
    contents: dict[str, bytes] = {
        "empty": b"",
        "no text": b"\xff\xfe" + SECRET.encode(),
        "huge": b"x" * 2_000_000,
    }
    if key != "ca_file":
        contents |= {"two lines": f"{SECRET}\n{SECRET}\n".encode(), "steering": f"{SECRET}\x1b[31m".encode()}
    what = random.choice([*contents, *NO_FILES, "everybody's to write"])
    if what in NO_FILES:
        NO_FILES[what](secret)
    else:
        secret.write_bytes(contents.get(what, SECRET.encode()))
        secret.chmod(0o602 if what == "everybody's to write" else 0o600)
    return Breakage(f"{key}: {what}", key, document(tables).encode())


KINDS: dict[str, tuple[int, Callable[[Random, Path], Breakage]]] = {
    "no file": (7, _no_file),
    "others may write it": (4, _others_may_write),
    "the file of a secret": (8, _a_secrets_file),
}
"""What can be done to files, and how often it is among four hundred."""
