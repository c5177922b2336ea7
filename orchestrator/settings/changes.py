"""What a reload changes (the table under Reload in CONTRACT 3)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from orchestrator.settings.faults import Fault, shown
from orchestrator.settings.values import Settings

Part = Literal["vpn", "mqtt", "local"]


@dataclass(frozen=True, slots=True)
class Changes:
    """The difference between two configurations.

    `close`: cameras to shut with `config-changed`, the `removed` ones among them. `rebuild`: parts to take
    down and build anew. `members`, `windows`: these differ. `later`: something differs that counts from the
    next use on. `restart`: what may not change while running; with any of these the new file is not valid.
    """

    close: frozenset[str]
    removed: frozenset[str]
    added: frozenset[str]
    rebuild: frozenset[Part]
    members: bool
    windows: bool
    later: bool
    restart: tuple[Fault, ...]

    @property
    def nothing(self) -> bool:
        """Whether both configurations are the same."""
        return not (
            self.close
            or self.added
            or self.rebuild
            or self.members
            or self.windows
            or self.later
            or self.restart
        )


def changes(old: Settings, new: Settings) -> Changes:
    """What differs from `old` in `new`."""
    before, after = frozenset(old.cameras), frozenset(new.cameras)
    rebuild = _rebuild(old, new)
    if rebuild or old.policy.purposes != new.policy.purposes:
        close = before
    else:
        close = frozenset(camera for camera in before if _camera(old, camera) != _camera(new, camera))
    return Changes(
        close=close,
        removed=before - after,
        added=after - before,
        rebuild=rebuild,
        members=old.members != new.members,
        windows=old.policy.windows != new.policy.windows,
        later=_later(old) != _later(new),
        restart=_restart(old, new),
    )


def _rebuild(old: Settings, new: Settings) -> frozenset[Part]:
    parts: set[Part] = set()
    if old.vpn != new.vpn:
        parts.add("vpn")
    if old.mqtt != new.mqtt:
        parts.add("mqtt")
    if old.local_socket != new.local_socket:
        parts.add("local")
    return frozenset(parts)


def _camera(settings: Settings, camera: str) -> object:
    policy = settings.policy.cameras.get(camera)
    lane = settings.policy.lanes.get(policy.lane) if policy else None
    return settings.cameras.get(camera), policy, lane


def _later(settings: Settings) -> object:
    rest = replace(
        settings.policy,
        cameras={},
        lanes={},
        purposes=(),
        windows=(),
        site="",
        timezone="",
        log_patience_us=0,
        boundary_settle_us=0,
        digest="",
    )
    return settings.worker, rest


def _restart(old: Settings, new: Settings) -> tuple[Fault, ...]:
    kept = {
        "site": (old.policy.site, new.policy.site),
        "timezone": (old.policy.timezone, new.policy.timezone),
        "log.url": (old.log.url, new.log.url),
        "log.blackbox": (str(old.log.blackbox), str(new.log.blackbox)),
        "log.patience": (old.policy.log_patience_us, new.policy.log_patience_us),
    }
    return tuple(
        Fault(path, f"{shown(now)}, which needs a restart", f"{shown(was)} while it runs")
        for path, (was, now) in kept.items()
        if was != now
    )
