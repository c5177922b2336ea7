"""A session told from its events alone (CONTRACT 5 `GET /api/v1/sessions/{id}`)."""

from __future__ import annotations

from orchestrator.core.commands import Extend
from orchestrator.core.events import Json
from orchestrator.core.moment import SECOND_US, rfc3339
from orchestrator.core.session_view import session_view
from orchestrator.core.worker import FailureClass
from tests.core.scene import CLOSE, GONE, START, Story, exited, good_facts, rule_broken, why, with_lane

KEYS = {
    "id",
    "camera",
    "requester",
    "purpose",
    "reason",
    "ticket",
    "state",
    "requested_at",
    "opened_at",
    "ended_at",
    "end",
    "deadline",
    "checks",
    "viewers",
    "closing",
}


def _told(story: Story, details: Json | None = None) -> Json:
    view = session_view(story.records, details or {})
    assert view is not None
    assert set(view) == KEYS
    return view


def _at(seconds: float) -> str:
    return rfc3339(START.wall_us + int(seconds * SECOND_US))


def test_the_whole_of_a_session_that_a_person_closed() -> None:
    story = Story().opened(duration_s=240)
    story.join("w-1")
    story.wait(100)
    story.leave("w-1")
    story.join("w-2")
    story.do(Extend("m-1", 60, {}))
    story.wait(20)
    story.ended(CLOSE)
    view = _told(story, {"id-1": {"reason": "aim it", "ticket": "T-7"}})
    assert (view["id"], view["camera"], view["requester"], view["purpose"]) == (
        "s-1",
        "cam1",
        "m-1",
        "alignment",
    )
    assert (view["reason"], view["ticket"]) == ("aim it", "T-7")
    assert (view["requested_at"], view["opened_at"], view["ended_at"]) == (_at(0), _at(0), _at(120))
    assert view["deadline"] == _at(300)
    assert view["end"] == {"trigger": "close", "fault": None, "limit": None}
    assert view["state"] == "disabled"
    assert len(view["checks"]) == 15
    first, second = view["viewers"]
    assert first == {
        "watch": "w-1",
        "member": "m-1",
        "joined_at": _at(0),
        "left_at": _at(100),
        "seconds": 12,
        "bytes": 4096,
    }
    assert (second["watch"], second["left_at"]) == ("w-2", _at(120))
    assert view["closing"]["shut_us"] == GONE.shut_us
    assert view["closing"]["segments_wiped"] is True


def test_while_it_lasts_nothing_of_its_end_is_known() -> None:
    story = Story().opened()
    view = _told(story)
    assert view["state"] == "streaming"
    assert (view["ended_at"], view["end"], view["closing"]) == (None, None, None)


def test_how_it_ended_by_a_fault_by_time_by_the_checks_or_by_the_worker() -> None:
    story = Story().opened()
    story.shut(why("lane-unsafe"))
    story.shut(why("listener-exposed"))
    assert _told(story)["end"] == {"trigger": "fault", "fault": "lane-unsafe", "limit": None}

    story = Story().opened(duration_s=100)
    story.wait(100)
    story.look()
    assert _told(story)["end"] == {"trigger": "expire", "fault": None, "limit": "asked"}

    story = Story(facts=with_lane(good_facts(), no_vehicle=rule_broken("1")))
    story.request(wait_s=0)
    story.look()
    view = _told(story)
    assert view["end"]["trigger"] == "checks_failed"
    assert view["end"]["fault"] == "lane-unsafe"
    assert [check["id"] for check in view["checks"]] == ["lane-no-vehicle"]
    assert view["opened_at"] is None

    story = Story().checked()
    story.done(exited(1, FailureClass.NOT_FOUND))
    assert _told(story)["end"]["failure"] == "not-found"


def test_erased_details_leave_nulls() -> None:
    """S19."""
    view = _told(Story().opened())
    assert (view["reason"], view["ticket"]) == (None, None)


def test_without_a_request_there_is_no_session() -> None:
    story = Story().opened()
    assert session_view(story.records[1:], {}) is None
    assert session_view([], {}) is None
