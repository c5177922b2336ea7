"""A camera that speaks RTSP over TCP, with picture and sound, and may ask for a password."""

from __future__ import annotations

import base64
import contextlib
import itertools
import socket
import socketserver
import struct
import subprocess
import threading
from dataclasses import dataclass
from typing import Self

FRAMES_PER_S = 15
SILENCE = bytes([0xFF]) * 160


@dataclass(frozen=True)
class _Picture:
    frames: tuple[tuple[bytes, ...], ...]
    sprop: str


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True
    camera: RtspCamera


class _Connection(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        server = self.server
        assert isinstance(server, _Server)
        camera = server.camera
        with contextlib.suppress(OSError):
            while request := self._request():
                method, url, headers = request
                if camera.password and headers.get("authorization") != camera.expected:
                    self._answer(headers, "401 Unauthorized", 'WWW-Authenticate: Basic realm="camera"')
                elif method == "DESCRIBE":
                    self._answer(headers, "200 OK", "Content-Type: application/sdp", body=camera.sdp())
                elif method == "SETUP":
                    camera.set_up.append(url)
                    transport = headers["transport"]
                    self._answer(headers, "200 OK", "Session: 1", f"Transport: {transport}")
                elif method == "PLAY":
                    self._answer(headers, "200 OK", "Session: 1")
                    self._play(camera)
                    return
                else:
                    self._answer(headers, "200 OK", "Public: DESCRIBE, SETUP, PLAY, TEARDOWN")

    def _request(self) -> tuple[str, str, dict[str, str]] | None:
        first = self.rfile.readline().decode().split()
        if len(first) < 2:
            return None
        headers = {}
        while line := self.rfile.readline().decode().strip():
            name, _, value = line.partition(":")
            headers[name.lower()] = value.strip()
        return first[0], first[1], headers

    def _answer(self, headers: dict[str, str], status: str, *lines: str, body: str = "") -> None:
        head = [f"RTSP/1.0 {status}", f"CSeq: {headers.get('cseq', '0')}", *lines]
        head.append(f"Content-Length: {len(body)}")
        self.wfile.write(("\r\n".join(head) + "\r\n\r\n" + body).encode())

    def _play(self, camera: RtspCamera) -> None:
        sequence = itertools.count()
        for number, nals in enumerate(itertools.cycle(camera.picture.frames)):
            if camera.stopped.wait(1 / FRAMES_PER_S):
                return
            timestamp = number * 6000 & 0xFFFFFFFF
            payloads = [payload for nal in nals for payload in _payloads(nal)]
            for payload in payloads:
                marker = 0x80 if payload is payloads[-1] else 0
                self._packet(0, 96 | marker, next(sequence), timestamp, payload)
            self._packet(2, 0, number, number * len(SILENCE), SILENCE)

    def _packet(self, channel: int, kind: int, number: int, timestamp: int, payload: bytes) -> None:
        rtp = (
            struct.pack(">BBHII", 0x80, kind, number & 0xFFFF, timestamp & 0xFFFFFFFF, 7 + channel) + payload
        )
        self.wfile.write(struct.pack(">cBH", b"$", channel, len(rtp)) + rtp)


def _payloads(nal: bytes) -> list[bytes]:
    """One NAL unit as RTP payloads: whole, or in FU-A pieces (RFC 6184)."""
    if len(nal) <= 1400:
        return [nal]
    indicator, kind = (nal[0] & 0xE0) | 28, nal[0] & 0x1F
    pieces = [nal[i : i + 1300] for i in range(1, len(nal), 1300)]
    flags = [0x80, *[0] * (len(pieces) - 2), 0x40]
    return [bytes([indicator, flag | kind]) + piece for flag, piece in zip(flags, pieces, strict=True)]


def _picture(ffmpeg: str) -> _Picture:
    """Thirty H.264 access units, drawn once, each ended by the next access unit delimiter."""
    draw = "-v error -f lavfi -i testsrc2=size=320x180:rate=15 -frames:v 30"
    encode = "-c:v libx264 -preset ultrafast -tune zerolatency -g 15 -f h264 pipe:1"
    units = "-x264-params slices=1:threads=1:aud=1:repeat-headers=1"
    command = [ffmpeg, *draw.split(), *units.split(), *encode.split()]
    stream = subprocess.run(command, check=True, capture_output=True).stdout
    nals = [nal.rstrip(b"\0") for nal in stream.replace(b"\0\0\0\1", b"\0\0\1").split(b"\0\0\1") if nal]
    frames: list[list[bytes]] = []
    for nal in nals:
        if nal[0] & 0x1F == 9:
            frames.append([])
        else:
            frames[-1].append(nal)
    sets = [nal for nal in frames[0] if nal[0] & 0x1F in (7, 8)]
    return _Picture(
        tuple(tuple(frame) for frame in frames), ",".join(base64.b64encode(s).decode() for s in sets)
    )


class RtspCamera:
    """`url` without the password; `set_up` is what a client asked to be sent."""

    def __init__(self, ffmpeg: str, password: str = "") -> None:
        self.picture = _picture(ffmpeg)
        self.password = password
        self.expected = "Basic " + base64.b64encode(password.encode()).decode()
        self.set_up: list[str] = []
        self.stopped = threading.Event()
        self._server = _Server(("127.0.0.1", 0), _Connection)
        self._server.camera = self
        self.url = f"rtsp://127.0.0.1:{self._server.server_address[1]}/live"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)

    def sdp(self) -> str:
        lines = ["v=0", "o=- 0 0 IN IP4 127.0.0.1", "s=camera", "c=IN IP4 127.0.0.1", "t=0 0"]
        lines += ["m=video 0 RTP/AVP 96", "a=rtpmap:96 H264/90000"]
        lines += [f"a=fmtp:96 packetization-mode=1; sprop-parameter-sets={self.picture.sprop}"]
        lines += ["a=control:picture", "m=audio 0 RTP/AVP 0", "a=control:sound"]
        return "\r\n".join(lines) + "\r\n"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stopped.set()
        self._server.shutdown()
        with contextlib.suppress(OSError):
            self._server.socket.shutdown(socket.SHUT_RDWR)
        self._server.server_close()
        self._thread.join(5)
