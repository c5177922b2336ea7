"""What is wrong with a configuration: every fault with its TOML path."""

from __future__ import annotations

import re
from dataclasses import dataclass

_FOUND_CHARACTERS = 80
MAX_FAULTS = 100
"""Of one file: nobody reads on after so many, and they are told in the journal and by the API."""
_BARE = re.compile(r"[A-Za-z0-9_-]{1,80}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is not as it must be.

    `path` is the TOML path (`cameras.cam1.fps`, `windows[0].cron`), `line 3` for what is not TOML, empty for
    the file as a whole. No text of it holds a secret or a person's name, so it may go into the journal (S19).
    """

    path: str
    found: str
    expected: str

    def __str__(self) -> str:
        """The fault on one line."""
        where = f"{self.path}: " if self.path else ""
        return f"{where}found {self.found}, expected {self.expected}"


class SettingsInvalid(Exception):
    """The configuration is not valid; `faults` says all that is wrong, or how many more faults there are."""

    def __init__(self, faults: tuple[Fault, ...]) -> None:
        if len(faults) > MAX_FAULTS:
            more = Fault("", f"{len(faults) - MAX_FAULTS} more faults", "none: mend those first")
            faults = (*faults[:MAX_FAULTS], more)
        super().__init__("\n".join(str(fault) for fault in faults))
        self.faults = faults


def shown(value: object) -> str:
    """A value of the file for the person who reads the fault: one line, at most 80 characters."""
    text = repr(value) if isinstance(value, str) else _toml(value)
    return text if len(text) <= _FOUND_CHARACTERS else text[: _FOUND_CHARACTERS - 1] + "…"


def key_text(name: str) -> str:
    """A key as TOML writes it: bare where it can be, else in quotes and on one line."""
    return name if _BARE.fullmatch(name) else shown(name)


def _toml(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        return "a table"
    if isinstance(value, list):
        return "[" + ", ".join(shown(item) for item in value[:8]) + ("" if len(value) <= 8 else ", …") + "]"
    return str(value)
