"""Durations are read as people write them, and written so that they read back the same."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.settings import duration_text, parse_duration_us


@pytest.mark.parametrize(
    ("text", "us"),
    [("500ms", 500_000), ("90s", 90_000_000), ("15m", 900_000_000), ("1h30m", 5_400_000_000), ("0s", 0)],
)
def test_a_duration_is_its_microseconds(text: str, us: int) -> None:
    assert parse_duration_us(text) == us


@pytest.mark.parametrize("text", ["", "90", "1.5h", "-1s", "30m1h", "1 h", "1s1s", "\u0663s", "s", "1w"])
def test_anything_else_is_no_duration(text: str) -> None:
    with pytest.raises(ValueError, match="duration such as"):
        parse_duration_us(text)


@given(st.integers(0, 10**12))
def test_what_is_written_reads_back_to_the_millisecond(ms: int) -> None:
    assert parse_duration_us(duration_text(ms * 1000)) == ms * 1000
