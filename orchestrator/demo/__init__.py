"""`volet demo`: the whole program on embedded parts, and its outside world as processes on loopback."""

from __future__ import annotations


def run(once: bool, duration_s: float) -> int:
    """Run until Ctrl-C: 0; or one scripted session of `duration_s` seconds: 0, or 1 and which step failed."""
    from orchestrator.demo.stage import play

    return play(once, duration_s)
