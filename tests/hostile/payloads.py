"""Garbage for the lane: payloads and topics that nobody who means well would send, from a seed.

None of it is a close command, and none a heartbeat that could be of today.
"""

import json
from collections.abc import Callable
from random import Random
from typing import Any

SEED = "volet-1"
MAX_BYTES = 1_000_000
"""A message of more than a mebibyte ends the session, which is tested elsewhere."""

_TODAY_S = 1_790_000_000
_FAR_S = 400 * 86_400
_NUMBERS = [
    "0", "1", "-1", "+1", "-0", "00", "1.0", "1e3", "1e999", "-1e999", "0x1", "0b1", "1_000", "NaN",
    "Infinity", "-Infinity", "nan", "inf", "9" * 11, "1" + "0" * 11, str(2**31 - 1), str(2**31),
    str(2**32), str(
        2**53 + 1,
    ), str(2**63 - 1), str(2**63), str(2**64), "9" * 17, "9" * 18, "9" * 20, "9" * 21, "9" * 4_096,
    "9" * 4_097, "9" * 4_301, "-" + "9" * 4_300, "1e" + "9" * 400, "0." + "3" * 4_000,
    "\uff11\uff17\uff19\uff10", "٣", "²", "½", "Ⅳ", "1\u200b", "1 2", "1,5", "1\x002", "\u22121",
]  # fmt: skip
_WORDS = [
    "", " ", "\n", "\x00", "\x00" * 100, "OK\x00", "ok", "0\u00a0", "\ufeff0", "0;1", "'", '"', "\\",
    "<script>", "%s%n", "../../etc/passwd", "$(reboot)", "; DROP TABLE events", "\x1b[2J", "\u202e0",
    "\u2028", "\U0001f697" * 30, "a" * 4_095, "a" * 4_096, "a" * 4_097, "é" * 2_049, "true", "null",
    "cam1:left", "cam1", "cam2:",
]  # fmt: skip
_BYTES = [
    b"\xff", b"\xfe\xff", b"\xc0\x80", b"\xed\xa0\x80", b"0\xff", b"\x80" * 4_096, b"\xff" * 5_000, b"OK\xc3",
    "OK".encode("utf-16"), b"\xef\xbb\xbf0", b"\xf0\x9f\x9a", bytes(range(256)),
]  # fmt: skip
_OPENINGS = [
    "request",
    "extend",
    "acknowledge",
    "open",
    "checks_passed",
    "first_frame",
    "fault",
    "Close",
    "close ",
    "",
]
_NO_CAMERAS: list[Any] = [
    None, "", "cam9", "CAM1", "cam1 ", " cam1", "cam1\x00", "**", "cam*", "cam?", ".", "#", 1, True,
    ["cam1"], {"cam1": 1}, [], "cam1,cam2", "\u217dam1", 1e999,
]  # fmt: skip


def _json(random: Random, depth: int = 0) -> Any:
    if depth < 3 and random.random() < 0.5:
        inner = [_json(random, depth + 1) for _ in range(random.randrange(4))]
        return (
            inner
            if random.random() < 0.5
            else {
                random.choice(
                    [
                        "current",
                        "",
                        "a",
                        "ts",
                    ]
                ): one
                for one in inner
            }
        )
    plain = [
        None,
        True,
        False,
        0,
        1,
        -1,
        2**63,
        10**4_000,
        0.5,
        float("nan"),
        float(
            "inf",
        ),
        "0",
        "OK",
        "\ud800",
        "RDC",
    ]
    return random.choice(plain)


def _document(random: Random) -> bytes:
    text = json.dumps({"current": _json(random)} if random.random() < 0.5 else _json(random))
    if random.random() < 0.3:
        text = text[: random.randrange(len(text) + 1)]
    return text.encode()


def _nested(random: Random) -> bytes:
    levels = random.choice([10, 500, 990, 1_000, 2_000, 4_096])
    opening, closing = random.choice([("[", "]"), ('{"current":', "}"), ('[{"a":', "}]")])
    end = closing * levels if random.random() < 0.5 else ""
    return f"{opening * levels}1{end}".encode()


def _twice(random: Random) -> bytes:
    return random.choice([
        b'{"current": 1, "current": 0}', b'{"current": 0, "current": {"current": 0}}', b'{"a": 1, "a": 1}',
        b'{"trigger": "close", "trigger": "request", "camera": "cam1"}', b'{"current": 0} {"current": 0}',
    ])  # fmt: skip


def _nearly_a_command(random: Random) -> bytes:
    """An opening, which MQTT never does, or a closing of nothing (S18, CONTRACT 6)."""
    body: Any = random.choice([
        {"trigger": random.choice(_OPENINGS), "camera": random.choice([
            "cam1", "*",
        ]), "reason": "x", "duration_s": 60},
        {"trigger": "close", "camera": random.choice(_NO_CAMERAS)}, {"trigger": "close"}, {"camera": "cam1"},
        [{"trigger": "close", "camera": "cam1"}], {"cmd": {"trigger": "close", "camera": "*"}}, "close", [
            "close",
        ],
        {"trigger": ["close"], "camera": "cam1"}, {"Trigger": "close", "camera": "cam1"}, {
            "trigger": True, "camera": "*",
        },
        {"trigger": "close", "cameras": ["cam1"]}, {"trigger": None, "camera": None}, "cam1", 7,
    ])  # fmt: skip
    text = json.dumps(body)
    wrapped = [
        text,
        text[:-1],
        text + "x",
        f"{text}{text}",
        f"/*{text}*/",
        f"{' ' * 4_096}{text}",
        f"\x00{text}",
    ]
    if body == {"camera": "cam1"} or random.random() < 0.7:
        return text.encode()
    return random.choice(
        [
            *(one.encode() for one in wrapped[1:]),
            text.encode(
                "utf-16",
            ),
            b"\xef\xbb\xbf" + text.encode(),
        ]
    )


def _beat_of_another_day(random: Random) -> bytes:
    seconds = _TODAY_S + random.choice([-1, 1]) * random.randrange(_FAR_S, 40 * _FAR_S)
    return str(abs(seconds) * random.choice([1, 1_000, 1_000_000])).encode()


def _large(random: Random) -> bytes:
    size = random.choice([5_000, 70_000, MAX_BYTES])
    return (random.choice([b"x", b"[", b"9", b"\x00", b"\xff", b'{"a":', b'{"current":']) * size)[:size]


_MAKERS: list[Callable[[Random], bytes]] = [
    lambda random: random.choice(_NUMBERS).encode(),
    lambda random: random.choice(_WORDS).encode(),
    lambda random: random.choice(_BYTES),
    lambda random: random.randbytes(random.randrange(60)),
    _document, _nested, _twice, _nearly_a_command, _beat_of_another_day,
]  # fmt: skip


def payload(random: Random) -> bytes:
    """One payload; one in a thousand is large, up to a megabyte."""
    return _large(random) if random.random() < 0.001 else random.choice(_MAKERS)(random)


def command(random: Random) -> bytes:
    """One payload for `{prefix}/cmd`: half of them nearly commands."""
    return _nearly_a_command(random) if random.random() < 0.5 else payload(random)
