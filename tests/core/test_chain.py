"""Canonical bytes, links and ids: the arithmetic of the log (CONTRACT 7, S12)."""

from __future__ import annotations

import hashlib
import uuid
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.core.canonical import NotCanonical, canonical
from orchestrator.core.chain import (
    GENESIS,
    BrokenRecord,
    body,
    check_link,
    commitment,
    digest,
    read_body,
    record_of,
    uuid7,
)
from orchestrator.core.events import (
    REQUESTED,
    SAFETY_CHECKED,
    Actor,
    Event,
    Place,
    Record,
    Sealed,
    observation,
    transition,
)
from orchestrator.core.moment import Moment

CHECKS: dict[str, object] = {
    "checks": [{"id": "lane-no-vehicle", "passed": True, "age_ms": 12, "value": "0"}]
}
PASSED = transition(
    "checks_passed",
    Actor("check", "lane"),
    camera="cam1",
    session="s-1",
    source=REQUESTED,
    target=SAFETY_CHECKED,
    data=CHECKS,
)
JOINED = observation("viewer_joined", Actor("member", "m-5f0c"), camera="cam1", details={"device": "Büro"})


def read_back(data: bytes, hash_of_it: str) -> Record:
    """As every reader of the log does."""
    return record_of(read_body(data, hash_of_it), data, hash_of_it)


def sealed(event: Event) -> Sealed:
    at = Moment(1_795_341_600_123_456, 77, synchronised=False, boot="b0")
    return Sealed(event, uuid7(1, bytes(10)), at, digest(b"chart"), digest(b"config"))


def test_a_commitment_is_the_hash_of_the_salt_and_the_row() -> None:
    row = {"reason": "Kamera schief"}
    expected = hashlib.sha256(b"0123456789abcdef" + b'{"reason":"Kamera schief"}').hexdigest()
    assert commitment(b"0123456789abcdef", row) == f"sha256:{expected}"
    assert commitment(b"fedcba9876543210", row) != f"sha256:{expected}"


@given(st.integers(0, 2**48 - 1), st.binary(min_size=10, max_size=10))
def test_a_uuid7_holds_its_millisecond_version_and_variant(unix_ms: int, random: bytes) -> None:
    made = uuid.UUID(uuid7(unix_ms, random))
    assert made.int >> 80 == unix_ms
    assert (made.version, made.variant) == (7, uuid.RFC_4122)


@given(
    st.tuples(st.integers(0, 2**48 - 1), st.binary(min_size=10, max_size=10)),
    st.tuples(st.integers(0, 2**48 - 1), st.binary(min_size=10, max_size=10)),
)
def test_uuid7s_sort_by_their_milliseconds(one: tuple[int, bytes], other: tuple[int, bytes]) -> None:
    if one[0] != other[0]:
        assert (uuid7(*one) < uuid7(*other)) == (one[0] < other[0])


@given(st.sets(st.binary(min_size=10, max_size=10), min_size=2, max_size=2))
def test_a_uuid7_uses_74_bits_of_its_random_bytes(pair: set[bytes]) -> None:
    one, other = (int.from_bytes(random, "big") & (1 << 74) - 1 for random in pair)
    first, second = (uuid7(5, random) for random in pair)
    assert (first == second) == (one == other)


def test_the_event_object_is_that_of_the_contract() -> None:
    """CONTRACT 7: a transition's keys, in the example's words."""
    made = body(sealed(PASSED), 42, GENESIS, "lot-12", None)
    assert list(made) == [
        "seq",
        "id",
        "at",
        "clock_synchronised",
        "boot",
        "boottime_us",
        "site",
        "schema",
        "type",
        "camera",
        "session",
        "trigger",
        "from",
        "from_substate",
        "to",
        "to_substate",
        "actor",
        "data",
        "details",
        "chart",
        "config",
        "prev",
    ]
    assert made["at"] == "2026-11-22T10:00:00.123456Z"
    assert (made["from"], made["from_substate"], made["details"]) == ("requested", None, None)


def test_an_observation_has_a_name_and_no_ends() -> None:
    made = body(sealed(JOINED), 1, GENESIS, "lot-12", digest(b"row"))
    assert made["name"] == "viewer_joined"
    assert not {"trigger", "from", "to"} & made.keys()


@pytest.mark.parametrize("event", [PASSED, JOINED])
def test_parsing_gives_back_what_was_written_but_the_details(event: Event) -> None:
    """S19: what names a person is committed to, not contained."""
    item = sealed(event)
    data = canonical(body(item, 1, GENESIS, "lot-12", digest(b"row")))
    record = read_back(data, digest(data))
    assert record.sealed == replace(item, event=replace(event, details=None))
    assert (record.seq, record.prev, record.hash, record.canonical) == (1, GENESIS, digest(data), data)
    assert "Büro".encode() not in data


def test_a_transition_without_both_ends_has_no_body() -> None:
    with pytest.raises(NotCanonical, match="from"):
        body(sealed(replace(PASSED, source=None)), 1, GENESIS, "lot-12", None)


@pytest.mark.parametrize(
    "change",
    [
        {"seq": True},
        {"seq": "1"},
        {"camera": 7},
        {"clock_synchronised": 1},
        {"at": "2026-11-22T10:00:00Z"},
        {"at": "2026-11-22T11:00:00.123456+01:00"},
        {"type": "thought"},
        {"type": []},
        {"schema": 2},
        {"actor": {"kind": "ghost", "id": "x"}},
        {"actor": {"kind": "check"}},
        {"prev": "sha256:short"},
        {"details": "sha256:" + "G" * 64},
        {"extra": None},
        {"trigger": None},
    ],
)
def test_an_unknown_shape_is_a_broken_record(change: dict[str, object]) -> None:
    data = canonical(body(sealed(PASSED), 1, GENESIS, "lot-12", None) | change)
    with pytest.raises(BrokenRecord):
        read_back(data, digest(data))


def test_a_missing_key_is_a_broken_record() -> None:
    made = body(sealed(PASSED), 1, GENESIS, "lot-12", None)
    for key in made:
        data = canonical({name: value for name, value in made.items() if name != key})
        with pytest.raises(BrokenRecord):
            read_back(data, digest(data))


def test_one_changed_byte_is_a_broken_record() -> None:
    data = canonical(body(sealed(PASSED), 1, GENESIS, "lot-12", None))
    for index in range(len(data)):
        changed = bytearray(data)
        changed[index] ^= 1
        with pytest.raises(BrokenRecord, match="hash"):
            read_back(bytes(changed), digest(data))


def test_a_link_needs_the_next_number_and_the_last_hash() -> None:
    data = canonical(body(sealed(PASSED), 5, digest(b"4"), "lot-12", None))
    record = read_back(data, digest(data))
    check_link(digest(b"4"), 4, record.seq, record.prev)
    with pytest.raises(BrokenRecord, match="gap"):
        check_link(digest(b"4"), 3, record.seq, record.prev)
    with pytest.raises(BrokenRecord, match="follows"):
        check_link(digest(b"x"), 4, record.seq, record.prev)


def test_a_place_without_substate_survives_the_way_there_and_back() -> None:
    item = sealed(replace(PASSED, source=Place("streaming", "live"), target=Place("disabled", "closing")))
    data = canonical(body(item, 1, GENESIS, "lot-12", None))
    assert read_back(data, digest(data)).sealed == item
