"""`GET /openapi.json`: what the API is, for who asks (OpenAPI 3.1)."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING

from aiohttp import web

from orchestrator.edges.http.answers import JSON
from orchestrator.edges.http.bodies import Query
from orchestrator.edges.http.problems import encode

if TYPE_CHECKING:
    from orchestrator.edges.http.openapi import Served


class Description:
    """Serves the description of the table that `of` was given; made once, at the first wish for it."""

    def __init__(self) -> None:
        self._table: Sequence[Served] = ()
        self._document: bytes | None = None

    def of(self, table: Sequence[Served]) -> None:
        """Describe this table."""
        self._table = table

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """`GET /openapi.json`."""
        Query(request).end()
        if self._document is None:
            self._document = await asyncio.to_thread(_written, self._table)
        return web.Response(body=self._document, content_type=JSON)


def _written(table: Sequence[Served]) -> bytes:
    # Its models are only imported where somebody asks: most gateways never spend that memory.
    from orchestrator.edges.http.openapi import document

    return encode(document(table))
