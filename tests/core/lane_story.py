"""The site's own lane (CONTRACT 3) with a clock of its own, for telling stories about its rules."""

from __future__ import annotations

from orchestrator.core import lane as lane_rules
from orchestrator.core.lane import RuleVerdict
from orchestrator.core.moment import Moment
from orchestrator.core.policy import LanePolicy, LaneRule

SECOND = 1_000_000
START = Moment(wall_us=1_790_000_000 * SECOND, boottime_us=50 * SECOND)

PRESENT = "parking/sensor_gate/present"
BEAT = "parking/sensor_gate/heartbeat"
ERROR = "parking/sensor_gate/error"
BARRIER = "parking/barriere_entree/cmd"
LIFT = "parking/ascenseur/state"

NO_VEHICLE = LaneRule(id="no-vehicle", topic=PRESENT, phase="open", equals="0", vouched_by="sensor-alive")
ALIVE = LaneRule(id="sensor-alive", topic=BEAT, phase="hold", heartbeat=True, max_age_us=6 * SECOND)
SENSOR_OK = LaneRule(id="sensor-ok", topic=ERROR, phase="hold", equals="OK", when_absent="pass")
BARRIER_STILL = LaneRule(id="barrier-still", topic=BARRIER, phase="hold", quiet_for_us=15 * SECOND)
LIFT_STILL = LaneRule(
    id="lift-still",
    topic=LIFT,
    phase="open",
    steady_for_us=10 * SECOND,
    when_absent="pass",
    pointer="/current",
    also=("RDC",),
)
PLAIN = LaneRule(id="plain", topic="parking/plain", phase="open", equals="0")
STEADY = LaneRule(id="steady", topic="parking/steady", phase="open", steady_for_us=10 * SECOND)
ENTRY = LanePolicy(
    "entry", 8 * SECOND, (NO_VEHICLE, ALIVE, SENSOR_OK, BARRIER_STILL, LIFT_STILL, PLAIN, STEADY)
)


class Lane:
    """A lane with a clock of its own: what is said happens now, and `wait` lets time pass."""

    def __init__(self, *, listening: bool = True) -> None:
        self.now = START
        self.memory = lane_rules.empty(ENTRY)
        if listening:
            self.subscribe()

    def subscribe(self) -> None:
        self.memory = lane_rules.subscribed(ENTRY, self.memory, self.now)

    def disconnect(self) -> None:
        self.memory = lane_rules.disconnected(ENTRY, self.memory, self.now)

    def says(self, topic: str, payload: bytes | str, *, retained: bool = False) -> None:
        raw = payload.encode() if isinstance(payload, str) else payload
        self.memory = lane_rules.heard(ENTRY, self.memory, topic, raw, retained, self.now)

    def beats(self, *, ahead_s: int = 0, retained: bool = False) -> None:
        self.says(BEAT, str(self.now.wall_us // SECOND + ahead_s), retained=retained)

    def wait(self, seconds: float, *, beating: bool = False) -> None:
        for _ in range(int(seconds) if beating else 0):
            self.now = self.now.after(SECOND)
            self.beats()
        self.now = self.now.after(round((0 if beating else seconds) * SECOND))

    def verdict(self, rule: LaneRule) -> RuleVerdict:
        return lane_rules.judge(rule, ENTRY, self.memory, self.now)


def proven() -> Lane:
    """A lane whose sensor has just been proven alive."""
    lane = Lane()
    lane.beats()
    lane.wait(2)
    lane.beats()
    return lane
