"""The files that turn TLS on: whose word we take for the broker's name, and our own certificate."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from pathlib import Path

from orchestrator.settings.faults import Fault
from orchestrator.settings.file import MqttTable
from orchestrator.settings.reading import check_file

MAX_FILE_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Certificates:
    """`ca_file` signs for the broker; `cert_file` and `key_file` (both or neither) say who we are to it."""

    ca_file: Path
    cert_file: Path | None = None
    key_file: Path | None = None

    def context(self) -> ssl.SSLContext:
        """TLS 1.2 or newer to a server whose certificate and name are verified: there is no way not to.

        The files are read anew at each call. Raises OSError whose text is a sentence.
        """
        authority = _readable("ca_file", self.ca_file)
        try:
            context = ssl.create_default_context(cafile=authority)
        except ssl.SSLError:
            raise OSError(f"ca_file {authority} holds no certificate that can be read") from None
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if self.cert_file is not None and self.key_file is not None:
            certificate = _readable("cert_file", self.cert_file)
            key = _readable("key_file", self.key_file)
            try:
                # A key with a passphrase would be asked for on the terminal.
                context.load_cert_chain(certificate, key, password=lambda: b"")
            except ssl.SSLError as error:
                why = "does not belong to it" if "MISMATCH" in (error.reason or "") else "cannot be used"
                raise OSError(f"cert_file {certificate} is no PEM, or key_file {key} {why}") from None
        return context

    def without_our_own(self) -> Certificates:
        """For a stranger, who has no certificate."""
        return Certificates(self.ca_file)


def read_certificates(mqtt: MqttTable, faults: list[Fault]) -> Certificates | None:
    """The certificates of `[mqtt]`, None without `ca_file`; what cannot be used is a fault."""
    if mqtt.ca_file is None:
        return None
    before = len(faults)
    check_file(mqtt.ca_file, MAX_FILE_BYTES, "mqtt.ca_file", faults)
    if mqtt.cert_file is not None:
        check_file(mqtt.cert_file, MAX_FILE_BYTES, "mqtt.cert_file", faults)
    if mqtt.key_file is not None:
        check_file(mqtt.key_file, MAX_FILE_BYTES, "mqtt.key_file", faults, secret=True)
    found = Certificates(mqtt.ca_file, mqtt.cert_file, mqtt.key_file)
    if len(faults) > before:
        return None
    try:
        found.without_our_own().context()
    except OSError as error:
        faults.append(Fault("mqtt.ca_file", str(error), "certificates in PEM"))
        return None
    try:
        found.context()
    except OSError as error:
        faults.append(Fault("mqtt.cert_file", str(error), "a certificate in PEM and its key, not encrypted"))
        return None
    return found


def _readable(key: str, path: Path) -> str:
    """The path of a file that can be read and holds PEM; OSError that names the key otherwise."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_FILE_BYTES)
    except OSError as error:
        raise OSError(f"{key} {path}: {(error.strerror or str(error)).lower()}") from None
    if b"-----BEGIN " not in data:
        raise OSError(f"{key} {path} is no PEM")
    return str(path)
