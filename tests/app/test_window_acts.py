"""What a person is told they may do to a window: what would be refused, or change nothing, is not named."""

from __future__ import annotations

import pytest

from orchestrator.app.windows import permitted
from orchestrator.core.policy import Member, Policy, Role
from orchestrator.core.window_book import Window
from orchestrator.core.window_plan import Listed
from orchestrator.core.window_rules import Standing
from tests.core.window_scene import HOUR, NOW, POLICY, TWO_PEOPLE

NARROW = ["shorten", "cancel"]
ALL = ["approve", *NARROW]


def _told(
    *roles: Role,
    state: Standing = "approved",
    by: tuple[str, ...] = (),
    policy: Policy = POLICY,
    cameras: frozenset[str] | None = None,
) -> list[str]:
    window = Window("w-1", ("cam1", "cam2"), NOW, NOW + HOUR, NOW + HOUR, approved_by=by)
    return permitted(
        policy, Listed(window, state), Member("m-anna", "Anna", frozenset(roles), cameras, {}, {})
    )


@pytest.mark.parametrize(
    ("roles", "expected"),
    [
        (("viewer", "reviewer"), []),
        (("maintainer",), NARROW),
        (("approver",), ALL),
    ],
)
def test_a_proposal_is_for_an_approver_to_approve(roles: tuple[Role, ...], expected: list[str]) -> None:
    assert _told(*roles, state="proposed") == expected


def test_nothing_is_permitted_where_it_is_settled_or_others_cameras_are_in_it() -> None:
    """CONTRACT 5: whoever narrows is a maintainer or an approver of all of its cameras."""
    assert _told("approver", state="over") == _told("approver", state="cancelled") == []
    assert _told("approver", state="proposed", cameras=frozenset({"cam1"})) == []


def test_with_two_people_a_second_approval_is_asked_of_another_approver_alone() -> None:
    """CONTRACT 3: it serves the one who approved it first, and a third one changes nothing."""
    assert _told("approver", by=("m-boris",)) == NARROW
    assert _told("approver", by=("m-boris",), policy=TWO_PEOPLE) == ALL
    assert _told("approver", by=("m-anna",), policy=TWO_PEOPLE) == NARROW
    assert _told("approver", by=("m-boris", "m-clara"), policy=TWO_PEOPLE) == NARROW
