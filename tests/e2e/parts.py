"""The parts of one gateway as processes: Mosquitto, the MJPEG camera, the lane and the daemon."""

import os
import random
import shutil
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path

from tests.e2e.client import LIMIT_S, asked, connection_from
from tests.e2e.configuration import CAMERAS, DEFAULTS, put, text_of
from tests.e2e.processes import Process, python
from tests.ports import free_port

MOSQUITTO = "/usr/sbin/mosquitto"
BROKER_PASSWORD = "correct horse"
DAEMON = ("-m", "orchestrator")
LANE = ("-m", "orchestrator.demo.lane")
MOSQUITTO_CONF = """
per_listener_settings true
log_dest stderr
log_type error
log_type warning
log_type notice
log_type information
log_type subscribe
user root
persistence true
persistence_location {folder}/
listener {port} 127.0.0.1
allow_anonymous false
password_file {passwords}
{lines}
listener {lane_port} 127.0.0.1
allow_anonymous true
"""


class Parts:
    """Each part can be started, hurt and stopped by itself. `settings` are keys of the template."""

    def __init__(self, folder: Path, segments: Path, **settings: str) -> None:
        self.folder, self.segments = folder, segments
        self.address = f"127.0.1.{random.SystemRandom().randrange(2, 255)}"
        self.port = free_port()
        self.broker_port, self.lane_port = free_port(), free_port()
        self.camera_port = free_port()
        self.config, self.socket = folder / "volet.toml", folder / "volet.sock"
        self.password_file = folder / "broker-password"
        self.cameras: tuple[str, ...] = CAMERAS
        self.beat_every_s = 0.5
        self.broker_lines: tuple[str, ...] = ()
        """What Mosquitto's file says besides of the listener that is ours."""
        self.values = {
            **DEFAULTS,
            "database": str(folder / "events.db"),
            "blackbox": str(folder / "blackbox"),
            "address": self.address,
            "port": str(self.port),
            "broker_port": str(self.broker_port),
            "password_file": str(self.password_file),
            "socket": str(self.socket),
            "segments": str(segments),
            **settings,
        }
        self.database = Path(self.values["database"])
        self.set_broker_password(BROKER_PASSWORD)
        self.processes: list[Process] = []
        self.broker: Process
        self.camera: Process
        self.lane: Process
        self.witness: Process
        self.daemon: Process

    def stop_processes(self) -> None:
        """End all that was started, the newest first."""
        for process in reversed(self.processes):
            process.stop()
        shutil.rmtree(self.segments, ignore_errors=True)

    def write_configuration(self, **settings: str) -> None:
        """Put a file with these keys changed in the place of the one there is."""
        self.values |= settings
        put(self.config, text_of(self.values, self.camera_port, self.cameras))

    def _begin(self, name: str, argv: Sequence[str]) -> Process:
        process = Process(name, argv, self.folder)
        self.processes.append(process)
        return process

    def start_broker(self) -> None:
        """Mosquitto: a listener with a password for us, another one for the lane alone."""
        store, passwords = self.folder / "broker", self.folder / "broker-passwords"
        if not store.exists():
            store.mkdir()
            command = ["mosquitto_passwd", "-c", "-b", str(passwords), "volet", BROKER_PASSWORD]
            subprocess.run(command, check=True, capture_output=True, timeout=LIMIT_S)
        conf = self.folder / "mosquitto.conf"
        conf.write_text(
            MOSQUITTO_CONF.format(
                folder=store,
                port=self.broker_port,
                lane_port=self.lane_port,
                passwords=passwords,
                lines="\n".join(self.broker_lines),
            )
        )
        self.broker = self._begin("broker", [MOSQUITTO, "-c", str(conf)])
        self.broker.wait_line(lambda line: "running" in line)

    def set_broker_password(self, password: str) -> None:
        """What the daemon will tell the broker."""
        self.password_file.write_text(password + "\n")
        self.password_file.chmod(0o600)

    def restart_broker(self) -> None:
        """Stop it, which saves what is retained, and start it on the same ports."""
        self.broker.stop()
        self.start_broker()

    def forget_retained(self) -> None:
        """Take away what a broker that was stopped has saved."""
        (self.folder / "broker" / "mosquitto.db").unlink()

    def start_site_broker(self) -> None:
        """The broker that the site has: amqtt, anonymous, without a memory; for us and the lane alike."""
        self.lane_port = self.broker_port
        command = python("-m", "orchestrator.demo.broker", f"--port={self.broker_port}")
        self.broker = self._begin("broker", command)
        self.broker.wait_json("port")

    def pause_broker(self, paused: bool) -> None:
        """SIGSTOP or SIGCONT."""
        self.broker.kill(signal.SIGSTOP if paused else signal.SIGCONT)

    def start_witness(self) -> None:
        """Somebody who hears all that we publish: the broker keeps for him what comes while it is away."""
        whom = f"-h 127.0.0.1 -p {self.lane_port} -i witness -q 1 --disable-clean-session".split()
        what = ["-t", "parking/stream/#", "-F", "%t %p", "-d"]
        self.witness = self._begin("witness", ["stdbuf", "-oL", "mosquitto_sub", *whom, *what])
        self.witness.wait_line(lambda line: "received SUBACK" in line)

    def witnessed(self, below: str) -> list[str]:
        """What came on that topic below the prefix, in order."""
        said = [line.partition(" ") for line in list(self.witness.lines)]
        return [payload for topic, _, payload in said if topic == f"parking/stream/{below}"]

    def start_camera(self) -> None:
        """The MJPEG server that speaks like the vision service."""
        command = python("-m", "orchestrator.demo.camera", f"--port={self.camera_port}")
        self.camera = self._begin("camera", command)
        self.camera.wait_json("port")

    def move_camera(self, address: str) -> None:
        """Make the camera take new connections there alone; who watches it goes on."""
        after = len(self.camera.lines)
        self.camera.say(f"listen {address}")
        self.camera.wait_json("address", after=after)

    def fail_camera(self, fault: str, for_s: float | None = None) -> None:
        """Make the camera fail in that way."""
        order = {"fault": fault} | ({} if for_s is None else {"for_s": for_s})
        connection = connection_from("127.0.0.1", ("127.0.0.1", self.camera_port))
        assert asked(connection, "POST", "/control", order).status == 200

    def start_lane(self, launcher: Sequence[str] = LANE) -> None:
        """Sensor, barrier and lift."""
        interval = f"--interval={self.beat_every_s}"
        command = python(*launcher, f"--port={self.lane_port}", interval)
        self.lane = self._begin("lane", command)
        self.lane.wait_json("connected")

    def serve(self, launcher: Sequence[str] = DAEMON) -> Process:
        """The daemon's process, not waited for."""
        command = python(*launcher, "serve", "--config", str(self.config))
        self.daemon = self._begin("daemon", command)
        return self.daemon

    def start_daemon(self, launcher: Sequence[str] = DAEMON) -> None:
        """The daemon, and wait until it listens."""
        self.serve(launcher).wait_line(lambda line: line.startswith("volet listens on"))


def segment_root() -> Path:
    """A folder of its own in memory."""
    root = Path(f"/dev/shm/volet-e2e-{os.getpid()}-{random.SystemRandom().randrange(10**9)}")
    root.mkdir(mode=0o700)
    return root
