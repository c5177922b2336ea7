"""For each kind of value in a configuration: what is certain to be none."""

from collections.abc import Callable
from datetime import UTC, datetime, time
from random import Random
from typing import Any

from tests.hostile.toml_text import Raw
from tests.hostile.valid_files import SECRET

Wrong = Callable[[Random], Any]

NUMBERS = [Raw("nan"), Raw("-nan"), Raw("inf"), Raw("-inf"), Raw("1e400"), Raw("-1e999999999"), -1, -0.5,
           Raw("1e99999999999999999999"), 2**62, -(2**63), Raw("0x" + "f" * 5000), Raw(
               "1" * 6000,
           )]  # fmt: skip
"""Numbers that nothing here may be."""
NEVER = [
    *NUMBERS, datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC), time(7, 32), [[["x"]]], [7.5], {"no_such_key": 1},
    {"": ""}, [{}], [True, "x"],
]  # fmt: skip
"""What no key takes, whatever its kind."""
NO_TEXT = [7, 0.5, True, False, *NUMBERS]
STEERING = ["\x00", "\x07", "a\x1b[31mb", "a\nb", "a\rb", "a\u202eb", "a\u2028b", "\x7f"]
"""Texts with characters that steer something."""
LONG = "x" * 5_000


def _one_of(*values: Any) -> Wrong:
    return lambda random: random.choice(values)


def _duration(random: Random) -> Any:
    amount = random.randrange(1, 1000)
    unit = random.choice(
        [
            "sec",
            "min",
            "S",
            "H",
            "y",
            "w",
            "us",
            "ns",
            " s",
            "s ",
            "m s",
            "ss",
            "",
            "µs",
            "s\n",
        ]
    )
    fixed = [
        "", "-5s", "+5s", "5m1h", "1s1s", "1.5s", "1,5s", "1e3s", "0x10s", "٣s", "\uff15s", "PT5S",
        "00:05", "five minutes", "inf", "s", "99999d", "999999999d", "h1", "1h 5m", "1_0s",
    ]  # fmt: skip
    return random.choice([f"{amount}{unit}", *fixed, *NO_TEXT, amount, float(amount)])


def _whole(random: Random) -> Any:
    more = 65_536 + random.randrange(2**31)
    return random.choice([-random.randrange(1, 99), more, 1.0, 12.5, "12", "", True, False, *NUMBERS])


def _decimal(random: Random) -> Any:
    return random.choice([0, -random.random(), 1001 + random.random(), "0.9", "", True, *NUMBERS])


def _fraction(random: Random) -> Any:
    return random.choice([-random.random() - 0.001, 1.001 + random.random(), 2, "0.1", True, *NUMBERS])


def _source(random: Random) -> str:
    """Options, other protocols, playlists, lists and secrets of ffmpeg's (S26, F28)."""
    base = "http://127.0.0.1:8000/mjpeg/cam1"
    return random.choice([
        "file:///etc/passwd", "/etc/passwd", "concat:/etc/passwd|/etc/shadow",
        "subfile,,start,0,end,9,,:/etc/passwd", "crypto:/etc/passwd", "data:text/plain,x", "pipe:0",
        "tcp://h:1", "udp://h:1", "ftp://h/a", "gopher://h", "rtmp://h/a", "tee:x", "async:http://h",
        "cache:http://h", "-i", "-f lavfi -i testsrc", "--help", "lavfi:movie=/etc/passwd",
        "lavfi:testsrc2,movie=/etc/passwd", "lavfi:testsrc2=size=1x1:filename=/etc/passwd",
        "lavfi:amovie=/x", "lavfi:testsrc2[out];movie=/x", "/dev/video", "/dev/video0/../../etc/passwd",
        "/dev/videoX", "/dev/sda", "/dev/video0 -i /etc/passwd", base + "\n-i /etc/passwd", base + " -i x",
        base + "'", base + '"', base + "\\", base + "|x", base + ".m3u8", base + ".mpd", base + ".SDP",
        base + ".ffconcat", "http://", "http:///x", "http://h:99999/", "http://h:x/", "HTTP//h", "rtsp:",
        "https:// h/", "", " " + base, base + "\u0000", base + "é", base + "#" + "a" * 600,
        "http://root:hunter2@h/", "rtsp://root:hunter2@h/a", "rtsp:root:hunter2@h", "http:/root:hunter2@h",
        "root:hunter2@h", base + "?password=hunter2", base + "?token=hunter2", base + "#hunter2",
        "http://[::1/", "${CAMERA}", "$(reboot)", LONG,
    ])  # fmt: skip


