"""A generated camera that speaks like the site's vision service: MJPEG over HTTP, and able to fail like it.

    GET  /mjpeg/<any id>   multipart/x-mixed-replace; boundary=frame
    GET  /control          {"fault": …, "viewers": n}
    POST /control          {"fault": …, "for_s": n}   then `ok` again after for_s, when given

Faults come as lines on standard input too (`hang`), the only way back out of a `refuse` without `for_s`; so
does the address to listen on from now on (`listen 0.0.0.0`), which those who watch already do not notice.
"""

import argparse
import asyncio
import json
import math
import socket
import sys
from enum import StrEnum

from orchestrator.demo.http_request import BadRequest, Request, read_request
from orchestrator.demo.lifetime import end_with_parent, listen_to_commands, stop_requested, tell
from orchestrator.demo.picture import PictureLost, frames

LOOPBACK = "127.0.0.1"
_UNSENT_LIMIT_BYTES = 64 * 1024
_RETRY_S = 1
_FLAP_S = 1
_NOISE = b"this is no picture. " * 200


class Fault(StrEnum):
    """How the camera fails; `ok` is not failing."""

    OK = "ok"
    REFUSE = "refuse"
    """Nobody listens: connections are refused, those that are open are closed."""
    NOT_FOUND = "404"
    UNAUTHORISED = "401"
    HANG = "hang"
    """The response stays open and silent, as the real one does when its camera has failed."""
    CLOSE = "close"
    """The response ends in the middle of an image; a new one has one whole image before that."""
    GARBAGE = "garbage"
    """Well-formed parts that hold no JPEG."""
    FLAP = "flap"
    """Each response ends one second after its first image."""


