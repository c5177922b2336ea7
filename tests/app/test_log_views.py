"""What a person may read of the log beyond the chained events."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator.app.log_views import LogViews
from orchestrator.core.chain import digest, uuid7
from orchestrator.core.events import READY, REQUESTED, Actor, Sealed, observation, transition
from orchestrator.core.moment import Moment
from orchestrator.core.policy import Member, Role
from orchestrator.edges.http.ports import Caller
from orchestrator.runtime.event_store import EventStore
from orchestrator.runtime.ledger import SiteState, fold

SESSION = uuid7(1, bytes(10))
ASKED = transition(
    "request",
    Actor("member", "m-asker"),
    camera="cam1",
    session=SESSION,
    source=READY,
    target=REQUESTED,
    data={"device": "d-1", "purpose": "alignment", "duration_s": 60, "wait_s": 0, "resume": None},
    details={"name": "Maintainer A", "reason": "aim"},
)
JOINED = observation(
    "viewer_joined",
    Actor("member", "m-viewer"),
    camera="cam1",
    session=SESSION,
    data={"watch": "w-1", "device": "d-2"},
    details={"name": "Viewer B", "address": "10.77.0.3"},
)


def caller(identifier: str, *roles: Role) -> Caller:
    return Caller(Member(identifier, "", frozenset(roles), None, {"k": "d"}), "d", "", "10.77.0.2")


@pytest.mark.parametrize(
    ("who", "shown"),
    [
        (caller("m-asker", "maintainer"), ["Maintainer A", None]),
        (caller("m-reader", "reviewer"), ["Maintainer A", "Viewer B"]),
    ],
    ids=["the maintainer", "a reviewer"],
)
async def test_names_show_to_reviewers_and_to_who_said_them(
    tmp_path: Path, who: Caller, shown: list[str | None]
) -> None:
    """S19."""
    store: EventStore[SiteState] = EventStore(
        f"sqlite:///{tmp_path / 'events.db'}", site="lot-12", fold=fold, empty=SiteState()
    )
    await store.open()
    try:
        at = Moment(1_795_341_600_000_000, 5_000_000, synchronised=True, boot="b-1")
        for number, event in enumerate((ASKED, JOINED)):
            identifier = uuid7(2 + number, bytes(10))
            await store.append([Sealed(event, identifier, at, digest(b"chart"), digest(b"config"))])
        page = await LogViews(store).events(who, after=0, limit=10, camera=None, session=None, details=True)
    finally:
        await store.close()
    assert [item["details"] and item["details"]["name"] for item in page["items"]] == shown
