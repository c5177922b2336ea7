"""Whatever stands in a configuration, it is told as faults and never as a traceback."""

from __future__ import annotations

import copy
import tomllib
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.settings.build import build
from orchestrator.settings.faults import Fault
from orchestrator.settings.rules import judge
from orchestrator.settings.secrets import read_secrets
from orchestrator.settings.tables import read_tables
from orchestrator.settings.unbuilt import without_unbuilt

EXAMPLE = tomllib.loads((Path(__file__).parents[2] / "ops" / "volet.toml").read_text(), parse_float=Decimal)

SCALARS = st.one_of(
    st.booleans(),
    st.integers(),
    st.decimals(),
    st.text(max_size=12),
    st.dates(),
    st.sampled_from(
        ["cam1", "entry", "alive", "1s", "60m", "0s", "/a", "127.0.0.2", "* * * * *", date(2026, 1, 1)]
    ),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=6,
)


def places(value: Any, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    """The path of each value within `value`."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path] * bool(path) + [place for key, item in inner for place in places(item, (*path, key))]


PLACES = places(EXAMPLE)


@pytest.mark.slow
@settings(max_examples=300)
@given(st.lists(st.tuples(st.sampled_from(PLACES), VALUES), min_size=1, max_size=3))
def test_any_value_anywhere_is_valid_or_a_fault(edits: list[tuple[tuple[str | int, ...], Any]]) -> None:
    raw: Any = copy.deepcopy(EXAMPLE)
    for path, value in edits:
        within: Any = raw
        for step in path[:-1]:
            if isinstance(within, list) and isinstance(step, int):
                within = within[step] if step < len(within) else None
            else:
                within = within.get(step) if isinstance(within, dict) else None
        if isinstance(within, dict):
            within[path[-1]] = value
        elif isinstance(within, list) and within:
            within[0] = value
    faults: list[Fault] = []
    tables = read_tables(without_unbuilt(raw, faults), faults)
    faults.extend(judge(tables))
    secrets = read_secrets(tables, {}, faults)
    if not faults:
        assert build(Path("/volet.toml"), tables, secrets, {}).policy.digest.startswith("sha256:")
    assert all(str(fault) and "\n" not in str(fault) for fault in faults)
