"""A statechart as a picture in text: Mermaid for the repository's pages, DOT for Graphviz."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from orchestrator.core.events import Place
from orchestrator.core.statechart import Chart, State


def mermaid(chart: Chart) -> str:
    """The chart as a Mermaid `stateDiagram-v2`, states with substates as composite states."""
    lines = ["stateDiagram-v2"]
    arrows = _arrows(chart)
    for state, members in _families(chart.states).items():
        if members == (state,):
            continue
        lines.append(f"    state {state} {{")
        lines += [f"        {_name(place)} : {place.substate}" for place in map(Place.parse, members)]
        lines += [
            f"        {_name(source)} --> {_name(target)} : {label}"
            for (source, target), label in arrows.items()
            if source.state == target.state == state
        ]
        lines.append("    }")
    lines.append(f"    [*] --> {_name(chart.initial)}")
    lines += [
        f"    {_name(source)} --> {_name(target)} : {label}"
        for (source, target), label in arrows.items()
        if source.state != target.state
    ]
    return "\n".join(lines) + "\n"


def dot(chart: Chart) -> str:
    """The chart as a Graphviz digraph: composite states are clusters, states that serve are doubled."""
    serving = {state.name for state in chart.states if state.serves}
    lines = ["digraph camera {", "    rankdir=LR;", "    node [shape=box, style=rounded];"]
    lines += ["    start [shape=point];", f'    start -> "{chart.initial}";']
    for state, members in _families(chart.states).items():
        nodes = [f'"{name}"{_shape(name, serving)};' for name in members]
        if members == (state,):
            lines += [f"    {node}" for node in nodes]
        else:
            lines += [f'    subgraph "cluster_{state}" {{', f'        label="{state}";']
            lines += [f"        {node}" for node in nodes]
            lines.append("    }")
    lines += [
        f'    "{source}" -> "{target}" [label="{label}"];'
        for (source, target), label in _arrows(chart).items()
    ]
    lines.append("}")
    return "\n".join(lines) + "\n"


def _shape(name: str, serving: Iterable[str]) -> str:
    label = Place.parse(name).substate or name
    doubled = ", peripheries=2" if name in serving else ""
    return f' [label="{label}"{doubled}]'


def _name(place: Place) -> str:
    return place.state if place.substate is None else f"{place.state}_{place.substate}"


def _families(states: Iterable[State]) -> Mapping[str, tuple[str, ...]]:
    """State → the full names of its substates, or its own name alone; in the chart's order."""
    families: dict[str, tuple[str, ...]] = {}
    for state in states:
        families[state.place.state] = (*families.get(state.place.state, ()), state.name)
    return families


def _arrows(chart: Chart) -> Mapping[tuple[Place, Place], str]:
    """One arrow for each pair of states, with every trigger that leads along it and its guard."""
    labels: dict[tuple[Place, Place], list[str]] = {}
    for move in chart.moves:
        pair = (Place.parse(move.source), Place.parse(move.target))
        labels.setdefault(pair, []).append(move.trigger + (f" [{move.guard}]" if move.guard else ""))
    return {pair: ", ".join(names) for pair, names in labels.items()}
