"""A "no" that a person or a program is told: a problem code and what goes with it (CONTRACT 8)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class Refusal(Exception):
    """`code` is a problem code of CONTRACT 8, `detail` a sentence for a person, `members` what the
    problem document names besides; `retry_after_s` becomes `Retry-After`."""

    def __init__(
        self,
        code: str,
        detail: str,
        *,
        members: Mapping[str, Any] | None = None,
        retry_after_s: int | None = None,
    ) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail
        self.members = dict(members or {})
        self.retry_after_s = retry_after_s
