"""A start never opens: what was not shut is closed with `restarted`, wiped and `closed` (S16, S20, F17)."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from orchestrator.core.commands import SERVICE, Acknowledge
from orchestrator.core.events import Record, Sealed, observation
from orchestrator.core.refusal import Refusal
from orchestrator.runtime import ledger
from orchestrator.runtime.blackbox import MIN_SIZE_BYTES, BlackBox
from orchestrator.runtime.event_store import EventStore, LogUnavailable, open_read_only, stream
from orchestrator.runtime.ledger import SiteState, fold
from orchestrator.runtime.restart import recover
from tests.core.scene import CHART, CLOSE, GONE, OPEN, PLACES, START, story_in
from tests.runtime.one_gateway import Gateway, gateway
from tests.runtime.stoppable_store import LIMIT_S, locked

RUNNING = ("safety_checked", *OPEN)


@pytest.fixture(autouse=True)
def _the_log_may_be_slow(monkeypatch: pytest.MonkeyPatch) -> None:
    """A start ends when the log does not take at once what the box kept."""
    monkeypatch.setattr(ledger, "CLOSING_PATIENCE_S", LIMIT_S)


def _left_by(place: str) -> list[Record]:
    """What a daemon that was killed in that place had written."""
    return story_in(place).records


async def _killed(folder: Path, records: list[Record], boxed: list[Sealed] | None = None) -> None:
    """A log that ends there, and what the black box had kept besides."""
    store: EventStore[SiteState] = EventStore(
        str(folder / "events.db"), site="lot-12", fold=fold, empty=SiteState()
    )
    await store.open()
    await store.append([_named(record) for record in records])
    await store.close()
    box = BlackBox.open(folder / "blackbox", MIN_SIZE_BYTES)
    if boxed:
        box.write(boxed, "sha256:" + "0" * 64)
    box.close()


def _named(record: Record) -> Sealed:
    """With an id as the log wants it."""
    return replace(record.sealed, id=f"018f0000-0000-7000-8000-{record.seq:012x}")


@pytest.mark.parametrize("place", PLACES)
async def test_from_whatever_state_a_start_is_shut_and_says_so(tmp_path: Path, place: str) -> None:
    """S20."""
    await _killed(tmp_path, _left_by(place))
    before = len(_left_by(place))
    async with gateway(tmp_path) as way:
        assert way.state.is_shut
        assert not way.gate_is_open
        assert way.workshop.workers == []
        if place == "disabled.locked":
            assert str(way.state.place) == "disabled.locked"
        else:
            await way.at("disabled.ready")
        new = [(name, data) for name, data in way.written()][before:]
        names = [name for name, _ in new if name != "viewer_left"]
        if place in RUNNING:
            assert names == ["fault", "closed"]
            assert new[0][1]["fault"] == "restarted"
            assert new[-1][1]["segments_wiped"] is True
        elif place == "requested":
            assert names == ["fault"]
        elif place == "disabled.closing":
            assert names == ["closed"]
        else:
            assert names == []
        if place != "disabled.locked":
            await way.opened()
        await way.agrees()


@pytest.mark.parametrize("place", ["streaming.live", "requested", "disabled.ready"])
async def test_a_lock_survives_any_number_of_starts_until_it_is_acknowledged(
    tmp_path: Path, place: str
) -> None:
    """S16."""
    async with gateway(tmp_path) as way:
        if place != "disabled.ready":
            await (way.opened() if place == "streaming.live" else way.actor.ask(way.wish()))
        way.goes_bad("listener", "listener-exposed")
        way.actor.look()
        await way.at("disabled.locked")
    for _ in range(2):
        async with gateway(tmp_path) as way:
            assert way.state.locks == {"listener-exposed"}
            with pytest.raises(Refusal) as refused:
                await way.actor.ask(way.wish())
            assert refused.value.code == "locked"
    async with gateway(tmp_path) as way:
        await way.actor.ask(Acknowledge("m-2", frozenset(), {"reason": "gone"}))
        await way.opened()
        await way.agrees()


async def test_segments_that_cannot_be_wiped_lock_and_are_tried_again(tmp_path: Path) -> None:
    """L2, S11."""
    await _killed(tmp_path, _left_by("streaming.live"))
    async with gateway(tmp_path, _does_not_wipe) as way:
        assert way.state.locks == {"closing-unproven"}
        assert str(way.state.place) == "disabled.closing"
        way.workshop.wipes = True
        await way.at("disabled.locked")
        await way.agrees()


def _does_not_wipe(way: Gateway) -> None:
    way.workshop.wipes = False


async def test_what_the_black_box_kept_is_written_first_and_in_order_and_then_it_is_empty(
    tmp_path: Path,
) -> None:
    """L4, S13: a daemon that was killed while the log took nothing."""
    story = story_in("streaming.live")
    story.join("w-1")
    durable = len(story.records)
    story.ended(CLOSE)
    boxed = [_named(record) for record in story.records[durable:]]
    await _killed(tmp_path, story.records[:durable], boxed)
    async with gateway(tmp_path) as way:
        assert str(way.state.place) == "disabled.ready"
        assert way.events()[-3:] == ["close", "viewer_left", "closed"]
        assert "fault" not in way.events()
        assert way.box.entries().lines == ()
        await way.opened()
        await way.agrees()


async def test_what_the_black_box_kept_of_several_cameras_is_written_in_order_of_happening(
    tmp_path: Path,
) -> None:
    """CONTRACT 7: across the cameras and the site's own events too."""
    seen = ["cam2", "cam1", None, "cam2", "cam2", "cam1"]
    boxed = [
        Sealed(
            observation("fault_seen", SERVICE, camera=camera, data={"fault": "vpn-down", "count": number}),
            f"018f0000-0000-7000-8000-{number:012x}", START.after(number), CHART.digest, "sha256:config",
        )
        for number, camera in enumerate(seen)
    ]  # fmt: skip
    await _killed(tmp_path, [], boxed)
    async with gateway(tmp_path) as way:
        with open_read_only(way.path) as reader:
            written = [record.event for record in stream(reader)][: len(seen)]
        assert [event.camera for event in written] == seen
        assert [event.data["count"] for event in written] == list(range(len(seen)))
        assert way.box.entries().lines == ()


