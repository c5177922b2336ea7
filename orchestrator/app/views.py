"""How a camera looks to those who ask: its state, what is permitted, its checks (CONTRACT 5)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from orchestrator.core.camera_state import CameraState
from orchestrator.core.chain import read_body
from orchestrator.core.checks import Stage, case_of, failing, judge, ready_in_ms
from orchestrator.core.events import CLOSING, Place, Record
from orchestrator.core.moment import rfc3339
from orchestrator.core.policy import Member
from orchestrator.runtime.site import CameraParts, Site

BY_A_PERSON = {
    "request": frozenset({"maintainer"}),
    "extend": frozenset({"maintainer"}),
    "close": frozenset({"viewer", "maintainer", "approver", "reviewer"}),
    "acknowledge": frozenset({"approver"}),
}
"""Which roles may pull a trigger over the VPN (CONTRACT 4)."""


def place_now(parts: CameraParts) -> Place:
    """Where the camera is: shut from the moment the gate is, whatever the log has taken (DESIGN)."""
    actor = parts.actor
    if not actor.state.is_shut and not actor.shutter.exposed:
        return CLOSING
    return actor.state.place


def camera_view(site: Site, camera: str, member: Member | None) -> dict[str, Any]:
    """One camera for this member; None: for the local socket, which learns no more than states."""
    parts = site.cameras[camera]
    state, place = parts.actor.state, place_now(parts)
    session = state.session
    view: dict[str, Any] = {
        "id": camera,
        "lane": site.board.policy.cameras[camera].lane,
        "state": place.state,
        "substate": place.substate,
        "fault": state.fault,
        "locks": sorted(state.locks),
        "session": session.id if session else None,
        "deadline": rfc3339(session.ends_wall_us) if session and session.opened else None,
        "version": state.version,
        "pending": parts.actor.closing_pending,
    }
    if member is None:
        return view | {"permitted": ["close"] if place.state != "disabled" else []}
    return view | {
        "permitted": permitted(site, place, member),
        "viewers": len(session.viewers) if session else 0,
        "worker": worker_view(state, parts),
    }


def worker_view(state: CameraState, parts: CameraParts) -> dict[str, Any]:
    """Whether a worker runs, which run of the session it is, and how many have failed."""
    session = state.session
    return {
        "running": parts.actor.keeper.running,
        "run": session.run if session else 0,
        "failures": len(session.failures) if session else 0,
    }


def permitted(site: Site, place: Place, member: Member) -> list[str]:
    """Statechart × role: what this member may ask for now over the VPN."""
    possible = site.chart.permitted(place)
    return [trigger for trigger, roles in BY_A_PERSON.items() if trigger in possible and roles & member.roles]


def checks_view(site: Site, camera: str, member: Member, device: str, purpose: str | None) -> dict[str, Any]:
    """Every check as of now: of the session there is, or as if this member asked (CONTRACT 5)."""
    parts = site.cameras[camera]
    state = parts.actor.state
    policy = site.board.policy
    case = case_of(policy, state, parts.actor.facts())
    if state.session is None:
        chosen = policy.purpose(purpose) or policy.purposes[0]
        case = replace(case, member=member.id, device=device, purpose=chosen)
    stage = Stage.OPEN if state.is_open else Stage.OPENING
    checks = judge(case)
    opens = not failing(checks, Stage.OPENING) and "maintainer" in member.roles
    return {
        "could_open": opens and state.session is None and not parts.actor.closing_pending,
        "ready_in_ms": ready_in_ms(checks),
        "checks": [check.shown(stage) for check in checks],
    }


def answered(records: list[Record]) -> dict[str, Any]:
    """What a change is answered once it is durable: the place and version that its own transition led to, so
    that a repeat is told the same, whatever has happened since."""
    first = records[0]
    target = first.event.target
    assert target is not None
    return {
        "session": first.event.session,
        "state": target.state,
        "substate": target.substate,
        "version": first.seq,
        "events": [chained(record) for record in records],
    }


def chained(record: Record) -> dict[str, Any]:
    """The chained event itself, and nothing else."""
    return read_body(record.canonical, record.hash) | {"hash": record.hash}
