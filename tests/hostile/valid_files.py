"""Valid files to begin with, and where in one of them each table of the settings stands."""

import pickle
import tomllib
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any

from orchestrator.demo import configuration as demo
from orchestrator.settings import file
from tests.e2e.configuration import CAMERAS, DEFAULTS, text_of
from tests.e2e.processes import ROOT
from tests.settings.configuration import SMALL

Place = tuple[str | int, ...]

PERSON, LABEL, USERNAME = "Perdita Quill", "perditas laptop", "broker-username"
"""Who stands in the files: no fault may say so (S19)."""
SECRET = "hunter2-hunter2"
"""What stands where only the path of a file with a secret should: no fault may repeat it."""
UNTOLD = (PERSON, LABEL, USERNAME, SECRET, "hunter2")

PLACES: dict[type[file.Table], Place] = {
    file.SiteTable: (),
    file.LogTable: ("log",),
    file.VpnTable: ("vpn",),
    file.SideDoorTable: ("vpn", "accepted_side_doors", 0),
    file.LocalTable: ("local",),
    file.PolicyTable: ("policy",),
    file.PrivacyTable: ("privacy",),
    file.MemberTable: ("members", 0),
    file.DeviceTable: ("members", 0, "devices", 0),
    file.MqttTable: ("mqtt",),
    file.RuleTable: ("lanes", "entry", "rules", 0),
    file.LaneTable: ("lanes", "entry"),
    file.CameraTable: ("cameras", "cam1"),
    file.MovesTable: ("cameras", "cam1", "moves"),
    file.MaskTable: ("cameras", "cam1", "masks", 0),
    file.PurposeTable: ("purposes", 0),
    file.WorkerTable: ("worker",),
    file.BackoffTable: ("worker", "backoff"),
    file.HostTable: ("host",),
    file.ViewersTable: ("viewers",),
    file.WindowTable: ("windows", 0),
}


def shipped() -> str:
    """The file that `ops` shows."""
    return (ROOT / "ops" / "volet.toml").read_text()


def of_the_demo(folder: Path) -> str:
    """The file that the demo writes."""
    path = demo.write(folder, folder, port=8080, broker_port=1883, camera_port=8000, max_session_s=600)
    return path.read_text()


def of_the_tests(folder: Path) -> str:
    """The file of the whole-program tests."""
    paths = {"database": folder / "a.db", "blackbox": folder / "box", "socket": folder / "a.sock"}
    more = {name: str(path) for name, path in paths.items()} | {"segments": str(folder), "port": "8080"}
    secret = folder / "broker-password"
    secret.write_text(SECRET + "\n")
    secret.chmod(0o600)
    more |= {"broker_port": "1883", "password_file": str(secret), "address": "127.0.0.77"}
    return text_of({**DEFAULTS, **more}, 8000, CAMERAS)


def texts(folder: Path) -> list[str]:
    """All of them."""
    return [shipped(), SMALL, of_the_demo(folder), of_the_tests(folder)]


@cache
def _whole() -> bytes:
    tables: dict[str, Any] = tomllib.loads(shipped(), parse_float=Decimal)
    tables["vpn"]["accepted_side_doors"] = [
        {"listener": "0.0.0.0:8000", "why": "rebound in March", "until": "2027-03-31"}
    ]
    tables["mqtt"]["username"] = USERNAME
    tables["members"][0] |= {"name": PERSON, "devices": [{"label": LABEL, "address": "127.0.0.31"}]}
    tables["worker"]["backoff"] = {"floor": "500ms"}
    tables["privacy"] = {}
    # Read again it is a copy, ten times sooner than `deepcopy` makes one.
    return pickle.dumps(tables)


def whole() -> dict[str, Any]:
    """A valid file with every kind of table in it, to be changed at will."""
    tables: dict[str, Any] = pickle.loads(_whole())
    return tables


def at(tables: Any, place: Place) -> Any:
    """What stands there."""
    for step in place:
        tables = tables[step]
    return tables


def path_of(place: Place) -> str:
    """A place as a fault names it."""
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in place).lstrip(".")
