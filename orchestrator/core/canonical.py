"""Canonical JSON: the one way to write a value as bytes, so that a hash of them means something (CONTRACT 7).

RFC 8785 for strings, booleans, null, integers below 2^53, lists and objects with ASCII keys. Of these orjson
with sorted keys writes exactly the RFC's bytes; floats, larger integers and other keys it would write
otherwise, so they are refused before it is asked (FIELD 6).
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any, NoReturn

import orjson

LIMIT_INTEGER = 2**53
"""Integers of a canonical value lie strictly between this and its negative (RFC 8785)."""
LIMIT_DEPTH = 32
"""How many lists and objects may lie within each other."""


class NotCanonical(ValueError):
    """A value that has no canonical bytes here; `path` is its JSON path, such as `$.data.age_ms`."""

    def __init__(self, path: str, why: str) -> None:
        super().__init__(f"{path}: {why}")
        self.path = path


_SORTED = orjson.OPT_SORT_KEYS | orjson.OPT_STRICT_INTEGER
"""The encoder's own limit is ours: it refuses an integer of 2^53 and more."""


def canonical(value: object) -> bytes:
    """The canonical bytes of `value`; NotCanonical names the JSON path of the first thing that has none."""
    try:
        if _is_plain((value,), LIMIT_DEPTH):
            written = orjson.dumps(value, option=_SORTED)
            # Bytes that are ASCII have ASCII keys.
            if written.isascii():
                return written
        return orjson.dumps(_plain(value, 0), option=_SORTED)
    except (_NoPlace, TypeError):
        _complain(value, "$", 0)


def decoded(data: bytes) -> Any:
    """The value of JSON bytes; ValueError for what is no JSON. Whether a canonical value can hold all that is
    in it is `is_canonical`'s question: it costs as much again."""
    return orjson.loads(data)


def is_canonical(data: bytes, value: object) -> bool:
    """Whether `data`, of which `decoded` made `value`, are exactly its canonical bytes."""
    if not data.isascii():
        try:
            return canonical(value) == data
        except NotCanonical:
            return False
    # Bytes that are ASCII have ASCII keys, decoded text has no surrogate, and the encoder refuses large
    # integers: floats are left to look at.
    try:
        if orjson.dumps(value, option=_SORTED) != data:
            return False
    except TypeError:
        return False
    return not _may_hold_a_float(data) or _is_plain((value,), LIMIT_DEPTH)


def _may_hold_a_float(data: bytes) -> bool:
    """Whether something in these bytes, which the encoder wrote, looks as it writes a float: `12.5`, `1e16`,
    `1.5e300`. A string may hold the like, so True is a reason to look, False is certain.
    """
    return _FRACTION.search(data) is not None or b",0e0" in (b"," + data).translate(_CLASSES, b"-+")


_FRACTION = re.compile(rb"\.[0-9]+(?:e[-+]?[0-9]+)?(?:[,\]}]|\Z)")
_CLASSES = bytes.maketrans(b"123456789:[", b"000000000,,")
"""Each digit is a 0, and what stands before a value is a comma."""
_NESTED = frozenset({dict, list, tuple})
_PLAIN = _NESTED | {str, int, bool, type(None)}


def _is_plain(values: Collection[object], depth_left: int) -> bool:
    """Whether all within is of the encoder's own types, no float, and nested no deeper than allowed."""
    # The types of a whole list or object are one look: most of what an event holds are leaves.
    kinds = set(map(type, values))
    if not kinds <= _PLAIN:
        return False
    if kinds.isdisjoint(_NESTED):
        return True
    if depth_left == 0:
        return False
    for item in values:
        kind = type(item)
        if kind is dict:
            if not _is_plain(item.values(), depth_left - 1):  # type: ignore[attr-defined]
                return False
        elif kind in _NESTED and not _is_plain(item, depth_left - 1):  # type: ignore[arg-type]
            return False
    return True


class _NoPlace(Exception):
    """Something in the value has no canonical bytes; `_complain` finds out what."""


def _plain(value: object, depth: int) -> object:
    """`value` in the types that the encoder knows."""
    if value is None or isinstance(value, str | bool):
        return value
    if isinstance(value, int):
        if not -LIMIT_INTEGER < value < LIMIT_INTEGER:
            raise _NoPlace
        return value
    if depth >= LIMIT_DEPTH:
        raise _NoPlace
    if isinstance(value, Mapping):
        if not all(isinstance(key, str) and key.isascii() for key in value):
            raise _NoPlace
        return {key: _plain(item, depth + 1) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item, depth + 1) for item in value]
    raise _NoPlace


def _complain(value: object, path: str, depth: int) -> NoReturn:
    """Raise NotCanonical for the first thing that has no canonical bytes."""
    _look(value, path, depth)
    raise NotCanonical(path, "it has no canonical bytes")


def _look(value: object, path: str, depth: int) -> None:
    if value is None or isinstance(value, bool):
        return
    if isinstance(value, str):
        _look_at_text(value, path)
    elif isinstance(value, int):
        if not -LIMIT_INTEGER < value < LIMIT_INTEGER:
            raise NotCanonical(path, f"{value} is beyond 2^53; use a coarser unit or a string")
    elif isinstance(value, float):
        raise NotCanonical(path, f"{value!r} is not an integer; put the unit into the name, as in age_ms")
    elif not isinstance(value, Mapping | list | tuple):
        raise NotCanonical(path, f"a {type(value).__name__} has no place in an event")
    elif depth >= LIMIT_DEPTH:
        raise NotCanonical(path, f"nested deeper than {LIMIT_DEPTH}")
    elif isinstance(value, Mapping):
        for key, item in value.items():
            if not isinstance(key, str) or not key.isascii():
                raise NotCanonical(path, f"the key {key!r} is not ASCII text")
            _look(item, f"{path}.{key}", depth + 1)
    else:
        for index, item in enumerate(value):
            _look(item, f"{path}[{index}]", depth + 1)


def _look_at_text(value: str, path: str) -> None:
    try:
        value.encode()
    except UnicodeEncodeError:
        raise NotCanonical(path, "a lone surrogate is not text") from None
