"""Whether the daemon lives, whether what it stands on is well, and its figures for Prometheus."""

from __future__ import annotations

import math
from collections.abc import Mapping

from aiohttp import web

from orchestrator.edges.http.answers import answer
from orchestrator.edges.http.ports import House

PROMETHEUS = "text/plain; version=0.0.4; charset=utf-8"


class Health:
    """`/healthz`, `/readyz` and `/metrics`."""

    def __init__(self, house: House) -> None:
        self._house = house

    async def healthz(self, request: web.Request) -> web.StreamResponse:
        """The process lives, its loop turns."""
        return answer({"status": "ok"})

    async def readyz(self, request: web.Request) -> web.StreamResponse:
        """Each dependency by name; 503 unless all are well."""
        well, each = self._house.ready()
        return answer(each, 200 if well else 503)

    async def metrics(self, request: web.Request) -> web.StreamResponse:
        """The Prometheus text form."""
        return web.Response(
            body=exposition(self._house.measures()).encode(), headers={"Content-Type": PROMETHEUS}
        )


def exposition(measures: Mapping[str, Mapping[str, float]]) -> str:
    """Prometheus text 0.0.4; the label is `camera` alone (CONTRACT 5), a counter is what ends in `_total`."""
    lines: list[str] = []
    for name in sorted(measures):
        full = f"volet_{name}"
        lines.append(f"# HELP {full} {name.removesuffix('_total').replace('_', ' ').capitalize()}.")
        lines.append(f"# TYPE {full} {'counter' if name.endswith('_total') else 'gauge'}")
        for camera, value in sorted(measures[name].items()):
            escaped = camera.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
            label = f'{{camera="{escaped}"}}' if camera else ""
            lines.append(f"{full}{label} {_figure(value)}")
    return "\n".join(lines) + "\n"


def _figure(value: float) -> str:
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    return str(int(value)) if value == int(value) and abs(value) < 2**53 else repr(float(value))
