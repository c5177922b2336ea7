"""One camera of one site for the tests of the core: its policy, facts that can be spoilt, and its story."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from orchestrator.core.camera import decide, reason_to_shut
from orchestrator.core.camera_state import CameraState, evolve
from orchestrator.core.canonical import canonical
from orchestrator.core.commands import Closing, Command, Gone, Join, Leave, Look, Reported, Request, Why
from orchestrator.core.events import Actor, Event, Record, Sealed
from orchestrator.core.facts import Facts, HostSight, Proof
from orchestrator.core.lane import LaneMemory
from orchestrator.core.lane_memory import RuleMemory
from orchestrator.core.moment import SECOND_US, Moment
from orchestrator.core.policy import CameraPolicy, LanePolicy, LaneRule, Member, Policy, Purpose
from orchestrator.core.refusal import Refusal
from orchestrator.core.statechart import Chart
from orchestrator.core.window import Span
from orchestrator.core.worker import FailureClass, FirstFrame, WorkerExited, WorkerStarted
from orchestrator.resources import folder

CHART = Chart((folder("statecharts") / "camera.toml").read_bytes())
START = Moment(1_795_341_600 * SECOND_US, 5_000 * SECOND_US, True, "boot-1")
LONG_AGO_US = START.boottime_us - 3_600 * SECOND_US

NO_VEHICLE = LaneRule(id="no-vehicle", topic="parking/present", phase="open", equals="0")
SENSOR_OK = LaneRule(id="sensor-ok", topic="parking/error", phase="hold", equals="OK")
POLICY = Policy(
    site="lot-12",
    timezone="Europe/Paris",
    cameras={"cam1": CameraPolicy("cam1", "entry", 900 * SECOND_US, 60 * SECOND_US, 120 * SECOND_US)},
    lanes={"entry": LanePolicy("entry", 8 * SECOND_US, (NO_VEHICLE, SENSOR_OK))},
    purposes=(
        Purpose("alignment"),
        Purpose("vision-debug", False, ("no-vehicle",), max_session_us=600 * SECOND_US),
    ),
    windows=(),
)
CAMERA = POLICY.cameras["cam1"]
MAINTAINER = Member(
    "m-1",
    "Maintainer A",
    frozenset({"maintainer"}),
    frozenset({"cam1"}),
    {"key-1": "d-laptop", "key-2": "d-phone"},
)


def proven(fault: str, source: str, **rest: Any) -> Proof:
    """A proof that is good now and has been for an hour."""
    return Proof(True, fault, "as it should be", source, START.boottime_us, LONG_AGO_US, **rest)


def rule_held(rule: LaneRule, since_us: int = LONG_AGO_US) -> RuleMemory:
    """The memory of a rule that has held since then and does until a message says otherwise."""
    return RuleMemory(heard_at_us=since_us, value=rule.equals, live=True, holds_from_us=since_us)


def rule_broken(value: str) -> RuleMemory:
    """The memory of a rule on whose topic something else stands."""
    return RuleMemory(heard_at_us=LONG_AGO_US, quote=repr(value), value=value, live=True)


def good_facts(now: Moment = START) -> Facts:
    """Facts on which every check passes and is settled."""
    return Facts(
        now=now,
        window=Span(START.wall_us - 3_600 * SECOND_US, START.wall_us + 7_200 * SECOND_US, ("weekly",)),
        members={MAINTAINER.id: MAINTAINER},
        interface=proven("vpn-down", "netlink"),
        listener=proven("listener-exposed", "sockets"),
        side_door=proven("side-door", "sockets"),
        config=proven("config-invalid", "configuration"),
        bus=proven("broker-lost", "broker"),
        bus_trusted=proven("", "broker"),
        lane=LaneMemory(LONG_AGO_US, (rule_held(NO_VEHICLE), rule_held(SENSOR_OK))),
        host=HostSight(START.boottime_us, 120, 900 << 20, 41_000, None),
        memory=proven("memory-not-private", "mounts"),
        log=proven("log-unwritable", "log"),
    )


def with_lane(facts: Facts, **rules: RuleMemory) -> Facts:
    """`facts` with other memories of lane rules, by the rule's id with `_` for `-`."""
    memories = [
        rules.get(rule.id.replace("-", "_"), memory)
        for rule, memory in zip((NO_VEHICLE, SENSOR_OK), facts.lane.rules, strict=True)
    ]
    return replace(facts, lane=LaneMemory(facts.lane.subscribed_at_us, tuple(memories)))


