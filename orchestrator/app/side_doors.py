"""Whether the cameras' own server answers beyond this machine, and which of it the site accepts (F24)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

from orchestrator.core.moment import SECOND_US
from orchestrator.edges.vpn.other_listeners import exposed, named
from orchestrator.edges.vpn.sockets import Listener
from orchestrator.settings import Settings


@dataclass(frozen=True, slots=True)
class SideDoor:
    """A listener of a camera's source beyond this machine. `until` is the last day (ISO 8601, in the site's
    zone) on which the site accepts it, empty when it never did; `accepted`: that day is not over."""

    listener: Listener
    until: str
    accepted: bool


@dataclass(frozen=True, slots=True)
class SideDoors:
    """One look; `failure`: why the kernel did not answer, which proves nothing."""

    doors: tuple[SideDoor, ...]
    failure: str = ""

    @property
    def shut(self) -> bool:
        """Nothing listens beyond this machine but what the site accepts."""
        return not self.failure and all(door.accepted for door in self.doors)

    @property
    def accepted(self) -> str:
        """What is accepted and until when, for the evidence: strings of the configuration alone."""
        return ", ".join(f"{one.listener.place} until {one.until}" for one in self.doors if one.accepted)

    @property
    def open_count(self) -> int:
        """How many are not accepted."""
        return sum(not door.accepted for door in self.doors)

    @property
    def detail(self) -> str:
        """What was found, and what to do about it."""
        if self.failure:
            return f"who listens on the camera's port could not be read: {self.failure}"
        open_doors = [door for door in self.doors if not door.accepted]
        if open_doors:
            places = "; ".join(_said(door) for door in open_doors[:3])
            return (
                f"the camera's source listens beyond this machine, on {places}: bind it to 127.0.0.1, or "
                "accept it in writing under [[vpn.accepted_side_doors]] (ops/side-door.md)"
            )
        if self.accepted:
            return f"accepted in writing until its date: {self.accepted}"
        return "no source of ours listens beyond this machine"


def look_for_side_doors(settings: Settings, wall_us: int, before: Iterable[SideDoor] = ()) -> SideDoors:
    """Every listener of a source beyond this machine, at that wall time. Who held one `before` is not
    looked up again. Some milliseconds; never raises OSError."""
    sources = (camera.source for camera in settings.cameras.values())
    places = sorted({(source.host, source.port) for source in sources if source.host and source.port})
    known = {door.listener.inode: door.listener for door in before}
    try:
        found = [each for host, port in places for each in exposed(host, port)]
        names = {each.inode: each for each in named([one for one in found if one.inode not in known])}
    except OSError as problem:
        return SideDoors((), str(problem))
    zone = ZoneInfo(settings.policy.timezone)
    today = datetime.fromtimestamp(wall_us // SECOND_US, zone).date().isoformat()
    listeners = dict.fromkeys((known | names)[each.inode] for each in found)
    return SideDoors(tuple(_judged(settings, listener, today) for listener in listeners))


def _judged(settings: Settings, listener: Listener, today: str) -> SideDoor:
    for door in settings.vpn.accepted_side_doors:
        if (door.address, door.port) == (listener.address, listener.port):
            return SideDoor(listener, door.until, today <= door.until)
    return SideDoor(listener, "", False)


def _said(door: SideDoor) -> str:
    holder = f" ({door.listener.holder})" if door.listener.pid is not None else ""
    past = f", which was accepted until {door.until} only" if door.until else ""
    return f"{door.listener.place}{holder}{past}"
