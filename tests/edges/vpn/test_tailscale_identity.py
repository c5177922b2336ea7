"""From a whois answer to a device or to the reason why it is none (S9, F3, F29)."""

import copy
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from orchestrator.edges.vpn.boundary import Grant, NotADevice, Peer
from orchestrator.edges.vpn.tailscale_identity import Rules, device_behind, granted
from orchestrator.edges.vpn.tailscale_shapes import UnknownShape, decode, read_status, read_whois

from .tailscaled import GATEWAY_ID, status, whois

CAPABILITY = "volet.invalid/cap/camera"
HERE = "100.64.0.7"
NOW_US = 1_795_000_000_000_000  # in November 2026
RULES = Rules(GATEWAY_ID, CAPABILITY, frozenset({"nMONITOR"}), NOW_US)


def verdict(answer: Any, address: str = HERE) -> Peer:
    return device_behind(read_whois(answer), address, RULES)


def laptop(*addresses: str, **fields: Any) -> dict[str, Any]:
    return whois("nLAPTOP", *(addresses or (HERE, "fd7a:115c:a1e0::7")), **fields)


def capability(*values: Any) -> dict[str, Any]:
    return {CAPABILITY: list(values), "example.com/cap/other": [{"roles": ["approver"]}]}


VIEWER = {"roles": ["viewer"], "cameras": ["cam1"]}

DEVICES = [
    (laptop(), HERE, None),
    (laptop(), "fd7a:115c:a1e0::7", None),
    (laptop(capabilities={}), HERE, None),
    (laptop(capabilities={CAPABILITY: None}), HERE, None),
    (laptop(KeyExpiry="2027-05-01T00:00:00Z", Expired=False), HERE, None),
    (laptop(KeyExpiry="0001-01-01T00:00:00Z"), HERE, None),
    (laptop(Tags=None, PrimaryRoutes=None, AllowedIPs=None, Sharer=0), HERE, None),
    (laptop(capabilities=capability(VIEWER)), HERE, (("viewer",), ("cam1",))),
    (
        laptop(capabilities=capability({"roles": ["viewer", "approver"]})),
        HERE,
        (("approver", "viewer"), None),
    ),
]

REFUSED = [
    (whois(GATEWAY_ID, HERE), "own-address", "gateway itself"),
    (laptop(Sharer=99), "unknown-device", "shared"),
    (laptop(Expired=True), "unknown-device", "expired"),
    (laptop(KeyExpiry="2026-01-01T00:00:00.123456789Z"), "unknown-device", "expired"),
    (laptop(Tags=["tag:kiosk"]), "unknown-device", "tagged"),
    (laptop(login="tagged-devices"), "unknown-device", "tagged"),
    (laptop(Tags=["tag:kiosk"], capabilities=capability(VIEWER)), "unknown-device", "tagged"),
    (laptop("100.64.0.8"), "unknown-device", "not its own"),
    (laptop("100.64.0.8", AllowedIPs=["100.64.0.0/24"]), "unknown-device", "not its own"),
    (laptop("100.64.0.8", PrimaryRoutes=["100.64.0.7/32"]), "unknown-device", "not its own"),
    (laptop(Addresses=["100.64.0.7/24"]), "unknown-device", "not its own"),
    (laptop(AllowedIPs=["100.64.0.7/32", "192.168.1.0/24"]), "unknown-device", "network"),
    (laptop(AllowedIPs=["100.64.0.7/32", "0.0.0.0/0", "::/0"]), "unknown-device", "network"),
    (laptop(PrimaryRoutes=["192.168.1.0/24"]), "unknown-device", "network"),
    (laptop(IsJailed=True), "unknown-device", "does not let"),
    (laptop(UnsignedPeerAPIOnly=True), "unknown-device", "does not let"),
]

