"""Health and figures: for members of any role, on the VPN and on the socket."""

from __future__ import annotations

import pytest

from orchestrator.edges.http.health import exposition

from .conftest import Client
from .scripted_house import ScriptedHouse, member


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics"])
async def test_a_monitor_sees_health_and_figures_and_nothing_else(
    client: Client, house: ScriptedHouse, path: str
) -> None:
    house.member = member("monitor")
    assert (await client.get(path)).status == 200
    assert (await client.get("/api/v1/cameras")).code == "role-required"


async def test_readyz_is_503_and_names_what_is_not_well(client: Client, house: ScriptedHouse) -> None:
    house.well = False
    reply = await client.get("/readyz")
    assert (reply.status, reply.json) == (503, {"log": {"well": False}})


async def test_metrics_are_prometheus_text(client: Client, house: ScriptedHouse) -> None:
    house.figures = {
        "viewers": {"cam1": 2, "cam2": 0},
        "events_total": {"": 41},
        "log_append_seconds": {"": 0.25},
    }
    reply = await client.get("/metrics")
    assert reply.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert reply.body.decode().splitlines() == [
        "# HELP volet_events_total Events.",
        "# TYPE volet_events_total counter",
        "volet_events_total 41",
        "# HELP volet_log_append_seconds Log append seconds.",
        "# TYPE volet_log_append_seconds gauge",
        "volet_log_append_seconds 0.25",
        "# HELP volet_viewers Viewers.",
        "# TYPE volet_viewers gauge",
        'volet_viewers{camera="cam1"} 2',
        'volet_viewers{camera="cam2"} 0',
    ]


def test_odd_values_and_names_stay_within_the_text_form() -> None:
    text = exposition({"a": {'x"\\\n': float("nan"), "y": float("inf"), "z": -float("inf")}})
    assert text.splitlines()[2:] == [
        r'volet_a{camera="x\"\\\n"} NaN', 'volet_a{camera="y"} +Inf', 'volet_a{camera="z"} -Inf',
    ]  # fmt: skip
