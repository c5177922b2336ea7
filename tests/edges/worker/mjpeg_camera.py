"""A camera that serves MJPEG over HTTP like a site's vision service, and fails in the ways cameras fail."""

from __future__ import annotations

import base64
import contextlib
import http.server
import subprocess
import threading
from typing import Self

FRAMES_PER_S = 15
HTML = b"<html><head><title>camera</title></head><body>" + b"please log in " * 100 + b"</body></html>\n"
PLAYLIST = b"#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\nfile:///etc/hostname\n#EXT-X-ENDLIST\n"


def jpeg_frames(ffmpeg: str, size: str = "320x180") -> tuple[bytes, ...]:
    """Two seconds of pictures, drawn once."""
    draw = f"-v error -f lavfi -i testsrc2=size={size}:rate={FRAMES_PER_S} -frames:v 30"
    command = f"{draw} -f image2pipe -c:v mjpeg pipe:1"
    stream = subprocess.run([ffmpeg, *command.split()], check=True, capture_output=True).stdout
    start = b"\xff\xd8\xff"
    return tuple(start + rest for rest in stream.split(start)[1:])


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    camera: MjpegCamera


class _Connection(http.server.BaseHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        pass

    def do_GET(self) -> None:
        server = self.server
        assert isinstance(server, _Server)
        camera = server.camera
        with contextlib.suppress(OSError):
            if camera.password and self.headers.get("Authorization") != camera.expected:
                self.send_response(401)
                self.send_header("WWW-Authenticate", 'Basic realm="camera"')
                self.send_header("Content-Length", "0")
                self.end_headers()
            elif camera.fault == "not-found":
                self.send_error(404)
            elif camera.fault == "redirect" and self.path != "/elsewhere":
                self.send_response(302)
                self.send_header("Location", camera.redirect_to)
                self.end_headers()
            elif camera.fault in ("html", "playlist"):
                body = HTML if camera.fault == "html" else PLAYLIST
                kind = "text/html" if camera.fault == "html" else "application/vnd.apple.mpegurl"
                self.send_response(200)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)
            else:
                self._frames(camera)

    def _frames(self, camera: MjpegCamera) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
        self.end_headers()
        number = 0
        while not camera.stopped.wait(1 / FRAMES_PER_S):
            if camera.fault == "silent" or (camera.fault == "hang" and number >= camera.good_frames):
                continue
            if camera.fault == "close" and number >= camera.good_frames:
                return
            frame = camera.frames[number % len(camera.frames)]
            if camera.fault == "garbage" and number >= camera.good_frames:
                frame = b"\x00\x17" * 3000
            head = b"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n" % len(frame)
            self.wfile.write(head + frame + b"\r\n")
            number += 1
            camera.served += 1


class MjpegCamera:
    """`fault`: not-found, redirect, html, playlist, silent, and after `good_frames` hang, close, garbage."""

    def __init__(
        self,
        frames: tuple[bytes, ...],
        *,
        password: str = "",
        fault: str = "",
        good_frames: int = 20,
        redirect_to: str = "/elsewhere",
    ) -> None:
        self.frames = frames
        self.password = password
        self.expected = "Basic " + base64.b64encode(password.encode()).decode()
        self.fault = fault
        self.good_frames = good_frames
        self.redirect_to = redirect_to
        self.served = 0
        self.stopped = threading.Event()
        self._server = _Server(("127.0.0.1", 0), _Connection)
        self._server.camera = self
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/mjpeg/cam1"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stopped.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)
