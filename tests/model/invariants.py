"""What must always hold (INVARIANTS.md), each a small function that says what is wrong, or None."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from orchestrator.core.commands import Look
from orchestrator.core.events import CLOSING, LOCKED, READY, REQUESTED, SAFETY_CHECKED, Record, Sealed
from orchestrator.core.faults import LOCKING
from orchestrator.core.moment import SECOND_US, parse_rfc3339
from tests.core.scene import CHART, START
from tests.model.truth import wrong_to_hold, wrong_to_open, wrong_to_start
from tests.model.two_lanes import TwoLanes
from tests.model.weather import FIRST_FRAME_S, LONGEST_S, WAIT_S

CHECKS = 15
OPENNESS = {"disabled": 0, "requested": 1, "safety_checked": 2, "streaming": 3, "expiring": 3}
SHUT_BY = {"close", "expire", "fault", "start_failed", "checks_failed"}


@dataclass(frozen=True, slots=True)
class Change:
    """One move of the world: what it was, what it is now, and the rows that the log gained."""

    before: TwoLanes
    after: TwoLanes
    rows: tuple[Record, ...] = ()
    killed: bool = False


def change(before: TwoLanes, after: TwoLanes, killed: bool = False) -> Change:
    """From one world to the next."""
    return Change(before, after, after.written[len(before.written) :], killed)


Invariant = Callable[[Change], str | None]


def s1_the_gate_is_open_only_where_memory_and_log_are(change: Change) -> str | None:
    """S1, S2, S21."""
    world = change.after
    if not world.gate_open:
        return None
    state, log = world.state, world.log
    if not (state.is_open and log.is_open and state.session and log.session):
        return f"the gate is open in {state.place} while the log says {log.place}"
    if state.session.id != log.session.id or world.is_pending:
        return "the gate is open on something that the log does not say"
    return None


def s4_while_the_gate_is_open_nothing_is_wrong(change: Change) -> str | None:
    """S4, S5, S6, S13, S17, S25: before anything else is done, whatever disk, queue and box."""
    if not change.after.gate_open:
        return None
    wrong = list(wrong_to_hold(change.after))
    return f"the gate is open while wrong: {', '.join(wrong)}" if wrong else None


def s10_no_worker_without_a_session(change: Change) -> str | None:
    """S10."""
    world = change.after
    child, session = world.child, world.state.session
    if child is None or child.told:
        return None
    if not world.exposed or session is None or child.session != session.id:
        return f"a worker of {child.session} lives on in {world.state.place}"
    return None


def s23_a_worker_starts_only_while_every_rule_holds(change: Change) -> str | None:
    """S23, S2: and never moves the deadline."""
    child, world = change.after.child, change.after
    if child is None or change.before.child is not None:
        return None
    wrong = list(wrong_to_hold(world) if world.state.is_open else wrong_to_start(world))
    return f"a worker starts while wrong: {', '.join(wrong)}" if wrong else None


def s12_every_row_is_a_legal_move_from_the_fold_before_it(change: Change) -> str | None:
    """S12, S16: `closing` is left by proof alone, `locked` by acknowledge alone."""
    place, last = change.before.log.place, change.before.written[-1:]
    for record in change.rows:
        event = record.event
        if last and not last[0].sealed.id < record.sealed.id:
            return f"{event.name} stands behind what happened after it (L4)"
        last = (record,)
        if event.type == "observation":
            continue
        if event.source != place or event.target is None:
            return f"{event.name} says it came from {event.source}, the log stood in {place}"
        if not CHART.permits(event.source, event.name, event.target):
            return f"{event.name} from {event.source} to {event.target} is not in the statechart"
        if place == CLOSING and event.target != CLOSING and event.name != "closed":
            return f"{event.name} ended a closing"
        if place == LOCKED and event.target != LOCKED and event.name != "acknowledge":
            return f"{event.name} took the locks away"
        place = event.target
    return None


def s12_memory_is_the_fold_of_the_log(change: Change) -> str | None:
    """S12, S21: or the more closed one, while something is pending."""
    state, log = change.after.state, change.after.log
    if not change.after.is_pending:
        return None if state == log else f"memory says {state}, the log {log}"
    if OPENNESS[state.place.state] > OPENNESS[log.place.state]:
        return f"memory says {state.place}, the log only {log.place}"
    return None


def s3_evidence_of_every_check_fresh_and_passing(change: Change) -> str | None:
    """S3, S5, S25: asked when the event is decided, that is when its append begins."""
    write = change.after.write
    if write is None or change.before.write is not None:
        return None
    for sealed in write.sealed:
        if sealed.event.name in ("checks_passed", "first_frame"):
            return _without_proof(change.after, sealed)
        if sealed.event.name == "extend":
            return _end_too_late(change.after, sealed)
    return None


def _without_proof(world: TwoLanes, sealed: Sealed) -> str | None:
    event = sealed.event
    checks = event.data.get("checks", ())
    if len({check["id"] for check in checks}) != CHECKS:
        return f"{event.name} holds {len(checks)} checks of {CHECKS}"
    failed = [check["id"] for check in checks if not check["passed"]]
    stale = [check["id"] for check in checks if _is_stale(check)]
    wrong = list(wrong_to_open(world) if event.name == "checks_passed" else wrong_to_start(world))
    if failed or stale or wrong:
        return f"{event.name} with {failed} failed, {stale} stale, in truth wrong: {wrong}"
    if event.name == "checks_passed":
        return None
    return _end_too_late(world, sealed)


def _is_stale(check: dict[str, object]) -> bool:
    age_ms, evidence = check["age_ms"], check["evidence"]
    limit_ms = evidence.get("limit_ms") if isinstance(evidence, dict) else None
    return isinstance(age_ms, int) and isinstance(limit_ms, int) and age_ms > limit_ms


def _end_too_late(world: TwoLanes, sealed: Sealed) -> str | None:
    """S6."""
    ends_wall_us = parse_rfc3339(sealed.event.data["ends_at"])
    limits = {"window": START.wall_us + world.weather.window_end_s * SECOND_US}
    session = world.state.session
    opened_us = session.opened_wall_us if session and session.opened_wall_us else world.now.wall_us
    limits["max_session"] = opened_us + LONGEST_S * SECOND_US
    passed = [name for name, limit_us in limits.items() if ends_wall_us > limit_us]
    return f"{sealed.event.name} ends later than {passed}" if passed else None


def s6_only_extend_moves_a_deadline_later(change: Change) -> str | None:
    """S6, S17, S23."""
    before, after = change.before.log.session, change.after.log.session
    if before is None or after is None or before.id != after.id or not before.opened:
        return None
    if (before.ends_boottime_us, before.ends_wall_us) == (after.ends_boottime_us, after.ends_wall_us):
        return None
    names = [record.event.name for record in change.rows]
    later = after.ends_boottime_us > before.ends_boottime_us or after.ends_wall_us > before.ends_wall_us
    if "deadline_shortened" in names and not later:
        return None
    if "extend" not in names:
        return f"the deadline moved by {names}"
    opened_us = after.opened_boottime_us or 0
    if after.ends_boottime_us - opened_us > LONGEST_S * SECOND_US:
        return "extended beyond max_session"
    return None


def s22_the_gate_is_of_the_generation_that_was_asked_for(change: Change) -> str | None:
    """S22."""
    world = change.after
    if world.gate_open and not (
        world.exposed and world.open_for == world.asked_generation == world.generation
    ):
        return f"open for {world.open_for}, asked under {world.asked_generation}, now {world.generation}"
    names = {record.event.name for record in change.rows if not change.killed}
    asked, before = change.before.write, change.before
    if asked is None or asked.fence is None or before.disk != "works" or before.holds(asked.fence):
        return None
    return f"{sorted(names)} passed the fence of a generation that is over" if names else None


def s15_one_session_at_a_time(change: Change) -> str | None:
    """S15."""
    state = change.before.log
    for record in change.rows:
        if record.event.name == "request" and state.session is not None and state.place != READY:
            return f"{record.event.session} was asked for inside {state.session.id}"
    session = change.after.state.session
    if (session is None) != (change.after.state.place in (READY, LOCKED)):
        return f"{change.after.state.place} with session {session and session.id}"
    return None


def s16_a_lock_goes_by_acknowledge_alone(change: Change) -> str | None:
    """S16: a restart keeps locks, and a locking fault always sets one."""
    gone = change.before.log.locks - change.after.log.locks
    if gone and "acknowledge" not in {record.event.name for record in change.rows}:
        return f"{sorted(gone)} went without acknowledge"
    for record in change.rows:
        fault = record.event.data.get("fault")
        if record.event.name == "fault" and fault in LOCKING and fault not in change.after.log.locks:
            return f"{fault} set no lock"
    for state in (change.after.state, change.after.log):
        if (state.place == LOCKED and not state.locks) or (
            state.locks and state.place not in (LOCKED, CLOSING)
        ):
            return f"{sorted(state.locks)} in {state.place}"
    return None


def s16_nothing_is_left_of_a_closing_that_is_proven(change: Change) -> str | None:
    """S16, S10."""
    world = change.after
    if world.child is not None and world.state.place in (READY, LOCKED, REQUESTED):
        return f"a worker is there in {world.state.place}"
    return None


def s18_only_a_request_by_a_member_exposes(change: Change) -> str | None:
    """S18."""
    world = change.after
    if not world.exposed or change.before.exposed:
        return None
    asked = world.write.sealed[0].event if world.write else None
    if asked is None or (asked.name, asked.actor.kind) != ("request", "member"):
        return "exposed by something else than a member's request"
    return None


def s20_a_start_is_shut_and_loses_nothing(change: Change) -> str | None:
    """S20, L4."""
    if not change.killed:
        return None
    world = change.after
    if not world.state.is_shut or world.exposed or world.gate_open or world.child:
        return f"a start left {world.state.place}, exposed {world.exposed}"
    if world.written[: len(change.before.written)] != change.before.written:
        return "rows of the log are gone"
    there = {record.sealed.id for record in world.written}
    lost = [one.event.name for one in change.before.box if one.id not in there]
    return f"the black box held {lost}" if lost else None


WHILE_OPEN: tuple[Invariant, ...] = (
    s1_the_gate_is_open_only_where_memory_and_log_are,
    s4_while_the_gate_is_open_nothing_is_wrong,
)
OF_AN_APPEND: tuple[Invariant, ...] = (
    s22_the_gate_is_of_the_generation_that_was_asked_for,
    s3_evidence_of_every_check_fresh_and_passing,
)
WHILE_A_WORKER_IS_THERE: tuple[Invariant, ...] = (
    s10_no_worker_without_a_session,
    s23_a_worker_starts_only_while_every_rule_holds,
    s16_nothing_is_left_of_a_closing_that_is_proven,
)
AT_EVERY_ROW: tuple[Invariant, ...] = (
    s12_every_row_is_a_legal_move_from_the_fold_before_it,
    s12_memory_is_the_fold_of_the_log,
    s6_only_extend_moves_a_deadline_later,
    s15_one_session_at_a_time,
    s16_a_lock_goes_by_acknowledge_alone,
)
"""Asked whenever the live state or the log's fold is another value than before."""


