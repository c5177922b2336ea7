"""Read a configuration: Settings, or every fault it has at once."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from orchestrator.settings.build import build
from orchestrator.settings.faults import Fault, SettingsInvalid
from orchestrator.settings.reading import read_toml
from orchestrator.settings.rules import judge
from orchestrator.settings.secrets import read_secrets
from orchestrator.settings.tables import read_tables
from orchestrator.settings.unbuilt import without_unbuilt
from orchestrator.settings.values import Settings


def load(path: Path, environ: Mapping[str, str]) -> Settings:
    """The settings in the TOML file `path`, secrets also from `environ`. Raises SettingsInvalid.

    Reads the file and the secret files once and looks at who may write them; nothing else is touched.
    """
    raw = read_toml(path)
    faults: list[Fault] = []
    tables = read_tables(without_unbuilt(raw, faults), faults)
    faults.extend(judge(tables))
    secrets = read_secrets(tables, environ, faults)
    if faults:
        raise SettingsInvalid(tuple(faults))
    return build(path, tables, secrets, environ)
