"""The console's files, read once and held in memory."""

from __future__ import annotations

from pathlib import Path

from aiohttp import web

from orchestrator.core.refusal import Refusal

FOLDER = Path(__file__).resolve().parent / "console"
TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
}


class ConsoleFiles:
    """`GET /` and `GET /console/{file}`. Nothing is looked up by path: only what was found at the start."""

    def __init__(self, folder: Path = FOLDER) -> None:
        self._files = {
            file.name: (file.read_bytes(), TYPES[file.suffix])
            for file in folder.iterdir()
            if file.suffix in TYPES
        }

    async def index(self, request: web.Request) -> web.StreamResponse:
        """The console."""
        return self._serve("index.html")

    async def file(self, request: web.Request) -> web.StreamResponse:
        """One of its files."""
        return self._serve(request.match_info["file"])

    def _serve(self, name: str) -> web.StreamResponse:
        if name not in self._files:
            raise Refusal("not-found", "The console has no such file.")
        data, content_type = self._files[name]
        return web.Response(body=data, headers={"Content-Type": content_type})