def s4_at_rest_the_core_sees_no_reason_to_shut(change: Change) -> str | None:
    """S4, S6, S17: what is open, or about to, has none; and truth agrees, before the first frame too."""
    world = change.after
    if not world.exposed or world.state.place == REQUESTED:
        return None
    why = world.reason(Look())
    if why is not None:
        return f"{why.fault or why.trigger} leaves it exposed"
    wrong = list(wrong_to_start(world)) if world.state.place == SAFETY_CHECKED else []
    return f"about to open while wrong: {wrong}" if wrong else None


def s4_at_rest_an_open_camera_has_its_gate_open(change: Change) -> str | None:
    """A build that never opens passes nothing."""
    world = change.after
    if world.state.is_open and world.exposed and not world.gate_open:
        return f"{world.state.place}, and the gate is shut"
    return None


def s21_at_rest_nothing_stays_open_in_the_log_alone(change: Change) -> str | None:
    """S21, L4: once the log answers, what landed late is compensated and nothing waits."""
    world = change.after
    if world.disk != "works":
        return None
    if world.is_pending or world.box or world.promised:
        return f"still waiting: {[one.event.name for one in world.waiting]}, promised {world.promised}"
    if not world.log.is_shut and not world.exposed:
        return f"the log says {world.log.place} and nobody will close it"
    return None