def spoilt(facts: Facts, name: str, fault: str, **evidence: Any) -> Facts:
    """`facts` with one proof gone bad by that fault."""
    proof: Proof = getattr(facts, name)
    bad = replace(proof, good=False, fault=fault, since_us=None, evidence=evidence)
    slot: dict[str, Any] = {name: bad}
    return replace(facts, **slot)


def why(fault: str) -> Why:
    """A closing by that fault, seen by the checks."""
    return Why("fault", Actor("check", "checks"), fault, {"fault": fault})


CLOSE = Why("close", Actor("local", "socket"))
GONE = Gone(180, 41, 2048, 1, "signal 15", True, True)
NOT_GONE = replace(GONE, segments_wiped=False, proven=False)


def exited(run: int, failure: FailureClass | None, **rest: Any) -> Reported:
    """The worker of that run is reaped."""
    word = WorkerExited(run, failure, None if failure is None else 1, None, "", 12, failure is None)
    random = rest.pop("random", 0.5)
    return Reported(replace(word, **rest), random)


@dataclass
class Story:
    """A camera's life under the real `decide` and `evolve`, in the order in which the ordering lane works.

    `facts` is what is known (its `now` is the story's clock); `records` is its log.
    """

    policy: Policy = POLICY
    facts: Facts = field(default_factory=good_facts)
    state: CameraState = field(default_factory=lambda: CameraState.new("cam1"))
    records: list[Record] = field(default_factory=list)
    sessions: int = 0

    @property
    def now(self) -> Moment:
        """The story's clocks."""
        return self.facts.now

    @property
    def place(self) -> str:
        """Where the camera is."""
        return str(self.state.place)

    def events(self) -> list[str]:
        """The names of what happened, in order, but for the lane's news."""
        names = [record.event.name for record in self.records]
        return [name for name in names if name != "lane_changed"]

    def last(self, name: str) -> Event:
        """The newest event of that name."""
        return next(record.event for record in reversed(self.records) if record.event.name == name)

    def wait(self, seconds: float, *, wall_step_s: float = 0) -> None:
        """Time passes; every source but the lane's looks again and finds the same."""
        us = int(seconds * SECOND_US)
        now = self.now.after(us)
        now = replace(now, wall_us=now.wall_us + int(wall_step_s * SECOND_US))
        proofs = {
            name: replace(getattr(self.facts, name), seen_at_us=now.boottime_us)
            for name in (
                "interface",
                "listener",
                "side_door",
                "config",
                "bus",
                "bus_trusted",
                "memory",
                "log",
            )
        }
        host = self.facts.host and replace(self.facts.host, seen_at_us=now.boottime_us)
        self.facts = replace(self.facts, now=now, host=host, **proofs)

    def write(self, events: tuple[Event, ...]) -> None:
        """The events are durable: each must have canonical bytes, and moves the state."""
        for event in events:
            canonical({"data": event.data, "details": event.details})
            seq = len(self.records) + 1
            sealed = Sealed(event, f"id-{seq}", self.now, CHART.digest, "sha256:config")
            record = Record(seq, sealed, "", "", b"")
            self.records.append(record)
            self.state = evolve(self.state, record)

    def shut(self, reason: Why) -> tuple[Event, ...]:
        """The closing lane's word reaches the log."""
        closing = Closing(reason, 1, self.now, self.now.boottime_us)
        events = decide(CHART, self.policy, self.state, closing, self.facts)
        assert not isinstance(events, Refusal)
        self.write(events)
        return events

    def do(self, command: Command) -> tuple[Event, ...] | Refusal:
        """Judge, shut if there is a reason, then decide; as the ordering lane does."""
        reason = reason_to_shut(self.policy, self.state, command, self.facts)
        if reason is not None:
            self.shut(reason)
        decision = decide(CHART, self.policy, self.state, command, self.facts)
        if not isinstance(decision, Refusal):
            self.write(decision)
        return decision

    def done(self, command: Command) -> tuple[Event, ...]:
        """The same, where no refusal is expected."""
        decision = self.do(command)
        assert not isinstance(decision, Refusal), decision.detail
        return decision

    def look(self) -> tuple[Event, ...]:
        """Look again; what it led to, but for the lane's news."""
        return tuple(event for event in self.done(Look()) if event.name != "lane_changed")

    def request(self, **rest: Any) -> tuple[Event, ...] | Refusal:
        """The maintainer asks, on the laptop."""
        self.sessions += 1
        wish: Mapping[str, Any] = {
            "session": f"s-{self.sessions}",
            "member": "m-1",
            "device": "d-laptop",
            "purpose": "alignment",
            "duration_s": None,
            "wait_s": 60,
            "person": {"reason": "aim the camera"},
        }
        return self.do(Request(**(dict(wish) | rest)))

    def join(self, watch: str = "w-1") -> tuple[Event, ...] | Refusal:
        """The maintainer watches."""
        return self.do(Join(watch, "m-1", "d-laptop", {"name": "Maintainer A"}))

    def leave(self, watch: str = "w-1") -> tuple[Event, ...]:
        """That viewer has left."""
        return self.done(Leave(watch, 12, 4_096, "left"))

    def checked(self, **rest: Any) -> Story:
        """The story up to `safety_checked`, its worker started."""
        assert not isinstance(self.request(**rest), Refusal)
        self.look()
        assert self.place == "safety_checked"
        self.done(Reported(WorkerStarted(1, 4711, {"landlock": True})))
        return self

    def opened(self, **rest: Any) -> Story:
        """The story up to the first frame."""
        self.checked(**rest)
        self.done(Reported(FirstFrame(1)))
        assert self.place == "streaming.live"
        return self

    def reconnecting(self, **rest: Any) -> Story:
        """The story up to a lost worker."""
        self.opened(**rest)
        self.done(exited(1, FailureClass.REFUSED))
        assert self.place == "streaming.reconnecting"
        return self

    def expiring(self, **rest: Any) -> Story:
        """The story up to the expiry notice."""
        self.opened(**({"duration_s": 240} | rest))
        assert not isinstance(self.join(), Refusal)
        self.wait(180)
        self.look()
        assert self.place == "expiring.live"
        return self

    def ended(self, reason: Why = CLOSE) -> Story:
        """The story on to `closed`."""
        self.shut(reason)
        self.done(GONE)
        return self


def story_in(place: str) -> Story:
    """A story that has come to that place."""
    story = Story()
    match place:
        case "disabled.ready":
            return story
        case "disabled.closing":
            story.opened().shut(CLOSE)
        case "disabled.locked":
            story.shut(why("listener-exposed"))
        case "requested":
            story.request()
        case "safety_checked":
            story.checked()
        case "streaming.live":
            story.opened()
        case "streaming.reconnecting":
            story.reconnecting()
        case "expiring.live":
            story.expiring()
        case "expiring.reconnecting":
            story.expiring().done(exited(1, FailureClass.REFUSED))
    assert story.place == place
    return story


PLACES = tuple(state.name for state in CHART.states)
SHUT = tuple(place for place in PLACES if place.startswith("disabled"))
OPEN = tuple(place for place in PLACES if place.startswith(("streaming", "expiring")))
