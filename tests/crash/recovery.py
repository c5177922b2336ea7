"""The start after a cut: what it must find, do and leave (F17, S2, S9, S16, S20, L3, L4)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from orchestrator.core.camera_state import CameraState
from orchestrator.core.events import Record
from orchestrator.core.refusal import Refusal
from orchestrator.edges.http.ports import TransitionWish
from orchestrator.runtime.event_store import LogUnavailable, open_read_only, stream
from orchestrator.runtime.ledger import SiteState, fold
from tests.crash.gateway import Gateway, Place, gateway
from tests.runtime.one_gateway import agrees

SHUT = ("disabled.ready", "disabled.locked")
AFTER_S = 600.0
"""How much later the next start is: no cool-down and no back-off is left."""


@dataclass(slots=True)
class Promised:
    """What a life had said before its end."""

    kept: list[str] = field(default_factory=list)
    """Events that the log, or for a closing the black box, was said to have."""
    boxed: list[str] = field(default_factory=list)
    answered: list[dict[str, Any]] = field(default_factory=list)
    bytes_seen: int = 0
    """How much picture a viewer has had."""
    worker_seen: bool = False

    def add(self, kind: str, what: Any) -> None:
        """One more word of it."""
        if kind == "answered":
            self.answered.append(what)
        else:
            (self.boxed if kind == "boxed" else self.kept).extend(what)


def folded(records: Sequence[Record]) -> SiteState:
    """What these records say."""
    site = SiteState()
    for record in records:
        site = fold(site, record)
    return site


def effects_were_durable(before: Sequence[Record], promised: Promised) -> None:
    """S2, S9: no worker before `checks_passed`, no byte before `first_frame` and `viewer_joined`."""
    names = [record.event.name for record in before[_first_of_this_life(before) :]]
    if promised.worker_seen:
        assert "checks_passed" in names, f"a worker ran, but the log has {names}"
    if promised.bytes_seen:
        assert {"first_frame", "viewer_joined"} <= set(names), f"bytes flowed, but the log has {names}"


def _first_of_this_life(records: Sequence[Record]) -> int:
    stops = [record.seq for record in records if record.event.name == "service_stopped"]
    return stops[0] if stops else 0


async def recovers(place: Place, promised: Promised, enough: Callable[[list[str]], None] | None) -> list[str]:
    """Start again; AssertionError when anything is not as it must be. What the start wrote.

    `enough` is called with that once all is recovered, and may end the process there; else this life answers
    what was asked before, opens again and is stopped.
    """
    before = _left_by(place)
    effects_were_durable(before, promised)
    async with gateway(place, prepare=_later) as way:
        after = await way.store.read(limit=10_000)
        new = _nothing_is_lost(before, after, promised)
        await _everything_is_shut(way, before, after)
        if enough is not None:
            agrees(place.database)
            enough(new)
        await _repeats_add_nothing(way, promised)
        await _opens_again(way)
    agrees(place.database)
    return new


def _left_by(place: Place) -> list[Record]:
    """The log as a cut left it, read as `volet export` does."""
    try:
        with open_read_only(place.database) as reader:
            return list(stream(reader))
    except LogUnavailable:
        # Before the first start has made its tables nothing can have been promised.
        return []


def _later(way: Gateway) -> None:
    way.clock.wait(AFTER_S)
    way.all_is_well()


def _nothing_is_lost(before: list[Record], after: list[Record], promised: Promised) -> list[str]:
    hashes = [record.hash for record in after]
    assert hashes[: len(before)] == [record.hash for record in before], "the log was rewritten"
    place = {record.sealed.id: number for number, record in enumerate(after)}
    lost = [one for one in (*promised.kept, *promised.boxed) if one not in place]
    assert not lost, f"promised and lost: {lost}"
    for lane in {after[place[one]].event.camera for one in promised.boxed}:
        boxed = [
            place[one] for one in dict.fromkeys(promised.boxed) if after[place[one]].event.camera == lane
        ]
        assert boxed == sorted(boxed), f"the black box of {lane or 'the site'} was not copied in order"
    for answer in promised.answered:
        for event in answer["events"]:
            assert hashes[event["seq"] - 1] == event["hash"], f"answered and lost: {event}"
    return [record.event.name for record in after[len(before) :]]


async def _everything_is_shut(way: Gateway, before: list[Record], after: list[Record]) -> None:
    """S16, S20: each session has its closing in the log, every lock stands, nothing is left."""
    assert way.box.entries().lines == ()
    assert way.box.entries().damaged == 0
    assert list(way.place.segments.iterdir()) == []
    states, were = folded(after).cameras, folded(before).cameras
    live = (await way.store.state()).cameras
    for camera, parts in way.site.cameras.items():
        state = states.get(camera) or CameraState.new(camera)
        assert state == live.get(camera, state) == parts.actor.state, "the start is not what the log says"
        assert str(state.place) in SHUT, state.place
        assert not parts.gate.is_open
        assert not parts.actor.keeper.running
        assert state.locks >= (were[camera].locks if camera in were else set())
    ends: dict[str, str] = {}
    for record in after:
        if record.event.type == "transition" and record.event.session:
            ends[record.event.session] = str(record.event.target)
    assert set(ends.values()) <= set(SHUT), ends


async def _repeats_add_nothing(way: Gateway, promised: Promised) -> None:
    """S15: whoever did not hear the answer asks again under the same key, and gets the same one."""
    for answer in promised.answered:
        last = way.store.last
        wish = answer["wish"] | {"versions": None}
        again = await way.pull_again(TransitionWish(**wish))
        if answer["events"]:
            assert again.body["events"] == answer["events"], wish
        assert way.store.last == last or wish["trigger"] == "close", f"{wish} was carried out twice"


async def _opens_again(way: Gateway) -> None:
    """L3: at once, or when the lock is acknowledged."""
    if way.actor.state.locks:
        with pytest.raises(Refusal) as refused:
            await way.pull("request")
        assert refused.value.code == "locked"
        await way.pull("acknowledge")
    if way.board.window_for("cam1", "m-1", way.now().wall_us) is None:
        await way.window()
    await way.opened()
    await way.pull("close")
    await way.at("disabled.ready")
