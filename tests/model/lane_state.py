"""What one camera is made of in the model, and the world that it lives in."""

from __future__ import annotations

from orchestrator.core.camera_state import CameraState
from orchestrator.core.commands import Closing, Command
from orchestrator.core.events import Record, Sealed
from orchestrator.core.facts import Facts
from orchestrator.core.moment import Moment
from tests.model.lane_parts import CAMERA, Child, Disk, Write
from tests.model.weather import OF_THE_LANE, START_WEATHER, Weather, facts_of


class LaneState:
    """Every attribute is a value, so a copy is a copy of the table of attributes."""

    def __init__(self, weather: Weather = START_WEATHER, camera: str = CAMERA) -> None:
        self.weather = weather
        self.camera = camera
        self.state = self.log = CameraState.new(camera)
        self.written: tuple[Record, ...] = ()
        self.disk: Disk = "works"
        self.box: tuple[Sealed, ...] = ()
        self.box_takes = True
        self.exposed = False
        self.generation = 0
        self.open_for: int | None = None
        self.asked_generation = 0
        self.closings: tuple[Closing, ...] = ()
        self.announced: frozenset[str] = frozenset()
        self.queue: tuple[tuple[Command, int], ...] = ()
        self.look_due = False
        self.write: Write | None = None
        self.late: tuple[Sealed, ...] = ()
        self.waiting: tuple[Sealed, ...] = ()
        self.unsure = False
        self.draining = False
        self.child: Child | None = None
        self.spawns = True
        self.newest = ("", 0)
        self.proving = False
        self.sessions = 0
        self.ids = 0
        self.refused = ""
        self.promised: tuple[str, ...] = ()
        """Ids of what must be in the log in the end (L4)."""

    @property
    def facts(self) -> Facts:
        """`Board.facts`."""
        last = self.written[-1].sealed.at.wall_us if self.written else 0
        return facts_of(self.weather, last, self.camera)

    @property
    def broken(self) -> frozenset[str]:
        """What is not as it should be, as far as it concerns this camera."""
        broken = self.weather.broken
        return broken if self.camera == CAMERA else broken - OF_THE_LANE

    @property
    def fresh(self) -> frozenset[str]:
        """What of it has been mended since the last tick."""
        fresh = self.weather.fresh
        return fresh if self.camera == CAMERA else fresh - OF_THE_LANE

    @property
    def now(self) -> Moment:
        """Both clocks."""
        return self.weather.now

    @property
    def gate_open(self) -> bool:
        """Whether a byte of picture could pass."""
        return self.open_for is not None and self.open_for == self.generation

    @property
    def is_pending(self) -> bool:
        """Whether something is not in the log yet, or nobody knows."""
        return bool(self.waiting) or self.unsure

    def holds(self, generation: int) -> bool:
        """`Shutter.holds`: the fence."""
        return self.exposed and self.generation == generation
