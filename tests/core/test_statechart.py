"""The trigger table of CONTRACT 4, row by row; the diagram drawn from it; the engine's limits (S12)."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator.core.diagram import mermaid
from orchestrator.core.events import Place
from orchestrator.core.statechart import Chart, UnknownTrigger
from orchestrator.resources import folder
from tests.core.scene import CHART, OPEN, PLACES

READY, CLOSING, LOCKED = "disabled.ready", "disabled.closing", "disabled.locked"
LIVE = ("streaming.live", "expiring.live")
RECONNECTING = ("streaming.reconnecting", "expiring.reconnecting")
STREAMING = ("streaming.live", "streaming.reconnecting")
RUNNING = ("safety_checked", *OPEN)

TABLE: dict[tuple[str, str], dict[str, str]] = {
    ("request", "no-lock"): {READY: "requested"},
    ("checks_passed", "no-lock"): {"requested": "safety_checked"},
    ("checks_failed", "no-lock"): {"requested": READY},
    ("first_frame", "no-lock"): {"safety_checked": "streaming.live"},
    ("start_failed", "no-lock"): {"safety_checked": CLOSING},
    ("frames_lost", "no-lock"): dict(zip(LIVE, RECONNECTING, strict=True)),
    ("frames_back", "no-lock"): dict(zip(RECONNECTING, LIVE, strict=True)),
    ("expiry_notice", "no-lock"): {
        "streaming.live": "expiring.live",
        "streaming.reconnecting": "expiring.reconnecting",
    },
    ("extend", "no-lock"): {place: f"streaming.{place.split('.')[1]}" for place in OPEN},
    ("expire", "no-lock"): dict.fromkeys(OPEN, CLOSING),
    ("close", "no-lock"): {"requested": READY, **dict.fromkeys(RUNNING, CLOSING)},
    ("fault", "no-lock"): {"requested": READY, **dict.fromkeys(RUNNING, CLOSING)},
    ("fault", "locks"): {
        "requested": LOCKED,
        READY: LOCKED,
        LOCKED: LOCKED,
        CLOSING: CLOSING,
        **dict.fromkeys(RUNNING, CLOSING),
    },
    ("closed", "no-lock"): {CLOSING: READY},
    ("closed", "locks"): {CLOSING: LOCKED},
    ("acknowledge", "no-lock"): {LOCKED: READY},
}
"""(trigger, guard) → from → to, as CONTRACT 4 has it; what is not named is not permitted."""


def test_the_states_and_triggers_are_those_of_the_contract() -> None:
    assert sorted(PLACES) == sorted([READY, CLOSING, LOCKED, "requested", "safety_checked", *OPEN])
    assert set(CHART.triggers) == {trigger for trigger, _ in TABLE}
    assert str(CHART.initial) == READY


@pytest.mark.parametrize(("trigger", "guard"), TABLE)
def test_each_trigger_leads_from_each_state_where_the_contract_says_and_nowhere_else(
    trigger: str, guard: str
) -> None:
    targets = {place: CHART.target(Place.parse(place), trigger, guard) for place in PLACES}
    assert {place: str(target) for place, target in targets.items() if target} == TABLE[trigger, guard]


@pytest.mark.parametrize("place", PLACES)
def test_a_record_is_permitted_exactly_when_some_row_has_it(place: str) -> None:
    """S12."""
    for trigger in CHART.triggers:
        rows = [row for (name, _), row in TABLE.items() if name == trigger]
        targets = {row[place] for row in rows if place in row}
        for target in PLACES:
            permitted = CHART.permits(Place.parse(place), trigger, Place.parse(target))
            assert permitted == (target in targets), (place, trigger, target)


@pytest.mark.parametrize("place", PLACES)
def test_the_permitted_triggers_of_a_state_are_those_with_a_row_from_it(place: str) -> None:
    wanted = {trigger for (trigger, _), row in TABLE.items() if place in row}
    assert set(CHART.permitted(Place.parse(place))) == wanted


def test_picture_is_served_in_streaming_and_expiring_alone() -> None:
    """S1."""
    assert {place for place in PLACES if CHART.serves(Place.parse(place))} == set(OPEN)


def test_every_way_into_an_open_state_comes_from_safety_checked_or_another_open_one() -> None:
    """S2."""
    for move in CHART.moves:
        if move.target in OPEN:
            assert move.source in OPEN or (move.source, move.trigger) == ("safety_checked", "first_frame")


def test_closing_is_left_by_closed_alone_and_locked_by_acknowledge_alone() -> None:
    """S16."""
    assert {m.trigger for m in CHART.moves if m.source == CLOSING and m.target != CLOSING} == {"closed"}
    assert {m.trigger for m in CHART.moves if m.source == LOCKED and m.target != LOCKED} == {"acknowledge"}


def test_each_state_that_is_not_shut_may_be_closed_and_may_fault() -> None:
    """S13: every way out is wide."""
    for place in PLACES:
        if not place.startswith("disabled"):
            assert {"close", "fault"} <= set(CHART.permitted(Place.parse(place)))


def test_a_misspelt_trigger_is_an_error_and_not_a_silent_no() -> None:
    with pytest.raises(UnknownTrigger, match="frist_frame"):
        CHART.target(Place.parse("requested"), "frist_frame")


def test_the_engine_adds_no_way_of_its_own_into_a_state() -> None:
    """FIELD 7: by default the library makes `to_streaming()` from anywhere."""
    with pytest.raises(UnknownTrigger, match="to_streaming"):
        CHART.target(Place.parse(READY), "to_streaming.live")


def test_the_committed_diagram_is_drawn_from_the_table_in_force() -> None:
    assert (folder("statecharts") / "camera.mmd").read_text() == mermaid(CHART)


def test_one_changed_byte_is_another_chart(tmp_path: Path) -> None:
    content = (folder("statecharts") / "camera.toml").read_bytes()
    assert Chart(content).digest == CHART.digest != Chart(content + b"\n").digest
