"""Where a camera's picture comes from, by an allow-list of forms (S26, F28)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal
from urllib.parse import parse_qsl, urlsplit

SourceKind = Literal["http", "rtsp", "device", "generated"]

_FORMS = 'http:// or https:// (MJPEG), rtsp://, /dev/video0 or "lavfi:testsrc2"'
_DEVICE = re.compile(r"/dev/video\d{1,3}", re.ASCII)
_OPTION = r"(?:size=[1-9]\d{1,3}x[1-9]\d{1,3}|rate=[1-9]\d?)"
# Other generators and options of ffmpeg's can read files.
_GENERATED = re.compile(rf"lavfi:(?:testsrc2?|smptebars|rgbtestsrc)(?:={_OPTION}(?::{_OPTION})?)?", re.ASCII)
# RFC 3986's characters, without the quote that ffmpeg's own lists would end at.
_URL = re.compile(r"[A-Za-z0-9\-._~:/?\[\]@!$&()*+,;=%]{1,500}", re.ASCII)
_PLAYLIST = re.compile(r"\.(?:m3u8?|mpd|pls|sdp|ffconcat)$", re.IGNORECASE)
_SECRET_PARAMETERS = frozenset(
    {"user", "username", "usr", "login", "pass", "password", "passwd", "pwd"}
    | {"token", "access_token", "auth", "key", "apikey", "api_key", "secret", "sig"}
)


@dataclass(frozen=True, slots=True)
class CameraSource:
    """A source of an allowed form. `host` and `port` are where an http or rtsp one listens."""

    text: str
    kind: SourceKind
    host: str | None = None
    port: int | None = None


def read_source(text: str) -> CameraSource:
    """Read a camera's `source`; ValueError says what was expected and never repeats the text."""
    if _DEVICE.fullmatch(text):
        return CameraSource(text, "device")
    if text.startswith("lavfi:"):
        if _GENERATED.fullmatch(text) is None:
            raise ValueError('"lavfi:testsrc2", where only size=WxH and rate=N may follow =')
        return CameraSource(text, "generated")
    if _URL.fullmatch(text) is None:
        raise ValueError(f"{_FORMS}; in a URL the characters of RFC 3986 but ' and #")
    try:
        url = urlsplit(text)
        port = url.port
    except ValueError:
        raise ValueError(_FORMS) from None
    default_port = {"http": 80, "https": 443, "rtsp": 554}.get(url.scheme)
    if default_port is None or not url.hostname:
        raise ValueError(_FORMS)
    if "@" in url.netloc:
        raise ValueError(
            'a URL without user and password: put "user:password" into a file, use source_secret_file'
        )
    if any(name.lower() in _SECRET_PARAMETERS for name, _ in parse_qsl(url.query, keep_blank_values=True)):
        raise ValueError("a URL without a secret in its query: it would stand in a process's arguments")
    if _PLAYLIST.search(url.path):
        raise ValueError("the stream itself: a playlist could name files and other hosts")
    return CameraSource(text, "rtsp" if url.scheme == "rtsp" else "http", url.hostname, port or default_port)


def without_credentials(text: str) -> str:
    """`text` fit for a message: nothing between the scheme and `@`, nothing after `?` or `#`."""
    text = re.sub(r"^([a-z]*:(?://)?)?.*@", r"\1…@", text, flags=re.DOTALL)
    return re.sub(r"([?#]).*", r"\1…", text, flags=re.DOTALL)
