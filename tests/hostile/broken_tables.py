"""Broken by a value, a key, a reference or a repetition: the tables of a valid file, changed in one place."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

from orchestrator.settings import file
from tests.hostile.breakage import Breakage
from tests.hostile.toml_text import document, inline
from tests.hostile.valid_files import PERSON, PLACES, SECRET, Place, at, path_of, whole
from tests.hostile.wrong_values import LONG, STEERING, WRONG

_PLAIN = {
    "duration": "patience settle control_max_age keepalive quiet_for steady_for max_age max_session"
    " expiry_notice idle_close floor base max first_frame stall healthy_after failure_window duration",
    "whole": "port fps nice starts_per_second max_failures max_per_camera new_per_minute",
    "decimal": "max_load_per_cpu max_temperature",
    "fraction": "x y width height",
    "bool": "two_people require_clock_sync allow_swap watermark",
    "choice": "provider trust phase heartbeat when_absent",
    "id": "id vouched_by lane",
    "ids": "cameras waive",
    "text": "why label username",
    "path": "blackbox segments",
    "file": "ca_file cert_file key_file password_file source_secret_file",
    "socket": "helper socket",
    "expression": "require_ticket",
    "tables": "accepted_side_doors devices",
    "table": "moves backoff",
    "lane-text": "equals",
    "lane-texts": "also",
    "size": "size",
    "bytes": "min_memory_available",
    "database": "url",
    "zone": "timezone",
    "dates": "except_",
    "date": "until",
}
KIND_OF = {key: kind for kind, keys in _PLAIN.items() for key in keys.split()} | {
    kind: kind
    for kind in (
        "address", "interface", "host", "topic", "pointer", "cron", "key", "node", "source", "bitrate",
        "roles", "outputs", "site", "capability", "names", "listener",
    )
}  # fmt: skip
KIND_OF |= {"publish_prefix": "prefix", "MovesTable.prefix": "text", "MemberTable.name": "text"}
KIND_OF |= {"WindowTable.name": "text", "PurposeTable.name": "id"}
KIND_OF |= {"CameraTable.masks": "tables", "PurposeTable.masks": "bool"}
"""The kind of each key of the settings, by its name, or its table's too where that is another elsewhere."""

_NEEDED = ("site", "timezone", "vpn", "lanes", "cameras")
Field = tuple[type[file.Table], str]
FIELDS: list[Field] = [(table, name) for table in PLACES for name in table.model_fields]


def kind_of(table: type[file.Table], name: str) -> str:
    """The kind of that key. KeyError: a key that is new, and has to be put into `KIND_OF`."""
    return KIND_OF[f"{table.__name__}.{name}" if f"{table.__name__}.{name}" in KIND_OF else name]


def written(table: type[file.Table], name: str) -> str:
    """The key as the file has it."""
    return table.model_fields[name].alias or name


def _around(place: Place) -> dict[str, Any]:
    """A valid file with what stands at that place, and little else: ten thousand of them are read."""
    if not place:
        return whole()
    tables = {name: table for name, table in whole().items() if name in (*_NEEDED, place[0])}
    if place[0] != "lanes":
        del tables["lanes"]["entry"]["rules"][2:]
    return tables


def _changed(why: str, place: Place, change: Callable[[Any], object]) -> Breakage:
    tables = _around(place)
    change(at(tables, place))
    return Breakage(why, path_of(place), document(tables).encode())


def _put(place: Place, name: str, value: Any) -> Breakage:
    tables, text = _around(place), inline(value)
    at(tables, place)[name] = value
    known = (
        path_of((*place, name))
        if name.isidentifier() and name.isascii() and len(name) < 80
        else path_of(
            place,
        )
    )
    return Breakage(
        f"{name[:80]} = {text[:80]}",
        "line " if "1" * 5_000 in text else known,
        document(tables).encode(),
    )


def _wrong_value(random: Random, folder: Path) -> Breakage:
    table, name = random.choice(FIELDS)
    value = WRONG[kind_of(table, name)](random)
    return _put(PLACES[table], written(table, name), value)


def _wrong_type(random: Random, folder: Path) -> Breakage:
    table, name = random.choice(FIELDS)
    return _put(PLACES[table], written(table, name), WRONG["never"](random))


