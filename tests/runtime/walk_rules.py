"""What must hold of both cameras after each line of a walk (INVARIANTS.md): each rule says what is wrong, or
None. What is wrong in the world is told from what the walk did to it, not from the core's own judgement."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from orchestrator.core.camera_state import CameraState, Session
from orchestrator.core.events import CLOSING, LOCKED, READY, REQUESTED, SAFETY_CHECKED, Record
from orchestrator.core.faults import LOCKING
from orchestrator.core.moment import SECOND_US
from orchestrator.runtime.ledger import SiteState, fold
from tests.core.scene import CHART
from tests.model.weather import LONGEST_S, PROOFS, SILENCE_S, WAIT_S
from tests.runtime.actor_walk import CAMERAS, Seen, Walk
from tests.runtime.walk_parts import Broken

OPENNESS = {"disabled": 0, "requested": 1, "safety_checked": 2, "streaming": 3, "expiring": 3}
CHECKS = 15
OPENING = frozenset({"request", "checks_passed", "first_frame", "frames_back", "extend", "viewer_joined"})
"""What must not become durable once a closing has come."""
STEP_US = 2 * SECOND_US
OVERLOAD_US = 30 * SECOND_US


Rule = Callable[[Walk, str], str | None]


def _parts(walk: Walk, camera: str) -> tuple[CameraState, CameraState, Session | None]:
    """The live state, the fold of the log, and the live session."""
    state = walk.actor(camera).state
    return state, walk.known.site.cameras.get(camera) or CameraState.new(camera), state.session


def _is_pending(walk: Walk, camera: str) -> bool:
    return walk.actor(camera).closing_pending


def wrong_to_hold(walk: Walk, camera: str) -> Iterable[str]:
    """What forbids picture of that camera at this very moment, once it flows (CONTRACT 10)."""
    known, now = walk.known, walk.now
    session = walk.actor(camera).state.session
    holds = {*PROOFS, f"{camera} sensor"} - {"bus_trusted"}
    if session is not None:
        holds.add(f"{session.member}'s right")
    yield from known.broken & holds
    if walk.window_open(camera) is None:
        yield "no window is open"
    if known.unseen and now.boottime_us - known.unseen_since_us > SILENCE_S * SECOND_US:
        yield "the VPN is not looked at"
    if known.overloaded_us is not None and now.boottime_us - known.overloaded_us >= OVERLOAD_US:
        yield "the gateway is overloaded"
    if session is None:
        yield "there is no session"
        return
    step_us = (now.wall_us - session.asked_wall_us) - (now.boottime_us - session.asked_boottime_us)
    if abs(step_us) > STEP_US:
        yield "the clock has stepped"
    over = now.boottime_us >= session.ends_boottime_us or now.wall_us >= session.ends_wall_us
    if session.opened and over:
        yield "the time is over"


def wrong_to_start(walk: Walk, camera: str) -> Iterable[str]:
    """What forbids the first picture besides."""
    yield from wrong_to_hold(walk, camera)
    known, session = walk.known, walk.actor(camera).state.session
    waived = session is not None and session.purpose == "vision-debug"
    yield from known.broken & ({"bus_trusted"} if waived else {"bus_trusted", f"{camera} vehicle"})
    if known.overloaded_us is not None:
        yield "the gateway is overloaded"
    if not walk.now.synchronised:
        yield "the clock is not synchronised"


def s4_whatever_is_wrong_has_shut_the_gate(walk: Walk, camera: str) -> str | None:
    """S4, S13: asked before the loop has turned once, too."""
    wrong = list(wrong_to_hold(walk, camera)) if walk.gate(camera).is_open else []
    return f"the gate is open while wrong: {', '.join(wrong)}" if wrong else None


def s1_the_gate_is_open_only_where_memory_and_disk_are(walk: Walk, camera: str) -> str | None:
    """S1, S2, S21."""
    if not walk.gate(camera).is_open:
        return None
    state, log, session = _parts(walk, camera)
    if not (state.is_open and log.is_open and session and log.session):
        return f"the gate is open in {state.place}, the log says {log.place}"
    if session.id != log.session.id or _is_pending(walk, camera):
        return "the gate is open on what the log does not say"
    names = [row.event.name for row in walk.known.rows if row.event.session == session.id]
    wanted = ["request", "checks_passed", "first_frame"]
    found = [name for name in names if name in wanted]
    return None if found == wanted else f"S2: it is open after {names}"


def s12_memory_is_the_fold_of_the_log(walk: Walk, camera: str) -> str | None:
    """S12, S21: or the more closed one, while a closing is pending."""
    state, log, _ = _parts(walk, camera)
    if not _is_pending(walk, camera):
        return None if state == log else f"memory says {state}, the log {log}"
    if walk.log.works:
        return f"{state.place} is pending though the log works"
    if OPENNESS[state.place.state] > OPENNESS[log.place.state]:
        return f"memory says {state.place}, the log only {log.place}"
    return None


def s10_at_most_one_worker_and_none_without_a_session(walk: Walk, camera: str) -> str | None:
    """S10, S16."""
    state, _, session = _parts(walk, camera)
    alive = walk.crew.alive(camera)
    if len(alive) > 1:
        return f"{len(alive)} workers at once"
    if alive and state.place in (READY, LOCKED, REQUESTED):
        return f"a worker is there in {state.place}"
    untold = [hand for hand in alive if not hand.told_by]
    if not untold:
        return None
    shutter = walk.actor(camera).shutter
    if not shutter.exposed or session is None or untold[0].session != session.id:
        return f"a worker of {untold[0].session} lives on in {state.place}"
    return None


def s22_the_generation_is_the_one_that_was_asked_for(walk: Walk, camera: str) -> str | None:
    """S22."""
    _, _, session = _parts(walk, camera)
    gate = walk.gate(camera)
    if not gate.is_open or session is None:
        return None
    asked = walk.known.asked[session.id]
    return None if asked == (camera, gate.generation) else f"asked under {asked}, open for {gate.generation}"


def s6_a_session_ends_no_later_than_allowed(walk: Walk, camera: str) -> str | None:
    """S6, S17: by both clocks; what was asked for cannot be seen of one that was extended."""
    state, _, session = _parts(walk, camera)
    if not state.is_open or session is None:
        return None
    open_ = walk.window_open(camera)
    if open_ is None:
        return None
    limits = {"window": open_.end_us, "max_session": (session.opened_wall_us or 0) + LONGEST_S * SECOND_US}
    passed = [name for name, limit_us in limits.items() if session.ends_wall_us > limit_us]
    if session.ends_boottime_us > (session.opened_boottime_us or 0) + LONGEST_S * SECOND_US:
        passed.append("max_session by the boot clock")
    return f"{session.id} ends after {passed}" if passed else None


def s15_a_session_where_there_is_one(walk: Walk, camera: str) -> str | None:
    """S15, S16: and locks only where they may be."""
    state, _, session = _parts(walk, camera)
    if (session is None) != (state.place in (READY, LOCKED)):
        return f"{state.place} with session {session and session.id}"
    if (state.place == LOCKED and not state.locks) or (state.locks and state.place not in (LOCKED, CLOSING)):
        return f"{sorted(state.locks)} in {state.place}"
    return None


def s3_about_to_open_only_while_nothing_is_wrong(walk: Walk, camera: str) -> str | None:
    """S3: any check that fails in `safety_checked`, is a fault."""
    state, _, _ = _parts(walk, camera)
    if state.place != SAFETY_CHECKED or not walk.actor(camera).shutter.exposed:
        return None
    wrong = list(wrong_to_start(walk, camera))
    return f"about to open while wrong: {', '.join(wrong)}" if wrong else None


def a_build_that_never_opens_passes_nothing(walk: Walk, camera: str) -> str | None:
    """What is open in the log is open in truth, once the log works."""
    state, _, _ = _parts(walk, camera)
    if state.is_open and walk.log.works and not walk.gate(camera).is_open:
        return f"{state.place}, and the gate is shut"
    return None


def l1_a_request_does_not_wait_for_ever(walk: Walk, camera: str) -> str | None:
    """L1, L2."""
    state, _, session = _parts(walk, camera)
    if state.place == REQUESTED and session is not None:
        waited_us = walk.now.boottime_us - session.asked_boottime_us
        if waited_us >= WAIT_S * SECOND_US:
            return f"{session.id} has waited for {waited_us // SECOND_US} s"
    if state.place == CLOSING and walk.actor(camera).keeper._stopping is None:
        return "nobody proves the closing"
    return None


AT_REST: tuple[Rule, ...] = (
    s4_whatever_is_wrong_has_shut_the_gate,
    s1_the_gate_is_open_only_where_memory_and_disk_are,
    s12_memory_is_the_fold_of_the_log,
    s10_at_most_one_worker_and_none_without_a_session,
    s22_the_generation_is_the_one_that_was_asked_for,
    s6_a_session_ends_no_later_than_allowed,
    s15_a_session_where_there_is_one,
    s3_about_to_open_only_while_nothing_is_wrong,
    a_build_that_never_opens_passes_nothing,
    l1_a_request_does_not_wait_for_ever,
)


def _row_is_wrong(before: CameraState, after: CameraState, record: Record) -> str | None:
    """S2, S3, S12, S15, S16, S18: of a transition, from the fold before it."""
    event = record.event
    if event.source != before.place or event.target is None:
        return f"S12: {event.name} says it came from {event.source}, the log stood in {before.place}"
    if not CHART.permits(before.place, event.name, event.target):
        return f"S12: {event.name} from {event.source} to {event.target} is not in the statechart"
    if before.place == CLOSING and event.target != CLOSING and event.name != "closed":
        return f"S16: {event.name} ended a closing"
    if before.locks - after.locks and event.name != "acknowledge":
        return f"S16: {event.name} took {sorted(before.locks - after.locks)} away"
    if event.name == "fault" and event.data.get("fault") in LOCKING - after.locks:
        return f"S16: {event.data['fault']} set no lock"
    if event.name == "request" and event.actor.kind != "member":
        return f"S18: {event.actor.kind} asked"
    if event.name in ("checks_passed", "first_frame"):
        checks = event.data["checks"]
        failed = [check["id"] for check in checks if not check["passed"] and not check["waived"]]
        if failed or len({check["id"] for check in checks}) != CHECKS:
            return f"S3: {event.name} with {len(checks)} checks, failed: {failed}"
    return None


def _deadline_is_wrong(before: CameraState, after: CameraState, record: Record) -> str | None:
    """S6, S17, S23: only `extend` moves a deadline later, only it and a shorter window move it at all."""
    old, new = before.session, after.session
    if old is None or new is None or not old.opened or old.id != new.id:
        return None
    ends = (old.ends_boottime_us, old.ends_wall_us), (new.ends_boottime_us, new.ends_wall_us)
    name = record.event.name
    if ends[0] == ends[1] or name == "extend":
        return None
    if name == "deadline_shortened" and ends[1][0] <= ends[0][0] and ends[1][1] < ends[0][1]:
        return None
    return f"S6: {name} moved the deadline"


def judge_rows(before: SiteState, rows: Sequence[Record], seq: int) -> None:
    """Every row that the log gained, in its order; `seq` is the last one before. Raises Broken."""
    site = before
    for record in rows:
        seq += 1
        if record.seq != seq:
            raise Broken("s12_gapless", f"{record.seq} stands where {seq} should")
        camera = record.event.camera
        after = fold(site, record)
        if camera is not None:
            old, new = site.cameras.get(camera) or CameraState.new(camera), after.cameras[camera]
            is_move = record.event.type == "transition"
            what = _row_is_wrong(old, new, record) if is_move else None
            what = what or _deadline_is_wrong(old, new, record)
            if what is not None:
                raise Broken(what.partition(":")[0], f"{camera}: {what} (seq {record.seq})")
        site = after


def judge_log(walk: Walk, rows: Sequence[Record]) -> None:
    """S12, F17: of the rows that were gained, no id twice; what was acknowledged is among them all. What was
    found once stays: a start compares the last row, whose hash covers those before it."""
    known = walk.known
    for row in rows:
        if row.sealed.id in known.ids:
            raise Broken("s12_no_event_twice", f"{row.event.name} (seq {row.seq})")
        known.ids.add(row.sealed.id)
    for seq, digest in known.acknowledged.items():
        if seq > len(known.rows) or known.rows[seq - 1].hash != digest:
            raise Broken("f17_acknowledged_is_kept", f"{seq} is gone")
    known.acknowledged.clear()


def judge_fence(walk: Walk, overtaken: Iterable[str]) -> None:
    """S22: what opens, and was overtaken by a closing between INSERT and COMMIT, is not in the log."""
    passed = walk.known.ids & set(overtaken)
    if passed:
        names = [row.event.name for row in walk.known.rows if row.sealed.id in passed]
        raise Broken("s22_a_closing_in_between_wins", f"{names} passed the fence of what was over")


def judge_rest(walk: Walk, cameras: Iterable[str] = CAMERAS) -> None:
    """Each rule of each camera. Raises Broken."""
    for camera in cameras:
        for rule in AT_REST:
            what = rule(walk, camera)
            if what is not None:
                raise Broken(rule.__name__, f"{camera}: {what}")


def judge_start(walk: Walk) -> None:
    """S20: a start is shut, whatever the log said."""
    for camera in CAMERAS:
        state = walk.actor(camera).state
        exposed = walk.actor(camera).shutter.exposed or walk.gate(camera).is_open
        if not state.is_shut or exposed or walk.crew.alive(camera):
            raise Broken("s20_a_start_never_opens", f"{camera}: {state.place}, exposed {exposed}")


def judge_others(before: dict[str, Seen], after: dict[str, Seen], concerns: Iterable[str]) -> None:
    """S14: what is no concern of a camera leaves it as it was. S22: generations only grow."""
    for camera in before:
        if camera not in concerns and before[camera] != after[camera]:
            raise Broken("s14_cameras_are_independent", f"{camera}: {before[camera]} became {after[camera]}")
        if after[camera].generation < before[camera].generation:
            raise Broken("s22_generations_grow", f"{camera}: {after[camera].generation}")
        was_shut = before[camera].gate_open and not after[camera].gate_open
        if was_shut and after[camera].generation == before[camera].generation:
            raise Broken("s22_generations_grow", f"{camera} was shut under the same generation")
