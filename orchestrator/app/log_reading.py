"""A log that cannot be read is told to who asks for it as that, and not as a failure of ours."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import TypeVar

from orchestrator.core.refusal import Refusal
from orchestrator.runtime.event_store.errors import LogError

Found = TypeVar("Found")


async def read_for_caller(reading: Awaitable[Found]) -> Found:
    """What the log holds. Refusal `log-unreadable`, with the first bad event where that is known."""
    try:
        return await reading
    except LogError as problem:
        detail = f"{problem}. Run `volet verify --log URL` on the gateway: it says what still holds."
        raise Refusal("log-unreadable", detail) from None
