"""Every reachable state of one camera, breadth first: what must always hold, holds; what is down comes up
again.

The core's functions are the product's own; each invariant (tests/model/invariants.py) quotes its number.
"""

from __future__ import annotations

from unittest import mock

import pytest

from orchestrator.core.events import READY
from tests.conftest import Figure
from tests.core.scene import CHART
from tests.model import lane_state
from tests.model.explore import Graph, Search, Slice, Violated, reaches
from tests.model.mutants import MUTANTS, Mutant
from tests.model.slices import BY_NAME, SLICES
from tests.model.two_cameras import PAIR_SLICES, Both, PairSearch, PairSlice
from tests.model.two_lanes import TwoLanes
from tests.model.weather import facts_of
from tests.model.world import STEPS


def _is_ready(world: TwoLanes) -> bool:
    return (
        world.state.place == READY and world.disk == "works" and not world.is_pending and world.child is None
    )


def _can_be_done(name: str) -> bool:
    """Mending, what time and fair lanes do by themselves, and closing, which anyone may."""
    return STEPS[name].mends or name == "somebody closes"


def _stuck(graph: Graph, found: set[int]) -> list[str]:
    index = next(index for index in range(len(graph.worlds)) if index not in found)
    return [str(line) for line in graph.story(index)]


@pytest.mark.parametrize("alphabet", SLICES, ids=lambda each: each.name)
def test_in_every_reachable_state_the_invariants_hold_and_a_way_leads_up_again(
    alphabet: Slice, figure: Figure
) -> None:
    """S1–S6, S10, S12, S13, S15–S18, S20–S23, S25, L1–L4."""
    graph = Search(alphabet).run()
    ready = reaches(graph, _is_ready, _can_be_done)
    assert len(ready) == len(graph.worlds), ("L2, L4: this never comes to rest", _stuck(graph, ready))
    streams = reaches(
        graph, lambda world: world.gate_open, lambda name: _can_be_done(name) or name == "the maintainer asks"
    )
    assert len(streams) == len(graph.worlds), ("L3: this never streams again", _stuck(graph, streams))
    found = f"{len(graph.worlds)} states, {graph.transitions} transitions, {graph.seconds:.1f} s"
    figure(f"search, {alphabet.name}: {found}")


@pytest.mark.parametrize("alphabet", PAIR_SLICES, ids=lambda each: each.name)
def test_two_cameras_share_nothing_but_what_belongs_to_the_whole_site(
    alphabet: PairSlice, figure: Figure
) -> None:
    """S14, and of each camera what holds of one: S1–S4, S10, S12, S13, S15, S16, S18, S20–S23."""
    found = PairSearch(alphabet).run()
    assert found.both_open > 0
    figures = f"{found.states} states, {found.transitions} transitions, {found.seconds:.1f} s"
    figure(f"search, {alphabet.name}: {figures}")


def test_a_lane_that_reaches_the_other_camera_is_found() -> None:
    """S14: the mistake is that every camera is told of the first one's lane, and judged by it."""
    shared = PairSearch._shared

    def told(search: PairSearch, after: Both, place: int, *, is_of_the_site: bool) -> None:
        shared(search, after, place, is_of_the_site=True)

    with (
        mock.patch.object(lane_state, "facts_of", lambda weather, last_us, _: facts_of(weather, last_us)),
        mock.patch.object(PairSearch, "_shared", told),
        pytest.raises(Violated) as found,
    ):
        PairSearch(PAIR_SLICES[0]).run()
    assert found.value.invariant == "s14_cameras_are_independent", found.value


def test_the_slices_hold_every_step_and_every_place_is_reached() -> None:
    steps = {name for alphabet in SLICES for name in alphabet.steps}
    assert set(STEPS) - steps == set()
    worlds = Search(BY_NAME["the worker"]).run().worlds
    assert {str(world.state.place) for world in worlds} == {state.name for state in CHART.states}


@pytest.mark.slow
@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_mistake_in_the_core_or_a_lane_is_found_by_the_invariant_it_breaks(
    mutant: Mutant, figure: Figure
) -> None:
    with mutant.loose(), pytest.raises(Violated) as found:
        Search(BY_NAME[mutant.slice]).run()
    assert found.value.invariant.startswith(mutant.caught_by), found.value
    figure(f"search, mistake `{mutant.name}`: found by {found.value.invariant}")