_TEXT = ["", " a", "a ", "\ta", LONG, *STEERING]
_PATH = [
    "",
    "relative",
    "./x",
    "../x",
    "~/x",
    "file:///x",
    "/" + "a" * 5_000,
    *(f"/{text}" for text in STEERING),
]
_ID = ["", "A", "-a", "_a", "a b", "a" * 33, "é", "a/b", "..", "a.b", "#", "+", "*", LONG, *STEERING]
_TOPIC = ["", "a/+/b", "#", "+", "a/#", "a/b#", "x" * 257, "é" * 129, *STEERING]
_ADDRESS = [
    "", "256.0.0.1", "1.2.3", "localhost", "127.0.0.1/8", "::g", " 127.0.0.1", "0x7f.0.0.1", "\uff11.0.0.1",
    "127.0.0.01", "10.0.0.1", "::1", "0.0.0.0", "169.254.1.1", *STEERING,
]  # fmt: skip
_CRON = [
    "", "* * * *", "* * * * * *", "60 * * * *", "* 24 * * *", "* * 0 * *", "* * 32 * *", "* * * 13 *",
    "* * * 0 *", "* * * * 2", "* * * * 7", "* * 13 * fri", "*/0 * * * *", "5-1 * * * *", "a * * * *",
    "@daily", "0 0 31 feb *", "0 0 30 2 *", "1,,2 * * * *", "1- * * * *", "-1 * * * *", "*/ * * * *",
    "1/5 * * * *", "٣ * * * *", "? * * * *", "* * L * *", "* * * * mon#2", "* * * * fri-mon",
    "99999999999999999999 * * * *", "*/9999 * * * *", "* * * * monday", "1;2 * * * *", "0,60 * * * *",
    "* * * * mon-", LONG + " * * * *", "1," * 4000 + "1 * * * *",
]  # fmt: skip
_DATE = [
    "2026-02-30", "2026-13-01", "2025-02-29", "2026-1-1", "0000-01-01", "today", "",
    "2026-12-25T00:00:00Z", "25.12.2026", "2026-00-10", "-2026-01-01", "\uff12026-01-01",
]  # fmt: skip
_LISTENER = [
    "", ":8000", "8000", "0.0.0.0", "0.0.0.0:", "0.0.0.0:0", "0.0.0.0:65536", "::1:80", "[0.0.0.0]:80",
    "0.0.0.0:08", "host:80", "0.0.0.0:٣", "127.0.0.1:8000", "[::1]:80",
]  # fmt: skip
_EXPRESSION = [
    "(",
    "[",
    "*",
    "(?P<",
    "a{99999999999999999999}",
    "x" * 201,
    "(?<=a*)b",
    "\\",
    "(" * 200,
    "(?z)",
    "a**",
]

