"""Lengths of time and points in time as they are typed after an option."""

from __future__ import annotations

import argparse
import time

from orchestrator.core.moment import SECOND_US, parse_rfc3339

_MAX_US = 10_000 * 86_400 * SECOND_US
"""Further back than this nothing was ever logged."""


def span_us(text: str) -> int:
    """`15m` or `1h30m` as microseconds, in the configuration's own grammar."""
    # Settings bring their library along: only who gives a duration waits for it.
    from orchestrator.settings import parse_duration_us

    try:
        return parse_duration_us(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is not {error}") from None


def span_s(text: str) -> int:
    """`15m` as whole seconds."""
    seconds, rest = divmod(span_us(text), SECOND_US)
    if rest:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of seconds")
    return seconds


def instant_us(text: str) -> int:
    """An RFC 3339 time as microseconds since 1970."""
    try:
        return parse_rfc3339(text)
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a time; write for example 2026-11-22T10:00:00Z"
        ) from None


def since_us(text: str) -> int:
    """An RFC 3339 time, or a duration ago, as microseconds since 1970."""
    try:
        return parse_rfc3339(text)
    except ValueError:
        pass
    try:
        ago_us = min(span_us(text), _MAX_US)
    except argparse.ArgumentTypeError:
        raise argparse.ArgumentTypeError(
            f"{text!r} is neither a time nor a duration ago; write for example 2026-11-22T10:00:00Z or 15m"
        ) from None
    return time.time_ns() // 1_000 - ago_us
