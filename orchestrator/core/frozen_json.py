"""Frozen values as JSON and back, by their annotations: strict both ways, so that nothing is guessed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from functools import cache
from types import NoneType, UnionType
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

V = TypeVar("V")
_LEAVES = (str, int, bool, NoneType)


class Misfit(ValueError):
    """JSON that is not what such a value looks like; the message says where."""


def plain(value: object) -> Any:
    """`value` as JSON: an object by its fields, a mapping as the list of its pairs in order, a set sorted."""
    if isinstance(value, _LEAVES):
        return value
    if is_dataclass(value):
        return {field.name: plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Mapping):
        return [[plain(key), plain(item)] for key, item in value.items()]
    if isinstance(value, frozenset):
        return sorted(plain(item) for item in value)
    if isinstance(value, tuple):
        return [plain(item) for item in value]
    raise TypeError(f"a {type(value).__name__} has no place in a frozen value")


def restored(kind: type[V], value: object) -> V:
    """The value of a dataclass `kind` that `plain` made `value` of; Misfit when it cannot have been one."""
    made: V = _restored(kind, value, "$")
    return made


def _restored(kind: Any, value: object, path: str) -> Any:
    origin, inner = get_origin(kind), get_args(kind)
    if kind in _LEAVES:
        if type(value) is not kind:
            raise Misfit(f"{path} is {type(value).__name__}, not {kind.__name__}")
        return value
    if origin in (Union, UnionType):
        if value is None and NoneType in inner:
            return None
        (kind,) = (each for each in inner if each is not NoneType)
        return _restored(kind, value, path)
    if is_dataclass(kind):
        return _restored_dataclass(kind, value, path)
    if not isinstance(value, list):
        raise Misfit(f"{path} is {type(value).__name__}, not a list")
    items = [(item, f"{path}[{index}]") for index, item in enumerate(value)]
    if origin is tuple:
        return tuple(_restored(inner[0], item, at) for item, at in items)
    if origin is frozenset:
        return frozenset(_restored(inner[0], item, at) for item, at in items)
    if origin is Mapping:
        return dict(_pair(inner, item, at) for item, at in items)
    raise TypeError(f"{path}: {kind} has no place in a frozen value")


def _pair(kinds: tuple[Any, ...], value: object, path: str) -> tuple[Any, Any]:
    if not isinstance(value, list) or len(value) != len(kinds):
        raise Misfit(f"{path} is not a pair")
    key, item = (_restored(kind, each, path) for kind, each in zip(kinds, value, strict=True))
    return key, item


def _restored_dataclass(kind: Any, value: object, path: str) -> Any:
    kinds = _kinds_of(kind)
    if not isinstance(value, dict) or value.keys() != kinds.keys():
        raise Misfit(f"{path} has not the fields of a {kind.__name__}")
    return kind(**{name: _restored(each, value[name], f"{path}.{name}") for name, each in kinds.items()})


@cache
def _kinds_of(kind: Any) -> dict[str, Any]:
    hints = get_type_hints(kind)
    return {field.name: hints[field.name] for field in fields(kind)}