UNKNOWN: list[Any] = [
    None,
    [],
    {},
    {"Node": None, "UserProfile": {}, "CapMap": None},
    laptop(StableID=""),
    laptop(StableID=7),
    laptop(StableID="../etc"),
    laptop(Addresses=None),
    laptop(Addresses=["100.64.0.7"]),
    laptop(Addresses="100.64.0.7/32"),
    laptop(Addresses=["nonsense/32"]),
    laptop(Expired="false"),
    laptop(Expired=0),
    laptop(Sharer="0"),
    laptop(Sharer=False),
    laptop(KeyExpiry=1795000000),
    laptop(KeyExpiry="tomorrow"),
    laptop(KeyExpiry="2027-05-01T00:00:00"),
    laptop(Tags="tag:kiosk"),
    laptop(Tags={"tag:kiosk": True}),
    laptop(PrimaryRoutes=[1]),
    laptop(Name=None),
    laptop(capabilities={CAPABILITY: {"roles": ["viewer"]}}),
    laptop() | {"CapMap": []},
    laptop() | {"UserProfile": None},
    laptop() | {"UserProfile": {"LoginName": None}},
]


@pytest.mark.parametrize(("answer", "address", "expected"), DEVICES)
def test_a_node_at_its_own_address_is_a_device_with_what_the_policy_grants(
    answer: Any, address: str, expected: Any
) -> None:
    grant = None
    if expected is not None:
        roles, cameras = expected
        grant = Grant("maintainer@example.com", frozenset(roles), cameras and frozenset(cameras))
    assert verdict(answer, address) == Peer("nLAPTOP", grant)


@pytest.mark.parametrize(("answer", "code", "why"), REFUSED)
def test_who_is_no_device_of_a_person_is_refused_and_told_why(answer: Any, code: str, why: str) -> None:
    with pytest.raises(NotADevice, match=why) as refused:
        verdict(answer)
    assert refused.value.code == code


@pytest.mark.parametrize("answer", UNKNOWN)
def test_an_answer_of_an_unknown_shape_is_nobody(answer: Any) -> None:
    with pytest.raises(UnknownShape):
        verdict(answer)


def test_a_tagged_node_may_be_a_monitor_and_no_more() -> None:
    metrics = whois("nMONITOR", HERE, login="tagged-devices", Tags=["tag:prometheus"])
    assert verdict(metrics) == Peer("nMONITOR")
    by_policy = whois(
        "nOTHER",
        HERE,
        login="tagged-devices",
        Tags=["tag:m"],
        capabilities=capability({"roles": ["monitor"]}),
    )
    assert verdict(by_policy) == Peer("nOTHER", Grant("laptop.tail0000.ts.net", frozenset({"monitor"}), None))
    more = metrics | {"CapMap": capability({"roles": ["monitor", "viewer"]})}
    with pytest.raises(NotADevice, match="tagged"):
        verdict(more)


def test_headscale_has_decimal_ids_and_names_without_a_domain() -> None:
    answer = whois("42", HERE, login="alice", capabilities=capability(VIEWER))
    assert verdict(answer) == Peer("42", Grant("alice", frozenset({"viewer"}), frozenset({"cam1"})))
    assert verdict(whois("42", HERE, login="")) == Peer("42")


NO_GRANT: list[list[Any]] = [
    [],
    [None],
    ["viewer"],
    [{}],
    [{"roles": []}],
    [{"roles": "viewer"}],
    [{"roles": ["root"]}],
    [{"roles": ["viewer", "root"]}],
    [{"roles": ["viewer"], "cameras": []}],
    [{"roles": ["viewer"], "cameras": None}],
    [{"roles": ["viewer"], "cameras": ["*"]}],
    [{"roles": ["viewer"], "cameras": "cam1"}],
    [{"roles": ["viewer"], "camera": ["cam1"]}],
    [{"roles": ["viewer"], "cameras": ["cam1"], "until": "2027"}],
    [{"cameras": ["cam1"]}],
    [{"roles": [["viewer"]]}],
    [VIEWER, {"roles": ["maintainer"], "cameras": ["cam2"]}],
]


@pytest.mark.parametrize("values", NO_GRANT)
def test_a_value_of_another_shape_grants_nothing(values: list[Any]) -> None:
    assert granted(values) is None


@pytest.mark.parametrize(
    ("values", "roles", "cameras"),
    [
        ([VIEWER, {"roles": ["root"]}], {"viewer"}, {"cam1"}),
        ([VIEWER, {"roles": ["maintainer"], "cameras": ["cam1"]}], {"viewer", "maintainer"}, {"cam1"}),
        ([VIEWER, {"roles": ["viewer"], "cameras": ["cam2"]}], {"viewer"}, {"cam1", "cam2"}),
        ([VIEWER, {"roles": ["viewer"]}], {"viewer"}, None),
        ([{"roles": ["viewer", "approver"]}, VIEWER], {"viewer", "approver"}, None),
    ],
)
def test_values_together_give_their_sum_where_one_grant_can_say_it(
    values: list[Any], roles: set[str], cameras: set[str] | None
) -> None:
    assert granted(values) == (frozenset(roles), cameras and frozenset(cameras))


