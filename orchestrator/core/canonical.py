"""Canonical JSON: the one way to write a value as bytes, so that a hash of them means something (CONTRACT 7).

RFC 8785 for strings, booleans, null, integers below 2^53, lists and objects with ASCII keys. Of these orjson
with sorted keys writes exactly the RFC's bytes; floats, larger integers and other keys it would write
otherwise, so they are refused before it is asked (FIELD 6).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
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


def canonical(value: object) -> bytes:
    """The canonical bytes of `value`; NotCanonical names the JSON path of the first thing that has none."""
    try:
        return orjson.dumps(_plain(value, 0), option=orjson.OPT_SORT_KEYS)
    except (_NoPlace, TypeError):
        _complain(value, "$", 0)


def decoded(data: bytes) -> Any:
    """The value of JSON bytes; ValueError for what is no JSON. Whether a canonical value can hold all that is
    in it is `is_canonical`'s question: it costs as much again."""
    return orjson.loads(data)


def is_canonical(data: bytes, value: object) -> bool:
    """Whether `data`, of which `decoded` made `value`, are exactly its canonical bytes."""
    # Bytes that are ASCII have ASCII keys, and decoded text has no surrogate: numbers are left to look at.
    if not data.isascii():
        try:
            return canonical(value) == data
        except NotCanonical:
            return False
    return _has_small_integers_alone((value,)) and orjson.dumps(value, option=orjson.OPT_SORT_KEYS) == data


def _has_small_integers_alone(values: Iterable[object]) -> bool:
    for value in values:
        kind = type(value)
        if kind is int:
            if not -LIMIT_INTEGER < value < LIMIT_INTEGER:  # type: ignore[operator]
                return False
        elif kind is dict:
            if not _has_small_integers_alone(value.values()):  # type: ignore[attr-defined]
                return False
        elif kind is list:
            if not _has_small_integers_alone(value):  # type: ignore[arg-type]
                return False
        elif kind is float:
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
