"""What a payload says to a rule, and what is unreadable (CONTRACT 9, F7)."""

import pytest

from orchestrator.core.lane_values import quoted, read_epoch_us, read_value
from orchestrator.core.policy import LaneRule

PLAIN = LaneRule(id="plain", topic="t", phase="open", equals="0")
LIFT = LaneRule(id="lift", topic="t", phase="open", steady_for_us=1, pointer="/current", also=("RDC", "1"))


def at(pointer: str) -> LaneRule:
    return LaneRule(id="p", topic="t", phase="open", equals="1", pointer=pointer)


@pytest.mark.parametrize(
    ("payload", "value"),
    [
        (b"0", "0"),
        (b" \t\r\n\x0b\x0c0 \n", "0"),
        ("\u00a00".encode(), "\u00a00"),
        (b"NaN", "NaN"),
        (b"x" * 4096, "x" * 4096),
        (b"x" * 4097, None),
        (b" " * 4097, None),
        (b"", None),
        (b" \n", None),
        (b"\xff0", None),
    ],
)
def test_text_is_trimmed_of_ascii_white_space_alone_and_bounded(payload: bytes, value: str | None) -> None:
    assert read_value(PLAIN, payload) == value


@pytest.mark.parametrize(
    ("payload", "value"),
    [
        (b'{"current": 1}', "1"),
        (b'{"current": -0}', "0"),
        (b'{"current": true}', "true"),
        (b'{"current": null}', "null"),
        (b'{"current": "RDC"}', '"RDC"'),
        (b'{"current": {"b": 1, "a": [true]}}', '{"a":[true],"b":1}'),
        (b'{"current": 1, "temperature": 21.5}', "1"),
        (b"RDC", "RDC"),
        (b"1", "1"),
        (b"2", None),
        (b"ETAGE1", None),
        (b'{"other": 1}', None),
        (b'{"current": 1.0}', None),
        (b'{"current": 1e3}', None),
        (b'{"current": [1.5]}', None),
        (b'{"current": NaN}', None),
        (b'{"current": 1, "x": Infinity}', None),
        (b'{"current": 1, "current": 2}', None),
        (b'{"current": ' + b"9" * 400 + b"}", None),
        (b'{"current": "\\ud800"}', None),
        (b'{"current": 1', None),
        (b"[" * 4000, None),
    ],
)
def test_a_pointer_reads_canonical_json_and_other_texts_count_only_when_listed(
    payload: bytes, value: str | None
) -> None:
    assert read_value(LIFT, payload) == value


@pytest.mark.parametrize(
    ("pointer", "payload", "value"),
    [
        ("", b"1", "1"),
        ("/a/1", b'{"a": [0, 1]}', "1"),
        ("/a/01", b'{"a": [0, 1]}', None),
        ("/a/-", b'{"a": [0, 1]}', None),
        ("/a/2", b'{"a": [0, 1]}', None),
        ("/a/\u0661", b'{"a": [0, 1]}', None),
        ("/m~0n/x~1y", b'{"m~n": {"x/y": 1}}', "1"),
        ("/~01", b'{"~1": 1}', "1"),
        ("/", b'{"": 1}', "1"),
        ("/a/b", b'{"a": 1}', None),
        ("a", b'{"a": 1}', None),
    ],
)
def test_pointers_follow_rfc_6901(pointer: str, payload: bytes, value: str | None) -> None:
    assert read_value(at(pointer), payload) == value


@pytest.mark.parametrize(
    ("payload", "epoch_us"),
    [
        (b"1790000000", 1_790_000_000_000_000),
        (b" 1790000000\n", 1_790_000_000_000_000),
        (b"1790000000123", 1_790_000_000_123_000),
        (b"99999999999", 99_999_999_999_000_000),
        (b"100000000000", 100_000_000_000_000),
        (b"0", 0),
        (b"1790000000.5", None),
        (b"+1790000000", None),
        (b"-1", None),
        (b"1_790_000_000", None),
        ("\u0661\u0667".encode(), None),
        (b"9" * 21, None),
        (b"NaN", None),
        (b"", None),
    ],
)
def test_a_heartbeat_is_digits_in_seconds_or_from_ten_to_the_eleventh_in_milliseconds(
    payload: bytes, epoch_us: int | None
) -> None:
    assert read_epoch_us(payload) == epoch_us


@pytest.mark.parametrize(
    ("payload", "shown"),
    [
        (b"OK", "“OK”"),
        (b"a\nb\x00", "“a\\nb\\x00”"),
        ("a\u202eb".encode(), "“a\\u202eb”"),
        (b"\xff", "“\\xff”"),
        (b"x" * 80, f"“{'x' * 80}”"),
        (b"x" * 81, f"“{'x' * 79}…”"),
        (b"\x00" * 9000, f"“{(chr(92) + 'x00') * 19 + chr(92) + 'x0'}…”"),
    ],
)
def test_a_quotation_is_escaped_and_cut_at_80_characters(payload: bytes, shown: str) -> None:
    assert quoted(payload) == shown
    assert len(shown) <= 82
