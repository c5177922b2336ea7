"""Secrets and certificates, from files or from the environment, never from the configuration itself."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from orchestrator.settings.certificates import Certificates, read_certificates
from orchestrator.settings.faults import Fault
from orchestrator.settings.reading import read_secret
from orchestrator.settings.tables import Tables

MQTT_PASSWORD = "VOLET_MQTT_PASSWORD"  # noqa: S105 - the name of a variable
SOURCE_SECRET = "VOLET_SOURCE_SECRET_"  # noqa: S105 - how the name of a variable begins

_USER_PASSWORD = re.compile(r"[^:\s@/]+:.+")


@dataclass(frozen=True, slots=True)
class Secrets:
    """The broker's password, the files of its TLS, and each camera's `user:password`."""

    mqtt_password: str | None = field(repr=False)
    sources: Mapping[str, str] = field(repr=False)
    certificates: Certificates | None = None


def source_variable(camera: str) -> str:
    """The environment variable of a camera's secret: `VOLET_SOURCE_SECRET_CAM1` (`-` becomes `_`)."""
    return SOURCE_SECRET + camera.upper().replace("-", "_")


def read_secrets(tables: Tables, environ: Mapping[str, str], faults: list[Fault]) -> Secrets:
    """Every secret that `tables` and `environ` name; one that cannot be had is a fault."""
    password = certificates = None
    if tables.mqtt is not None:
        certificates = read_certificates(tables.mqtt, faults)
        password = _one(tables.mqtt.password_file, MQTT_PASSWORD, "mqtt.password_file", environ, faults)
        if tables.mqtt.username is None and environ.get(MQTT_PASSWORD):
            faults.append(
                Fault("mqtt.username", f"nothing, with {MQTT_PASSWORD} set", "the user name beside it")
            )
    faults.extend(_ambiguous(tables.camera_names, environ))
    sources: dict[str, str] = {}
    for name, camera in tables.cameras.items():
        at = f"cameras.{name}.source_secret_file"
        secret = _one(camera.source_secret_file, source_variable(name), at, environ, faults)
        if secret is not None and _USER_PASSWORD.fullmatch(secret) is None:
            faults.append(Fault(at, "a secret of another form", "user:password on one line"))
        elif secret is not None:
            sources[name] = secret
    return Secrets(password, sources, certificates)


def _one(
    path: Path | None, variable: str, at: str, environ: Mapping[str, str], faults: list[Fault]
) -> str | None:
    given = environ.get(variable) or None
    if given is not None and path is not None:
        faults.append(Fault(at, f"a file and {variable}", "one of the two"))
    if path is not None:
        return read_secret(path, at, faults)
    return given


def _ambiguous(cameras: Iterable[str], environ: Mapping[str, str]) -> Iterable[Fault]:
    first: dict[str, str] = {}
    for camera in sorted(cameras):
        variable = source_variable(camera)
        if variable in first and environ.get(variable):
            yield Fault(
                f"cameras.{camera}", f"{variable}, which is also for {first[variable]}", "a secret file"
            )
        first.setdefault(variable, camera)
