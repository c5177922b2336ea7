"""The fault codes of CONTRACT 4: which of them lock, and which is named first."""

from __future__ import annotations

from collections.abc import Iterable

LOCKING = frozenset(
    {"vpn-not-private", "listener-exposed", "log-tampered", "memory-not-private", "closing-unproven"}
)
"""Faults that stay until an approver acknowledges them."""

SITE_WIDE = frozenset(
    {
        "vpn-down",
        "vpn-address-changed",
        "vpn-not-private",
        "listener-exposed",
        "side-door",
        "broker-lost",
        "config-invalid",
        "memory-not-private",
        "log-unwritable",
        "log-tampered",
    }
)
"""Faults that concern every camera; while shut they are observations (CONTRACT 4)."""

_PRECEDENCE: tuple[frozenset[str], ...] = (
    frozenset({"log-tampered", "log-unwritable"}),
    frozenset({"config-invalid", "config-changed"}),
    frozenset({"vpn-down", "vpn-address-changed", "vpn-not-private", "listener-exposed", "side-door"}),
    frozenset({"identity-revoked", "identity-stale"}),
    frozenset({"broker-lost"}),
    frozenset({"lane-unsafe"}),
    frozenset({"lane-unknown"}),
    frozenset({"host-overloaded", "memory-not-private", "clock-jumped"}),
    frozenset({"window-closed"}),
)


def foremost(codes: Iterable[str]) -> str | None:
    """The code an event carries when several checks fail at once."""
    present = list(codes)
    for group in _PRECEDENCE:
        for code in present:
            if code in group:
                return code
    return present[0] if present else None
