"""All that is known of the world in a few small values, and the `Facts` they stand for.

The same weather is the same object, and stands for the same `Facts` object, wherever the search meets it.
Time is counted in whole seconds since the start, on both clocks.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from functools import cache
from typing import Any

from orchestrator.core.facts import Facts, HostSight
from orchestrator.core.lane import LaneMemory
from orchestrator.core.lane_memory import RuleMemory
from orchestrator.core.moment import SECOND_US, Moment
from orchestrator.core.policy import Backoff, CameraPolicy, Policy, WorkerPolicy
from orchestrator.core.window import Span
from tests.core import scene
from tests.core.scene import LONG_AGO_US, MAINTAINER, NO_VEHICLE, SENSOR_OK, START, good_facts, rule_broken

TICK_S = 10
ASKED_S, MORE_S, LONGEST_S, WAIT_S, FIRST_FRAME_S = 40, 20, 60, 10, 9
IDLE_S, NOTICE_S, HEALTHY_S, FAILURES_S, RETRY_S, MAX_FAILURES = 20, 10, 20, 30, 10, 2
SILENCE_S = 15
"""How long the last sight of the VPN's interface proves anything."""

LANES = {"cam1": "entry", "cam2": "exit"}
OF_THE_LANE = frozenset({"vehicle", "sensor"})
"""What can be broken of the first camera's lane alone; nothing ever happens in the other one."""
POLICY: Policy = replace(
    scene.POLICY,
    cameras={
        camera: CameraPolicy(camera, lane, LONGEST_S * SECOND_US, NOTICE_S * SECOND_US, IDLE_S * SECOND_US)
        for camera, lane in LANES.items()
    },
    lanes={lane: replace(scene.POLICY.lanes["entry"], name=lane) for lane in LANES.values()},
    worker=WorkerPolicy(
        first_frame_us=FIRST_FRAME_S * SECOND_US,
        backoff=Backoff(SECOND_US, 2 * RETRY_S * SECOND_US, 2 * RETRY_S * SECOND_US),
        healthy_after_us=HEALTHY_S * SECOND_US,
        max_failures=MAX_FAILURES,
        failure_window_us=FAILURES_S * SECOND_US,
    ),
)
"""Every span is a whole number of ticks, so that a shape holds what is left of it exactly."""

PROOFS = {
    "interface": "vpn-down",
    "listener": "listener-exposed",
    "side_door": "side-door",
    "config": "config-invalid",
    "bus": "broker-lost",
    "bus_trusted": "",
    "memory": "memory-not-private",
    "log": "log-unwritable",
}
TO_HOLD = frozenset(PROOFS) - {"bus_trusted"} | {"sensor", "window", "member"}
"""What must not be broken while picture flows; `bus_trusted` and `vehicle` only before it does (CONTRACT
10)."""
SETTLING = frozenset({"interface", "sensor", "vehicle"})
"""What must have been good for a while before it opens anything: `fresh` until the next tick."""
GOOD = good_facts()
FAR_S = 7_200
MEMBER = replace(MAINTAINER, cameras=frozenset(LANES))
OVERLOAD_S, WINDOW_LEFT_S = 30, 100
"""Beyond these it makes no difference how long the gateway has been overloaded, or a window lasts."""


_SHAPES: dict[tuple[Any, ...], int] = {}


