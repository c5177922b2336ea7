"""How a command ends: its exit status and, when it did not do what was asked, one line that says why."""

from __future__ import annotations

DONE = 0
NO = 1
"""A check failed, or the answer is no."""
USAGE = 2
UNREACHABLE = 69
"""The daemon cannot be reached (EX_UNAVAILABLE)."""
NOT_VALID = 78
"""The configuration is not valid (EX_CONFIG)."""


class Failure(Exception):
    """`message` says on one line what is wrong, then what to do; `status` is the exit status (CONTRACT 2)."""

    def __init__(self, message: str, status: int = NO) -> None:
        super().__init__(message)
        self.message = message
        self.status = status
