"""`volet check` on real files; `serve`, `doctor` and `demo` hand over and tell what they are told."""

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import orchestrator
from orchestrator import settings
from orchestrator.cli import main
from tests.cli.scripted_daemon import CLOCK_CHECK, LANE_CHECK

SETTLING = {
    "id": "vpn-interface",
    "passed": False,
    "detail": "good for 1000 ms, wanted 3000 ms",
    "ready_in_ms": 2000,
}
VALID = """
site = "lot-12"
timezone = "Europe/Paris"
[vpn]
provider = "loopback"
interface = "lo"
port = 8080
address = "127.0.0.77"
[[members]]
name = "you"
roles = ["maintainer"]
devices = [{ label = "test", address = "127.0.0.1" }]
[mqtt]
host = "127.0.0.1"
[lanes.entry]
settle = "8s"
[[lanes.entry.rules]]
id = "sensor-alive"
topic = "parking/sensor_gate/heartbeat"
heartbeat = "epoch"
max_age = "6s"
phase = "hold"
[cameras.cam1]
lane = "entry"
source = "lavfi:testsrc2"
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "volet.toml"
    path.write_text(VALID.replace("[vpn]", f'[log]\nurl = "sqlite:///{tmp_path}/events.db"\n[vpn]'))
    path.chmod(0o600)
    return path


def test_a_valid_file_is_said_to_be_so(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "--config", str(config)]) == 0, capsys.readouterr().err
    assert capsys.readouterr().out == f"{config} is valid\n"
    assert main(["check", "--config", str(config), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"valid": True, "faults": []}


def test_every_fault_is_told_with_its_path_and_exit_status_78(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config.write_text(
        config.read_text().replace('"8s"', '"soon"').replace('lane = "entry"', 'lane = "exit"\nfsp = 1')
    )
    assert main(["check", "--config", str(config)]) == 78
    told = capsys.readouterr()
    assert told.out == ""
    for path in ("lanes.entry.settle", "cameras.cam1.fsp"):
        assert f"volet: {config}: {path}: found " in told.err
    assert main(["check", "--config", str(config), "--json"]) == 78
    found = json.loads(capsys.readouterr().out)
    assert found["valid"] is False
    assert {"lanes.entry.settle", "cameras.cam1.fsp"} <= {fault["path"] for fault in found["faults"]}


def test_a_missing_file_is_not_valid(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "--config", str(tmp_path / "none.toml")]) == 78
    told = capsys.readouterr().err
    assert told.startswith(f"volet: {tmp_path}")
    assert told.count("\n") == 1


@dataclass
class Report:
    """What the doctor of the application tells."""

    cameras: list[dict[str, Any]]
    ok: bool
    warnings: tuple[str, ...] = ()


class App(ModuleType):
    """An application that writes down what it is asked."""

    def __init__(self) -> None:
        super().__init__("orchestrator.app")
        self.asked: list[tuple[object, ...]] = []
        self.report = Report([], True)
        self.faults: tuple[settings.Fault, ...] = ()

    def serve(self, path: Path) -> int:
        self._ask("serve", path)
        return 1

    def doctor(self, path: Path, wait_s: float) -> Report:
        self._ask("doctor", path, wait_s)
        return self.report

    def run(self, once: bool, duration_s: float) -> int:
        self._ask("demo", once, duration_s)
        return 0

    def _ask(self, *what: object) -> None:
        self.asked.append(what)
        if self.faults:
            raise settings.SettingsInvalid(self.faults)


@pytest.fixture
def app(monkeypatch: pytest.MonkeyPatch) -> App:
    standing_in = App()
    for name in ("app", "demo"):
        monkeypatch.setitem(sys.modules, f"orchestrator.{name}", standing_in)
        monkeypatch.setattr(orchestrator, name, standing_in, raising=False)
    return standing_in


def test_serve_ends_with_the_applications_exit_status(app: App, config: Path) -> None:
    assert main(["serve", "--config", str(config)]) == 1
    assert app.asked == [("serve", config)]


@pytest.mark.parametrize("verb", ["serve", "doctor"])
def test_an_invalid_configuration_is_exit_status_78(
    verb: str, app: App, config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    app.faults = (settings.Fault("vpn.port", "0", "1 to 65535"),)
    assert main([verb, "--config", str(config)]) == 78
    assert capsys.readouterr().err == f"volet: {config}: {app.faults[0]}\n"


def test_demo_hands_over_how_long_and_how_often(app: App) -> None:
    assert main(["demo"]) == 0
    assert main(["demo", "--once", "--duration", "2.5"]) == 0
    assert app.asked == [("demo", False, 8.0), ("demo", True, 2.5)]


def test_doctor_tells_each_check_with_evidence_and_a_mending_step(
    app: App, config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    app.report = Report(
        [{"camera": "cam1", "could_open": False, "checks": [CLOCK_CHECK, LANE_CHECK, SETTLING]}], False
    )
    assert main(["doctor", "--config", str(config), "--wait", "1m30s"]) == 1
    assert app.asked == [("doctor", config, 90.0)]
    assert capsys.readouterr().out.splitlines() == [
        "cam1 could not open",
        "  passed  clock: the kernel says the clock is synchronised",
        "          synchronised yes",
        "  FAILED  lane-no-vehicle: a vehicle stands in the lane",
        "          value 1, equals 0",
        "          do: clear the lane, and look with `mosquitto_sub -v -t TOPIC` whether its sensor speaks",
        "  FAILED  vpn-interface: good for 1000 ms, wanted 3000 ms",
        "          do: wait 2s more; it holds, but not for long enough yet",
    ]


def test_doctor_is_content_when_the_application_is(
    app: App, config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    told = {"camera": "cam1", "could_open": True, "checks": [CLOCK_CHECK]}
    app.report = Report([told], True)
    assert main(["doctor", "--config", str(config), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"ok": True, "cameras": [told], "warnings": []}