class Camera:
    """One source of images, and everyone who watches it."""

    def __init__(self, port: int, address: str = LOOPBACK) -> None:
        """Take a port (0: any free one); `OSError` when it is taken. `address` is where to listen on it."""
        # Bound and never listening: it keeps the port ours while the camera refuses connections.
        self._reservation = _bound(LOOPBACK, port)
        self.address = address
        self.port: int = self._reservation.getsockname()[1]
        self.fault = Fault.OK
        self._server: asyncio.Server | None = None
        self._recovery: asyncio.TimerHandle | None = None
        self._image = b""
        self._news = asyncio.Condition()
        self._viewers = 0
        self._watched = asyncio.Event()
        self._changes: asyncio.Queue[Fault] = asyncio.Queue(maxsize=100)

    async def run(self) -> None:
        """Serve until cancelled; says `{"port": n}` when ready, `{"fault": …}` when a change is in force."""
        if self.fault is not Fault.REFUSE:
            await self._listen()
        tell(port=self.port)
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._film())
                tasks.create_task(self._keep_changing())
        finally:
            self._deafen()
            self._reservation.close()

    def change(self, fault: Fault, for_s: float | None = None) -> None:
        """Fail in this way from now on, or for so many seconds."""
        if self._recovery:
            self._recovery.cancel()
            self._recovery = None
        self.fault = fault
        if fault is Fault.REFUSE:
            self._deafen()
        self._changes.put_nowait(fault)
        if for_s is not None:
            self._recovery = asyncio.get_running_loop().call_later(for_s, self.change, Fault.OK)

    async def _keep_changing(self) -> None:
        while True:
            fault = await self._changes.get()
            if self.fault is not Fault.REFUSE and self._server is None:
                await self._listen()
            tell(fault=fault)

    async def listen_on(self, address: str) -> None:
        """Take new connections there alone; says `{"address": …}` when that is so."""
        self._deafen()
        self.address = address
        await self._listen()
        tell(address=address)

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._answer, sock=_bound(self.address, self.port))

    def _deafen(self) -> None:
        if self._server:
            self._server.close()
            self._server = None

    async def _film(self) -> None:
        """Make images as long as someone watches; try again each second when ffmpeg fails."""
        while True:
            await self._watched.wait()
            images = frames()
            try:
                async for image in images:
                    async with self._news:
                        self._image = image
                        self._news.notify_all()
                    if not self._watched.is_set():
                        break
            except (PictureLost, FileNotFoundError) as error:
                print(f"camera: {error}", file=sys.stderr, flush=True)
                await asyncio.sleep(_RETRY_S)
            finally:
                await images.aclose()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.transport.set_write_buffer_limits(high=_UNSENT_LIMIT_BYTES)
        try:
            await self._route(await read_request(reader), reader, writer)
        except BadRequest as error:
            _respond(writer, "400 Bad Request", {"error": str(error)})
        except ConnectionError:
            pass  # the viewer has left, which viewers may
        finally:
            writer.close()

    async def _route(
        self, request: Request, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        if request.path == "/control":
            self._control(request, writer)
        elif not request.path.startswith("/mjpeg/") or self.fault is Fault.NOT_FOUND:
            _respond(writer, "404 Not Found", {"error": "not found"})
        elif request.method != "GET":
            _respond(writer, "405 Method Not Allowed", {"error": "GET only"}, "Allow: GET")
        elif self.fault is Fault.UNAUTHORISED:
            _respond(
                writer,
                "401 Unauthorized",
                {"error": "unauthorised"},
                'WWW-Authenticate: Basic realm="camera"',
            )
        else:
            await self._watch(reader, writer)

    def _control(self, request: Request, writer: asyncio.StreamWriter) -> None:
        if request.method == "POST":
            self.change(*_order(request))
        _respond(writer, "200 OK", {"fault": self.fault, "viewers": self._viewers})

    async def _watch(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._viewers += 1
        self._watched.set()
        try:
            await self._stream(reader, writer)
        finally:
            self._viewers -= 1
            if not self._viewers:
                self._watched.clear()

    async def _stream(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One viewer's response. A slow viewer misses images; nothing is kept for it."""
        loop = asyncio.get_running_loop()
        writer.write(_head("200 OK", "multipart/x-mixed-replace; boundary=frame"))
        sent, flaps_at_s = 0, math.inf
        while not reader.at_eof() and not writer.is_closing():
            await writer.drain()
            async with self._news:
                await self._news.wait()
                image = self._image
            if self.fault in (Fault.REFUSE, Fault.NOT_FOUND, Fault.UNAUTHORISED):
                return
            if self.fault is Fault.FLAP and loop.time() >= flaps_at_s:
                return
            if self.fault is Fault.HANG or not image:
                continue
            part = _part(_NOISE if self.fault is Fault.GARBAGE else image)
            if self.fault is Fault.CLOSE and sent:
                writer.write(part[: len(part) // 2])
                return
            writer.write(part)
            if not sent:
                # ffmpeg starts with the first viewer, and the start may take longer than the flap.
                flaps_at_s = loop.time() + _FLAP_S
            sent += 1


def _bound(address: str, port: int) -> socket.socket:
    bound = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((address, port))
    except OSError:
        bound.close()
        raise
    return bound


def _order(request: Request) -> tuple[Fault, float | None]:
    if request.content_type != "application/json":
        raise BadRequest("the body must be application/json")
    try:
        order = json.loads(request.body)
        fault, for_s = Fault(order["fault"]), order.get("for_s")
        return fault, None if for_s is None else float(for_s)
    except (ValueError, TypeError, KeyError, AttributeError):
        raise BadRequest(f'expected {{"fault": one of {", ".join(Fault)}, "for_s": seconds}}') from None


def _head(status: str, content_type: str, *more: str) -> bytes:
    lines = [f"HTTP/1.1 {status}", f"Content-Type: {content_type}", "Cache-Control: no-store", *more]
    return "\r\n".join([*lines, "Connection: close", "", ""]).encode()


def _respond(writer: asyncio.StreamWriter, status: str, body: dict[str, object], *more: str) -> None:
    content = json.dumps(body).encode()
    writer.write(_head(status, "application/json", f"Content-Length: {len(content)}", *more) + content)


def _part(image: bytes) -> bytes:
    return b"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n%b\r\n" % (len(image), image)


async def _serve(port: int, address: str, fault: Fault) -> None:
    stopping = stop_requested()
    camera = Camera(port, address)
    moving: set[asyncio.Task[None]] = set()
    if fault is not Fault.OK:
        camera.change(fault)

    def obey(command: str) -> None:
        if command in set(Fault):
            camera.change(Fault(command))
        elif command.startswith("listen "):
            moving.add(asyncio.create_task(camera.listen_on(command.removeprefix("listen "))))
        elif command:
            tell(error=f"unknown fault {command!r}: one of {', '.join(Fault)}")

    listen_to_commands(obey)
    running = asyncio.create_task(camera.run())
    waiting = asyncio.create_task(stopping.wait())
    await asyncio.wait({running, waiting}, return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    running.cancel()
    await asyncio.gather(running, waiting, *moving, return_exceptions=True)


def main() -> int:
    """The command line: `python -m orchestrator.demo.camera`."""
    parser = argparse.ArgumentParser(prog="orchestrator.demo.camera", description="A generated MJPEG camera.")
    parser.add_argument("--port", type=int, default=0, help="0: any free one")
    parser.add_argument("--address", default=LOOPBACK, help="where to listen (default: this machine alone)")
    parser.add_argument("--fault", type=Fault, choices=list(Fault), default=Fault.OK)
    parser.add_argument("--parent", type=int, help="end when this process, which started the camera, is gone")
    arguments = parser.parse_args()
    if arguments.parent:
        end_with_parent(arguments.parent)
    try:
        asyncio.run(_serve(arguments.port, arguments.address, arguments.fault))
    except OSError as error:
        where = f"port {arguments.port} of {arguments.address}"
        print(f"camera: {where} cannot be used: {error.strerror}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
