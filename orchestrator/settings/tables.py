"""From TOML values to tables, each judged by itself, so that one bad table hides no fault of another."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from pydantic import ValidationError

from orchestrator.settings import file
from orchestrator.settings.faults import Fault, key_text, shown
from orchestrator.settings.fields import ID
from orchestrator.settings.source import without_credentials

_T = TypeVar("_T", bound=file.Table)

_INNER: dict[str, type[file.Table]] = {
    "devices": file.DeviceTable,
    "accepted_side_doors": file.SideDoorTable,
    "moves": file.MovesTable,
    "masks": file.MaskTable,
    "backoff": file.BackoffTable,
}
_EXPECTED = {
    "bool_type": "true or false",
    "list_type": "a list in [ ]",
    "model_type": "a table",
    "missing": "this key: it has no default",
}
_OF_NOBODY = frozenset({"roles", "cameras"})
"""What a fault may repeat of a member: all else of one names a person or a device (S19)."""
_SECTIONS = (
    "site", "timezone", "log", "vpn", "members", "local", "policy", "mqtt", "lanes", "cameras", "purposes",
    "worker", "host", "viewers", "windows", "privacy",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class At(Generic[_T]):
    """A valid table and its TOML path."""

    path: str
    table: _T


@dataclass(frozen=True, slots=True)
class Lane:
    """A lane's own table (None: not valid), its valid rules and all rule ids that the file names."""

    table: file.LaneTable | None
    rules: tuple[At[file.RuleTable], ...]
    named: frozenset[str]
    complete: bool


@dataclass(frozen=True, slots=True)
class Tables:
    """All that is valid by itself. None or absent: that part has a fault already.

    `camera_names` are all that the file names, valid or not, so that nobody is told a camera is missing
    whose table has another fault.
    """

    site: file.SiteTable | None
    log: file.LogTable | None
    vpn: file.VpnTable | None
    local: file.LocalTable | None
    policy: file.PolicyTable | None
    mqtt: file.MqttTable | None
    worker: file.WorkerTable | None
    host: file.HostTable | None
    viewers: file.ViewersTable | None
    members: tuple[At[file.MemberTable], ...]
    lanes: Mapping[str, Lane]
    cameras: Mapping[str, file.CameraTable]
    camera_names: frozenset[str]
    purposes: tuple[At[file.PurposeTable], ...]
    windows: tuple[At[file.WindowTable], ...]


def read_tables(raw: Mapping[str, Any], faults: list[Fault]) -> Tables:
    """Judge every table of `raw`; what is not valid is left out and added to `faults`."""
    faults.extend(_unknown(key_text(name), name, _SECTIONS) for name in raw if name not in _SECTIONS)
    _read(file.PrivacyTable, raw.get("privacy", {}), "privacy", faults)
    above = {name: raw[name] for name in ("site", "timezone") if name in raw}
    site = _read(file.SiteTable, above, "", faults)
    log = _read(file.LogTable, raw.get("log", {}), "log", faults)
    vpn = _read(file.VpnTable, raw.get("vpn", {}), "vpn", faults)
    members = _each(file.MemberTable, raw.get("members", []), "members", faults)
    local = _read(file.LocalTable, raw.get("local", {}), "local", faults)
    policy = _read(file.PolicyTable, raw.get("policy", {}), "policy", faults)
    mqtt = _read(file.MqttTable, raw.get("mqtt", {}), "mqtt", faults)
    lanes = {
        name: _lane(table, f"lanes.{name}", faults) for name, table in _named(raw, "lanes", faults).items()
    }
    cameras_written = raw.get("cameras")
    written = _named(raw, "cameras", faults)
    cameras = {
        name: table
        for name, value in written.items()
        if (table := _read(file.CameraTable, value, f"cameras.{name}", faults)) is not None
    }
    return Tables(
        site=site,
        log=log,
        vpn=vpn,
        local=local,
        policy=policy,
        mqtt=mqtt,
        lanes=lanes,
        cameras=cameras,
        camera_names=frozenset(cameras_written if isinstance(cameras_written, dict) else ()),
        purposes=_each(file.PurposeTable, raw.get("purposes", []), "purposes", faults),
        worker=_read(file.WorkerTable, raw.get("worker", {}), "worker", faults),
        host=_read(file.HostTable, raw.get("host", {}), "host", faults),
        viewers=_read(file.ViewersTable, raw.get("viewers", {}), "viewers", faults),
        windows=_each(file.WindowTable, raw.get("windows", []), "windows", faults),
        members=members,
    )


