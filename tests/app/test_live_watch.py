"""A watch is worth something while gate, watch, person and device all say so, at each chunk (S1, S9)."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import pytest

from orchestrator.app.live_watch import LiveWatchOfSite
from orchestrator.core.policy import Member
from orchestrator.edges.http.ports import Caller
from orchestrator.runtime.gate import Gate
from orchestrator.runtime.picture import Picture
from orchestrator.runtime.watches import Watches

MEMBER = Member("m-1", "Ada", frozenset({"viewer"}), frozenset({"cam1"}), {"key": "d-1", "other": "d-2"})
CALLER = Caller(MEMBER, "d-1", "laptop", "127.0.0.2", 50_000)


@dataclass
class Parts:
    """Of a camera, what a watch looks at."""

    gate: Gate = field(default_factory=Gate)
    picture: Picture = field(default_factory=lambda: Picture(lambda: 0, lambda watch: None))


class Scene:
    """One viewer who watches."""

    def __init__(self) -> None:
        self.parts, self.watches = Parts(), Watches(lambda: 0)
        self.members = {MEMBER.id: MEMBER}
        self.still = True
        self.parts.gate.open(self.parts.gate.generation)
        mine = self.watches.add("w-1", "cam1", "m-1", "d-1")
        self.live = LiveWatchOfSite(
            mine,
            self.watches,
            self.parts,  # type: ignore[arg-type]
            self.members.get,
            lambda caller: self.still,
        )

    def replaced(self, **changes: object) -> None:
        """The member is another than before."""
        self.members[MEMBER.id] = replace(MEMBER, **changes)  # type: ignore[arg-type]


def _left(scene: Scene) -> None:
    scene.watches.remove("w-1")


def _not_proven(scene: Scene) -> None:
    scene.still = False


TAKEN_AWAY: dict[str, Callable[[Scene], object]] = {
    "the gate is shut": lambda scene: scene.parts.gate.shut(),
    "the watch has ended": _left,
    "the person is no member": lambda scene: scene.members.clear(),
    "the role is gone": lambda scene: scene.replaced(roles=frozenset({"approver"})),
    "the camera is not theirs": lambda scene: scene.replaced(cameras=frozenset({"cam2"})),
    "the device is not theirs": lambda scene: scene.replaced(devices={"other": "d-2"}),
    "the VPN no longer proves the device": _not_proven,
}


@pytest.mark.parametrize("what", TAKEN_AWAY)
def test_when_any_of_it_is_gone_nothing_more_flows(what: str) -> None:
    scene = Scene()
    assert scene.live.may_flow(CALLER)
    TAKEN_AWAY[what](scene)
    assert not scene.live.may_flow(CALLER)


def test_a_watch_is_nobody_elses_and_not_their_own_other_devices() -> None:
    scene = Scene()
    scene.members["m-2"] = replace(MEMBER, id="m-2")
    assert not scene.live.may_flow(replace(CALLER, device="d-2"))
    assert not scene.live.may_flow(replace(CALLER, member=scene.members["m-2"]))
