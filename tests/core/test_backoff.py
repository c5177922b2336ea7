"""How long until the worker is tried again, and until a person may ask again after a storm (FIELD 10)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.core.backoff import cool_down_us, retry_in_us
from orchestrator.core.moment import SECOND_US
from orchestrator.core.policy import Backoff

POLICY = Backoff()
RANDOM = st.floats(0, 1, exclude_max=True)


@pytest.mark.parametrize(
    ("failures", "ceiling_s"), [(1, 1), (2, 2), (3, 4), (4, 8), (5, 16), (6, 30), (40, 30)]
)
def test_the_jitter_is_full_up_to_a_ceiling_that_doubles_to_the_cap(failures: int, ceiling_s: int) -> None:
    assert retry_in_us(POLICY, failures, 0.0) == POLICY.floor_us
    assert retry_in_us(POLICY, failures, 0.75) == max(POLICY.floor_us, ceiling_s * 750_000)
    assert ceiling_s * SECOND_US - 1 <= retry_in_us(POLICY, failures, 1 - 2**-53) <= ceiling_s * SECOND_US


@given(st.integers(0, 10_000), RANDOM)
def test_no_wait_is_shorter_than_the_floor_or_longer_than_the_cap(failures: int, random: float) -> None:
    assert POLICY.floor_us <= retry_in_us(POLICY, failures, random) <= POLICY.max_us


@pytest.mark.parametrize(
    ("storms", "seconds"), [(1, 30), (2, 60), (3, 120), (4, 240), (5, 480), (6, 600), (10_000, 600)]
)
def test_the_cool_down_doubles_from_thirty_seconds_to_ten_minutes(storms: int, seconds: int) -> None:
    assert cool_down_us(storms) == seconds * SECOND_US
