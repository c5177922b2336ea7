"""Canonical JSON: one way to write a value, and no other is taken (CONTRACT 7, RFC 8785)."""

import json
from datetime import UTC, datetime
from enum import Enum
from uuid import UUID

import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from orchestrator.core.canonical import LIMIT_INTEGER, NotCanonical, canonical, decoded, is_canonical
from orchestrator.core.moment import Moment

KEYS = st.text(st.characters(max_codepoint=127), max_size=8)
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(1 - LIMIT_INTEGER, LIMIT_INTEGER - 1)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=12,
)


def _is_read(data: bytes) -> bool:
    """Whether those bytes are taken for the canonical form of what they say."""
    try:
        value = decoded(data)
    except ValueError:
        return False
    return is_canonical(data, value)


@given(VALUES)
def test_canonical_bytes_are_what_sorted_compact_json_is(value: object) -> None:
    expected = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    assert canonical(value) == expected
    assert json.loads(expected) == value
    assert decoded(expected) == value
    assert is_canonical(expected, value)


def test_strings_are_escaped_as_rfc_8785_prints_them() -> None:
    """Its section 3.2.3, and the literal of its appendix on control characters."""
    assert canonical('\u20ac$\u000f\nA\'B"\\\\"/') == '"€$\\u000f\\nA\'B\\"\\\\\\\\\\"/"'.encode()
    assert canonical("\b\t\n\f\r\x1f\x7f") == b'"\\b\\t\\n\\f\\r\\u001f\x7f"'


@pytest.mark.parametrize(
    ("value", "path"),
    [
        ({"data": {"age": 1.5}}, "$.data.age"),
        ({"data": [0, 1.0]}, "$.data[1]"),
        ({"n": LIMIT_INTEGER}, "$.n"),
        ({"n": -LIMIT_INTEGER}, "$.n"),
        ([float("nan")], "$[0]"),
        ({"a": [{"b": "\ud800"}]}, "$.a[0].b"),
        ({"é": 1}, "$"),
        ({"a": {1: 2}}, "$.a"),
        ({"a": b"bytes"}, "$.a"),
        ({"a": {2}}, "$.a"),
    ],
)
def test_what_has_no_canonical_form_is_refused_with_its_path(value: object, path: str) -> None:
    with pytest.raises(NotCanonical) as refused:
        canonical(value)
    assert refused.value.path == path


@given(st.floats(allow_nan=False, allow_infinity=False))
@example(1e16)
@example(-1e-7)
@example(0.5)
@example(1.5e300)
def test_bytes_with_a_float_are_canonical_of_nothing(number: float) -> None:
    """Wherever it stands, and however the encoder writes it."""
    for value in (number, [number], [[], number, 1], {"a": number}, {"a": [{"b": number}], "c": "d"}):
        assert not is_canonical(orjson.dumps(value), decoded(orjson.dumps(value)))


@pytest.mark.parametrize("text", ["1.5,", ".5}", ",1e5", "a:1e-5", "[2e16]", "10.0.0.1,10.0.0.2"])
def test_a_text_that_looks_like_a_float_is_a_text(text: str) -> None:
    value = {"a": [text, 1], "b": text}
    assert is_canonical(canonical(value), value)


class _Colour(Enum):
    RED = "red"


@pytest.mark.parametrize(
    "value", [_Colour.RED, UUID(int=1), datetime(2026, 11, 22, tzinfo=UTC), Moment(1, 2)], ids=type
)
def test_what_the_encoder_alone_would_know_is_refused(value: object) -> None:
    with pytest.raises(NotCanonical) as refused:
        canonical({"a": [value]})
    assert refused.value.path == "$.a[0]"


def test_a_value_nested_without_end_is_refused() -> None:
    value: object = []
    for _ in range(5000):
        value = [value]
    with pytest.raises(NotCanonical, match="nested deeper"):
        canonical(value)
    with pytest.raises(ValueError, match="depth"):
        decoded(b"[" * 100_000)


@pytest.mark.parametrize(
    "data",
    [
        b'{"a": 1}',
        b'{"b":1,"a":2}',
        b'{"a":1,"a":1}',
        b'{"a":-0}',
        b'"\\u00e9"',
        b'"\\ud800"',
        b'"\\u000A"',
        b'{"\xc3\xa9":1}',
        b"1.0",
        b'{"a":1.0}',
        b'{"a":[0,-1.5]}',
        b'{"a":1e300}',
        b'{"a":[1e16]}',
        b'{"a":{"b":9007199254740992}}',
        b'{"a":-9007199254740993}',
        b'{"a": 2.0}',
        b"NaN",
        b"9007199254740992",
        b"\xff",
        b"",
    ],
)
def test_other_spellings_of_json_are_not_canonical(data: bytes) -> None:
    assert not _is_read(data)