WRONG: dict[str, Wrong] = {
    "never": _one_of(*NEVER),
    "duration": _duration,
    "whole": _whole,
    "decimal": _decimal,
    "fraction": _fraction,
    "bool": _one_of(0, 1, "true", "yes", "", "on", [], *NUMBERS),
    "choice": _one_of("", "Tailscale", " acl", "acl ", "OPEN", "both", "no", *STEERING, LONG, *NO_TEXT),
    "id": _one_of(*_ID, *NO_TEXT),
    "ids": _one_of(
        "cam1",
        [7],
        ["A"],
        [""],
        [["cam1"]],
        ["nobody-has-this-name"],
        {"a": 1},
        [
            "x" * 33,
        ],
        *NUMBERS,
    ),
    "text": _one_of(*_TEXT, *NO_TEXT),
    "path": _one_of(*_PATH, *NO_TEXT),
    "file": _one_of(*_PATH, *[SECRET] * 20, *NO_TEXT),
    "socket": _one_of(*_PATH, "/" + "a" * 108, *NO_TEXT),
    "database": _one_of(
        "",
        "events.db",
        "/var/lib/volet/events.db",
        "postgresql:///a",
        "sqlite://a",
        "sqlite:///a",
        "sqlite:////a/",
        "sqlite:////a?mode=memory",
        "sqlite://",
        "SQLITE:////a",
        "sqlite:////a\n",
        "mysql:////a",
        *NO_TEXT,
    ),
    "address": _one_of(*_ADDRESS, *NO_TEXT),
    "interface": _one_of("", "a/b", "a" * 16, "-x", "a b", "..", "wg0;reboot", "é", *STEERING, *NO_TEXT),
    "host": _one_of(
        "",
        "http://h",
        "a b",
        "a/b",
        "-x",
        "x-",
        ".x",
        "é",
        "h:1883",
        "[::1]",
        *STEERING,
        *NO_TEXT,
    ),
    "topic": _one_of(*_TOPIC, "parking/stream", "parking/stream/cam1/state", "parking/stream/cmd", *NO_TEXT),
    "prefix": _one_of(*_TOPIC, "/a", "a/", "/", "$SYS/a", "$share/a/b", *NO_TEXT),
    "pointer": _one_of("", "current", "/a~2", "#/a", "~", "/~", *NO_TEXT),
    "cron": _one_of(*_CRON, *NO_TEXT),
    "date": _one_of(*_DATE, *NO_TEXT),
    "dates": _one_of(*([each] for each in _DATE), "2026-12-25", ["2026-01-01"] * 401, *NUMBERS),
    "key": _one_of(
        "",
        "abc",
        "A" * 44,
        "A" * 43 + "B",
        "A" * 42 + "=",
        "=" * 44,
        "é" * 44,
        " " * 44,
        *NO_TEXT,
    ),
    "node": _one_of("", "a b", "é", "a" * 65, "n-1", *STEERING, *NO_TEXT),
    "source": _source,
    "size": _one_of(
        "",
        "640",
        "640x",
        "641x360",
        "8x8",
        "4000x4000",
        "640×360",
        "-640x360",
        "640x360 ",
        "\u0666x360",
        "0x0",
        "640X360",
        "640x360x3",
        *NO_TEXT,
    ),
    "bitrate": _one_of(
        "",
        "600",
        "49k",
        "21M",
        "600K",
        "-600k",
        "600kbps",
        "6e2k",
        "٦k",
        "99999999k",
        *NO_TEXT,
    ),
    "bytes": _one_of("", "200", "200MB", "-1MiB", "1TiB", "9999GiB", "1.5MiB", "200 MiB", "200mib", *NO_TEXT),
    "roles": _one_of(
        [],
        "viewer",
        ["admin"],
        ["Viewer"],
        ["viewer", "viewer"],
        [""],
        [7],
        {
            "viewer": True,
        },
        *NUMBERS,
    ),
    "outputs": _one_of([], "hls", ["webrtc"], ["HLS"], ["hls", "hls"], [7], *NUMBERS),
    "expression": _one_of(*_EXPRESSION, *NO_TEXT),
    "lane-text": _one_of("", " 0", "0 ", "\n", "x" * 4097, "é" * 2049, *NO_TEXT),
    "lane-texts": _one_of("RDC", [""], [" a"], ["x" * 4097], [7], [["a"]], *NUMBERS),
    "zone": _one_of(
        "",
        "Mars/Olympus",
        "../../etc/passwd",
        "/etc/localtime",
        "UTC+25",
        "Europe",
        LONG,
        *STEERING,
        *NO_TEXT,
    ),
    "site": _one_of("", "a b", "é", "a/b", "-a", "a" * 65, "#", "+", *STEERING, *NO_TEXT),
    "capability": _one_of(
        "",
        "x",
        "a/b",
        "http://a.b/c",
        "a.b/",
        "a.b/é",
        "a." * 200 + "b/c",
        *STEERING,
        *NO_TEXT,
    ),
    "names": _one_of("h", ["a b"], [""], ["http://h"], [7], ["a"] * 17, ["h:80"], *NUMBERS),
    "listener": _one_of(*_LISTENER, *NO_TEXT),
    "table": _one_of("x", [1], True, {"no_such_key": 1}, *NUMBERS),
    "tables": _one_of("x", 7, {"a": 1}, [7], ["x"], [[]], [{"no_such_key": 1}], True, *NUMBERS),
}
