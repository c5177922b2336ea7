"""A gateway as its units run it on WireGuard: `volet peers` as root, the daemon and its worker as nobody."""

import base64
import json
import os
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.e2e.another_user import GROUP, NOBODY, argv_as, argv_as_root
from tests.e2e.outsiders import WholeTunnelGateway
from tests.e2e.parts import DAEMON
from tests.e2e.processes import Process
from tests.edges.vpn.lab import Lab

Came = dict[str, str]
"""What came of a try: `said` (base64) or `error`."""


class UnprivilegedGateway(WholeTunnelGateway):
    """`folder` is one that others may enter. The daemon owns `state` and `run` below it, as its unit's
    StateDirectory and RuntimeDirectory; the configuration is root's."""

    def __init__(self, folder: Path, lab: Lab, **settings: str) -> None:
        state, self.run = folder / "state", folder / "run"
        for path, mode in ((state, 0o700), (self.run, 0o750)):
            path.mkdir()
            path.chmod(mode)
            os.chown(path, NOBODY, NOBODY)
        files = {"database": state / "events.db", "blackbox": state / "blackbox"}
        super().__init__(
            folder, self.run / "segments", lab, **{key: str(path) for key, path in files.items()}, **settings
        )
        os.chown(self.password_file, NOBODY, NOBODY)
        self.socket, self.peers_socket = self.run / "volet.sock", self.run / "peers.sock"
        self.values["socket"] = str(self.socket)
        self.peers: Process

    def write_configuration(self, **settings: str) -> None:
        """As ever, but the helper is named, and everybody may read it."""
        super().write_configuration(**settings)
        line = f'interface = "{self.lab.interface}"\n'
        text = self.config.read_text()
        assert text.count(line) == 1
        self.config.write_text(text.replace(line, f'{line}helper = "{self.peers_socket}"\n'))
        self.config.chmod(0o644)

    def start_daemon(self, launcher: Sequence[str] = DAEMON) -> None:
        """`volet peers` first, as its unit has it."""
        words = ["-m", "orchestrator", "peers", "--interface", self.lab.interface]
        words += ["--socket", str(self.peers_socket), "--group", GROUP]
        self.peers = self._begin("peers", argv_as_root("volet-peers.service", NOBODY, words))
        self.peers.wait_line(lambda line: "telling the peers" in line)
        super().start_daemon(launcher)

    def serve(self, launcher: Sequence[str] = DAEMON) -> Process:
        """The daemon's process, as nobody; not waited for."""
        words = [*launcher, "serve", "--config", str(self.config)]
        self.daemon = self._begin("daemon", argv_as(NOBODY, "volet.service", self._hold("daemon"), words))
        return self.daemon

    def tries(self, user: int, **wish: Any) -> dict[str, Any]:
        """What comes of it when that user, without any right, tries this in the gateway's namespace (see
        `asker.py`)."""
        script = str(Path(__file__).with_name("asker.py"))
        argv = argv_as(user, "volet.service", self._hold(f"asker-{user}"), [script])
        everything = {"socket": str(self.peers_socket), "questions": [], "files": [], "commands": [], **wish}
        done = subprocess.run(
            self.lab.gateway.place.argv(*argv), input=json.dumps(everything), capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        found: dict[str, Any] = json.loads(done.stdout)
        return found

    def _hold(self, name: str) -> Path:
        hold = self.folder / f"hold-{name}"
        hold.mkdir(mode=0o755, exist_ok=True)
        return hold


def said(came: Came) -> bytes:
    """What was said; AssertionError when there was an error."""
    assert set(came) == {"said"}, came
    return base64.b64decode(came["said"])
