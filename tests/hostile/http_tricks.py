"""Requests that nobody who means well would send, byte by byte, and which answers each may have."""

import random
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

OURS = b"Host: {host}\r\n"
CLOSE = b"Connection: close\r\n"
JSON = b"Content-Type: application/json\r\n"
GET, POST = b"GET /healthz HTTP/1.1\r\n", b"POST /api/v1/cameras/cam1/transitions HTTP/1.1\r\n" + JSON
EMPTY_CHUNKS = b"\r\n0\r\n\r\n"
SCRIPT = b"<script>alert(1)</script>"


@dataclass(frozen=True, slots=True)
class Trick:
    """`said` with `{host}` for the listener's name, and the statuses that each answer may have. `stays`: the
    connection may stay open after the first."""

    said: bytes
    statuses: frozenset[int]
    stays: bool = False


def _trick(said: bytes, *statuses: int, stays: bool = False) -> Trick:
    return Trick(said, frozenset(statuses), stays)


def _asked(target: bytes) -> bytes:
    return b"GET " + target + b" HTTP/1.1\r\n" + OURS + CLOSE + b"\r\n"


def _with(head: bytes, *fields: bytes, body: bytes = b"", host: bytes = OURS) -> bytes:
    return head + host + b"".join(field + b"\r\n" for field in fields) + CLOSE + b"\r\n" + body


_PATHS: Iterable[bytes] = (
    b"/../../etc/passwd", b"/%2e%2e/%2e%2e/etc/passwd", b"/..%2f..%2fetc/passwd", b"/..%5c..%5cetc",
    b"/%252e%252e/etc", b"/console/../server.py", b"/console/..%2fserver.py", b"/console/%2e%2e/server.py",
    b"/console/%2e%2e%2fdoor.py", b"/console/..%252fserver.py", b"/console//etc/passwd",
    b"/console/%2fetc%2fpasswd", b"/console/console.js%00.css", b"/console/console.js/", b"/console/.",
    b"/console/", b"/console//console.js", b"//etc/passwd", b"//evil.test/healthz", b"//healthz",
    b"/healthz%00", b"/healthz%0d%0aX: y", b"/%00", b"/%c0%ae%c0%ae/%c0%ae%c0%ae/etc", b"/%e0%80%ae/",
    b"/%uff0e%uff0e/", b"/healthz/", b"/healthz;a=b", b"/HEALTHZ", b"/./healthz", b"/x/../healthz",
    b"/%zz", b"/%", b"/api/v1/cameras/cam1%2ftransitions", b"/api/v1/cameras/%2e%2e",
    b"/api/v1/cameras/..%2f..%2fhealthz", b"/api/v1/cameras/" + SCRIPT,
    b"/api/v1/cameras/%3Cscript%3Ealert(1)%3C%2Fscript%3E", b"/\\..\\..", b"/.git/config",
    b"/live/../healthz", b"/live//stream.mp4", b"/live/%2e%2e/stream.mp4", b"/live/x/..%2f..%2fhealthz",
    b"/api/v1/..;/me", b"/live/x/999999999999999.ts", b"/live/x/-1.ts", b"/live/x/%30.ts", b"/~root",
    b"/cgi-bin/sh", b"/" + b"a" * 8_000, b"/" + b"%2e" * 2_000, b"/" + b"a/" * 3_000,
)  # fmt: skip
_TARGETS = (
    b"", b"healthz", b"http://", b"http://[", b"http://{host}/healthz", b"http://evil.test/healthz",
    b"evil.test:80", b"https://{host}/healthz", b"file:///etc/passwd", b"?x", b"/healthz\x00",
    b"/healthz\tx", b"/\xff\xfe", b"/a b", b"/\r", b"/healthz\x0b", b"javascript:alert(1)", b"*",
)  # fmt: skip
_METHODS = (
    b"CONNECT", b"TRACE", b"OPTIONS", b"PRI", b"FOO", b"get", b"G\x00T", b"PROPFIND", b"SEARCH",
    b"A" * 5_000, b"DEBUG", b"PATCH", b"PUT", b"DELETE", b"POST", b"", b" ", SCRIPT, b"\xff",
)  # fmt: skip

PATHS: Mapping[str, Trick] = {repr(path[:60]): _trick(_asked(path), 404, 400, 421) for path in _PATHS}
TARGETS = {repr(target): _trick(_asked(target), 400, 404, 421) for target in _TARGETS}
METHODS = {
    repr(method[:20]): _trick(method + b" /healthz HTTP/1.1\r\n" + OURS + CLOSE + b"\r\n", 400, 404, 405)
    for method in _METHODS
} | {
    "CONNECT to another": _trick(
        b"CONNECT evil.test:22 HTTP/1.1\r\n" + OURS + b"\r\n",
        400,
        404,
        421,
        stays=True,
    ),
    "OPTIONS of all": _trick(b"OPTIONS * HTTP/1.1\r\n" + OURS + CLOSE + b"\r\n", 400, 404, 405),
    "TRACE of all": _trick(_with(b"TRACE / HTTP/1.1\r\n", b"X-Secret: " + SCRIPT), 405),
}

