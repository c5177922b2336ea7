"""What a person may read of the log beyond the chained events."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from orchestrator.app.log_views import LogViews
from orchestrator.app.names import Revealing
from orchestrator.core.chain import digest, uuid7
from orchestrator.core.events import READY, REQUESTED, Actor, Event, Sealed, observation, transition
from orchestrator.core.moment import Moment
from orchestrator.core.policy import Member, Role
from orchestrator.core.refusal import Refusal
from orchestrator.edges.http.ports import Caller, EventQuery
from orchestrator.runtime.event_store import EventStore
from orchestrator.runtime.event_store.errors import LogUnavailable
from orchestrator.runtime.ledger import SiteState, fold
from tests.runtime.log_parts import unguarded

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
    details={"name": "Viewer B", "address": "10.77.0.3", "via": "laptop"},
)


HIDDEN_JOIN = {"name": None, "address": None, "via": "laptop"}
JOIN = {"name": "Viewer B", "address": "10.77.0.3", "via": "laptop"}
ASK = {"name": "Maintainer A", "reason": "aim"}


def caller(identifier: str, *roles: Role) -> Caller:
    return Caller(Member(identifier, "", frozenset(roles), None, {"k": "d"}), "d", "", "10.77.0.2")


MAINTAINER, REVIEWER = caller("m-asker", "maintainer"), caller("m-reader", "reviewer")


class Log:
    """A log with a request and somebody else who joined, and those who read it."""

    def __init__(self, store: EventStore[SiteState]) -> None:
        self.store, self.failure, self._at = store, "", 1
        self.views = LogViews(store, Revealing(self.write))

    async def write(self, event: Event) -> None:
        if self.failure:
            raise LogUnavailable(self.failure)
        self._at += 1
        at = Moment(1_795_341_600_000_000, 5_000_000, synchronised=True, boot="b-1")
        sealed = Sealed(event, uuid7(self._at, bytes(10)), at, digest(b"chart"), digest(b"config"))
        await self.store.append([sealed])

    async def details(self, who: Caller, *, details: bool = True, names: bool = False) -> list[Any]:
        page = await self.views.events(who, EventQuery(0, 10, details=details, names=names))
        return [item["details"] for item in page["items"]]

    async def looks(self) -> list[tuple[str, Any]]:
        """Who looked at names, and at how many events' up to where."""
        records = await self.store.read()
        seen = [record.event for record in records if record.event.name == "revealed"]
        return [(event.actor.id, event.data) for event in seen]


@pytest.fixture
async def log(tmp_path: Path) -> AsyncIterator[Log]:
    store: EventStore[SiteState] = EventStore(
        f"sqlite:///{tmp_path / 'events.db'}", site="lot-12", fold=fold, empty=SiteState()
    )
    await store.open()
    try:
        found = Log(store)
        await found.write(ASKED)
        await found.write(JOINED)
        yield found
    finally:
        await store.close()


async def test_without_asking_for_names_everybody_reads_their_own_alone(log: Log) -> None:
    """S19: what was said shows to a reviewer, not who said it."""
    assert await log.details(MAINTAINER) == [ASK, None]
    assert await log.details(REVIEWER) == [{"name": None, "reason": "aim"}, HIDDEN_JOIN]
    assert await log.details(caller("m-asker", "maintainer", "reviewer")) == [ASK, HIDDEN_JOIN]
    assert not await log.looks()


async def test_a_reviewer_who_asks_for_names_sees_them_and_is_written_down_first(log: Log) -> None:
    """S19, CONTRACT 7 `revealed`: with or without the details named as well."""
    assert await log.details(REVIEWER, names=True) == [ASK, JOIN]
    looked = {"first_seq": 1, "last_seq": 2, "events": 2}
    assert await log.looks() == [("m-reader", looked)]
    assert await log.details(REVIEWER, details=False, names=True) == [ASK, JOIN, None]
    assert await log.looks() == [("m-reader", looked), ("m-reader", {**looked, "last_seq": 3, "events": 3})]


async def test_a_session_tells_the_names_of_its_people_to_a_reviewer_who_asks(log: Log) -> None:
    names = {"m-asker": "Maintainer A", "m-viewer": "Viewer B"}
    assert "names" not in await log.views.session(SESSION, REVIEWER, names=False)
    assert (await log.views.session(SESSION, REVIEWER, names=True))["names"] == names
    (item,) = (await log.views.sessions(REVIEWER, 0, 10, names=True))["items"]
    assert item["names"] == names
    one, page = await log.looks()
    assert one == ("m-reader", {"first_seq": 1, "last_seq": 2, "events": 2})
    assert page == ("m-reader", {"first_seq": 1, "last_seq": 1, "events": 1})


async def test_names_are_for_reviewers_even_in_ones_own_session(log: Log) -> None:
    for asked in (
        log.details(MAINTAINER, names=True),
        log.views.session(SESSION, MAINTAINER, names=True),
        log.views.sessions(MAINTAINER, 0, 10, names=True),
    ):
        with pytest.raises(Refusal) as refused:
            await asked
        assert (refused.value.code, refused.value.members) == ("role-required", {"roles": ["reviewer"]})
    assert not await log.looks()


async def test_no_name_is_shown_while_the_log_cannot_say_who_looked(log: Log) -> None:
    log.failure = "the disk is full"
    for asked in (
        log.details(REVIEWER, names=True),
        log.views.session(SESSION, REVIEWER, names=True),
        log.views.sessions(REVIEWER, 0, 10, names=True),
    ):
        with pytest.raises(Refusal, match="the disk is full") as refused:
            await asked
        assert refused.value.code == "log-unwritable"


async def test_nobody_has_looked_where_there_was_nothing(log: Log) -> None:
    assert (await log.views.events(REVIEWER, EventQuery(2, 10, names=True)))["items"] == []
    assert not await log.looks()


CHANGED = "UPDATE events SET canonical = CAST(canonical || ' ' AS BLOB) WHERE seq = 2"


async def test_a_log_that_was_changed_is_told_as_that_and_from_where_on(log: Log, tmp_path: Path) -> None:
    with unguarded(tmp_path / "events.db") as outside:
        outside.execute(CHANGED)
    for asked in (
        log.details(REVIEWER),
        log.views.transitions("cam1", 0, 10),
        log.views.session(SESSION, REVIEWER, names=False),
        log.views.sessions(REVIEWER, 0, 10, names=False),
        anext(log.views.follow(REVIEWER, 1)),
    ):
        with pytest.raises(Refusal, match=r"event 2: .*volet verify --log") as refused:
            await asked
        assert refused.value.code == "log-unreadable"
