"""A start never opens: what the black box kept is written first, what was not shut is closed (S20, L4)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable

from orchestrator.core.camera import moves_of_closing, moves_of_gone
from orchestrator.core.camera_state import CameraState
from orchestrator.core.commands import SERVICE, Closing, Gone, Why
from orchestrator.core.events import CLOSING, Event, Sealed
from orchestrator.core.moment import Moment
from orchestrator.core.statechart import Chart
from orchestrator.runtime.event_store.errors import LogUnavailable
from orchestrator.runtime.ledger import CameraStates, Ledger

RESTARTED = Why("fault", SERVICE, "restarted", {"fault": "restarted"})


async def recover(
    ledger: Ledger,
    chart: Chart,
    boxed: Iterable[Sealed],
    now: Callable[[], Moment],
    wipe: Callable[[str], Awaitable[bool]],
) -> CameraStates:
    """The states that the cameras start from: all shut. Raises LogUnavailable when the log does not
    take what must be written first; LogError as the store does."""
    lines = [(sealed.event.camera or "", sealed) for sealed in boxed]
    for camera, sealed in lines:
        ledger.keep(camera, sealed)
    for camera in dict.fromkeys(camera for camera, _ in lines):
        if await ledger.drain(camera) is None:
            raise LogUnavailable("the log does not take the closings that the black box kept; see `doctor`")
    states = dict((await ledger.store.state()).cameras)
    for camera, state in states.items():
        states[camera] = await _shut(ledger, chart, state, now, wipe)
    return states


async def _shut(
    ledger: Ledger,
    chart: Chart,
    state: CameraState,
    now: Callable[[], Moment],
    wipe: Callable[[str], Awaitable[bool]],
) -> CameraState:
    seen = now()
    if not state.is_shut:
        closing = Closing(RESTARTED, 0, seen, seen.boottime_us)
        state = await _write(ledger, state, moves_of_closing(chart, state, closing), seen)
    if state.place == CLOSING:
        wiped = await wipe(state.camera)
        gone_ms = (now().boottime_us - seen.boottime_us) // 1000
        gone = Gone(0, gone_ms, 0, 0, None, wiped, wiped)
        state = await _write(ledger, state, moves_of_gone(chart, state, gone), now())
    return state


async def _write(ledger: Ledger, state: CameraState, events: tuple[Event, ...], at: Moment) -> CameraState:
    if events:
        await ledger.append(state.camera, ledger.seal(events, at))
    return (await ledger.store.state()).cameras[state.camera]