def _unknown_key(random: Random, folder: Path) -> Breakage:
    table, place = random.choice(list(PLACES.items()))
    known = {written(table, name) for name in table.model_fields}
    near = random.choice(sorted(known) or ["secret"])
    name = random.choice([
        "no_such_key", "", " ", "é", "\n", "a.b", "__proto__", "password", "x" * 300, LONG, near.upper(),
        near + "s", near + " ", near[:-1] + "_", "except_", "\u202e", *STEERING,
    ])  # fmt: skip
    if name in known or (not place and name in whole()) or (table is file.LaneTable and name == "rules"):
        name = "no_such_key"
    return _put(place, name, random.choice([1, SECRET, True, [], {}, [SECRET]]))


def _missing_key(random: Random, folder: Path) -> Breakage:
    needed = [(table, name) for table, name in FIELDS if table.model_fields[name].is_required()]
    table, name = random.choice(needed)
    return _changed(f"no {name}", PLACES[table], lambda found: found.pop(written(table, name)))


def _wrong_table(random: Random, folder: Path) -> Breakage:
    several = {"members", "purposes", "windows"}
    one = [
        "log",
        "vpn",
        "local",
        "policy",
        "privacy",
        "mqtt",
        "worker",
        "host",
        "viewers",
        "lanes",
        "cameras",
    ]
    name = random.choice([*one, *several])
    word = PERSON if name == "members" else "word"
    other = {"x": word} if name in several else [{}]
    return _put((), name, random.choice([word, 7, True, [7], [word], [[]], other, -1, 0.5]))


_INNER: list[Place] = [
    ("members", 0), ("lanes", "entry"), ("lanes", "entry", "rules", 0), ("cameras", "cam1"), ("purposes", 0),
    ("windows", 0), ("vpn", "accepted_side_doors", 0), ("cameras", "cam1", "masks", 0),
]  # fmt: skip


def _no_table(random: Random, folder: Path) -> Breakage:
    place = random.choice(_INNER)
    word = PERSON if "members" in place else "word"
    value = random.choice([word, 7, True, [], [word], 0.5])
    outer = place[:-1]
    return _changed(f"{place[-1]} = {value}", outer, lambda table: table.__setitem__(place[-1], value))


def _bad_name(random: Random, folder: Path) -> Breakage:
    section, name = random.choice(["lanes", "cameras"]), WRONG["id"](random)
    if not isinstance(name, str):
        name = "Cam 1"
    return _changed(f"a name {name[:40]!r}", (section,), lambda found: found.update({name: {}}))


DANGLING: list[tuple[Place, str, Any]] = [
    (("cameras", "cam1"), "lane", "exit"),
    (("members", 0), "cameras", ["cam1", "cam9"]),
    (("windows", 0), "cameras", ["cam9"]),
    (("windows", 0), "cameras", ["cam1", "entry"]),
    (("purposes", 1), "waive", ["no-vehicle", "nothing"]),
    (("purposes", 1), "waive", ["cam1"]),
    (("lanes", "entry", "rules", 0), "vouched_by", "sensor-ok"),
    (("lanes", "entry", "rules", 0), "vouched_by", "nobody"),
    (("lanes", "entry", "rules", 1), "vouched_by", "sensor-alive"),
    (("lanes", "entry", "rules", 3), "vouched_by", "sensor-alive"),
]
"""What names something that is not there, or that is of another kind."""


def _dangling(random: Random, folder: Path) -> Breakage:
    place, name, value = random.choice(DANGLING)
    return _put(place, name, value)


def _twice(random: Random, folder: Path) -> Breakage:
    """The same name, id, device or entry again."""
    tables = whole()
    what = random.choice(["members", "purposes", "windows", "rules", "roles", "outputs", "waive", "cameras",
                          "device", "label", "side door"])  # fmt: skip
    device = tables["members"][0]["devices"][0]
    match what:
        case "members" | "purposes" | "windows":
            tables[what].append(tables[what][0] | ({"devices": []} if what == "members" else {}))
        case "rules":
            tables["lanes"]["entry"]["rules"].append(tables["lanes"]["entry"]["rules"][1])
        case "roles" | "cameras":
            tables["members"][0][what] *= 2
        case "outputs":
            tables["cameras"]["cam1"]["outputs"] = ["hls", "mp4", "hls"]
        case "waive":
            tables["purposes"][1]["waive"] *= 2
        case "device":
            tables["members"][1]["devices"] = [device | {"label": "another"}]
        case "label":
            tables["members"][0]["devices"].append(device | {"address": "127.0.0.99"})
        case _:
            tables["vpn"]["accepted_side_doors"] *= 2
    where = {
        "device": "members[1].devices[0]", "label": "members[0].devices",
        "side door": "accepted_side_doors", "rules": "rules[5].id", "waive": "waive", "outputs": "outputs",
    }  # fmt: skip
    return Breakage(f"{what} twice", where.get(what, what), document(tables).encode())


