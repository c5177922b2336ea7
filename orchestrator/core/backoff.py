"""How long to wait before the worker is started again (FIELD 10)."""

from __future__ import annotations

from orchestrator.core.policy import Backoff

COOL_DOWN_FIRST_US = 30_000_000
COOL_DOWN_MAX_US = 600_000_000


def retry_in_us(policy: Backoff, failures: int, random: float) -> int:
    """Full jitter: between the floor and `base * 2^(failures-1)`, capped; `random` is in [0, 1)."""
    ceiling = min(policy.max_us, policy.base_us << max(0, min(failures - 1, 32)))
    return max(policy.floor_us, int(ceiling * random))


def cool_down_us(storms: int) -> int:
    """How long requests are refused after the `storms`-th storm in a row (CONTRACT 3 `max_failures`)."""
    return min(COOL_DOWN_MAX_US, COOL_DOWN_FIRST_US << max(0, min(storms - 1, 16)))