_ROLES = st.sets(st.sampled_from(["viewer", "maintainer", "approver"]), min_size=1)
_CAMERAS = st.none() | st.sets(st.sampled_from(["cam1", "cam2", "cam3"]), min_size=1)


@given(st.lists(st.tuples(_ROLES, _CAMERAS), max_size=4))
def test_no_sum_gives_a_role_on_a_camera_that_no_value_gave(values: list[Any]) -> None:
    written = [
        {"roles": sorted(roles)} | ({} if cameras is None else {"cameras": sorted(cameras)})
        for roles, cameras in values
    ]
    given_together = granted(written)
    assume(given_together is not None)
    assert given_together is not None
    roles, cameras = given_together
    for role in roles:
        for camera in {"cam1", "cam2", "cam3", "cam4"} if cameras is None else cameras:
            assert any(role in r and (c is None or camera in c) for r, c in values)


_ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)
_PLACES = [
    ("Node",), ("UserProfile",), ("Node", "StableID"), ("Node", "Addresses"), ("UserProfile", "LoginName"),
    ("Node", "Expired"), ("Node", "Sharer"), ("Node", "Tags"), ("Node", "KeyExpiry"), ("Node", "AllowedIPs"),
    ("Node", "PrimaryRoutes"), ("Node", "IsJailed"),
]  # fmt: skip
# What these say when they are absent, and null is Go's other way to leave something out.
_MAY_BE: dict[tuple[str, ...], tuple[Any, ...]] = {
    ("Node", "Expired"): (None, False),
    ("Node", "IsJailed"): (None, False),
    ("Node", "Sharer"): (0,),
    ("Node", "Tags"): (None, []),
    ("Node", "KeyExpiry"): (None,),
    ("Node", "AllowedIPs"): (None, []),
    ("Node", "PrimaryRoutes"): (None, []),
}


@pytest.mark.slow
@given(st.sampled_from(_PLACES), _ANY)
def test_a_surprise_anywhere_in_the_answer_never_makes_a_device(place: tuple[str, ...], value: Any) -> None:
    allowed = _MAY_BE.get(place, ())
    assume(not any(value is each or (value == each and type(value) is type(each)) for each in allowed))
    assume(not (place[-1] in ("LoginName", "StableID") and isinstance(value, str)))
    answer = copy.deepcopy(laptop(capabilities=capability(VIEWER)))
    table = answer
    for key in place[:-1]:
        table = table[key]
    table[place[-1]] = value
    with pytest.raises((UnknownShape, NotADevice)):
        verdict(answer)


@given(_ANY)
def test_whatever_whois_answers_it_is_read_or_refused(value: Any) -> None:
    with pytest.raises(UnknownShape):
        read_whois(value)


@pytest.mark.parametrize(
    "value",
    [
        None,
        {},
        status() | {"BackendState": 6},
        status() | {"TUN": None},
        status() | {"Self": []},
        status(Online=None),
        status(ID=None),
        status(TailscaleIPs=["x"]),
        status(TailscaleIPs="100.64.0.1"),
        status(Expired=1),
        status() | {"Health": "ok"},
    ],
)
def test_a_status_of_an_unknown_shape_is_not_believed(value: Any) -> None:
    with pytest.raises(UnknownShape):
        read_status(value)


def test_a_node_that_is_logged_out_has_a_status_without_itself() -> None:
    found = read_status({"BackendState": "NeedsLogin", "TUN": True, "Self": None, "Health": None})
    assert (found.self_id, found.addresses, found.online) == ("", (), False)


@pytest.mark.parametrize("body", [b"", b"<html>", b'{"a": 1, "a": 2}', b"[NaN]", b"\xff", b"[" * 100_000])
def test_what_is_not_plain_json_is_not_believed(body: bytes) -> None:
    with pytest.raises(UnknownShape):
        decode(body, "status")