def _rule(number: int) -> Place:
    return ("lanes", "entry", "rules", number)


_DEVICE: Place = ("members", 0, "devices", 0)
_CAMERA: Place = ("cameras", "cam1")
ODDS: list[tuple[Place, dict[str, Any]]] = [
    (_rule(0), {"heartbeat": "epoch"}),
    (_rule(0), {"quiet_for": "1s"}),
    (_rule(0), {"max_age": "6s"}),
    (_rule(0), {"also": ["a"]}),
    (_rule(1), {"pointer": "/a"}),
    (_rule(1), {"when_absent": "pass"}),
    (_rule(3), {"pointer": "/a"}),
    (_rule(3), {"steady_for": "1s"}),
    (("vpn",), {"helper": "/run/x"}),
    (("vpn",), {"capability": "a.b/c"}),
    (("vpn",), {"control_max_age": "10m"}),
    (("vpn",), {"socket": "/x"}),
    (("vpn",), {"provider": "wireguard"}),
    (("vpn",), {"provider": "tailscale"}),
    (("mqtt",), {"keepalive": "1500ms"}),
    (("mqtt",), {"cert_file": "/a"}),
    (("mqtt",), {"key_file": "/a"}),
    (("mqtt",), {"publish_prefix": "parking"}),
    (("worker", "backoff"), {"floor": "2s"}),
    (("worker", "backoff"), {"max": "600ms"}),
    (_DEVICE, {"node": "n1"}),
    (_DEVICE, {"key": "YWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWE="}),
    (_DEVICE, {"address": "127.0.0.77"}),
    (_CAMERA, {"source": "/dev/video0", "source_secret_file": "/a"}),
    ((*_CAMERA, "masks", 0), {"x": 0.9}),
    ((*_CAMERA, "moves"), {"topic": "parking/stream/cmd"}),
    (("log",), {"signing_key": "/a"}),
    (("log",), {"checkpoint_every": 9}),
    (("privacy",), {"identities_kept": "9d"}),
]
"""Keys that are each good and not together, or promised and not built (CONTRACT 3)."""


def _at_odds(random: Random, folder: Path) -> Breakage:
    place, more = random.choice(ODDS)
    named = {"publish_prefix": "topic", "provider": "members[0]"}.get(next(iter(more)), path_of(place))
    tables = whole()
    at(tables, place).update(more)
    return Breakage(f"{path_of(place)} with {more}", named, document(tables).encode())


def _no_heartbeat(random: Random, folder: Path) -> Breakage:
    def without(lane: Any) -> None:
        lane["rules"] = [rule for rule in lane["rules"] if "heartbeat" not in rule][: random.randrange(4)]

    return _changed("a lane without a heartbeat", ("lanes", "entry"), without)


def _many(random: Random, folder: Path) -> Breakage:
    """More of something than anybody means; each wrong for itself, or too many together."""
    many = random.choice([200, 2_000, 9_000, 20_000])
    names = [f"x{number}" for number in range(many)]
    name, value = random.choice([
        ("windows", [{"name": "w", "cameras": names, "cron": "* * * * *", "duration": "1h"}]),
        ("members", [{"name": "m", "roles": names}]),
        ("cameras", {each: {"lane": "nowhere"} for each in names}),
        ("purposes", [{"name": "p", "waive": names}]),
        ("host", dict.fromkeys(names, 1)),
        ("members", [7] * many),
    ])  # fmt: skip
    return replace(_put((), name, value), at="")


KINDS: dict[str, tuple[int, Callable[[Random, Path], Breakage]]] = {
    "a wrong value": (120, _wrong_value),
    "what no key takes": (60, _wrong_type),
    "an unknown key": (30, _unknown_key),
    "a missing key": (6, _missing_key),
    "a wrong section": (12, _wrong_table),
    "no table": (10, _no_table),
    "a bad name": (8, _bad_name),
    "a dangling reference": (10, _dangling),
    "the same twice": (10, _twice),
    "keys at odds": (20, _at_odds),
    "no heartbeat": (3, _no_heartbeat),
    "too many": (1, _many),
}
"""What can be done to the tables, and how often it is among four hundred."""