def _named(raw: Mapping[str, Any], section: str, faults: list[Fault]) -> dict[str, Any]:
    """The tables of `[<section>.<name>]`, those whose name is an id."""
    tables = raw.get(section, {})
    if not isinstance(tables, dict):
        faults.append(Fault(section, shown(tables), f"tables such as [{section}.name]"))
        return {}
    expected = "a name of 1 to 32 of a-z, 0-9, - and _, beginning with a letter or a digit"
    faults.extend(
        Fault(f"{section}.{key_text(name)}", shown(name), expected)
        for name in tables
        if not ID.fullmatch(name)
    )
    return {name: table for name, table in tables.items() if ID.fullmatch(name)}


def _lane(raw: Any, path: str, faults: list[Fault]) -> Lane:
    if not isinstance(raw, dict):
        faults.append(Fault(path, shown(raw), "a table"))
        return Lane(None, (), frozenset(), complete=False)
    own = {key: value for key, value in raw.items() if key != "rules"}
    table = _read(file.LaneTable, own, path, faults, also=("rules",))
    written = raw.get("rules", [])
    rules = _each(file.RuleTable, written, f"{path}.rules", faults)
    many = written if isinstance(written, list) else []
    ids = (rule.get("id") for rule in many if isinstance(rule, dict))
    named = frozenset(each for each in ids if isinstance(each, str))
    return Lane(table, rules, named, complete=len(rules) == len(many))


def _each(model: type[_T], raw: Any, path: str, faults: list[Fault]) -> tuple[At[_T], ...]:
    if not isinstance(raw, list):
        faults.append(Fault(path, _found(path, (), raw), f"tables in double brackets: [[{path}]]"))
        return ()
    read = ((f"{path}[{i}]", _read(model, value, f"{path}[{i}]", faults)) for i, value in enumerate(raw))
    return tuple(At(at, table) for at, table in read if table is not None)


def _read(model: type[_T], raw: Any, path: str, faults: list[Fault], also: Iterable[str] = ()) -> _T | None:
    try:
        return model.model_validate(raw)
    except ValidationError as invalid:
        for error in invalid.errors(include_url=False):
            faults.append(_fault(model, path, error, also))
        return None


def _fault(model: type[file.Table], path: str, error: Any, also: Iterable[str]) -> Fault:
    steps: tuple[str | int, ...] = error["loc"]
    at = path
    for step in steps:
        at = f"{at}[{step}]" if isinstance(step, int) else f"{at}.{key_text(step)}".lstrip(".")
        if isinstance(step, str) and step in _INNER and step != steps[-1]:
            model = _INNER[step]
    kind, last = error["type"], steps[-1] if steps else ""
    if kind == "extra_forbidden":
        known = [field.alias or name for name, field in model.model_fields.items()]
        return _unknown(at, str(last), [*known, *also])
    if kind == "missing":
        return Fault(at, "nothing", _EXPECTED[kind])
    if kind in {"too_short", "too_long"}:
        return Fault(at, f"{len(error['input'])} of them", _expected(error))
    return Fault(at, _found(path, steps, error["input"]), _expected(error))


def _found(path: str, steps: tuple[str | int, ...], value: object) -> str:
    """`value` as a fault may repeat it: nobody's name, and no password that stands where its file's path
    should."""
    last = str(steps[-1]) if steps else ""
    if path.startswith("members") and steps[:1] not in {(key,) for key in _OF_NOBODY}:
        return "something else"
    if last in {"username", "why"} or last.endswith("_file"):
        return "something else"
    return shown(without_credentials(str(value)) if last == "source" else value)


def _expected(error: Any) -> str:
    kind, context = error["type"], error.get("ctx", {})
    if kind == "expected":
        return str(context["expected"])
    if kind == "too_short":
        return f"at least {context['min_length']}"
    if kind == "too_long":
        return f"at most {context['max_length']}"
    return _EXPECTED.get(kind, str(error["msg"]))


def _unknown(at: str, name: str, known: Iterable[str]) -> Fault:
    near = difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)
    expected = f"did you mean {near[0]}?" if near else f"one of {', '.join(sorted(known))}"
    return Fault(at, "an unknown key", expected)
