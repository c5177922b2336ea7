"""The files a configuration stands in: who may write and read them, and what they hold."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from orchestrator import settings
from tests.settings.configuration import SMALL, edited, faults, loaded, write


def test_secrets_come_from_files_and_show_nowhere(tmp_path: Path) -> None:
    password, camera = write(tmp_path, "pass word\n", "mqtt"), write(tmp_path, "root:hunter2\n", "cam1")
    text = edited('trust = "open"', f'username = "volet"\npassword_file = "{password}"').replace(
        'lane = "entry"\n', f'lane = "entry"\nsource_secret_file = "{camera}"\n'
    )
    found = loaded(tmp_path, text)
    assert found.mqtt.password == "pass word"
    assert found.cameras["cam1"].source_secret == "root:hunter2"
    for shown in (repr(found), str(found.public()), str(found.personal())):
        assert "hunter2" not in shown
        assert "pass word" not in shown


def test_secrets_come_from_the_environment(tmp_path: Path) -> None:
    environ = {"VOLET_MQTT_PASSWORD": "a", "VOLET_SOURCE_SECRET_CAM1": "root:hunter2"}
    found = loaded(tmp_path, edited('trust = "open"', 'username = "volet"'), environ)
    assert (found.mqtt.password, found.cameras["cam1"].source_secret) == ("a", "root:hunter2")


def test_a_secret_file_that_everybody_may_read_is_refused(tmp_path: Path) -> None:
    secret = write(tmp_path, "root:hunter2\n", "cam1")
    secret.chmod(0o604)
    text = edited('lane = "entry"\n', f'lane = "entry"\nsource_secret_file = "{secret}"\n')
    (fault,) = faults(tmp_path, text)
    assert (fault.path, "chmod o-r" in fault.expected) == ("cameras.cam1.source_secret_file", True)
    assert "hunter2" not in str(fault)


@pytest.mark.parametrize("content", ["", "a\nb\n", "no-colon\n"])
def test_a_secret_of_another_form_is_refused(tmp_path: Path, content: str) -> None:
    secret = write(tmp_path, content, "cam1")
    text = edited('lane = "entry"\n', f'lane = "entry"\nsource_secret_file = "{secret}"\n')
    (fault,) = faults(tmp_path, text)
    assert fault.path == "cameras.cam1.source_secret_file"


def test_what_is_no_toml_is_told_with_its_line(tmp_path: Path) -> None:
    (fault,) = faults(tmp_path, 'site = "lot-12"\ntimezone =\n')
    assert (fault.path, fault.expected) == ("line 2", "TOML")


def test_bytes_that_are_no_text_are_told_with_their_line(tmp_path: Path) -> None:
    path = write(tmp_path, "")
    path.write_bytes(b'site = "a"\n# \xff\n')
    with pytest.raises(settings.SettingsInvalid, match="line 2: found bytes that are not UTF-8"):
        settings.load(path, {})


def test_a_missing_file_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(settings.SettingsInvalid) as invalid:
        settings.load(tmp_path / "volet.toml", {})
    assert str(invalid.value) == (
        f"found {tmp_path}/volet.toml: no such file or directory, expected a readable TOML file"
    )


def test_a_folder_or_a_named_pipe_in_its_place_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    os.mkfifo(tmp_path / "volet.toml", 0o600)
    for path in (tmp_path, tmp_path / "volet.toml"):
        with pytest.raises(settings.SettingsInvalid, match=r"regular file|is a directory"):
            settings.load(path, {})


@pytest.mark.parametrize("bit", [stat.S_IWGRP, stat.S_IWOTH])
@pytest.mark.parametrize("what", ["file", "folder"])
def test_a_file_or_a_folder_that_others_may_write_is_refused_f13(tmp_path: Path, bit: int, what: str) -> None:
    path = write(tmp_path, SMALL)
    changed = path if what == "file" else tmp_path
    changed.chmod(changed.stat().st_mode | bit)
    with pytest.raises(settings.SettingsInvalid) as invalid:
        settings.load(path, {})
    (fault,) = invalid.value.faults
    assert "others may write it" in fault.found
    assert f"chmod go-w {changed}" in fault.expected


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_a_file_of_another_user_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path, SMALL)
    os.chown(path, 12345, -1)
    with pytest.raises(settings.SettingsInvalid, match="belongs to user 12345"):
        settings.load(path, {})


def test_the_folder_behind_a_link_counts_too(tmp_path: Path) -> None:
    open_folder = tmp_path / "open"
    open_folder.mkdir()
    target = write(open_folder, SMALL)
    open_folder.chmod(0o777)
    link = tmp_path / "volet.toml"
    tmp_path.chmod(0o700)
    link.symlink_to(target)
    with pytest.raises(settings.SettingsInvalid, match="others may write it"):
        settings.load(link, {})
