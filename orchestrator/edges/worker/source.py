"""What a camera's source may be, and how ffmpeg is told to open it: an allow-list (S26, F28)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import quote, urlsplit

from orchestrator.core.worker import WorkerSpec

GENERATORS = frozenset({"color", "mandelbrot", "smptebars", "smptehdbars", "testsrc", "testsrc2"})
GENERATOR_OPTIONS = {
    "size": re.compile(r"[1-9][0-9]{1,3}x[1-9][0-9]{1,3}"),
    "rate": re.compile(r"[1-9][0-9]?"),
    "color": re.compile(r"[A-Za-z]{1,20}|0x[0-9A-Fa-f]{6}"),
}
URL = re.compile(r"[A-Za-z0-9!#$%&()*+,./:;=?@\[\]_~-]+")
DEVICE = re.compile(r"/dev/video[0-9]{1,3}")
PLAIN_SECRET = re.compile(r"[^:\x00-\x1f\x7f]+:[^\x00-\x1f\x7f]*")


@dataclass(frozen=True, slots=True)
class Source:
    """How to open one source: ffmpeg's `-i` address, the demuxer forced on it, and the options before it.

    `standard_input` is what must be written to ffmpeg's standard input: a list with the address and the
    password in it, so that neither the arguments nor the environment holds a secret (S19). `device` is the
    file the worker must be able to control, if any.
    """

    address: str
    demuxer: str
    options: dict[str, str | int | None]
    standard_input: bytes | None = None
    device: str | None = None


def source_of(spec: WorkerSpec) -> Source:
    """How to open `spec.source`; ValueError with a sentence for anything that is not on the list."""
    source = spec.source
    if source.startswith("lavfi:"):
        found = _generator(source.removeprefix("lavfi:"), spec.fps)
    elif source.startswith("/"):
        found = _device(source)
    elif source.startswith(("http://", "https://", "rtsp://")):
        return _network(spec)
    else:
        raise ValueError(
            f"source {_shown(source)} is of no known kind: use http://, https:// (MJPEG), rtsp://, "
            "/dev/videoN or lavfi:NAME"
        )
    if spec.source_secret is not None:
        raise ValueError(f"source {_shown(source)} takes no user and password: remove source_secret_file")
    return found


def _generator(text: str, fps: int) -> Source:
    name, _, rest = text.partition("=")
    options = {"size": "640x360", "rate": str(fps)}
    if name == "color":
        options["color"] = "gray"
    if name not in GENERATORS:
        raise ValueError(f"lavfi source {name!r} is not allowed: use one of {', '.join(sorted(GENERATORS))}")
    for pair in rest.split(":") if rest else ():
        key, _, value = pair.partition("=")
        pattern = GENERATOR_OPTIONS.get(key)
        if pattern is None or not pattern.fullmatch(value) or (key == "color" and name != "color"):
            raise ValueError(f"lavfi option {pair!r} of {name} is not allowed: use size=640x360 or rate=12")
        options[key] = value
    graph = name + "=" + ":".join(f"{key}={value}" for key, value in options.items())
    # A generator draws as fast as it can; a camera does not.
    return Source(graph, "lavfi", {"re": None})


def _device(path: str) -> Source:
    if not DEVICE.fullmatch(path):
        raise ValueError(f"source {path!r} is not a camera device: use /dev/video0 or the like")
    return Source(path, "v4l2", {}, device=path)


def _network(spec: WorkerSpec) -> Source:
    url = spec.source
    try:
        parts = urlsplit(url)
        port_is_valid = parts.port is None or parts.port > 0
    except ValueError:
        raise ValueError(f"source {_shown(url)} is not a valid address") from None
    if not URL.fullmatch(url) or not parts.hostname or not port_is_valid:
        raise ValueError(f"source {_shown(url)} is not a valid address: percent-encode what is unusual in it")
    if parts.username is not None or parts.password is not None:
        raise ValueError(
            f"source {_shown(url)} has a password in it: put user:password into source_secret_file"
        )
    # Our own eye on `frame=` must be the first to see a stall; ffmpeg's time limit is the net behind it.
    patience_us = int(max(spec.stall_s + 1.0, spec.first_frame_s * 0.75) * 1_000_000)
    options: dict[str, str | int | None]
    if parts.scheme == "rtsp":
        demuxer, protocols = "rtsp", "rtp,tcp"
        options = {"rtsp_transport": "tcp", "allowed_media_types": "video", "timeout": patience_us}
    else:
        demuxer, protocols = "mpjpeg", "http,tcp" if parts.scheme == "http" else "https,tls,tcp"
        options = {"max_redirects": 0, "rw_timeout": patience_us}
    wallclock: dict[str, str | int | None] = {"use_wallclock_as_timestamps": 1} if demuxer == "mpjpeg" else {}
    if spec.source_secret is None:
        return Source(url, demuxer, {**options, **wallclock, "protocol_whitelist": protocols})
    return Source(
        "pipe:0",
        "concat",
        {
            **wallclock,
            "safe": 0,
            "format_whitelist": f"concat,{demuxer}",
            "protocol_whitelist": f"pipe,{parts.scheme},{protocols}",
        },
        standard_input=_list_with_secret(url, spec.source_secret, options),
    )


def _list_with_secret(url: str, secret: str, options: dict[str, str | int | None]) -> bytes:
    """An ffconcat list of one entry whose address carries the secret, percent-encoded."""
    if not PLAIN_SECRET.fullmatch(secret):
        raise ValueError("the source's secret is not of the form user:password")
    user, _, password = secret.partition(":")
    scheme, _, rest = url.partition("://")
    address = f"{scheme}://{quote(user, safe='')}:{quote(password, safe='')}@{rest}"
    lines = ["ffconcat version 1.0", f"file '{address}'"]
    lines += [f"option {key} {value}" for key, value in options.items()]
    return ("\n".join(lines) + "\n").encode()


def _shown(source: str) -> str:
    """A source as it may stand in a message: without user and password."""
    return repr(re.sub(r"//[^/@]*@", "//…@", source)[:200])
