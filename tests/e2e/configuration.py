"""The volet.toml of the end-to-end tests: the product's defaults, with times that a test can wait for."""

import os
from pathlib import Path

MAINTAINER = "127.0.0.2"
"""Maintainer, approver and reviewer of every camera."""
MAINTAINER_PHONE = "127.0.0.12"
"""The same person's other device."""
MAINTAINER_PLAYER = "127.0.0.1"
"""And a third one: what a program that binds to no address of its own comes from."""
VIEWER = "127.0.0.3"
OTHER_MAINTAINER = "127.0.0.4"
"""Maintainer of cam2 alone."""
COLLEAGUE = "127.0.0.5"
"""A second maintainer of every camera."""
NOBODY = "127.0.0.99"

CAMERAS = ("cam1", "cam2")
ALWAYS = '[[windows]]\nname = "always"\ncameras = ["cam1", "cam2"]\ncron = "* * * * *"\nduration = "2m"\n'

COLLEAGUE_ENTRY = """
[[members]]
name = "Colleague"
roles = ["maintainer"]
devices = [{ label = "laptop", address = "127.0.0.5" }]
"""
MEMBERS = f"""
[[members]]
name = "Maintainer A"
roles = ["maintainer", "approver", "reviewer"]
devices = [
  {{ label = "laptop", address = "127.0.0.2" }},
  {{ label = "phone", address = "127.0.0.12" }},
  {{ label = "player", address = "127.0.0.1" }},
]
[[members]]
name = "Viewer"
roles = ["viewer"]
devices = [{{ label = "tablet", address = "127.0.0.3" }}]
[[members]]
name = "Maintainer B"
roles = ["maintainer"]
cameras = ["cam2"]
devices = [{{ label = "laptop", address = "127.0.0.4" }}]
{COLLEAGUE_ENTRY}"""

CAMERA = """
[cameras.{name}]
lane = "entry"
source = "http://127.0.0.1:{camera_port}/mjpeg/{name}"
max_session = "{max_session}"
expiry_notice = "{expiry_notice}"
idle_close = "{idle_close}"
{camera_more}
"""

# The clock, the swap and the load are the test machine's own; all else that is not here is the default.
TEMPLATE = """
site = "lot-e2e"
timezone = "Europe/Paris"
[log]
url = "sqlite:///{database}"
patience = "{patience}"
blackbox = "{blackbox}"
[vpn]
provider = "loopback"
interface = "lo"
address = "{address}"
port = {port}
settle = "{boundary_settle}"
{members}
[local]
socket = "{socket}"
[policy]
require_clock_sync = {require_clock_sync}
two_people = {two_people}
[mqtt]
host = "127.0.0.1"
port = {broker_port}
username = "volet"
password_file = "{password_file}"
trust = "{trust}"
{tls}
[lanes.entry]
settle = "{lane_settle}"
[[lanes.entry.rules]]
id = "no-vehicle"
topic = "parking/sensor_gate/present"
equals = "0"
phase = "open"
vouched_by = "sensor-alive"
[[lanes.entry.rules]]
id = "sensor-alive"
topic = "parking/sensor_gate/heartbeat"
heartbeat = "epoch"
max_age = "{max_age}"
phase = "hold"
[[lanes.entry.rules]]
id = "sensor-ok"
topic = "parking/sensor_gate/error"
equals = "OK"
when_absent = "pass"
phase = "hold"
[[lanes.entry.rules]]
id = "barrier-still"
topic = "parking/barriere_entree/cmd"
quiet_for = "{quiet_for}"
phase = "hold"
{cameras}
[[purposes]]
name = "alignment"
[[purposes]]
name = "vision-debug"
waive = ["no-vehicle"]
{debug_more}
[worker]
segments = "{segments}"
allow_swap = true
first_frame = "{first_frame}"
stall = "{stall}"
backoff = {{ floor = "100ms", base = "200ms", max = "1s" }}
[host]
max_load_per_cpu = 1000.0
min_memory_available = "1MiB"
max_temperature = 1000.0
[viewers]
max_per_camera = {max_per_camera}
new_per_minute = {new_per_minute}
{windows}
"""

DEFAULTS = {
    "camera_more": "",
    "debug_more": "",
    "trust": "acl",
    "require_clock_sync": "false",
    "two_people": "false",
    "tls": "",
    "boundary_settle": "500ms",
    "lane_settle": "1s",
    "quiet_for": "1s",
    "max_session": "60s",
    "patience": "8s",
    "expiry_notice": "5s",
    "idle_close": "60s",
    "first_frame": "20s",
    "stall": "3s",
    "max_age": "6s",
    "max_per_camera": "4",
    "new_per_minute": "60",
    "members": MEMBERS,
    "windows": ALWAYS,
}


SOON = {"boundary_settle": "0s", "lane_settle": "200ms", "quiet_for": "200ms"}
"""Opens as soon as the lane has been heard, for tests that are about something else."""


def text_of(values: dict[str, str], camera_port: int, cameras: tuple[str, ...]) -> str:
    """The file's text."""
    tables = "".join(CAMERA.format(name=name, camera_port=camera_port, **values) for name in cameras)
    return TEMPLATE.format(cameras=tables, **values)


def put(path: Path, text: str) -> None:
    """Replace the file at once, as an editor or a deployment does."""
    new = path.with_name(path.name + ".new")
    new.write_text(text)
    new.chmod(0o600)
    os.replace(new, path)
