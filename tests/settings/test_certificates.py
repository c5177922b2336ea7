"""TLS to the broker: turned on by one file, and every file of it tried when the configuration is read."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from orchestrator.settings import SettingsInvalid, changes, load
from tests.edges.authority import LIMIT_S, Authority, needs_openssl
from tests.settings.configuration import SMALL, write

pytestmark = [pytest.mark.slow, *needs_openssl]


def with_keys(folder: Path, *lines: str) -> Path:
    return write(folder, SMALL.replace('trust = "open"', "\n".join(lines)))


def faults(path: Path) -> list[tuple[str, str]]:
    with pytest.raises(SettingsInvalid) as invalid:
        load(path, {})
    return [(fault.path, fault.found) for fault in invalid.value.faults]


def test_ca_file_turns_tls_on_and_moves_the_port(tmp_path: Path) -> None:
    site = Authority(tmp_path / "site")
    plain = load(with_keys(tmp_path), {})
    secured = load(with_keys(tmp_path, f'ca_file = "{site.ca}"'), {})
    elsewhere = load(with_keys(tmp_path, f'ca_file = "{site.ca}"', "port = 1883"), {})
    assert (plain.mqtt.port, secured.mqtt.port, elsewhere.mqtt.port) == (1883, 8883, 1883)
    assert plain.mqtt.certificates is None
    assert secured.mqtt.certificates is not None
    assert changes(plain, secured).rebuild == {"mqtt"}
    assert str(site.ca) not in str(secured.public())


def test_a_certificate_of_ours_is_tried_with_its_key(tmp_path: Path) -> None:
    site = Authority(tmp_path / "site")
    ours, others = site.issue("volet"), site.issue("other")
    first = [f'ca_file = "{site.ca}"', f'cert_file = "{ours.cert_file}"']
    found = load(with_keys(tmp_path, *first, f'key_file = "{ours.key_file}"'), {})
    assert found.mqtt.certificates == ours
    ((path, said),) = faults(with_keys(tmp_path, *first, f'key_file = "{others.key_file}"'))
    assert path == "mqtt.cert_file"
    assert "does not belong to it" in said


def test_a_key_that_everybody_may_read_is_refused_and_a_certificate_is_not(tmp_path: Path) -> None:
    site = Authority(tmp_path / "site")
    ours = site.issue("volet")
    assert ours.key_file is not None
    ours.key_file.chmod(0o644)
    lines = [f'ca_file = "{site.ca}"', f'cert_file = "{ours.cert_file}"', f'key_file = "{ours.key_file}"']
    ((path, said),) = faults(with_keys(tmp_path, *lines))
    assert (path, "everybody may read it" in said) == ("mqtt.key_file", True)


def test_a_key_with_a_passphrase_is_refused_and_nobody_is_asked_for_it(tmp_path: Path) -> None:
    site = Authority(tmp_path / "site")
    ours = site.issue("volet")
    locked = tmp_path / "locked.key"
    command = ["openssl", "pkey", "-in", str(ours.key_file), "-aes256", "-passout", "pass:secret"]
    subprocess.run([*command, "-out", str(locked)], check=True, capture_output=True, timeout=LIMIT_S)
    locked.chmod(0o600)
    lines = [f'ca_file = "{site.ca}"', f'cert_file = "{ours.cert_file}"', f'key_file = "{locked}"']
    ((path, said),) = faults(with_keys(tmp_path, *lines))
    assert (path, "cannot be used" in said, "secret" in said) == ("mqtt.cert_file", True, False)


@pytest.mark.parametrize("text", ["", "no certificate", "-----BEGIN CERTIFICATE-----\nAAAA\n"])
def test_a_file_without_a_certificate_is_no_authority(tmp_path: Path, text: str) -> None:
    authority = tmp_path / "ca.crt"
    authority.write_text(text)
    ((path, said),) = faults(with_keys(tmp_path, f'ca_file = "{authority}"'))
    assert path == "mqtt.ca_file"
    assert str(authority) in said