def s16_at_rest_a_closing_is_being_proven(change: Change) -> str | None:
    """L2."""
    world = change.after
    if world.state.place == CLOSING and not world.proving:
        return "nobody proves the closing"
    return None


def l1_a_request_ends_in_time(change: Change) -> str | None:
    """L1: within `wait`, and after the checks within `first_frame` and a second."""
    state, now_us = change.after.state, change.after.now.boottime_us
    session = state.session
    if session is None or state.is_shut:
        return None
    if state.place == REQUESTED and now_us - session.asked_boottime_us >= WAIT_S * SECOND_US:
        return "the wait is over"
    checked_us = session.checked_boottime_us or now_us
    if state.place == SAFETY_CHECKED and now_us - checked_us >= (FIRST_FRAME_S + 1) * SECOND_US:
        return "the first frame is overdue"
    return None


AT_REST: tuple[Invariant, ...] = (
    s4_at_rest_the_core_sees_no_reason_to_shut,
    s4_at_rest_an_open_camera_has_its_gate_open,
    s21_at_rest_nothing_stays_open_in_the_log_alone,
    s16_at_rest_a_closing_is_being_proven,
    l1_a_request_ends_in_time,
)


def broken(change: Change) -> tuple[str, str] | None:
    """The first invariant that does not hold at this move, and what is wrong."""
    for rule in _concerned(change):
        what = rule(change)
        if what is not None:
            return rule.__name__, what
    return None


def _concerned(change: Change) -> Iterable[Invariant]:
    """Those that could be broken at this move at all: the others hold by what they are about."""
    before, after, killed = change.before, change.after, change.killed
    is_open = after.gate_open
    rules = WHILE_OPEN if is_open else ()
    if is_open or before.write is not None or after.write is not None:
        rules += OF_AN_APPEND
    if after.child is not None:
        rules += WHILE_A_WORKER_IS_THERE
    if after.exposed and not before.exposed:
        rules += (s18_only_a_request_by_a_member_exposes,)
    if killed:
        rules += (s20_a_start_is_shut_and_loses_nothing,)
    if killed or before.state is not after.state or before.log is not after.log:
        rules += AT_EVERY_ROW
    return rules


def broken_at_rest(world: TwoLanes) -> tuple[str, str] | None:
    """The first invariant that does not hold where the lanes have nothing to do."""
    still = Change(world, world)
    for rule in AT_REST:
        what = rule(still)
        if what is not None:
            return rule.__name__, what
    return None
