"""A configuration is valid as a whole, or every fault of it is told at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator.core.canonical import canonical
from orchestrator.core.chain import digest
from orchestrator.core.policy import LaneRule, Purpose, RecurringWindow
from orchestrator.settings import Mask
from tests.settings.configuration import SMALL, edited, faults, loaded

SECOND = 1_000_000
MINUTE = 60 * SECOND
ROOT = Path(__file__).parents[2]


def test_a_small_file_gets_the_defaults_of_the_contract(tmp_path: Path) -> None:
    found = loaded(tmp_path)
    camera, policy = found.cameras["cam1"], found.policy.cameras["cam1"]
    assert (camera.fps, camera.bitrate_bps, camera.size, camera.watermark) == (12, 600_000, None, True)
    assert camera.outputs == ("hls", "mp4")
    assert (policy.max_session_us, policy.expiry_notice_us, policy.idle_close_us) == (
        15 * MINUTE,
        MINUTE,
        2 * MINUTE,
    )
    assert found.policy.lanes["entry"].settle_us == 8 * SECOND
    assert found.policy.boundary_settle_us == 3 * SECOND
    assert found.policy.purposes == (Purpose("alignment"),)
    assert found.policy.windows == (RecurringWindow("weekly", ("cam1",), "0 9 * * tue", 120 * MINUTE),)
    assert found.policy.require_clock_sync is True
    assert found.policy.allow_swap is False
    assert found.log.database == Path("/var/lib/volet/events.db")
    assert found.log.blackbox == Path("/var/lib/volet/blackbox")
    assert found.local_socket == Path("/run/volet/volet.sock")
    assert (found.mqtt.host, found.mqtt.port, found.mqtt.keepalive_s) == ("127.0.0.1", 1883, 5)
    assert (found.vpn.interface, found.vpn.port, found.vpn.address) == ("lo", 8080, "127.0.0.77")
    assert (found.worker.segments, found.worker.nice) == (Path("/run/volet"), 19)
    assert found.policy.host.min_memory_available_bytes == 200 * 1024 * 1024


def test_without_any_purpose_there_is_one_for_alignment_with_masks(tmp_path: Path) -> None:
    assert loaded(tmp_path, edited('[[purposes]]\nname = "alignment"\n', "")).policy.purposes == (Purpose(),)


def test_rules_become_what_decisions_read(tmp_path: Path) -> None:
    assert loaded(tmp_path).policy.lanes["entry"].rules == (
        LaneRule("no-vehicle", "parking/present", "open", equals="0", vouched_by="alive"),
        LaneRule("alive", "parking/heartbeat", "hold", heartbeat=True, max_age_us=6 * SECOND),
    )


def test_the_local_socket_stands_in_the_run_folder_of_the_unit(tmp_path: Path) -> None:
    found = loaded(tmp_path, environ={"RUNTIME_DIRECTORY": "/run/volet-2:/run/other"})
    assert found.local_socket == Path("/run/volet-2/volet.sock")


def test_masks_are_rounded_outward(tmp_path: Path) -> None:
    masks = "masks = [{ x = 0.1004, y = 0.29, width = 0.3, height = 0.2001 }]"
    found = loaded(tmp_path, edited('lane = "entry"\n', f'lane = "entry"\n{masks}\n'))
    assert found.cameras["cam1"].masks == (Mask(100, 290, 301, 201),)
    assert found.policy.cameras["cam1"].masked


def test_a_demonstration_may_waive_clock_swap_and_host_limits(tmp_path: Path) -> None:
    waived = (
        "[policy]\nrequire_clock_sync = false\n[worker]\nallow_swap = true\n[host]\nmax_load_per_cpu = 1000\n"
    )
    policy = loaded(tmp_path, SMALL + waived).policy
    assert (policy.require_clock_sync, policy.allow_swap) == (False, True)
    assert policy.host.max_load_per_cpu_milli == 1_000_000


def test_the_example_that_we_ship_is_valid(tmp_path: Path) -> None:
    found = loaded(tmp_path, (ROOT / "ops" / "volet.toml").read_text())
    assert set(found.cameras) == {"cam1"}


def test_every_fault_is_told_at_once_with_its_path(tmp_path: Path) -> None:
    text = (
        SMALL.replace('"Europe/Paris"', '"Europe/Pariss"')
        .replace('lane = "entry"\n', 'lane = "exit"\nfps = 0\n')
        .replace('equals = "0"', 'equals = "0"\nquiet_for = "5s"')
        .replace("0 9 * * tue", "0 9 * * 2")
        .replace('roles = ["maintainer"]', 'roles = ["maintainer", "admin"]')
        + '[viewers]\nmax_per_camara = 2\n[log]\nsigning_key = "/etc/key"\n'
    )
    assert {fault.path for fault in faults(tmp_path, text)} == {
        "timezone",
        "cameras.cam1.fps",
        "lanes.entry.rules[0]",
        "windows[0].cron",
        "members[0].roles[1]",
        "viewers.max_per_camara",
        "log.signing_key",
    }


def test_a_bad_camera_hides_no_fault_between_the_others(tmp_path: Path) -> None:
    text = (
        edited("cam1]\n", 'cam1]\nfps = "fast"\n') + '[cameras.cam2]\nlane = "exit"\nsource = "/dev/video0"\n'
    )
    assert [fault.path for fault in faults(tmp_path, text)] == ["cameras.cam1.fps", "cameras.cam2.lane"]


# old text, new text, path of the fault, word in what was expected
REFUSED = [
    ('site = "lot-12"\n', "", "site", "no default"),
    ('site = "lot-12"', 'site = "lot 12"', "site", "1 to 64"),
    ("site =", "sit =", "sit", "did you mean site?"),
    ("[cameras.cam1]", "[camera.cam1]", "camera", "did you mean cameras?"),
    ("[cameras.cam1]", "[cameras.Cam1]", "cameras.Cam1", "a-z"),
    ('cameras = ["cam1"]\ndevices', 'cameras = ["cam7"]\ndevices', "members[0].cameras", "cam1"),
    ('roles = ["maintainer"]', "roles = []", "members[0].roles", "at least 1"),
    ('roles = ["maintainer"]', 'roles = ["maintainer", "maintainer"]', "members[0].roles", "once"),
    (
        'address = "127.0.0.2" }',
        'addres = "127.0.0.2" }',
        "members[0].devices[0].addres",
        "did you mean address?",
    ),
    ('address = "127.0.0.2" }', 'address = "10.0.0.2" }', "members[0].devices[0].address", "127.0.0.0/8"),
    ('address = "127.0.0.2" }', 'address = "127.0.0.77" }', "members[0].devices[0].address", "nobody"),
    ('address = "127.0.0.2" }', 'node = "n1" }', "members[0].devices[0].node", "address (loopback)"),
    (', address = "127.0.0.2" }', " }", "members[0].devices[0]", "one of key"),
    ('address = "127.0.0.77"', 'address = "192.0.2.1"', "vpn.address", "127.0.0.0/8"),
    ('provider = "loopback"', 'provider = "loopbck"', "vpn.provider", "loopback"),
    ('provider = "loopback"\n', "", "vpn.provider", "no default"),
    ('trust = "open"', 'trust = "none"', "mqtt.trust", "acl"),
    ('trust = "open"', 'keepalive = "1500ms"', "mqtt.keepalive", "whole seconds"),
    ('trust = "open"', 'keepalive = "5"', "mqtt.keepalive", "from 1s to 60s"),
    ('trust = "open"', 'publish_prefix = "a/+"', "mqtt.publish_prefix", "wildcards"),
    (
        'trust = "open"',
        'publish_prefix = "parking"',
        "lanes.entry.rules[0].topic",
        "outside mqtt.publish_prefix",
    ),
    ('trust = "open"', 'password_file = "secret"', "mqtt.password_file", "absolute"),
    ('trust = "open"', "port = true", "mqtt.port", "whole number"),
    ('trust = "open"', "tls = true", "mqtt.tls", "one of"),
    ('trust = "open"', 'ca_file = "/nowhere/ca.crt"', "mqtt.ca_file", "readable"),
    ('trust = "open"', 'ca_file = "ca.crt"', "mqtt.ca_file", "absolute"),
    ('trust = "open"', 'cert_file = "/nowhere/volet.crt"', "mqtt.cert_file", "mqtt.key_file beside it"),
    ('trust = "open"', 'key_file = "/nowhere/volet.key"', "mqtt.key_file", "mqtt.cert_file beside it"),
    ('trust = "open"', 'cert_file = "/a"\nkey_file = "/b"', "mqtt.cert_file", "turns TLS on"),
    ('"parking/present"', '"parking/#"', "lanes.entry.rules[0].topic", "wildcards"),
    ('vouched_by = "alive"', 'vouched_by = "aliv"', "lanes.entry.rules[0].vouched_by", "alive"),
    ('vouched_by = "alive"', 'vouched_by = "no-vehicle"', "lanes.entry.rules[0].vouched_by", "heartbeat"),
    ('equals = "0"', "equals = 0", "lanes.entry.rules[0].equals", "text"),
    ('equals = "0"', 'equals = " 0"', "lanes.entry.rules[0].equals", "white space"),
    ('equals = "0"\n', "", "lanes.entry.rules[0]", "exactly one of"),
    ('equals = "0"', 'equals = "0"\nmax_age = "6s"', "lanes.entry.rules[0].max_age", "heartbeat alone"),
    ('equals = "0"', 'equals = "0"\nalso = ["1"]', "lanes.entry.rules[0].also", "pointer"),
    ('equals = "0"', 'equals = "0"\npointer = "a~2"', "lanes.entry.rules[0].pointer", "RFC 6901"),
    ('"epoch"', '"seconds"', "lanes.entry.rules[1].heartbeat", "epoch"),
    ('"epoch"', '"epoch"\nwhen_absent = "pass"', "lanes.entry.rules[1].when_absent", "alone"),
    ('heartbeat = "epoch"', 'quiet_for = "5s"', "lanes.entry.rules", "at least one"),
    ('id = "alive"', 'id = "no-vehicle"', "lanes.entry.rules[1].id", "of its own"),
    ('lane = "entry"', 'lane = "exit"', "cameras.cam1.lane", "entry"),
    ('lane = "entry"', 'lane = "entry"\nsize = "641x360"', "cameras.cam1.size", "even"),
    ('lane = "entry"', 'lane = "entry"\nmax_session = "61m"', "cameras.cam1.max_session", "60m"),
    ('lane = "entry"', 'lane = "entry"\nmax_session = 900', "cameras.cam1.max_session", "in quotes"),
    ('lane = "entry"', 'lane = "entry"\noutputs = []', "cameras.cam1.outputs", "at least 1"),
    ('lane = "entry"', 'lane = "entry"\noutputs = ["webrtc"]', "cameras.cam1.outputs[0]", "hls"),
    ('lane = "entry"', 'lane = "entry"\nwatermark = "yes"', "cameras.cam1.watermark", "true or false"),
    ('lane = "entry"', 'lane = "entry"\nbitrate = "1k"', "cameras.cam1.bitrate", "50k"),
    (
        'lane = "entry"',
        'lane = "entry"\nmasks = [{ x = 0.9, y = 0, width = 0.2, height = 1 }]',
        "cameras.cam1.masks[0]",
        "at most 1",
    ),
    (
        'lane = "entry"',
        'lane = "entry"\nmasks = [{ x = nan, y = 0, width = 1, height = 1 }]',
        "cameras.cam1.masks[0].x",
        "fraction",
    ),
    ('lane = "entry"', 'lane = "entry"\nmoves = { topic = "a/+" }', "cameras.cam1.moves.topic", "wildcards"),
    (
        'lane = "entry"',
        'lane = "entry"\nmoves = { topic = "parking/stream/x" }',
        "cameras.cam1.moves.topic",
        "outside",
    ),
    ('name = "alignment"', 'name = "alignment"\nwaive = ["no-car"]', "purposes[0].waive", "no-vehicle"),
    (
        'name = "alignment"',
        'name = "alignment"\nrequire_ticket = "("',
        "purposes[0].require_ticket",
        "regular",
    ),
    ('name = "alignment"', 'name = "a"\n[[purposes]]\nname = "a"', "purposes[1].name", "of its own"),
    ('cameras = ["cam1"]\ncron', 'cameras = ["cam2"]\ncron', "windows[0].cameras", "cam1"),
    ("0 9 * * tue", "0 9 1 * tue", "windows[0].cron", "not both"),
    ('duration = "2h"', 'duration = "2 hours"', "windows[0].duration", "duration"),
    ('duration = "2h"', 'duration = "2h"\nexcept = ["25.12.2026"]', "windows[0].except[0]", "date"),
]


@pytest.mark.parametrize(("old", "new", "path", "expected"), REFUSED)
def test_what_breaks_a_rule_of_the_contract_is_refused_where_it_stands(
    tmp_path: Path, old: str, new: str, path: str, expected: str
) -> None:
    assert any(
        fault.path == path and expected in fault.expected for fault in faults(tmp_path, edited(old, new))
    ), faults(tmp_path, edited(old, new))


@pytest.mark.parametrize(
    ("line", "path"),
    [
        ('[log]\nsigning_key = "/k"', "log.signing_key"),
        ("[log]\ncheckpoint_every = 100", "log.checkpoint_every"),
        ('[privacy]\nidentities_kept = "365d"', "privacy.identities_kept"),
    ],
)
def test_a_key_of_the_contract_without_effect_yet_is_refused_with_not_built_yet(
    tmp_path: Path, line: str, path: str
) -> None:
    text = line + "\n"
    rest = SMALL.split("[vpn]")
    if line.startswith("[vpn]"):
        kept = rest[1].replace('provider = "loopback"\n', "") if "provider" in line else rest[1]
        text = rest[0] + line + kept
    else:
        text = SMALL + line + "\n"
    told = [str(fault) for fault in faults(tmp_path, text) if fault.path == path]
    assert len(told) == 1
    assert "not built yet" in told[0]


@pytest.mark.parametrize("wanted", [False, True])
def test_two_people_are_needed_or_not(tmp_path: Path, wanted: bool) -> None:
    found = loaded(tmp_path, SMALL + f"[policy]\ntwo_people = {str(wanted).lower()}\n")
    assert found.policy.two_people is wanted


@pytest.mark.parametrize(
    "source",
    [
        "http://127.0.0.1:8000/mjpeg/cam1",
        "https://camera.example/a?channel=2",
        "rtsp://10.0.0.9/stream1",
        "/dev/video0",
        "lavfi:testsrc2",
        "lavfi:testsrc2=size=320x180:rate=15",
    ],
)
def test_sources_of_the_contract_are_accepted(tmp_path: Path, source: str) -> None:
    assert (
        loaded(tmp_path, edited("http://127.0.0.1:8000/mjpeg/cam1", source)).cameras["cam1"].source.text
        == source
    )


@pytest.mark.parametrize(
    "source",
    [
        "file:///etc/passwd",
        "/etc/passwd",
        "/dev/video0/../sda",
        "concat:a|b",
        "lavfi:movie=/etc/passwd",
        "lavfi:testsrc2=size=1x1,movie=a",
        "http://",
        "http://h:99999/a",
        "http://h/a b",
        "http://h/'a",
        "http://h/live.m3u8",
        "srt://h:1",
        "-i",
        "",
    ],
)
def test_any_other_source_is_refused_s26_f28(tmp_path: Path, source: str) -> None:
    (fault,) = faults(tmp_path, edited("http://127.0.0.1:8000/mjpeg/cam1", source))
    assert fault.path == "cameras.cam1.source"


@pytest.mark.parametrize("source", ["rtsp://root:hunter2@10.0.0.9/a", "http://10.0.0.9/a?user=x&pwd=hunter2"])
def test_a_secret_in_the_source_is_refused_and_not_repeated_s19(tmp_path: Path, source: str) -> None:
    (fault,) = faults(tmp_path, edited("http://127.0.0.1:8000/mjpeg/cam1", source))
    assert "hunter2" not in str(fault)


def test_no_fault_repeats_a_name_or_a_key_s19(tmp_path: Path) -> None:
    text = edited('name = "Maintainer A"', 'name = " Maintainer A"').replace(
        'address = "127.0.0.2"', 'key = "c2VjcmV0"'
    )
    told = " ".join(str(fault) for fault in faults(tmp_path, text))
    assert "members[0].name" in told
    assert "Maintainer" not in told
    assert "c2VjcmV0" not in told


def test_an_unknown_key_does_not_show_its_value_s19(tmp_path: Path) -> None:
    (fault,) = faults(tmp_path, edited('trust = "open"', 'password = "hunter2"'))
    assert (fault.path, "hunter2" in str(fault)) == ("mqtt.password", False)


def test_the_digest_is_that_of_the_canonical_bytes_and_changes_with_the_policy(tmp_path: Path) -> None:
    found = loaded(tmp_path)
    assert found.policy.digest == digest(canonical(found.public()))
    assert loaded(tmp_path, SMALL + "# a remark\n").policy.digest == found.policy.digest
    assert loaded(tmp_path, edited('"2h"', '"3h"')).policy.digest != found.policy.digest


def test_no_person_stands_in_what_is_chained_and_all_of_them_in_the_details_s19(tmp_path: Path) -> None:
    found = loaded(tmp_path, edited('trust = "open"', 'username = "volet-mqtt"'))
    for text in ("Maintainer A", "laptop", "127.0.0.2", "volet-mqtt"):
        assert text not in canonical(found.public()).decode()
        assert text not in repr(found)
        assert text in canonical(found.personal()).decode()
