"""Keys that CONTRACT 3 promises and that have no effect yet: refused, never accepted without effect."""

from __future__ import annotations

from typing import Any

from orchestrator.settings.faults import Fault

_ANY = object()

# Path → the value that says what happens anyway, or _ANY when every value is refused.
_UNBUILT: dict[tuple[str, ...], object] = {
    ("log", "signing_key"): _ANY,
    ("log", "checkpoint_every"): _ANY,
    ("privacy", "identities_kept"): _ANY,
}


def without_unbuilt(raw: dict[str, Any], faults: list[Fault]) -> dict[str, Any]:
    """`raw` without what is not built yet; each such key becomes a fault."""
    kept = {name: dict(table) if isinstance(table, dict) else table for name, table in raw.items()}
    for path, inert in _UNBUILT.items():
        table, key = kept.get(path[0]), path[1]
        if isinstance(table, dict) and key in table:
            value = table.pop(key)
            if value is not inert:
                faults.append(Fault(".".join(path), "a key that is not built yet", "a file without it"))
    return kept