@dataclass(frozen=True, slots=True, eq=False)
class Weather:
    """`broken`: what is not as it should be; `fresh`: what has been mended since the last tick.
    `unseen_since_s`: the interface has not been looked at since then; `overloaded_since_s` likewise.

    Made by `but` alone, from `START_WEATHER`.
    """

    wall_s: int = 0
    boot_s: int = 0
    boot: str = START.boot
    synchronised: bool = True
    broken: frozenset[str] = frozenset()
    fresh: frozenset[str] = frozenset()
    unseen_since_s: int | None = None
    overloaded_since_s: int | None = None
    window_end_s: int = FAR_S
    now: Moment = field(init=False, default=START)
    """Both clocks."""
    shape: int = field(init=False, default=0)
    """The same for any two that nothing ahead can tell apart."""

    def __post_init__(self) -> None:
        wall_us, boottime_us = self.wall_s * SECOND_US, self.boot_s * SECOND_US
        now = Moment(START.wall_us + wall_us, START.boottime_us + boottime_us, self.synchronised, self.boot)
        object.__setattr__(self, "now", now)
        object.__setattr__(self, "shape", _SHAPES.setdefault(self._ahead(), len(_SHAPES)))

    def _ahead(self) -> tuple[Any, ...]:
        """All that anything ahead depends on."""
        over_s, unseen_s = self.overloaded_since_s, self.unseen_since_s
        return (
            self.broken,
            self.fresh,
            self.synchronised,
            self.wall_s - self.boot_s,
            None if unseen_s is None else min(self.boot_s - unseen_s, SILENCE_S + 1),
            None if over_s is None else min(self.boot_s - over_s, OVERLOAD_S),
            max(0, min(self.window_end_s - self.wall_s, WINDOW_LEFT_S)),
        )

    def but(self, **changes: Any) -> Weather:
        """The weather that is this one but for these fields."""
        return _the(tuple(changes.get(name) if name in changes else getattr(self, name) for name in _FIELDS))

    def breaks(self, name: str) -> Weather:
        """It is not as it should be."""
        return self.but(broken=self.broken | {name}, fresh=self.fresh - {name})

    def mends(self, name: str) -> Weather:
        """It is again, from now on."""
        fresh = self.fresh | ({name} & SETTLING)
        return self.but(broken=self.broken - {name}, fresh=fresh)

    def passes(self, seconds: int) -> Weather:
        """Time passes on both clocks, long enough for what is fresh to settle."""
        return self.but(wall_s=self.wall_s + seconds, boot_s=self.boot_s + seconds, fresh=frozenset())

    def window_is_open(self) -> bool:
        """Whether the maintenance window is."""
        return "window" not in self.broken and self.wall_s < self.window_end_s


_FIELDS = tuple(each.name for each in fields(Weather) if each.init)


@cache
def _the(values: tuple[Any, ...]) -> Weather:
    return Weather(*values)


START_WEATHER = Weather().but()


@cache
def facts_of(weather: Weather, last_event_wall_us: int, camera: str = "cam1") -> Facts:
    """The facts that the sources would have put on the board, every one of them looked at just now."""
    if LANES[camera] != "entry":
        free = weather.but(broken=weather.broken - OF_THE_LANE, fresh=weather.fresh - OF_THE_LANE)
        return replace(facts_of(free, last_event_wall_us))
    now = weather.now
    since_us = {name: now.boottime_us if name in weather.fresh else LONG_AGO_US for name in SETTLING}
    proofs = {
        name: replace(
            getattr(GOOD, name),
            good=name not in weather.broken,
            seen_at_us=now.boottime_us,
            since_us=None if name in weather.broken else since_us.get(name, LONG_AGO_US),
        )
        for name in PROOFS
    }
    seen_s = weather.boot_s if weather.unseen_since_s is None else weather.unseen_since_s
    proofs["interface"] = replace(
        proofs["interface"],
        seen_at_us=START.boottime_us + seen_s * SECOND_US,
        max_age_us=SILENCE_S * SECOND_US,
    )
    over_s = weather.overloaded_since_s
    over_us = None if over_s is None else START.boottime_us + over_s * SECOND_US
    span = Span(
        START.wall_us - FAR_S * SECOND_US, START.wall_us + weather.window_end_s * SECOND_US, ("weekly",)
    )
    return replace(
        GOOD,
        now=now,
        window=span if weather.window_is_open() else None,
        members={} if "member" in weather.broken else {MEMBER.id: MEMBER},
        lane=LaneMemory(
            LONG_AGO_US, (_rule(weather, "vehicle", since_us), _rule(weather, "sensor", since_us))
        ),
        host=replace(
            GOOD.host or HostSight(0, 0, 0, None, None),
            seen_at_us=now.boottime_us,
            overloaded_since_us=over_us,
        ),
        last_event_wall_us=last_event_wall_us,
        **proofs,
    )


def _rule(weather: Weather, name: str, since_us: dict[str, int]) -> RuleMemory:
    rule = NO_VEHICLE if name == "vehicle" else SENSOR_OK
    if name in weather.broken:
        return rule_broken("1" if name == "vehicle" else "EIO")
    return scene.rule_held(rule, since_us[name])
