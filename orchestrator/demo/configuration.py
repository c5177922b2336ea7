"""The configuration of the demo: real rules with short times, one window that is always open."""

from __future__ import annotations

from pathlib import Path

ADDRESS = "127.0.0.77"
"""Where the demo listens: not 127.0.0.1, so that a browser on the same machine is somebody else."""

_TEMPLATE = """\
site = "demo"
timezone = "UTC"

[log]
url = "sqlite:///{folder}/events.db"

[vpn]
provider = "loopback"
interface = "lo"
address = "{address}"
port = {port}
settle = "1s"

[[members]]
name = "you"
roles = ["viewer", "maintainer", "approver", "reviewer"]
devices = [{{ label = "this machine", address = "127.0.0.1" }}]

[local]
socket = "{folder}/volet.sock"

[policy]
require_clock_sync = false    # waived for the demo, and said in every opening

[mqtt]
host = "127.0.0.1"
port = {broker_port}
trust = "open"

[lanes.entry]
settle = "2s"
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
max_age = "6s"
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
quiet_for = "3s"
phase = "hold"

[cameras.cam1]
lane = "entry"
source = "http://127.0.0.1:{camera_port}/mjpeg/cam1"
max_session = "{max_session_s}s"
expiry_notice = "30s"
idle_close = "2m"
masks = [{{ x = 0.05, y = 0.70, width = 0.30, height = 0.22 }}]

[[purposes]]
name = "alignment"
[[purposes]]
name = "vision-debug"
masks = false
waive = ["no-vehicle"]

[worker]
segments = "{segments}"
allow_swap = true             # waived for the demo

[host]
max_load_per_cpu = 1000.0     # waived for the demo
min_memory_available = "1MiB"

[[windows]]
name = "always, for the demo"
cameras = ["cam1"]
cron = "0 0 * * *"
duration = "24h"
"""


def write(
    folder: Path, segments: Path, *, port: int, broker_port: int, camera_port: int, max_session_s: int
) -> Path:
    """Write `volet.toml` into `folder`, which is ours alone; its path."""
    path = folder / "volet.toml"
    path.write_text(
        _TEMPLATE.format(
            folder=folder,
            segments=segments,
            address=ADDRESS,
            port=port,
            broker_port=broker_port,
            camera_port=camera_port,
            max_session_s=max_session_s,
        )
    )
    path.chmod(0o600)
    return path