_HEADS = {
    "a request line of 100 kB": _asked(b"/" + b"a" * 100_000),
    "a query of 100 kB": _asked(b"/?" + b"a" * 100_000),
    "10,000 headers": _with(GET, *(b"X-%d: a" % number for number in range(10_000))),
    "a header of 100 kB": _with(GET, b"X-A: " + b"a" * 100_000),
    "a name of 100 kB": _with(GET, b"a" * 100_000 + b": a"),
    "no colon": _with(GET, b"nonsense"),
    "no name": _with(GET, b": a"),
    "white space before the colon": _with(GET, b"X-A : a"),
    "a folded line": _with(GET, b"X-A: a\r\n b"),
    "a folded host": GET + b"Host:\r\n {host}\r\n" + CLOSE + b"\r\n",
    "NUL in a value": _with(GET, b"X-A: a\x00b"),
    "a bare CR": _with(GET, b"X-A: a\rb"),
    "bare LFs": b"GET /healthz HTTP/1.1\nHost: {host}\nConnection: close\n\n",
    "a name with a space": _with(GET, b"X A: a"),
    "two hosts": _with(GET, b"Host: {host}"),
    "a host and another": _with(GET, b"Host: evil.test"),
    "two versions": b"GET /healthz HTTP/1.1 HTTP/1.1\r\n" + OURS + CLOSE + b"\r\n",
    "no version": b"GET /healthz\r\n" + OURS + CLOSE + b"\r\n",
    "HTTP/2.0": b"GET /healthz HTTP/2.0\r\n" + OURS + CLOSE + b"\r\n",
    "HTTP/9.9": b"GET /healthz HTTP/9.9\r\n" + OURS + CLOSE + b"\r\n",
    "HTTP/1.10": b"GET /healthz HTTP/1.10\r\n" + OURS + CLOSE + b"\r\n",
    "a lower version": b"get /healthz http/1.1\r\n" + OURS + CLOSE + b"\r\n",
    "the preface of HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00",
    "a proxy's hello": b"PROXY TCP4 {member} {member} 1 1\r\n" + GET + OURS + b"\r\n",
    "a TLS hello": bytes.fromhex("16030100c8010000c40303") + bytes(190),
    "an SSH hello": b"SSH-2.0-OpenSSH_9.2\r\n\r\n",
    "an SMTP hello": b"EHLO evil.test\r\n\r\n",
    "an MQTT hello": b"\x10\x0c\x00\x04MQTT\x04\x02\x00\x00\x00\x00\r\n\r\n",
    "NULs": bytes(3_000),
    "noise": random.Random("volet-1").randbytes(3_000) + b"\r\n\r\n",
    "nothing but lines": b"a\r\n" * 100 + b"\r\n",
}  # fmt: skip
_BODIES = {
    "two lengths, the same": _with(POST, b"Content-Length: 2", b"Content-Length: 2", body=b"{}"),
    "two lengths": _with(POST, b"Content-Length: 2", b"Content-Length: 30", body=b"{}"),
    "a list of lengths": _with(POST, b"Content-Length: 2, 2", body=b"{}"),
    "a length and chunks": _with(
        POST, b"Content-Length: 2", b"Transfer-Encoding: chunked", body=EMPTY_CHUNKS[2:],
    ),
    "chunks and a length": _with(
        POST, b"Transfer-Encoding: chunked", b"Content-Length: 44", body=EMPTY_CHUNKS[2:],
    ),
    "a negative length": _with(POST, b"Content-Length: -2", body=b"{}"),
    "a length with a sign": _with(POST, b"Content-Length: +2", body=b"{}"),
    "a hexadecimal length": _with(POST, b"Content-Length: 0x2", body=b"{}"),
    "a huge length": _with(POST, b"Content-Length: " + b"9" * 30, body=b"{}"),
    "a length in other digits": _with(POST, "Content-Length: \uff12".encode(), body=b"{}"),
    "no length at all": _with(POST, b"Content-Length: ", body=b"{}"),
    "another transfer coding": _with(POST, b"Transfer-Encoding: xchunked", body=EMPTY_CHUNKS[2:]),
    "two transfer codings": _with(
        POST, b"Transfer-Encoding: chunked", b"Transfer-Encoding: identity", body=b"0\r\n\r\n",
    ),
    "chunks not last": _with(POST, b"Transfer-Encoding: chunked, gzip", body=b"0\r\n\r\n"),
    "a quoted coding": _with(POST, b'Transfer-Encoding: "chunked"', body=b"0\r\n\r\n"),
    "no chunk size": _with(POST, b"Transfer-Encoding: chunked", body=b"zz\r\n{}\r\n0\r\n\r\n"),
    "a negative chunk": _with(POST, b"Transfer-Encoding: chunked", body=b"-2\r\n{}\r\n0\r\n\r\n"),
    "a hexadecimal chunk": _with(POST, b"Transfer-Encoding: chunked", body=b"0x2\r\n{}\r\n0\r\n\r\n"),
    "a huge chunk": _with(POST, b"Transfer-Encoding: chunked", body=b"f" * 20 + b"\r\n{}\r\n0\r\n\r\n"),
    "a chunk too long": _with(POST, b"Transfer-Encoding: chunked", body=b"1\r\n{}\r\n0\r\n\r\n"),
    "a chunk without an end": _with(POST, b"Transfer-Encoding: chunked", body=b"2\r\n{}0\r\n\r\n"),
    "a chunk's extension": _with(POST, b"Transfer-Encoding: chunked", body=b'2;a="b"\r\n{}\r\n0\r\n\r\n'),
    "an extension of 100 kB": _with(
        POST, b"Transfer-Encoding: chunked", body=b"2;" + b"a" * 100_000 + b"\r\n{}\r\n0\r\n\r\n",
    ),
    "a trailer that is a host": _with(
        POST, b"Transfer-Encoding: chunked", body=b"2\r\n{}\r\n0\r\nHost: evil.test\r\n\r\n",
    ),
    "a compressed body": _with(POST, b"Content-Encoding: gzip", b"Content-Length: 2", body=b"{}"),
    "a body of another kind": _with(POST.replace(b"json", b"xml"), b"Content-Length: 2", body=b"{}"),
    "deep JSON": _with(POST, b"Content-Length: 60000", body=b"[" * 60_000),
    "a body that is too large": _with(POST, b"Content-Length: 70000", body=b"x" * 70_000),
    "an expectation that is none": _with(POST, b"Expect: 200-ok", b"Content-Length: 2", body=b"{}"),
}  # fmt: skip
HEADS = {name: _trick(said, 400, 421) for name, said in _HEADS.items()} | {
    # The parser takes it for HTTP/1.0, as which it is answered.
    "another protocol": _trick(b"GET /healthz RTSP/1.0\r\n" + OURS + CLOSE + b"\r\n", 200, 400),
}
BODIES = {name: _trick(said, 400, 413, 415, 422) for name, said in _BODIES.items()}

