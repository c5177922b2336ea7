"""A certificate authority of a test's own, by openssl: for brokers, for clients, for what is wrong."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from orchestrator.settings.certificates import Certificates

needs_openssl = [pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")]
LIMIT_S = 30


class Authority:
    """Signs in a folder: `ca` is its own certificate; `issue` makes `<name>.crt` and `<name>.key`."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.ca = folder / "ca.crt"
        self._openssl(
            "req", "-x509", *_new_key("ca"), "-subj", "/CN=The site", "-days", "2", "-out", "ca.crt"
        )

    def issue(
        self, name: str, *, names: str = "DNS:localhost,IP:127.0.0.1", ended: bool = False
    ) -> Certificates:
        """A certificate for these names; `ended`: one that was valid once."""
        self._openssl("req", *_new_key(name), "-subj", f"/CN={name}", "-out", f"{name}.csr")
        (self.folder / f"{name}.cnf").write_text(
            f"[ca]\ndefault_ca = site\n[site]\ndatabase = {name}.txt\nserial = {name}.serial\n"
            "new_certs_dir = .\ndefault_md = sha256\npolicy = any\nx509_extensions = names\n"
            f"unique_subject = no\n[any]\ncommonName = supplied\n[names]\nsubjectAltName = {names}\n"
        )
        (self.folder / f"{name}.txt").touch()
        span = ("-startdate", "20200101000000Z", "-enddate", "20200201000000Z") if ended else ("-days", "1")
        self._openssl(
            *("ca", "-batch", "-notext", "-config", f"{name}.cnf", "-rand_serial", *span),
            *("-cert", "ca.crt", "-keyfile", "ca.key", "-in", f"{name}.csr", "-out", f"{name}.crt"),
        )
        key = self.folder / f"{name}.key"
        key.chmod(0o600)
        return Certificates(self.ca, self.folder / f"{name}.crt", key)

    def _openssl(self, *arguments: str) -> None:
        command = ["openssl", *arguments]
        done = subprocess.run(
            command, cwd=self.folder, capture_output=True, text=True, timeout=LIMIT_S, check=False
        )
        assert done.returncode == 0, done.stderr


def _new_key(name: str) -> list[str]:
    return ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", f"{name}.key"]


def broker_lines(certificates: Certificates, *more: str) -> tuple[str, ...]:
    """What Mosquitto's file says to serve TLS with this certificate."""
    found = (certificates.ca_file, certificates.cert_file, certificates.key_file)
    return (f"cafile {found[0]}", f"certfile {found[1]}", f"keyfile {found[2]}", *more)
