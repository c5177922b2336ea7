"""`kill -9` of the daemon at fifty random moments: nothing runs on, nothing that was said is lost (F17)."""

import http.client
import json
import os
import random
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.e2e import fault_table
from tests.e2e.client import Answer
from tests.e2e.conftest import MakeGateway
from tests.e2e.follower import Event, name_of
from tests.e2e.gateway import Gateway
from tests.e2e.incident import house_is_clean, log_is_whole, volet

pytestmark = pytest.mark.slow

KILLS = 50
S10_S = 1.0
OPENING_S = 0.9
STREAMING_S = 0.4
CLOSING_S = 0.08
Acknowledged = dict[int, str]
"""The hash of each event that an answer held, by its sequence number."""


@dataclass
class Life:
    """One life of the daemon: killed at a moment that was drawn beforehand."""

    phase: str
    after_s: float
    answers: list[Answer] = field(default_factory=list)

    def acknowledged(self) -> Acknowledged:
        """What the daemon had said was durable."""
        events = [event for answer in self.answers for event in answer.body["events"]]
        return {event["seq"]: event["hash"] for event in events}


def _drawn(seed: int) -> Iterator[Life]:
    chance = random.Random(seed)
    spans = {"opening": OPENING_S, "streaming": STREAMING_S, "closing": CLOSING_S}
    for kill in range(KILLS):
        phase = ("opening", "streaming", "closing")[kill % 3]
        yield Life(phase, chance.uniform(0, spans[phase]))


def _live_and_die(gateway: Gateway, life: Life) -> None:
    """Up to the moment, and the kill."""
    asked = gateway.transition("request", reason="align the camera", wait_s=20)
    assert asked.status == 202, asked
    life.answers.append(asked)
    if life.phase != "opening":
        gateway.wait("first_frame", asked.body["session"])
        gateway.wait_effect()
        gateway.watch().wait_flow(1)
    closing = threading.Thread(target=_close, args=(gateway, life))
    if life.phase == "closing":
        closing.start()
    # The moment itself is what was drawn: there is nothing to wait for.
    time.sleep(life.after_s)
    gateway.daemon.kill()
    if life.phase == "closing":
        closing.join()


def _close(gateway: Gateway, life: Life) -> None:
    try:
        life.answers.append(gateway.transition("close"))
    except (OSError, http.client.HTTPException):
        pass  # killed before it answered: then it promised nothing


def _place(events: list[Event]) -> tuple[str, str | None]:
    """Where cam1 stands after these events."""
    moves = [event for event in events if event["type"] == "transition" and event["camera"] == "cam1"]
    return (moves[-1]["to"], moves[-1]["to_substate"]) if moves else ("disabled", "ready")


def _recovery_is_right(before: list[Event], after: list[Event]) -> str:
    """What the next start wrote first: S20. Its first event, or `nothing`."""
    mine = [e for e in after if e["type"] == "transition" and e["camera"] == "cam1"]
    place = _place(before)
    if place == ("disabled", "ready"):
        assert mine == []
        return "nothing"
    names = [name_of(event) for event in mine]
    if place == ("disabled", "closing"):
        assert names == ["closed"]
        return "closed"
    assert names[0] == "fault"
    assert mine[0]["data"]["fault"] == "restarted"
    assert names[1:] == ([] if place == ("requested", None) else ["closed"])
    return "restarted"


def _read_log(gateway: Gateway) -> list[Event]:
    """The log as the killed daemon left it."""
    status, said = volet("export", "--log", str(gateway.database), "--json")
    assert status == 0, said
    return [json.loads(line) for line in said.splitlines()]


def _of_the_start(log: list[Event], before: list[Event]) -> list[Event]:
    """What the start wrote before it said that it had started."""
    new = log[len(before) :]
    return new[: [name_of(event) for event in new].index("service_started")]


def _start_again(gateway: Gateway, before: list[Event]) -> list[Event]:
    """The next life, shut and clean; the log as it then is."""
    gateway.start_daemon()
    assert gateway.state() == "disabled.ready"
    assert list(gateway.segments.iterdir()) == []
    gateway.wait("config_loaded", after=before[-1]["seq"])
    return gateway.events()


@pytest.mark.timeout(600)
def test_kill_9_at_any_moment_loses_nothing_and_leaves_nothing(
    make_gateway: MakeGateway, record_property: Any
) -> None:
    seed = int(os.environ.get("VOLET_KILL_SEED", "0")) or random.SystemRandom().randrange(1, 2**32)
    sys.stdout.write(f"VOLET_KILL_SEED={seed}\n")
    record_property("seed", seed)
    gateway = make_gateway(
        boundary_settle="0s", lane_settle="100ms", quiet_for="100ms", new_per_minute="1000"
    )
    gateway.beat_every_s = 0.1
    gateway.start()
    acknowledged: Acknowledged = {}
    outcomes: list[str] = []
    log = gateway.events()
    for life in _drawn(seed):
        _live_and_die(gateway, life)
        gateway.daemon.wait()
        gateway.wait_no_workers(S10_S)
        acknowledged |= life.acknowledged()
        before = _read_log(gateway)
        log = _start_again(gateway, before)
        assert log[: len(before)] == before
        told = {event["seq"]: event["hash"] for event in log}
        lost = {seq for seq, digest in acknowledged.items() if told.get(seq) != digest}
        assert not lost, f"acknowledged and lost: {lost}"
        outcomes.append(f"{life.phase}: {_recovery_is_right(before, _of_the_start(log, before))}")
    _heard_is_logged(gateway, log)
    assert {"opening: restarted", "streaming: restarted", "closing: restarted"} & set(outcomes)
    counted = ", ".join(f"{outcomes.count(each)} {each}" for each in sorted(set(outcomes)))
    fault_table.NOTES.append(
        f"{KILLS} times kill -9 (VOLET_KILL_SEED={seed}), what the next start wrote: {counted}"
    )
    log_is_whole(gateway)
    flow = gateway.flow()
    gateway.shut(flow.session)
    house_is_clean(gateway)


def _heard_is_logged(gateway: Gateway, log: list[Event]) -> None:
    """What was streamed to a follower, life after life, is the log."""
    assert gateway.follower is not None
    told = {event["seq"]: event["hash"] for event in log}
    heard = {event["seq"]: event["hash"] for event in gateway.follower.events}
    assert {seq: told.get(seq) for seq in heard} == heard