async def test_what_landed_in_the_log_and_in_the_box_is_there_once(tmp_path: Path) -> None:
    """CONTRACT 7: an id that is there is a success."""
    story = story_in("streaming.live")
    durable = len(story.records)
    story.ended(CLOSE)
    boxed = [_named(record) for record in story.records[durable:]]
    await _killed(tmp_path, story.records, boxed)
    async with gateway(tmp_path) as way:
        assert way.events().count("close") == way.events().count("closed") == 1
        assert way.box.entries().lines == ()


async def test_a_boxed_closing_of_an_opening_that_never_landed_is_kept_as_an_observation(
    tmp_path: Path,
) -> None:
    story = story_in("streaming.live")
    durable = 2
    assert str(story.records[durable - 1].event.target) != "streaming.live"
    opened = len(story.records)
    story.shut(CLOSE)
    boxed = [_named(record) for record in story.records[opened:]]
    await _killed(tmp_path, [], boxed)
    async with gateway(tmp_path) as way:
        assert way.events() == ["fault_seen"]
        assert way.state.is_shut
        await way.opened()
        await way.agrees()


async def test_a_start_does_not_go_on_while_the_log_does_not_take_what_the_box_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger, "CLOSING_PATIENCE_S", 0.5)
    story = story_in("streaming.live")
    durable = len(story.records)
    story.shut(CLOSE)
    await _killed(tmp_path, story.records[:durable], [_named(record) for record in story.records[durable:]])
    store: EventStore[SiteState] = EventStore(
        str(tmp_path / "events.db"), site="lot-12", fold=fold, empty=SiteState()
    )
    await store.open()
    box = BlackBox.open(tmp_path / "blackbox", MIN_SIZE_BYTES)
    way = Gateway(tmp_path, store, box)
    boxed = [entry.sealed for entry in box.entries().lines]
    try:
        with locked(way.path), pytest.raises(LogUnavailable, match="black box"):
            await recover(way.ledger, CHART, boxed, way.clock, way.workshop.wipe)
        assert len(box.entries().lines) == len(boxed)
    finally:
        box.close()
        await store.close()


async def test_a_daemon_killed_while_it_starts_starts_again_all_the_same(tmp_path: Path) -> None:
    """F17: `restarted` was written, `closed` was not."""
    story = story_in("expiring.live")
    story.shut(replace(CLOSE, trigger="fault", fault="restarted", data={"fault": "restarted"}))
    assert story.done(replace(GONE, proven=False, segments_wiped=False))
    await _killed(tmp_path, story.records)
    async with gateway(tmp_path) as way:
        await way.at("disabled.locked")
        assert way.events()[-1] == "closed"
        await way.agrees()
