"""A small valid configuration, written where the tests may change it."""

from __future__ import annotations

from pathlib import Path

from orchestrator import settings

SMALL = """\
site = "lot-12"
timezone = "Europe/Paris"

[vpn]
provider = "loopback"
address = "127.0.0.77"

[mqtt]
trust = "open"

[[members]]
name = "Maintainer A"
roles = ["maintainer"]
cameras = ["cam1"]
devices = [{ label = "laptop", address = "127.0.0.2" }]

[lanes.entry]
[[lanes.entry.rules]]
id = "no-vehicle"
topic = "parking/present"
equals = "0"
phase = "open"
vouched_by = "alive"
[[lanes.entry.rules]]
id = "alive"
topic = "parking/heartbeat"
heartbeat = "epoch"
phase = "hold"

[cameras.cam1]
lane = "entry"
source = "http://127.0.0.1:8000/mjpeg/cam1"

[[purposes]]
name = "alignment"

[[windows]]
name = "weekly"
cameras = ["cam1"]
cron = "0 9 * * tue"
duration = "2h"
"""


def write(folder: Path, text: str, name: str = "volet.toml") -> Path:
    """The text as a file that nobody else may write."""
    folder.chmod(0o700)
    path = folder / name
    path.write_text(text)
    path.chmod(0o600)
    return path


def edited(old: str, new: str) -> str:
    """SMALL with `old` replaced, which must stand there once."""
    assert SMALL.count(old) == 1, old
    return SMALL.replace(old, new)


def loaded(folder: Path, text: str = SMALL, environ: dict[str, str] | None = None) -> settings.Settings:
    return settings.load(write(folder, text), environ or {})


def faults(folder: Path, text: str, environ: dict[str, str] | None = None) -> list[settings.Fault]:
    try:
        settings.load(write(folder, text), environ or {})
    except settings.SettingsInvalid as invalid:
        return list(invalid.faults)
    return []