_SMUGGLED = (
    b"POST /api/v1/cameras/cam1/transitions HTTP/1.1\r\n"
    + OURS
    + JSON
    + b'Content-Length: 19\r\n\r\n{"trigger":"close"}'
)
REFUSED_BETWEEN_GOOD_ONES = GET + OURS + b"\r\n" + GET + b"Host: evil.test\r\n\r\n" + _with(GET)
IN_A_ROW: Mapping[str, Trick] = {
    "nonsense behind a good one": _trick(GET + OURS + b"\r\nnonsense\r\n\r\n" + _with(GET), 200, 400),
    "a closing within a body that has two lengths": _trick(
        _with(GET, b"Content-Length: 0", b"Transfer-Encoding: chunked", body=b"0\r\n\r\n" + _SMUGGLED), 400
    ),
    "a closing behind a last chunk's bare LF": _trick(
        _with(POST, b"Transfer-Encoding: chunked", body=b"0\n\n" + _SMUGGLED), 400, 422
    ),
    "a closing behind Connection: close": _trick(_with(GET) + _SMUGGLED, 200, 400),
    "another protocol asked for": _trick(
        GET + OURS + b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n\x81\x05hello", 200, 400, stays=True,
    ),
    "HTTP/2 asked for": _trick(
        GET + OURS + b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n"
        b"HTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n",
        200, 400, stays=True,
    ),
}  # fmt: skip

DISGUISES = (
    b"X-Forwarded-For: {member}", b"Forwarded: for={member};host={host}", b"X-Real-IP: {member}",
    b"True-Client-IP: {member}", b"X-Forwarded-Host: {host}",
    b"Tailscale-User-Login: maintainer@example.com", b"Tailscale-User-Name: Maintainer A",
    b"Authorization: Basic YWRtaW46YWRtaW4=", b"Authorization: Bearer x",
    b"Cookie: session=1; member=Maintainer A", b"X-Remote-User: Maintainer A",
    b"Remote-User: Maintainer A", b"Via: 1.1 {host}", b"X-Original-URL: /healthz",
    b"X-Rewrite-URL: /healthz", b"CF-Connecting-IP: {member}", b"From: {member}",
)  # fmt: skip
"""Who one says to be: never who one is (CONTRACT 5)."""
OVERRIDES = (
    b"X-HTTP-Method-Override: POST",
    b"X-HTTP-Method: DELETE",
    b"X-Method-Override: PATCH",
    b"_method: POST",
)
RANGES = (
    b"bytes=0-1", b"bytes=0-", b"bytes=-1", b"bytes=0-0,5-9,-1", b"bytes=" + b"0-1," * 300 + b"0-1",
    b"bytes=9-1", b"bytes=99999999999999999999-", b"lines=1-2", b"bytes=a-b", b"",
)  # fmt: skip
