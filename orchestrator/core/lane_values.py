"""What a lane's payload says: bytes → a value that can be compared, or unreadable (CONTRACT 9)."""

from __future__ import annotations

import json
import re
from typing import Any

from orchestrator.core.policy import LaneRule

MAX_PAYLOAD_BYTES = 4096
MAX_QUOTE_CHARACTERS = 80

_ASCII_WHITE_SPACE = b" \t\n\r\x0b\x0c"
_MAX_INTEGER_CHARACTERS = 17
_MAX_EPOCH_DIGITS = 20
_MILLISECONDS_FROM = 10**11
_ARRAY_INDEX = re.compile(r"0|[1-9][0-9]{0,8}", re.ASCII)
_INEXACT = object()


def read_text(payload: bytes) -> str | None:
    """The payload as text, trimmed of ASCII white space; None when it is unreadable: over 4 KiB,
    not UTF-8, or nothing at all (F7)."""
    if len(payload) > MAX_PAYLOAD_BYTES:
        return None
    try:
        return payload.strip(_ASCII_WHITE_SPACE).decode("utf-8") or None
    except UnicodeDecodeError:
        return None


def read_value(rule: LaneRule, payload: bytes) -> str | None:
    """The text that this rule compares, or None when the payload is unreadable to it.

    Without a pointer that is the whole text; with one, a text listed in `also`, or the canonical
    JSON text of what the pointer points at (so a string keeps its quotation marks).
    """
    text = read_text(payload)
    if text is None or rule.pointer is None or text in rule.also:
        return text
    try:
        document = json.loads(
            text, object_pairs_hook=_unique, parse_int=_integer, parse_float=_inexact, parse_constant=_refuse
        )
        value = json.dumps(
            _pointed_at(document, rule.pointer), ensure_ascii=False, separators=(",", ":"), sort_keys=True
        )
        value.encode("utf-8")
    except (ValueError, TypeError, LookupError, RecursionError):
        return None
    return value


def why_unreadable(rule: LaneRule, payload: bytes) -> str:
    """What a person is told of a payload that `read_value`, or `read_epoch_us`, could not read."""
    if len(payload) > MAX_PAYLOAD_BYTES:
        return f"{len(payload)} bytes are more than the {MAX_PAYLOAD_BYTES} that are read"
    if read_text(payload) is not None:
        if rule.heartbeat:
            return "it is no time in whole seconds or milliseconds since 1970"
        return f"it is neither JSON with a value at {rule.pointer} nor listed under `also`"
    return "it is not UTF-8" if payload.strip(_ASCII_WHITE_SPACE) else "it is empty"


def read_epoch_us(payload: bytes) -> int | None:
    """A heartbeat's own time in microseconds since 1970: ASCII digits, seconds below 10^11 and
    milliseconds from there; None for anything else."""
    text = read_text(payload)
    if text is None or not (text.isascii() and text.isdigit()) or len(text) > _MAX_EPOCH_DIGITS:
        return None
    number = int(text)
    return number * (1_000_000 if number < _MILLISECONDS_FROM else 1_000)


def quoted(payload: bytes) -> str:
    """The payload for a person's eyes: escaped (control and bidirectional characters too), in
    quotation marks, cut at 80 characters. Never for the chain (S19)."""
    text = payload[: 4 * MAX_QUOTE_CHARACTERS].decode("utf-8", "backslashreplace")
    shown = "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode("ascii")
        for character in text[: MAX_QUOTE_CHARACTERS + 1]
    )
    if len(shown) > MAX_QUOTE_CHARACTERS:
        shown = shown[: MAX_QUOTE_CHARACTERS - 1] + "…"
    return f"“{shown}”"


def _pointed_at(document: Any, pointer: str) -> Any:
    """What an RFC 6901 pointer points at; LookupError when nothing is there."""
    if pointer and not pointer.startswith("/"):
        raise LookupError(pointer)
    value = document
    for token in pointer.split("/")[1:]:
        key = token.replace("~1", "/").replace("~0", "~")
        if isinstance(value, dict):
            value = value[key]
        elif isinstance(value, list) and _ARRAY_INDEX.fullmatch(key):
            value = value[int(key)]
        else:
            raise LookupError(pointer)
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a member's name stands twice")
    return members


def _integer(digits: str) -> Any:
    return int(digits) if len(digits) <= _MAX_INTEGER_CHARACTERS else _INEXACT


def _inexact(_number: str) -> object:
    return _INEXACT


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is not JSON")
