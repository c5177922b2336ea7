"""Values as TOML, written inline, so that any of them can stand anywhere."""

import json
from dataclasses import dataclass
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any


@dataclass(frozen=True, slots=True)
class Raw:
    """Text that stands in the file as it is: what no value of Python's can say."""

    text: str


def document(tables: dict[str, Any]) -> str:
    """A whole file, a line for each key of its first level."""
    return "".join(f"{key(name)} = {inline(value)}\n" for name, value in tables.items())


def key(name: str) -> str:
    """A key, in quotes where it cannot be bare."""
    return (
        name
        if name and name.isascii() and name.replace("-", "").replace("_", "").isalnum()
        else _text(
            name,
        )
    )


def inline(value: Any) -> str:
    """A value on one line."""
    match value:
        case Raw(text):
            return text
        case bool():
            return "true" if value else "false"
        case str():
            return _text(value)
        case dict():
            return "{" + ", ".join(f"{key(name)} = {inline(one)}" for name, one in value.items()) + "}"
        case list() | tuple():
            return "[" + ", ".join(inline(one) for one in value) + "]"
        case datetime() | date() | time():
            return value.isoformat()
        case float() | Decimal():
            return str(value).lower().replace("infinity", "inf")
        case _:
            return str(value)


def _text(text: str) -> str:
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
